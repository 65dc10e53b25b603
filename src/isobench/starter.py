"""The Python face of the agent's ``start`` verb: turns a Launch into a process and its events into values.

No Python runs in the timed path: the agent executes the launch and stamps CLOCK_MONOTONIC itself; this
module only writes its command line and reads its JSON lines.
"""

import logging
import os
import selectors
import shlex
import subprocess
import tempfile
import time
from array import array
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self, cast

from pydantic import TypeAdapter, ValidationError

from isobench.errors import AgentMissingError, StarterError
from isobench.model import FIRST_OUTPUT, Event, FileWrite, Launch, Status, Step

_LOG = logging.getLogger(__name__)

PAUSE_MS = 5
"""Rest before a start, so that the kernel's deferred clean-up of the one before is mostly over."""

_END_TIMEOUT_S = 60.0
"""How long the agent may take to clean up; it bounds its own waits at 30 s each."""

MAX_WORKERS = 512
"""How many instances the agent starts at once, at most."""

_MOST_STARTS = 1_000_000
"""In one call of the agent."""

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
}
"""The whole environment of the agent and of every tool it starts: the same on every host and in every run."""


def batch(
    agent: Path,
    launch: Launch,
    count: int,
    *,
    timeout_s: float,
    stop_when_ready: bool = False,
    cold: bool = False,
) -> Generator[Event, None, None]:
    """Start ``count`` instances one after another, each run to its end; yields an ``attempt`` each.

    A start begins PAUSE_MS after its event is asked for: nothing that the caller does in between, a start of
    another batch say, runs beside it.

    ``timeout_s`` bounds each start from invoke to exit. ``stop_when_ready``: the workload is killed as soon
    as it is ready, which is no failure, for it would run on for ever. ``cold``: before each start, untimed,
    the host's page cache, dentries and inodes are dropped (root only); not the agent's own file, which it
    executes: have it start from a copy where a workload is that very file. Closing the generator early, or an
    interrupt while it waits, ends the instance in hand and cleans up.

    Raises :class:`isobench.errors.StarterError` when the agent dies or says something unknown.
    """
    end = ("--stop-when-ready",) if stop_when_ready else ()
    drop = ("--drop-caches",) if cold else ()
    options = ("--count", str(count), "--pause-ms", str(PAUSE_MS), "--on-request", *end, *drop)
    with _Process(agent, launch, options, timeout_s) as process:
        for _ in range(count):
            process.request()
            yield process.next_event(None)


@dataclass(frozen=True, slots=True)
class Load:
    """How many instances are started at once, and when."""

    workers: int
    """At most so many instances at a time, each by a process of its own of the agent; MAX_WORKERS at most."""
    window_s: float
    """How long starts are begun; those begun by then run to their end."""
    starts: int | None = None
    """Closed loop: no more than so many are begun. None: as many as the window gives."""
    due_ns: tuple[int, ...] | None = None
    """Open loop: when each start is due, in ns since the beginning of the window, ascending. None: closed
    loop, in which a worker begins the next start as soon as its last instance is cleaned up."""


def concurrent(agent: Path, launch: Launch, load: Load, *, timeout_s: float) -> Generator[Event, None, None]:
    """Start instances many at a time; yields an ``attempt`` each when all are over, and last an ``end``.

    ``{n}`` in the launch is the number of the worker. The events come worker by worker. Of what a workload
    writes the first 4 KiB are kept. Ended early as :func:`batch`; raises as it does.
    """
    window = ("--window-ms", str(max(1, round(load.window_s * 1000))))
    count = ("--count", str(load.starts or _MOST_STARTS))
    options: tuple[str, ...] = ("--workers", str(load.workers), *window, *count)
    with ExitStack() as stack:
        if load.due_ns is not None:
            file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="isobench-due-"))
            file.write(array("q", load.due_ns))
            file.flush()
            options += ("--due", file.name)
        process = stack.enter_context(_Process(agent, launch, options, timeout_s))
        while True:
            event = process.next_event(None)
            yield event
            if event.kind == "end":
                return


class Session:
    """Instances held at once, under one agent process that reaps all their descendants."""

    def __init__(self, process: "_Process") -> None:
        self._process = process
        self._waiting: deque[Event] = deque()
        self._ended: tuple[Event, ...] | None = None

    @property
    def pid(self) -> int:
        """The agent's process: a child subreaper, so every process of every instance descends from it."""
        return self._process.pid

    def start(self, slot: int | None = None) -> Event:
        """Start an instance and return its ``ready`` event, ok or not.

        None: in the slot after the highest one used so far. A slot can be used again once its instance was
        stopped; one that is in use is an error.
        """
        self._process.command("start" if slot is None else f"start {slot}")
        return self._await("ready")

    def stop(self, slot: int, how: Literal["exit", "kill"]) -> Event:
        """End one instance, remove what it leaves, and return its ``exit`` event; the others go on.

        ``exit``: one newline and the end of its standard input, at which the agent's own workloads end; one
        that has not ended after the time a start may take is killed, a timeout. ``kill``: SIGKILL; where a
        tool watches over the workload, the tool's children first. ``stop_ns`` is the time just before either.
        """
        self._process.command(f"stop {slot} {how}")
        return self._await("exit")

    def ping(self, slot: int, count: int) -> tuple[int, ...]:
        """Round trips through the channel of an instance of the verb ``echo``, in ns, one after another.

        Each from just before a byte is written to the workload's input to the moment its answer can be read.
        Raises StarterError when an answer does not come, or something else does.
        """
        self._process.command(f"ping {slot} {count}")
        event = self._await("pinged")
        if event.status is not Status.OK:
            raise StarterError(f"the instance in slot {slot} does not answer: {event.reason}")
        return event.round_trips_ns

    def _await(self, kind: str) -> Event:
        """The next event of a kind; those of others until then are kept for :meth:`next`."""
        while (event := self._process.next_event(None)).kind != kind:
            self._waiting.append(event)
        return event

    def send(self, slot: int) -> None:
        """Write one newline to the workload's standard input ("go on")."""
        self._process.command(f"send {slot}")

    def next(self, timeout_s: float) -> Event:
        """The next ``line`` of any instance. Raises TimeoutError after ``timeout_s``."""
        if self._waiting:
            return self._waiting.popleft()
        return self._process.next_event(timeout_s)

    def end(self) -> tuple[Event, ...]:
        """Let all end, kill those that do not, clean up; the ``exit`` events of those not stopped before.

        Idempotent.
        """
        if self._ended is None:
            self._process.command("end")
            events: list[Event] = []
            while (event := self._process.next_event(_END_TIMEOUT_S)).kind != "end":
                events.append(event)
            self._ended = tuple(event for event in events if event.kind == "exit")
        return self._ended


@contextmanager
def session(agent: Path, launch: Launch, *, timeout_s: float, slots: int = 64) -> Iterator[Session]:
    """An interactive agent for up to ``slots`` instances; ends every one on leaving, whatever happened.

    ``timeout_s`` bounds each start from invoke to the workload's first line.
    """
    with _Process(agent, launch, ("--interactive", "--count", str(slots)), timeout_s) as process:
        yield Session(process)


class _Process:
    """One running ``isoagent start``. Leaving the context makes it end and waits until it has cleaned up."""

    def __init__(self, agent: Path, launch: Launch, options: tuple[str, ...], timeout_s: float) -> None:
        timeout = ("--timeout-ms", str(max(1, round(timeout_s * 1000))))
        self._argv = (str(agent), "start", *options, *timeout, *_launch_arguments(launch))
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._buffer = b""

    def __enter__(self) -> Self:
        _LOG.debug("%s", shlex.join(self._argv))
        try:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=dict(ENVIRONMENT),
                # Unbuffered: closing a buffer that could not be flushed to a dead agent raises once more.
                bufsize=0,
                # A Ctrl-C at the terminal is for us to handle: the agent ends an instance in order.
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise AgentMissingError(
                f"the agent {self._argv[0]} cannot be executed: {error.strerror}", remedy="make agent"
            ) from error
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._stdout = cast(IO[bytes], self._process.stdout)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
        finally:
            self._selector.close()
            self._stdin.close()
            self._stdout.close()
            self._errors.close()

    def _stop(self) -> None:
        """SIGTERM makes the agent kill the instance in hand and clean up; SIGKILL is the last resort.

        Its output is drained meanwhile, lest it waits for us to read while we wait for it to end.
        """
        if self._process.poll() is None:
            self._process.terminate()
        deadline = time.monotonic() + _END_TIMEOUT_S
        while self._read(deadline - time.monotonic()):
            self._buffer = b""
        try:
            self._process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _LOG.warning("the agent %d did not end by itself and is killed", self._process.pid)
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self) -> None:
        """Ask for the next start. Of an agent that has died what it said before comes first, then its end."""
        with suppress(BrokenPipeError):
            self._stdin.write(b"\n")

    def command(self, line: str) -> None:
        try:
            self._stdin.write(line.encode() + b"\n")
            self._stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def next_event(self, timeout_s: float | None) -> Event:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"the agent said nothing for {timeout_s} s")
            if not self._read(left) and (deadline is None or time.monotonic() < deadline):
                raise self._died()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return parse_event(line)

    def _read(self, timeout_s: float | None) -> bool:
        """Wait for output and take it; False at its end, or when the time is over."""
        if not self._selector.select(None if timeout_s is None else max(0.0, timeout_s)):
            return False
        chunk = os.read(self._stdout.fileno(), 1 << 16)
        self._buffer += chunk
        return bool(chunk)

    def _died(self) -> StarterError:
        try:
            code: int | None = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
        self._errors.seek(0)
        said = self._errors.read()[-2000:].decode(errors="replace").strip()
        return StarterError(f"the agent's start ended early (exit code {code}): {said or 'it said nothing'}")


_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(line: bytes) -> Event:
    """One line of the agent's output as a value. Raises StarterError for anything that is not an event."""
    try:
        return _EVENT.validate_json(line, strict=True)
    except ValidationError as error:
        raise StarterError(f"the agent said what is no event: {line[:200]!r}") from error


def _launch_arguments(launch: Launch) -> tuple[str, ...]:
    words: list[str] = []
    for directory in launch.cgroups:
        words += ["--cgroup", directory]
    for write in launch.cgroup_writes:
        words += _write_words(write)
    for step in launch.steps:
        words += ["--step", *_step_words(step)]
    for step in launch.cleanup:
        words += ["--cleanup", *_step_words(step)]
    if launch.namespaces:
        words += ["--namespaces", ",".join(launch.namespaces)]
    if launch.root is not None:
        option = "--chroot" if launch.root_change == "chroot" else "--pivot-root"
        words += [option, str(launch.root)]
    if launch.mount_proc:
        words.append("--proc")
    if launch.delay_us:
        words += ["--delay-us", str(launch.delay_us)]
    if launch.console:
        words.append("--console")
    return (*words, *_workload_words(launch), *_process_words(launch))


def _process_words(launch: Launch) -> list[str]:
    if launch.spawn is not None:
        return ["--spawn", str(len(launch.spawn)), *launch.spawn]
    return ["--adopt", launch.adopt or ""]


def _workload_words(launch: Launch) -> list[str]:
    """Its environment, what counts as ready, and where that is looked for."""
    words = [word for variable in launch.env for word in ("--env", variable)]
    value = {"line": [launch.ready.pattern], "port": [str(launch.ready.port)]}
    if launch.ready != FIRST_OUTPUT:
        words += ["--ready", launch.ready.kind, *value.get(launch.ready.kind, [])]
    where = {
        "--own-network": launch.own_network,
        "--loopback": launch.loopback,
        "--supervised": launch.supervised,
    }
    return [*words, *(option for option, wanted in where.items() if wanted)]


def _write_words(write: FileWrite) -> list[str]:
    return ["--write", write.path, write.value]


def _step_words(step: Step) -> list[str]:
    return [step.phase or "-", str(len(step.argv)), *step.argv]

"""The run of a batch on a lab host, begun and watched from another machine: all that happens on the host.

::

    <place>/
        matrix.toml      what to measure
        run/             the result folder
        log              what every attempt said
        attempt.json     how the last attempt went
        lock             held by the attempt that goes on

An attempt begins the run, or goes on with it where an earlier one broke off. Whoever asks for one while
another goes on waits for that: a caller whose connection was lost just asks again. The lock ends with its
processes, so what a reboot or a kill has left is told from what still runs.
"""

import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from isobench.errors import HostUnfitError, OutputError, ResultsError
from isobench.journal import PAIRS_FILE, RUN_FILE, SAMPLES_FILE, read_record
from isobench.journal_writer import now_utc, write_whole
from isobench.procfs import read_optional

MATRIX_FILE = "matrix.toml"
RUN_FOLDER = "run"

RESULT_FILES = (RUN_FILE, SAMPLES_FILE, PAIRS_FILE)
"""What is fetched of a run."""

OURSELVES = (sys.executable, "-m", "isobench")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ATTEMPT, _LOCK, _LOG = "attempt.json", "lock", "log"
_GRACE_S = 60.0
"""How long an attempt may take to begin; starting Python on a slow and busy host takes seconds."""

State: TypeAlias = Literal["absent", "running", "unfinished", "finished"]


@dataclass(frozen=True, slots=True)
class FileSum:
    """What a file holds, for whoever copies it."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """attempt.json: the latest attempt at the run."""

    number: int = 0
    """How many there were."""
    begun: str | None = None
    ended: str | None = None
    """None in an attempt that is over: it was killed, or the host went down."""
    exit_code: int | None = None
    """As :mod:`isobench.errors` has them; minus the number of a signal that ended it."""
    reason: str | None = None
    """Why it did not come to its end."""
    remedy: str | None = None
    boot_id: str | None = None
    """The kernel's, of the boot it belongs to."""


@dataclass(frozen=True, slots=True)
class Look:
    """How the run stands."""

    state: State
    attempt: Attempt
    run_id: str | None = None
    files: Mapping[str, FileSum] = field(default_factory=dict)
    """The result files of a finished run, by name."""
    rebooted: bool = False
    """The host has gone down since the last attempt, which ended before its time: it is to be resumed.

    A run that was killed while the host stayed up is not: whoever killed it may have meant it.
    """


def look(place: Path) -> Look:
    """How the run in ``place`` stands, without changing anything; absent too where there is no folder."""
    held = _is_held(place)
    attempt = _read_attempt(place)
    run = place / RUN_FOLDER
    record = read_record(run) if (run / RUN_FILE).exists() else None
    run_id = None if record is None else record.run_id
    if held:
        return Look("running", attempt, run_id)
    rebooted = attempt.boot_id not in {None, _boot_id()}
    if record is None:
        return Look("absent", attempt, rebooted=rebooted)
    if record.status != "finished":
        return Look("unfinished", attempt, run_id, rebooted=rebooted)
    sums = {name: file_sum(run / name) for name in RESULT_FILES}
    return Look("finished", attempt, run_id, sums)


def parse_look(text: str) -> Look:
    """What a host printed. Raises :class:`isobench.errors.ResultsError`."""
    try:
        return TypeAdapter(Look).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ResultsError(f"not what a lab host tells of its run: {first['loc']}: {first['msg']}") from error


def file_sum(path: Path) -> FileSum:
    """Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileSum(digest, path.stat().st_size)


def go(
    place: Path,
    options: Sequence[str] = (),
    resume_options: Sequence[str] = (),
    *,
    isobench: Sequence[str] = OURSELVES,
) -> Look:
    """Bring the run to its end: begin it, go on with it, or wait for the attempt that does.

    ``options`` are those of ``isobench run``, ``resume_options`` those of ``isobench resume``.

    Raises :class:`isobench.errors.OutputError` where ``place`` cannot be written.
    """
    with _lock(place, fcntl.LOCK_EX, os.O_RDWR | os.O_CREAT) as lock:
        run = place / RUN_FOLDER
        if not (run / RUN_FILE).exists():
            _put_aside(run)
            _attempt(place, (*isobench, "run", MATRIX_FILE, "--out", RUN_FOLDER, *options), lock)
        elif read_record(run).status != "finished":
            _attempt(place, (*isobench, "resume", RUN_FOLDER, *resume_options), lock)
    return look(place)


def wait(place: Path, after: int, *, grace_s: float = _GRACE_S) -> Look:
    """Wait for the end of the attempt that follows number ``after``, asleep: it is not to disturb the run.

    Raises :class:`isobench.errors.HostUnfitError` when none begins within ``grace_s``.
    """
    deadline = time.monotonic() + grace_s
    while _read_attempt(place).number <= after and not _is_held(place):
        if time.monotonic() > deadline:
            raise HostUnfitError(f"{place}: no attempt at the run began within {grace_s:g} s")
        time.sleep(0.2)
    with _lock(place, fcntl.LOCK_SH):
        pass
    return look(place)


def _attempt(place: Path, command: Sequence[str], lock: int) -> None:
    attempt = Attempt(_read_attempt(place).number + 1, begun=now_utc(), boot_id=_boot_id())
    _write_attempt(place, attempt)
    argv = (*command, "--no-report", "--json")
    with (place / _LOG).open("ab") as log:
        log.write(f"--- attempt {attempt.number}, {attempt.begun}: {shlex.join(argv)}\n".encode())
        log.flush()
        said_from = log.tell()
        # It inherits the lock: should we be killed and it not, the run still counts as going on.
        process = subprocess.Popen(
            argv,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=(lock,),
        )
        code = _end_of(process)
    with (place / _LOG).open("rb") as log:
        log.seek(said_from)
        reason, remedy = last_error(log.read().decode(errors="replace"))
    if (number := -code if code < 0 else code - 128) > 0:
        reason, remedy = f"it was ended by signal {number} ({_signal_name(number)})", None
    ended = replace(attempt, ended=now_utc(), exit_code=code, reason=reason if code else None, remedy=remedy)
    _write_attempt(place, ended)


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; a signal that ends us ends it too, in order."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)


def last_error(said: str) -> tuple[str | None, str | None]:
    """The last error that a command of ours told on standard error, and its remedy."""
    reason = remedy = None
    for line in said.splitlines():
        if line.startswith("error: "):
            reason, remedy = line.removeprefix("error: "), None
        elif line.startswith("remedy: ") and reason is not None:
            remedy = line.removeprefix("remedy: ")
    return reason, remedy


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return "unknown"


def _boot_id() -> str | None:
    text = read_optional(_BOOT_ID)
    return None if text is None else text.strip()


def _put_aside(run: Path) -> None:
    """A folder that a kill has left before anything was recorded: a run begins in an empty one."""
    if run.exists():
        run.rename(run.with_name(f"{run.name}-without-record-{time.time_ns()}"))


def _read_attempt(place: Path) -> Attempt:
    text = read_optional(place / _ATTEMPT)
    return Attempt() if text is None else Attempt(**json.loads(text))


def _write_attempt(place: Path, attempt: Attempt) -> None:
    write_whole(place / _ATTEMPT, json.dumps(asdict(attempt), indent=2).encode() + b"\n")


def _is_held(place: Path) -> bool:
    """Makes no lock where there is none: whoever asks may be another user than the one that is to hold it."""
    if not (place / _LOCK).exists():
        return False
    try:
        with _lock(place, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


@contextmanager
def _lock(place: Path, how: int, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Hold the lock. Raises BlockingIOError where ``how`` says not to wait, OutputError without a folder."""
    try:
        fd = os.open(place / _LOCK, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputError(f"{place}: no folder for a run of a batch: {error.strerror}") from error
    try:
        fcntl.flock(fd, how)
        yield fd
    finally:
        os.close(fd)

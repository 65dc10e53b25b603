"""memory-floor: the smallest limit of memory under which a workload still runs.

How each figure is made, and what it contains: docs/benchmarks/memory-floor.md.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.bisection import Bisection
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.hostmemory import read_guest_ram
from isobench.benchmarks.payload import PayloadError, hello
from isobench.benchmarks.processes import PROC, read_descendants
from isobench.errors import CgroupGoneError
from isobench.isolators.contract import Isolator, Site
from isobench.model import Bundle, Capabilities, Cell, Event, Launch, Limits, Reading, Scalar, Status

METRIC = "memory_floor"
UNIT = "byte"

_KIB = 1024
_MIB = 1024 * _KIB
_PATIENCE = 5.0
"""How many times as long as the slowest start that worked one may take."""
_LEAST_PATIENCE_S = 2.0
_REASON_ENDS = (60, 200)
"""Characters kept of the begin and of the end of a long reason: tools say what it was about at the end."""
_EXPECTED_START_S = 0.1
_EXPECTED_VM_START_S = 6.0
"""Of starts under software emulation half fail, some only by taking too long."""

Mib = Annotated[int, Field(strict=True, ge=1, le=1 << 20)]
Kib = Annotated[int, Field(strict=True, ge=1, le=1 << 20)]
Times = Annotated[int, Field(strict=True, ge=1, le=100)]
Starts = Annotated[int, Field(strict=True, ge=2, le=1000)]


class MemoryFloorParams(contract.Params):
    """The ``[memory-floor]`` table."""

    VERBS: ClassVar[tuple[str, ...]] = ("hold",)
    workloads: Annotated[tuple[str, ...], Field(min_length=1)] = ("hold",)
    """Which: a verb of the agent, or a workload of the matrix."""
    most_mib: Mib = 64
    """Where the search begins; what does not run there has no figure."""
    most_mib_vm: Mib = 128
    """The same for the RAM of a virtual machine."""
    resolution_kib: Kib = 4
    """Of the answer; at least a page of the host."""
    resolution_mib_vm: Mib = 1
    confirm: Times = 3
    """How often the answer has to work."""
    starts: Starts = 30
    """At most, in a block; the answer is as fine as they allow, and says so."""
    starts_vm: Starts = 14


class MemoryFloor(Benchmark[MemoryFloorParams]):
    """Start the workload under limits between one that works and one that does not."""

    name = "memory-floor"
    Params = MemoryFloorParams

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Isolators that have no limit of memory of their own."""
        return None if "memory" in capabilities.limits else "it has no limit of memory of its own"

    def cells(
        self, isolator: str, capabilities: Capabilities, params: MemoryFloorParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One a workload."""
        return tuple(Cell(isolator, self.name, workload, blocks=blocks) for workload in params.workloads)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[MemoryFloorParams]
    ) -> Iterator[Reading]:
        """One reading: a whole search."""
        lack = context.site.cgroups.memory_lack()
        if isolator.capabilities.shares_kernel and not lack.usable:
            yield Reading(METRIC, UNIT, None, lack.status, lack.reason, lack.remedy)
            return
        begun = time.monotonic()
        try:
            reading = _Floor(isolator, context, context.bundle(cell.workload)).reading()
        except _FloorError as error:
            reading = Reading(METRIC, UNIT, None, Status.FAILED, str(error), error.remedy)
        # Not with replace(): the searching is what takes the time, whatever came of it.
        yield Reading(
            reading.metric,
            reading.unit,
            reading.value,
            reading.status,
            reading.reason,
            reading.remedy,
            detail=reading.detail,
            timed_s=time.monotonic() - begun,
        )

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: MemoryFloorParams) -> float:
        """The starts."""
        if capabilities.shares_kernel:
            return params.starts * _EXPECTED_START_S
        return params.starts_vm * _EXPECTED_VM_START_S


class _FloorError(Exception):
    """There is no answer."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Failure:
    """How an instance with too little memory showed it."""

    how: str
    """``oom-kill``: the kernel ended a process of it for want of memory. ``no-memory``: a call for memory was
    refused. ``refused``: the runtime, or the kernel asked by it, did not take the limit. ``timeout``.
    ``ended``: in another way, as a guest does whose kernel panics."""
    reason: str


class _Floor:
    """The search of one cell in one block."""

    def __init__(self, isolator: Isolator[Any], context: Context[MemoryFloorParams], bundle: Bundle) -> None:
        self._isolator = isolator
        self._site: Site = context.site
        self._bundle = bundle
        self._timeout_s = context.timeout_s
        self._slowest_s = 0.0
        self._shares_kernel = isolator.capabilities.shares_kernel
        params = context.params
        self._step = _step_bytes(params, shares_kernel=self._shares_kernel)
        most_mib = params.most_mib if self._shares_kernel else params.most_mib_vm
        self._search = Bisection(
            most=max(1, most_mib * _MIB // self._step),
            confirm=params.confirm,
            budget=params.starts if self._shares_kernel else params.starts_vm,
        )
        self._hows: Counter[str] = Counter()
        self._seen: dict[int, Failure] = {}

    def reading(self) -> Reading:
        """Raises _FloorError where nothing ran, or a limit was not the one that was asked for."""
        search = self._search
        while (limit := search.next()) is not None:
            failure = self._attempt(limit * self._step)
            search.add(limit, worked=failure is None)
            if failure:
                self._hows[failure.how] += 1
                self._seen[limit] = failure
        least = search.least
        if least is None:
            most = search.most * self._step
            raise _FloorError(
                f"it does not run with {most // _KIB} KiB, the most that was tried: "
                f"{self._seen[search.below].reason}",
                f"raise {'most_mib' if self._shares_kernel else 'most_mib_vm'} in [memory-floor]",
            )
        return Reading(METRIC, UNIT, float(least * self._step), detail=self._detail(least))

    def _detail(self, least: int) -> dict[str, Scalar]:
        search = self._search
        below = self._seen.get(search.below)
        detail: dict[str, Scalar] = {
            "resolution_bytes": (least - search.below) * self._step,
            "starts": search.attempts,
            "worked": search.successes[least],
            "confirmed": search.confirmed,
            "monotonic": search.monotonic,
            "below_bytes": search.below * self._step,
            "below_how": below.how if below else None,
            "below_reason": below.reason if below else None,
            "swap_limited": self._site.cgroups.limits_swap() if self._shares_kernel else None,
            **{f"failures_{how.replace('-', '_')}": number for how, number in sorted(self._hows.items())},
        }
        if not search.monotonic:
            detail["least_that_ever_worked_bytes"] = min(search.successes) * self._step
        return detail

    def _attempt(self, limit_bytes: int) -> Failure | None:
        """None: it ran, to its end."""
        kills = read_oom_kills()
        site, limits = self._site, Limits(memory_bytes=limit_bytes)
        with (
            self._isolator.prepare(site, self._bundle, limits) as launch,
            starter.session(site.agent, launch, timeout_s=self._patience_s, slots=1) as session,
        ):
            event = session.start()
            gone: str | None = None
            if event.status is Status.OK:
                self._slowest_s = max(self._slowest_s, event.phases_ns["ready"] / 1e9)
                gone = self._look(session.pid, event, launch, limit_bytes)
            ends = session.end()
        killed = read_oom_kills() > kills
        events = (event,) if self._bundle.own else (event, *ends)
        bad = next((one for one in events if one.status is not Status.OK), None)
        if bad is None and gone is None:
            # A workload of several processes may live on without one of them.
            own_killed = self._bundle.own and killed and self._shares_kernel
            return Failure("oom-kill", "the kernel killed a process") if own_killed else None
        reason = gone or said(bad or event)
        return Failure("oom-kill" if killed else self._how(bad, reason), reason)

    @property
    def _patience_s(self) -> float:
        if not self._slowest_s:
            return self._timeout_s
        return min(self._timeout_s, max(_LEAST_PATIENCE_S, _PATIENCE * self._slowest_s))

    def _how(self, bad: Event | None, reason: str) -> str:
        if bad and bad.status is Status.TIMEOUT:
            return "timeout"
        if "annot allocate memory" in reason:
            return "no-memory"
        phases = self._isolator.capabilities.phases
        refused = bad is not None and "created" in phases and "created" not in bad.phases_ns
        return "refused" if refused else "ended"

    def _look(self, agent: int, event: Event, launch: Launch, limit_bytes: int) -> str | None:
        """While it runs: its proof, and the limit in force. Why there was none to be seen, if it ended."""
        if not self._bundle.own:
            try:
                hello(event.output, self._bundle.argv[1])
            except PayloadError as error:
                raise _FloorError(str(error)) from None
        pid = self._workload(agent, event, launch)
        try:
            found = self._in_force(pid, limit_bytes)
        except CgroupGoneError as error:
            return str(error)
        if found != limit_bytes:
            raise _FloorError(
                f"asked for a limit of {limit_bytes} bytes, but in force is "
                f"{'none' if found is None else f'{found} bytes'}"
            )
        return None

    def _workload(self, agent: int, event: Event, launch: Launch) -> int:
        """The process the limit is looked up for."""
        if event.pid is None:
            raise _FloorError("its process is not known, so that its limit cannot be read back")
        if not launch.supervised:
            return event.pid
        children = [one.pid for one in read_descendants(agent) if one.parent == event.pid]
        return children[0] if children else event.pid

    def _in_force(self, pid: int, limit_bytes: int) -> int | None:
        if self._shares_kernel:
            return self._site.cgroups.of(pid).memory_limit_bytes()
        # A mapping of that size is in the VMM: the guest has it as its RAM.
        return None if read_guest_ram(pid, limit_bytes) is None else limit_bytes


def said(event: Event) -> str:
    """Why it failed, with the last line of what the runtime said."""
    reason = event.reason or "it did not run"
    lines = [line for line in event.stderr.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    text = f"{reason}: {last}" if last and last not in reason else reason
    begin, end = _REASON_ENDS
    return text if len(text) <= begin + end else f"{text[:begin]} … {text[-end:]}"


def read_oom_kills(proc: Path = PROC) -> int:
    """Processes the kernel has killed for want of memory since boot, in any cgroup (/proc/vmstat)."""
    lines = (proc / "vmstat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _step_bytes(params: MemoryFloorParams, *, shares_kernel: bool) -> int:
    """Whole pages: the kernel rounds limits down to them; whole MiB for the RAM of a guest."""
    if not shares_kernel:
        return params.resolution_mib_vm * _MIB
    page = os.sysconf("SC_PAGE_SIZE")
    return -(-params.resolution_kib * _KIB // page) * page

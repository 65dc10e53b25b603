"""audit: what the instrument itself adds to the figures of this run; docs/benchmarks/audit.md.

``audit`` is about the host: its clock, the starter against the least a program can do, and what reading the
host's memory does to starts. ``round-trip`` is about the channel to a workload in each isolator. Both are
part of every run that measures something.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from isobench import process, starter
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.hostmemory import read_bystanders, read_host
from isobench.benchmarks.payload import hello
from isobench.errors import StarterError
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.model import Capabilities, Cell, Launch, Reading, Scalar, Status
from isobench.procfs import read_optional

CLOCK, STARTER, SAMPLER, ROUND_TRIP = "clock_read", "starter_cost", "sampler_effect", "round_trip"
"""The metrics."""

_NS_PER_S = 1e9
_CALLS = 100_000
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")

Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]


class AuditParams(contract.Params):
    """The ``[audit]`` table."""

    blocks: int | None = Field(default=1, ge=1, le=10_000)
    rounds: Count = 6
    """Rounds of starts on either side of a comparison, alternating; each gives one value."""
    starts: Count = 8
    """Starts of each side in a round."""


class RoundTripParams(contract.Params):
    """The ``[round-trip]`` table."""

    blocks: int | None = Field(default=1, ge=1, le=10_000)
    count: Count = 50
    """Round trips in a block."""


class TimerLine(BaseModel):
    """What the agent's ``timer`` says."""

    model_config = ConfigDict(frozen=True, strict=True)

    calls: Annotated[int, Field(ge=2)]
    total_ns: NonNegativeInt
    smallest_step_ns: NonNegativeInt
    largest_step_ns: NonNegativeInt
    resolution_ns: NonNegativeInt


class PlainLine(BaseModel):
    """What the agent's ``plain`` says: how long each start took."""

    model_config = ConfigDict(frozen=True, strict=True)

    taken_ns: Annotated[list[NonNegativeInt], Field(min_length=1)]


class Audit(Benchmark[AuditParams]):
    """The instrument on this host."""

    name = "audit"
    Params = AuditParams
    subject = "host"

    def cells(
        self, isolator: str, capabilities: Capabilities, params: AuditParams, blocks: int
    ) -> tuple[Cell, ...]:
        """The clock, the starter, the sampler."""
        return tuple(Cell(isolator, self.name, part, blocks=blocks) for part in _PARTS)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[AuditParams]
    ) -> Iterator[Reading]:
        """One reading of the clock's cost; of the others one a round."""
        with isolator.prepare(context.site, agent_bundle(context.site, "ready")) as launch:
            yield from _PARTS[cell.workload](launch, context)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: AuditParams) -> float:
        """Each start with the pause before it."""
        return 0.05 if cell.workload == "timer" else 2 * params.rounds * (0.01 + params.starts * 0.006)


class RoundTrip(Benchmark[RoundTripParams]):
    """One byte to a held workload and one line back, through the channel that every figure comes by."""

    name = "round-trip"
    Params = RoundTripParams

    def cells(
        self, isolator: str, capabilities: Capabilities, params: RoundTripParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One."""
        return (Cell(isolator, self.name, "echo", blocks=blocks),)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[RoundTripParams]
    ) -> Iterator[Reading]:
        """One reading a round trip; a failed one when the instance cannot be started or ends badly."""
        site = context.site
        with (
            isolator.prepare(site, agent_bundle(site, "echo")) as launch,
            starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=1) as session,
        ):
            event = session.start()
            if event.status is Status.OK:
                hello(event.output, "echo")
                start_s = event.phases_ns["ready"] / _NS_PER_S
                for number, taken_ns in enumerate(session.ping(0, context.params.count)):
                    taken_s = taken_ns / _NS_PER_S
                    # The start belongs to the attempt: of a virtual machine it is nearly all of it.
                    timed_s = taken_s if number else start_s + taken_s
                    yield Reading(ROUND_TRIP, "second", taken_s, timed_s=timed_s)
            for end in session.end():
                if end.status is not Status.OK:
                    yield Reading(ROUND_TRIP, "second", None, end.status, end.reason)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: RoundTripParams) -> float:
        """A start, and the round trips."""
        return 0.1 if capabilities.shares_kernel else 3.0 + params.count * 0.002


def _timer(_: Launch, context: Context[AuditParams]) -> Iterator[Reading]:
    line = TimerLine.model_validate_json(_said(context.site, context.timeout_s, "timer", str(_CALLS)))
    total_s = line.total_ns / _NS_PER_S
    yield Reading(
        CLOCK,
        "second",
        total_s / (line.calls - 1),
        detail={
            "resolution_s": line.resolution_ns / _NS_PER_S,
            "smallest_step_s": line.smallest_step_ns / _NS_PER_S,
            "largest_step_s": line.largest_step_ns / _NS_PER_S,
            "clock_source": (read_optional(_CLOCK_SOURCE) or "unknown").strip(),
        },
        timed_s=total_s,
    )


def _starter(launch: Launch, context: Context[AuditParams]) -> Iterator[Reading]:
    """By how much later the starter sees the first byte than the plain loop does, of the same program."""
    rounds = _rounds(context, lambda: _plain_starts(launch, context), lambda: _starts(launch, context))
    for plain_s, ours_s in rounds:
        difference_s = median(ours_s) - median(plain_s)
        detail = {"plain_s": median(plain_s), "starter_s": median(ours_s)}
        yield Reading(STARTER, "second", difference_s, detail=detail, timed_s=sum(plain_s) + sum(ours_s))


def _sampler(launch: Launch, context: Context[AuditParams]) -> Iterator[Reading]:
    """How much longer a start takes while the host's memory is read all the time."""
    reads_s: list[float] = []

    def sampled() -> list[float]:
        reads_s.clear()
        with _sampling(reads_s):
            return _starts(launch, context)

    for off_s, on_s in _rounds(context, lambda: _starts(launch, context), sampled):
        detail: dict[str, Scalar] = {"off_s": median(off_s), "on_s": median(on_s)}
        detail |= {"reads": len(reads_s), "read_s": median(reads_s)}
        effect = median(on_s) / median(off_s) - 1
        yield Reading(SAMPLER, "ratio", effect, detail=detail, timed_s=sum(off_s) + sum(on_s))


_PARTS: dict[str, Callable[[Launch, Context[AuditParams]], Iterator[Reading]]] = {
    "timer": _timer,
    "starter": _starter,
    "sampler": _sampler,
}

Side = Callable[[], list[float]]
"""Seconds of each start of one side in one round."""


def _rounds(
    context: Context[AuditParams], one: Side, other: Side
) -> Iterator[tuple[Sequence[float], Sequence[float]]]:
    """Both sides in each round, and each of them first in every other one."""
    for number in range(context.params.rounds):
        if number % 2:
            second = other()
            yield one(), second
        else:
            yield one(), other()


def _starts(launch: Launch, context: Context[AuditParams]) -> list[float]:
    count, timeout_s = context.params.starts, context.timeout_s
    with closing(starter.batch(context.site.agent, launch, count, timeout_s=timeout_s)) as events:
        found = list(events)
    bad = next((event for event in found if event.status is not Status.OK), None)
    if bad:
        raise StarterError(f"a bare start failed: {bad.reason}")
    return [event.phases_ns["ready"] / _NS_PER_S for event in found]


def _plain_starts(launch: Launch, context: Context[AuditParams]) -> list[float]:
    words = ("plain", str(context.params.starts), str(starter.PAUSE_MS), *launch.host_argv)
    line = PlainLine.model_validate_json(_said(context.site, context.timeout_s, *words))
    return [taken_ns / _NS_PER_S for taken_ns in line.taken_ns]


def _said(site: Site, timeout_s: float, *words: str) -> str:
    """What the agent says to a verb. Raises ToolError when it ends badly."""
    return process.run((site.agent, *words), timeout_s=timeout_s).stdout


@contextmanager
def _sampling(reads_s: list[float]) -> Iterator[None]:
    """The host's memory is read in a thread of this process, one reading right after the other.

    From before the body begins until it is over. Each adds how long it took. With rests between them most
    starts would meet none.
    """
    begun, over = threading.Event(), threading.Event()

    def sample() -> None:
        try:
            while not over.is_set():
                at = time.monotonic()
                read_host(stacks_mapped=None)
                read_bystanders(())
                reads_s.append(time.monotonic() - at)
                begun.set()
        finally:
            begun.set()

    thread = threading.Thread(target=sample, name="sampler")
    thread.start()
    try:
        begun.wait()
        yield
    finally:
        over.set()
        thread.join()

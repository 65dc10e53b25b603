"""memory: what n instances held at once take from the host, and who holds it.

How each figure is made, and what it contains: docs/benchmarks/memory.md.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from pydantic import Field, field_validator

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.ledger import (
    STEADY_PAUSE_S,
    Entry,
    Ledger,
    LedgerError,
    Peak,
    estimate_each,
    shortage,
)
from isobench.benchmarks.payload import PayloadError, hello
from isobench.isolators.contract import Isolator, agent_bundle
from isobench.model import Capabilities, Cell, Launch, Reading, Scalar, Status, Step

METRIC = "footprint"
PEAK = "peak"
UNIT = "byte"

_EXPECTED_START_S = 0.05
_EXPECTED_VM_START_S = 4.0

Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1)]


class MemoryParams(contract.Params):
    """The ``[memory]`` table."""

    instances: Counts = (1, 2, 4, 8)
    """At how many instances held at once a reading is taken; ascending, as each step adds some."""
    instances_vm: Counts = (1, 2, 4, 8)
    """The same where an instance is a virtual machine."""

    @field_validator("instances", "instances_vm")
    @classmethod
    def _ascending(cls, counts: tuple[int, ...]) -> tuple[int, ...]:
        if list(counts) != sorted(set(counts)):
            raise ValueError(f"numbers of instances must ascend, found {list(counts)}")
        return counts


class Memory(Benchmark[MemoryParams]):
    """Hold instances of the agent's ``hold`` in growing number and read the host's memory at each step."""

    name = "memory"
    Params = MemoryParams

    def cells(
        self, isolator: str, capabilities: Capabilities, params: MemoryParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One cell: the steps belong together, the figure of interest is their slope."""
        return (Cell(isolator, self.name, "hold", blocks=blocks),)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[MemoryParams]
    ) -> Iterator[Reading]:
        """One reading a number of instances, one of the peaks, and one for each bad end.

        The first step that fails or is refused is the last.
        """
        counts = _counts(isolator.capabilities, context.params)
        site = context.site
        with (
            tempfile.TemporaryDirectory(dir=site.work, prefix="memory-") as scratch,
            isolator.prepare(site, agent_bundle(site, "hold"), slots=counts[-1]) as prepared,
        ):
            charges = _Charges(prepared, Path(scratch))
            yield from _block(charges, isolator, context, counts)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: MemoryParams) -> float:
        """The starts, and the pauses for the host to come to rest."""
        counts = _counts(capabilities, params)
        start_s = _EXPECTED_START_S if capabilities.shares_kernel else _EXPECTED_VM_START_S
        return counts[-1] * start_s + (len(counts) + 1) * 2 * STEADY_PAUSE_S


def _block(
    charges: "_Charges", isolator: Isolator[Any], context: Context[MemoryParams], counts: tuple[int, ...]
) -> Iterator[Reading]:
    site, launch = context.site, charges.launch
    with starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=counts[-1]) as session:
        told: str | None = None
        ledger = Ledger(session, launch, isolator, site)
        for reading in _Holding(session, ledger, charges).readings(counts):
            told = reading.reason
            yield reading
        for event in session.end():
            reason = f"instance {event.slot + 1}: {event.reason}"
            # A failed start is told again at its end.
            if event.status is not Status.OK and reason != told:
                yield Reading(METRIC, UNIT, None, event.status, reason)


class _Holding:
    """The instances of one block, from none to the last step."""

    def __init__(self, session: starter.Session, ledger: Ledger, charges: "_Charges") -> None:
        self._session = session
        self._ledger = ledger
        self._charges = charges
        self._held = 0
        self._found: list[tuple[int, float]] = []

    def readings(self, counts: tuple[int, ...]) -> Iterator[Reading]:
        """The footprint at each step, and of the last one reached the peaks."""
        entry: Entry | None = None
        self._ledger.open()
        for count in counts:
            begun = time.monotonic()
            try:
                self._hold(count)
                entry = self._ledger.read()
            except (_HoldError, LedgerError) as error:
                yield _refused(count, error)
                break
            self._found.append((count, entry.total))
            timed_s = time.monotonic() - begun
            yield Reading(METRIC, UNIT, float(entry.total), detail=entry.detail, timed_s=timed_s)
        if entry and (peak := self._charges.reading(entry.peaks)):
            yield peak

    def _hold(self, count: int) -> None:
        """Refused as a whole where the host could not hold so many, and ended early where it proves so."""
        each = estimate_each(self._found)
        self._need(count, (count - self._held) * each)
        while self._held < count:
            self._need(count, each)
            event = self._session.start()
            if event.status is not Status.OK:
                raise _HoldError(f"instance {self._held + 1}: {event.reason}", event.status)
            try:
                hello(event.output, "hold")
            except PayloadError as error:
                raise _HoldError(f"instance {self._held + 1}: {error}") from None
            self._ledger.add(event)
            self._held += 1

    def _need(self, count: int, needed: float) -> None:
        lack = shortage(needed)
        if lack is None:
            return
        raise _HoldError(
            f"{count} instances, of which {self._held} run, need some {_mib(lack.needed)} more; "
            f"this host has {_mib(lack.available)} available, of which {_mib(lack.reserve)} are left to it",
            Status.UNAVAILABLE,
            f"leave {count} and more out of the numbers of instances in [memory]",
        )


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"


def _refused(count: int, error: Exception) -> Reading:
    status, remedy = (error.status, error.remedy) if isinstance(error, _HoldError) else (Status.FAILED, None)
    return Reading(METRIC, UNIT, None, status, str(error), remedy, detail={"instances": count})


class _Charges:
    """Peaks of instances, and how much of what was charged to their groups was their runtime's own.

    Where the group of a container can be told to forget its peak, that is done between the creation of the
    container and the execution of its workload. What is charged then is the runtime's own init, which goes at
    exec: a peak above it is the workload's, one that is not says only that the workload took no more.
    """

    def __init__(self, launch: Launch, scratch: Path) -> None:
        self._scratch = scratch
        self._in_runtime = launch.supervised or launch.adopt is not None
        """A part of the runtime is in the group before the workload is."""
        self._reset = launch.peak_reset is not None
        self.launch = self._forgetting(launch, launch.peak_reset) if launch.peak_reset else launch

    def _forgetting(self, launch: Launch, file: str) -> Launch:
        kept = str(self._scratch / "reset-{n}")
        step = Step(("/bin/sh", "-c", 'echo 0 > "$1" && cat "$1" > "$2"', "sh", file, kept))
        created = next(place for place, step in enumerate(launch.steps) if step.phase == "created") + 1
        return replace(launch, steps=(*launch.steps[:created], step, *launch.steps[created:]))

    def reading(self, peaks: Sequence[Peak]) -> Reading | None:
        """The median over the instances; None where no process told one."""
        resident = [peak.resident for peak in peaks if peak.resident]
        charged = [peak.charged for peak in peaks if peak.charged is not None]
        if not resident:
            return None
        resets = [self._at_reset(slot) for slot in range(len(peaks))] if self._reset else []
        detail: dict[str, Scalar] = {
            "instances": len(peaks),
            "least": min(resident),
            "greatest": max(resident),
            "charged": median(charged) if charged else None,
            "charged_to_runtime": median(resets) if resets else None,
        }
        if charged:
            detail["charged_is"] = "at most" if self._bound(charged, resets) else "workload"
        return Reading(PEAK, UNIT, float(median(resident)), detail=detail)

    def _at_reset(self, slot: int) -> int:
        return int((self._scratch / f"reset-{slot}").read_text())

    def _bound(self, charged: Sequence[int], resets: Sequence[int]) -> bool:
        """The peak may be the runtime's."""
        if not self._in_runtime:
            return False
        return not resets or any(peak <= reset for peak, reset in zip(charged, resets, strict=True))


class _HoldError(Exception):
    """A step could not be reached; ``status`` is how its reading ends."""

    def __init__(self, message: str, status: Status = Status.FAILED, remedy: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.remedy = remedy


def _counts(capabilities: Capabilities, params: MemoryParams) -> tuple[int, ...]:
    return params.instances if capabilities.shares_kernel else params.instances_vm

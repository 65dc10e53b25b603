"""density: how long a start takes while so many instances already run.

How each figure is made, and what it contains: docs/benchmarks/density.md.
"""

import math
import time
from collections.abc import Iterator
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field

from isobench import starter
from isobench.benchmarks import contract, room
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.ledger import Ledger, LedgerError
from isobench.benchmarks.payload import PayloadError, hello
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.isolators.drain import Drain
from isobench.model import Capabilities, Cell, Event, Reading, Status

READY, FOOTPRINT = "ready", "footprint"
SECOND, BYTE = "second", "byte"

REST_LIMIT_S = 1.0
"""Between two starts the host may come to rest for so long."""

_NS_PER_S = 1e9
_EXPECTED_START_S = 0.05
_EXPECTED_PROBE_S = 0.15
_EXPECTED_VM_START_S = 4.0
_EXPECTED_OVERHEAD_S = 0.5


def _ascending(levels: tuple[int, ...]) -> tuple[int, ...]:
    if list(levels) != sorted(set(levels)):
        raise ValueError(f"numbers of instances must ascend, found {list(levels)}")
    return levels


Level = Annotated[int, Field(strict=True, ge=0, le=10_000)]
Levels = Annotated[tuple[Level, ...], Field(min_length=1), AfterValidator(_ascending)]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Warmups = Annotated[int, Field(strict=True, ge=0, le=1_000)]


class DensityParams(contract.Params):
    """The ``[density]`` table."""

    blocks: int | None = Field(default=3, ge=1, le=10_000)
    """At most in how many blocks of the run a cell is measured: each has to start all its instances anew."""
    running: Levels = (0, 1, 10, 100)
    """How many instances run while one more is started; a cell each."""
    running_vm: Levels = (0, 1, 2, 4)
    """The same where an instance is a virtual machine."""
    probes: Count = 30
    """Starts of a cell that count, at least, over all its blocks together."""
    probes_vm: Count = 3
    """The same where an instance is a virtual machine."""
    warmups: Warmups = 1
    """Starts before them in each block, kept and marked, that do not count; virtual machines have none."""


class Density(Benchmark[DensityParams]):
    """Hold instances of the agent's ``hold``; start and end one more, again and again."""

    name = "density"
    Params = DensityParams

    def cells(
        self, isolator: str, capabilities: Capabilities, params: DensityParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One a level, so that drift of the host hits all levels alike; no more blocks than probes."""
        levels = params.running if capabilities.shares_kernel else params.running_vm
        count = min(blocks, _probes(capabilities, params))
        return tuple(Cell(isolator, self.name, "hold", {"running": level}, blocks=count) for level in levels)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[DensityParams]
    ) -> Iterator[Reading]:
        """A reading of memory, one of each probe, one of each bad end; a level not reached is one reading."""
        site, level = context.site, cast(int, cell.params["running"])
        with (
            isolator.prepare(site, agent_bundle(site, "hold"), slots=level + 1) as launch,
            starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=level + 1) as session,
        ):
            crowd = _Crowd(session, isolator, site, level)
            try:
                if level:
                    yield crowd.gather(Ledger(session, launch, isolator, site))
                for number in range(_probes_a_block(cell, isolator.capabilities, context.params)):
                    warmup = number < _warmups(isolator.capabilities, context.params)
                    yield crowd.probe(warmup=warmup)
            except _LevelError as error:
                yield Reading(READY, SECOND, None, error.status, str(error), error.remedy)
            yield from crowd.ends()

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: DensityParams) -> float:
        """Starting all, and the probes with the host's rest after each."""
        start_s = _EXPECTED_START_S if capabilities.shares_kernel else _EXPECTED_VM_START_S
        probe_s = _EXPECTED_PROBE_S if capabilities.shares_kernel else _EXPECTED_VM_START_S
        probes = _probes_a_block(cell, capabilities, params)
        return _EXPECTED_OVERHEAD_S + cast(int, cell.params["running"]) * start_s + probes * probe_s


class _Crowd:
    """The instances that run in one block, and those started beside them."""

    def __init__(self, session: starter.Session, isolator: Isolator[Any], site: Site, level: int) -> None:
        self._session = session
        self._capabilities = isolator.capabilities
        self._groups = site.cgroups
        self._level = level
        self._held = 0
        self._before = room.survey(session.pid, site.cgroups)
        self._drain = Drain(site.cgroups)

    def gather(self, ledger: Ledger) -> Reading:
        """Start as many as the level asks for; what they take of the host's memory.

        Raises _LevelError when the host has no room for them, or one of them does not come up.
        """
        ledger.open()
        begun = time.monotonic()
        while self._held < self._level:
            if self._held & (self._held - 1) == 0:  # at 0, 1, 2, 4 …: a survey takes longer than a start
                self._insist_on_room()
            ledger.add(self._started(self._held))
            self._held += 1
        self._insist_on_room()
        try:
            entry = ledger.read()
        except LedgerError as error:
            raise _LevelError(str(error)) from error
        timed_s = time.monotonic() - begun
        return Reading(FOOTPRINT, BYTE, float(entry.total), detail=entry.detail, timed_s=timed_s)

    def probe(self, *, warmup: bool) -> Reading:
        """Start one more and end it; the host comes to rest before.

        Raises _LevelError when it does not come up, or does not end as it should.
        """
        self._drain.wait(REST_LIMIT_S)
        slot = self._level
        event = self._started(slot)
        ended = self._session.stop(slot, "exit")
        if ended.status is not Status.OK:
            raise _LevelError(f"the end of the one started beside {self._held}: {ended.reason}", ended.status)
        phases = {name: ns / _NS_PER_S for name, ns in event.phases_ns.items()}
        return Reading(
            READY,
            SECOND,
            phases[READY],
            phases={name: value for name, value in phases.items() if name in self._capabilities.phases},
            detail={"running": self._held, **({"warmup": True} if warmup else {})},
            timed_s=phases[READY],
        )

    def ends(self) -> Iterator[Reading]:
        """End them all; a reading for each that was not there any more, or does not end as it should."""
        for event in self._session.end():
            if event.status is not Status.OK and event.slot < self._held:
                reason = f"instance {event.slot + 1} of {self._level} that were to run: {event.reason}"
                yield Reading(READY, SECOND, None, event.status, reason)
            elif event.slot < self._held and not event.stop_ns:
                reason = f"instance {event.slot + 1} of {self._level} that were to run had ended by itself"
                yield Reading(READY, SECOND, None, Status.FAILED, reason)

    def _started(self, slot: int) -> Event:
        event = self._session.start(slot)
        if event.status is not Status.OK:
            raise _LevelError(f"a start beside {self._held} instances: {event.reason}", event.status)
        try:
            hello(event.output, "hold")
        except PayloadError as error:
            raise _LevelError(f"a start beside {self._held} instances: {error}") from error
        return event

    def _insist_on_room(self) -> None:
        more = self._level + 1 - self._held
        now = room.survey(self._session.pid, self._groups)
        if lack := room.shortage(self._before, now, self._held, more):
            raise _LevelError(
                f"{self._level} instances do not fit: {self._held} run, for {more} more {lack}",
                Status.UNAVAILABLE,
                f"{lack.resource.remedy}; or leave {self._level} out of the levels in [density]",
            )


class _LevelError(Exception):
    """The level is not reached, or not kept; ``status`` is how its reading ends."""

    def __init__(self, message: str, status: Status = Status.FAILED, remedy: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.remedy = remedy


def _probes(capabilities: Capabilities, params: DensityParams) -> int:
    return params.probes if capabilities.shares_kernel else params.probes_vm


def _warmups(capabilities: Capabilities, params: DensityParams) -> int:
    return params.warmups if capabilities.shares_kernel else 0


def _probes_a_block(cell: Cell, capabilities: Capabilities, params: DensityParams) -> int:
    """With the warm-ups."""
    return _warmups(capabilities, params) + math.ceil(_probes(capabilities, params) / cell.blocks)

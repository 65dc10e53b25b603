"""memory: what n instances held at once take from the host, and who holds it.

How each figure is made, and what it contains: docs/benchmarks/memory.md.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, field_validator

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.hostmemory import Pss, read_bystanders_bytes, read_pss, read_used_bytes
from isobench.benchmarks.payload import PayloadError, hello
from isobench.benchmarks.processes import read_descendants, split_by_argv, workload_argv
from isobench.isolators.contract import Isolator, agent_bundle
from isobench.model import Capabilities, Cell, Launch, Reading, Scalar, Status

METRIC = "footprint"
UNIT = "byte"

_STEADY_BYTES = 64 * 1024
"""Two readings in a row this near to each other: the host has come to rest."""
_STEADY_PAUSE_S = 0.05
_STEADY_LIMIT_S = 1.0
"""A busy host never rests; the reading is then taken as it is and marked."""

_EXPECTED_START_S = 0.05
_EXPECTED_VM_START_S = 4.0

Count = Annotated[int, Field(strict=True, ge=1)]
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
        """One reading a number of instances and for each bad end; the first failed start ends the block."""
        counts = _counts(isolator.capabilities, context.params)
        site = context.site
        with (
            isolator.prepare(site, agent_bundle(site, "hold"), slots=counts[-1]) as launch,
            starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=counts[-1]) as session,
        ):
            told: str | None = None
            for reading in _Holding(session, launch, isolator.capabilities).readings(counts):
                told = reading.reason
                yield reading
            for event in session.end():
                reason = f"instance {event.slot + 1}: {event.reason}"
                # A failed start is told again at its end.
                if event.status is not Status.OK and reason != told:
                    yield Reading(METRIC, UNIT, None, event.status, reason)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: MemoryParams) -> float:
        """The starts, and the pauses for the host to come to rest."""
        counts = _counts(capabilities, params)
        start_s = _EXPECTED_START_S if capabilities.shares_kernel else _EXPECTED_VM_START_S
        return counts[-1] * start_s + (len(counts) + 1) * 2 * _STEADY_PAUSE_S


@dataclass(frozen=True, slots=True)
class HostState:
    """The host's memory at one moment, in bytes."""

    used: int
    bystanders: int
    """What processes that belong to no instance hold: the host's others, and the harness itself."""

    @property
    def net(self) -> int:
        """What is left for the instances and the kernel."""
        return self.used - self.bystanders


@dataclass(frozen=True, slots=True)
class Owners:
    """Who holds memory while instances are held."""

    workload: Pss | None
    """None for virtual machines: a guest's memory is its VMM's, the workload's part cannot be told apart."""
    helpers: Pss
    """All the other processes the instances consist of: monitors, VMMs with their guests' memory."""
    harness_bytes: int
    """The agent that holds them; in no instance's account."""


def ledger(instances: int, before: HostState, now: HostState, owners: Owners) -> dict[str, Scalar]:
    """The account of a step, in bytes: host_change = workload_pss + helpers_pss + rest + bystanders_change.

    The figure of the step is the first three. The PSS in it leaves out the page cache, as the host's
    change does; ``*_file`` says how much that is. ``rest`` closes the account and may be negative.
    """
    workload = owners.workload or Pss()
    return {
        "instances": instances,
        "host_change": now.used - before.used,
        "bystanders_change": now.bystanders - before.bystanders,
        "workload_pss": owners.workload.own if owners.workload else None,
        "workload_pss_file": owners.workload.file if owners.workload else None,
        "helpers_pss": owners.helpers.own,
        "helpers_pss_file": owners.helpers.file,
        "helpers_hold_guest_ram": owners.workload is None,
        "rest": now.net - before.net - workload.own - owners.helpers.own,
        "harness_pss": owners.harness_bytes,
    }


class _Holding:
    """The instances of one block, from none to the last step."""

    def __init__(self, session: starter.Session, launch: Launch, capabilities: Capabilities) -> None:
        self._session = session
        self._launch = launch
        self._shares_kernel = capabilities.shares_kernel
        self._held = 0

    def readings(self, counts: tuple[int, ...]) -> Iterator[Reading]:
        before, _ = settle(self._state)
        for count in counts:
            begun = time.monotonic()
            try:
                self._hold(count)
                now, steady = settle(self._state)
                detail = ledger(count, before, now, self._owners())
            except _HoldError as error:
                yield Reading(METRIC, UNIT, None, error.status, str(error), detail={"instances": count})
                return
            yield Reading(
                METRIC,
                UNIT,
                float(now.net - before.net),
                detail={**detail, "steady": steady},
                timed_s=time.monotonic() - begun,
            )

    def _hold(self, count: int) -> None:
        while self._held < count:
            event = self._session.start()
            if event.status is not Status.OK:
                raise _HoldError(f"instance {self._held + 1}: {event.reason}", event.status)
            try:
                hello(event.output, "hold")
            except PayloadError as error:
                raise _HoldError(f"instance {self._held + 1}: {error}") from None
            self._held += 1

    def _state(self) -> HostState:
        instances = [process.pid for process in read_descendants(self._session.pid)]
        return HostState(read_used_bytes(), read_bystanders_bytes(instances))

    def _owners(self) -> Owners:
        argvs = [workload_argv(self._launch, slot) for slot in range(self._held)]
        found, others = split_by_argv(read_descendants(self._session.pid), argvs)
        seen = sum(process.argv in argvs for process in found)
        if seen < self._held:
            raise _HoldError(f"of {self._held} instances {seen} are found by their command line {argvs[0]}")
        own = read_pss(process.pid for process in found)
        helpers = read_pss(process.pid for process in others)
        return Owners(
            workload=own if self._shares_kernel else None,
            helpers=helpers if self._shares_kernel else own + helpers,
            harness_bytes=read_pss([self._session.pid]).own,
        )


class _HoldError(Exception):
    """A step could not be reached; ``status`` is how its reading ends."""

    def __init__(self, message: str, status: Status = Status.FAILED) -> None:
        super().__init__(message)
        self.status = status


def settle(read: Callable[[], HostState]) -> tuple[HostState, bool]:
    """Read until two states in a row are within 64 KiB, for 1 s at most; the last, and whether they were."""
    deadline = time.monotonic() + _STEADY_LIMIT_S
    last = read()
    while True:
        time.sleep(_STEADY_PAUSE_S)
        state = read()
        if abs(state.net - last.net) <= _STEADY_BYTES:
            return state, True
        if time.monotonic() >= deadline:
            return state, False
        last = state


def _counts(capabilities: Capabilities, params: MemoryParams) -> tuple[int, ...]:
    return params.instances if capabilities.shares_kernel else params.instances_vm

"""startup: from just before the start of an instance to the first byte its workload wrote.

How each figure is made, and what it contains: docs/benchmarks/startup.md.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

from pydantic import Field

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.payload import PayloadError, hello
from isobench.isolators.contract import Isolator, agent_bundle
from isobench.model import Capabilities, Cell, Event, Reading, Status

METRIC = "ready"
UNIT = "second"

_NS_PER_S = 1e9
_EXPECTED_START_S = 0.05
_EXPECTED_VM_START_S = 4.0
"""A guest under software emulation; with KVM it is a fraction of that."""

Starts = Annotated[int, Field(strict=True, ge=1)]
Warmups = Annotated[int, Field(strict=True, ge=0)]


class StartupParams(contract.Params):
    """The ``[startup]`` table."""

    starts: Starts = 20
    """Starts of a cell that count, at least, over all its blocks together."""
    starts_vm: Starts = 5
    """The same where an instance is a virtual machine."""
    warmups: Warmups = 1
    """Starts at the beginning of each block that are kept and marked, but do not count."""
    warmups_vm: Warmups = 0
    """The same for virtual machines: their start is so long that a cold cache does not show."""


class Startup(Benchmark[StartupParams]):
    """Start the agent's ``ready`` one instance after the other, each run to its end."""

    name = "startup"
    Params = StartupParams

    def cells(
        self, isolator: str, capabilities: Capabilities, params: StartupParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One cell; in no more blocks than there are starts to spread over them."""
        return (Cell(isolator, self.name, METRIC, blocks=min(blocks, _starts(capabilities, params))),)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[StartupParams]
    ) -> Iterator[Reading]:
        """One reading a start, the warm-ups first."""
        capabilities = isolator.capabilities
        warmups = _warmups(capabilities, context.params)
        count = warmups + _starts_a_block(cell, capabilities, context.params)
        with (
            isolator.prepare(context.site, agent_bundle(context.site, "ready")) as launch,
            # Left early, the agent ends its instance before what the isolator has prepared is taken away.
            closing(starter.batch(context.site.agent, launch, count, timeout_s=context.timeout_s)) as events,
        ):
            for number, event in enumerate(events):
                yield reading(event, capabilities, warmup=number < warmups)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: StartupParams) -> float:
        """Starts of one block times a usual start."""
        starts = _warmups(capabilities, params) + _starts_a_block(cell, capabilities, params)
        return starts * (_EXPECTED_START_S if capabilities.shares_kernel else _EXPECTED_VM_START_S)


def reading(event: Event, capabilities: Capabilities, *, warmup: bool) -> Reading:
    """One start as a reading: ok only when the payload has proven that it ran and every clock makes sense."""
    phases = {name: ns / _NS_PER_S for name, ns in event.phases_ns.items() if name in capabilities.phases}
    status, reason, value = event.status, event.reason, None
    if status is Status.OK:
        try:
            phases |= _first_instruction(event, capabilities)
            value = event.phases_ns["ready"] / _NS_PER_S
        except PayloadError as error:
            status, reason = Status.FAILED, str(error)
    return Reading(
        metric=METRIC,
        unit=UNIT,
        value=value,
        status=status,
        reason=reason,
        phases=phases,
        detail={"warmup": True} if warmup else {},
        timed_s=max(event.phases_ns.values(), default=0) / _NS_PER_S,
    )


def _first_instruction(event: Event, capabilities: Capabilities) -> dict[str, float]:
    """The workload's own stamp as a phase. Raises PayloadError when there is none or it cannot be true."""
    stamp_ns = hello(event.output, "ready").t
    if not capabilities.shares_clock:
        return {}
    since_ns, ready_ns = stamp_ns - event.invoke_ns, event.phases_ns["ready"]
    if not 0 <= since_ns <= ready_ns:
        raise PayloadError(
            f"the workload says its first instruction ran {since_ns} ns after invoke, "
            f"outside 0 to {ready_ns} ns (ready): its clock is not the host's, or a clock is broken"
        )
    return {"first_instruction": since_ns / _NS_PER_S}


def _starts(capabilities: Capabilities, params: StartupParams) -> int:
    return params.starts if capabilities.shares_kernel else params.starts_vm


def _warmups(capabilities: Capabilities, params: StartupParams) -> int:
    return params.warmups if capabilities.shares_kernel else params.warmups_vm


def _starts_a_block(cell: Cell, capabilities: Capabilities, params: StartupParams) -> int:
    return math.ceil(_starts(capabilities, params) / cell.blocks)

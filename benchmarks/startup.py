"""startup: from just before the start of an instance to its workload being ready.

How each figure is made, and what it contains: docs/benchmarks/startup.md.
"""

import math
from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from isobench import starter
from isobench.benchmarks import caches, contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.payload import PayloadError, hello
from isobench.isolators.contract import Isolator, Site
from isobench.model import Capabilities, Cell, Event, Readiness, Reading, Scalar, Status

METRIC = "ready"
UNIT = "second"

_NS_PER_S = 1e9
_EXPECTED_START_S = 0.05
_EXPECTED_VM_START_S = 4.0
"""A guest under software emulation; with KVM it is a fraction of that."""

_EXPECTED_COLD_START_S = 0.5
"""Dropping the caches, and reading what is needed again."""

_EXIT_UNTOLD = "it does not tell with which code a workload has ended, so the end cannot count as ready"

_SHOWN_CHARACTERS = 200
"""Of a line of somebody else's in a reason."""

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
    VERBS: ClassVar[tuple[str, ...]] = ("ready",)
    workloads: Annotated[tuple[str, ...], Field(min_length=1)] = VERBS
    """What is started: the agent's ``ready``, workloads of the user's; a cell each."""
    caches: Annotated[tuple[Literal["warm", "cold"], ...], Field(min_length=1)] = ("warm",)
    """``cold``: in cells of their own, the host's page cache, dentries and inodes are dropped before each
    start, where the user allows it (``isobench run --allow-drop-caches``). No warm-ups there."""


class Startup(Benchmark[StartupParams]):
    """Start a workload one instance after the other, each run to its end.

    Of a user's the end comes as soon as it is ready, by SIGKILL, unless its end is what counts as ready.
    """

    name = "startup"
    Params = StartupParams
    in_turns = True

    def cells(
        self, isolator: str, capabilities: Capabilities, params: StartupParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One a workload and state of the caches; in no more blocks than there are starts for them."""
        blocks = min(blocks, _starts(capabilities, params))
        states: dict[str, dict[str, Scalar]] = {"warm": {}, "cold": {"caches": "cold"}}
        return tuple(
            Cell(isolator, self.name, workload, states[state], blocks)
            for workload in params.workloads
            for state in params.caches
        )

    def repeated(self, params: StartupParams, starts: int | None, blocks: int) -> StartupParams:
        """So many starts in each block; where none are asked for, no fewer than one."""
        counts = {
            name: starts * blocks if starts else max(blocks, getattr(params, name))
            for name in ("starts", "starts_vm")
        }
        return params.model_copy(update={"blocks": None, **counts})

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """Of a cold cell, what it takes to drop the caches."""
        return caches.lack(site) if _is_cold(cell) else None

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[StartupParams]
    ) -> Iterator[Reading]:
        """One reading a start, the warm-ups first."""
        capabilities, bundle = isolator.capabilities, context.bundle(cell.workload)
        if bundle.ready.kind == "exit" and not capabilities.tells_exit:
            yield Reading(METRIC, UNIT, None, Status.UNSUPPORTED, _EXIT_UNTOLD)
            return
        cold = _is_cold(cell)
        warmups = _warmups(cell, capabilities, context.params)
        count = warmups + _starts_a_block(cell, capabilities, context.params)
        stop_when_ready = bundle.own and bundle.ready.kind != "exit"
        with (
            caches.agent_copy(context.site) if cold else nullcontext(context.site.agent) as agent,
            isolator.prepare(context.site, bundle) as launch,
            # Left early, the agent ends its instance before what the isolator has prepared is taken away.
            closing(
                starter.batch(
                    agent,
                    launch,
                    count,
                    timeout_s=context.timeout_s,
                    stop_when_ready=stop_when_ready,
                    cold=cold,
                )
            ) as events,
        ):
            for number, event in enumerate(events):
                yield reading(event, capabilities, warmup=number < warmups, own=bundle.own)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: StartupParams) -> float:
        """Starts of one block times a usual start."""
        starts = _warmups(cell, capabilities, params) + _starts_a_block(cell, capabilities, params)
        each_s = _EXPECTED_START_S if capabilities.shares_kernel else _EXPECTED_VM_START_S
        return starts * (each_s + (_EXPECTED_COLD_START_S if _is_cold(cell) else 0))


def reading(event: Event, capabilities: Capabilities, *, warmup: bool, own: bool = False) -> Reading:
    """One start as a reading: ok only when the payload has proven that it ran and every clock makes sense.

    What a user's workload writes is its own affair: that it was ready is the proof.
    """
    phases = {name: ns / _NS_PER_S for name, ns in event.phases_ns.items() if name in capabilities.phases}
    status, reason, value = event.status, event.reason, None
    if status is Status.OK:
        try:
            if not own:
                phases |= _first_instruction(event, capabilities)
            value = event.phases_ns["ready"] / _NS_PER_S
        except PayloadError as error:
            status, reason = Status.FAILED, str(error)
    elif own:
        reason = f"{reason}{_words_of(event)}"
    return Reading(
        metric=METRIC,
        unit=UNIT,
        value=value,
        status=status,
        reason=reason,
        phases=phases,
        detail=_detail(event, warmup=warmup),
        timed_s=max(event.phases_ns.values(), default=0) / _NS_PER_S,
    )


def _detail(event: Event, *, warmup: bool) -> dict[str, Scalar]:
    detail: dict[str, Scalar] = {"warmup": True} if warmup else {}
    if event.ready_count > 1:
        detail["ready_count"] = event.ready_count
    return detail


def _words_of(event: Event) -> str:
    """The first and the last line of what its tools and itself have complained of: they often say why."""
    lines = [line.strip() for line in event.stderr.splitlines() if line.strip()]
    shown = [line[-_SHOWN_CHARACTERS:] for line in dict.fromkeys((*lines[:1], *lines[-1:]))]
    return f"; on its standard error: {' ... '.join(shown)!a}" if shown else ""


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


def _is_cold(cell: Cell) -> bool:
    return cell.params.get("caches") == "cold"


def _warmups(cell: Cell, capabilities: Capabilities, params: StartupParams) -> int:
    if _is_cold(cell):
        return 0
    return params.warmups if capabilities.shares_kernel else params.warmups_vm


def _starts_a_block(cell: Cell, capabilities: Capabilities, params: StartupParams) -> int:
    return math.ceil(_starts(capabilities, params) / cell.blocks)

"""startup-concurrency: starts while others start, in a closed loop (k starters) and an open one (a rate).

How each figure is made, and what it contains: docs/benchmarks/startup-concurrency.md.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from typing import Annotated, Any

from pydantic import Field

from isobench import starter
from isobench.benchmarks import contract, startup
from isobench.benchmarks.arrivals import Arrivals, Window, account, count_within, due
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.room import MEMORY, Room, survey
from isobench.isolators.contract import Isolator, agent_bundle
from isobench.model import Capabilities, Cell, Event, Reading, Scalar, Status
from isobench.starter import MAX_WORKERS, Load

METRIC = "ready"
RATE = "rate"
RATE_UNIT = "1/second"

_NS_PER_S = 1e9
_EACH_BYTES, _EACH_VM_BYTES = 32 * 2**20, 256 * 2**20
_EACH_TASKS = 16
"""What one instance may take while it starts, at most: runc's two processes have some eight threads each, and
QEMU as many; a guest of 128 MiB touches half of that. Nothing has been started yet that could be measured."""

_STARTS_A_WORKER = 20
"""A limit of starts never makes a window too short for each worker's to average out."""

Workers = Annotated[int, Field(strict=True, ge=1, le=MAX_WORKERS)]
Rate = Annotated[float, Field(gt=0, le=100_000)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class ConcurrencyParams(contract.Params):
    """The ``[startup-concurrency]`` table."""

    closed: tuple[Workers, ...] = (1, 2, 4, 8, 16)
    """Closed loop: how many starters there are, each of which begins the next start as soon as its last
    instance has ended and is cleaned up. One cell each."""
    closed_vm: tuple[Workers, ...] = (1, 2)
    """The same for virtual machines."""
    rates: tuple[Rate, ...] = (20.0, 100.0)
    """Open loop: starts a second that arrive whether or not the ones before have ended. One cell each."""
    rates_vm: tuple[Rate, ...] = ()
    """The same for virtual machines."""
    in_flight: Workers = 64
    """Open loop: at most so many instances at once; an arrival beyond waits, and its waiting counts."""
    in_flight_vm: Workers = 4
    """The same for virtual machines."""
    arrivals: Arrivals = "even"
    """Open loop: ``even`` or, as independent users come, ``poisson``."""
    window_s: Seconds = 2.0
    """How long starts are begun, a block."""
    window_vm_s: Seconds = 20.0
    """The same for virtual machines."""
    starts: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 200
    """A window ends earlier when so many starts are begun, or 20 for each starter if that is more."""


class Concurrency(Benchmark[ConcurrencyParams]):
    """Start the agent's ``ready`` many at a time for a window, by one process of the agent each."""

    name = "startup-concurrency"
    Params = ConcurrencyParams

    def cells(
        self, isolator: str, capabilities: Capabilities, params: ConcurrencyParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each number of starters and each rate."""
        closed, rates = _sweep(capabilities, params)
        sweep: list[dict[str, Scalar]] = [{"loop": "closed", "k": k} for k in closed]
        sweep += [{"loop": "open", "rate": rate} for rate in rates]
        return tuple(Cell(isolator, self.name, "ready", each, blocks) for each in sweep)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[ConcurrencyParams]
    ) -> Iterator[Reading]:
        """One reading a start, and last the rate; one that says why when this host cannot hold so many."""
        site, capabilities = context.site, isolator.capabilities
        load = load_of(cell, capabilities, context.params, seed=f"{cell.id} {context.block}")
        refusal = refused(load.workers, capabilities, survey(os.getpid(), site.cgroups))
        if refusal is not None:
            yield refusal
            return
        events: list[Event] = []
        ok: list[bool] = []
        with (
            isolator.prepare(site, agent_bundle(site, "ready"), slots=load.workers) as launch,
            # Left early, the agent ends its instances before what the isolator has prepared is taken away.
            closing(starter.concurrent(site.agent, launch, load, timeout_s=context.timeout_s)) as found,
        ):
            for event in found:
                if event.kind == "end":
                    yield rate_reading(account(load, event.t_ns, events, ok), load)
                    return
                attempt = attempt_reading(event, capabilities)
                events.append(event)
                ok.append(attempt.status is Status.OK)
                yield attempt

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: ConcurrencyParams) -> float:
        """The window, and its last instances."""
        return _window_s(capabilities, params) * 1.2


def refused(workers: int, capabilities: Capabilities, room: Room) -> Reading | None:
    """Why this host cannot hold so many instances at once; None when it can."""
    for what, resource in room.items():
        each = 1 if what.startswith("file descriptors") else _EACH_TASKS
        if what == MEMORY:
            each = _EACH_BYTES if capabilities.shares_kernel else _EACH_VM_BYTES
        if workers * each > resource.available:
            unit = 2**20 if what == MEMORY else 1
            name = "MiB of memory" if what == MEMORY else what
            reason = (
                f"{workers} at once may need {workers * each // unit} {name}, "
                f"{resource.available // unit} are available"
            )
            return Reading(RATE, RATE_UNIT, None, Status.UNAVAILABLE, reason, resource.remedy)
    return None


def load_of(cell: Cell, capabilities: Capabilities, params: ConcurrencyParams, *, seed: str) -> Load:
    """What one cell asks of the agent."""
    window_s = _window_s(capabilities, params)
    if cell.params["loop"] == "closed":
        workers = int(cell.params["k"] or 0)
        return Load(workers, window_s, starts=max(params.starts, _STARTS_A_WORKER * workers))
    rate = float(cell.params["rate"] or 0)
    count = count_within(rate, window_s, params.starts)
    workers = params.in_flight if capabilities.shares_kernel else params.in_flight_vm
    window_s = min(window_s, count / rate)
    schedule = due(rate, count, params.arrivals, seed)
    within = tuple(at for at in schedule if at < window_s * _NS_PER_S) or (0,)
    return Load(min(workers, len(within)), window_s, due_ns=within)


def attempt_reading(event: Event, capabilities: Capabilities) -> Reading:
    """One start; in an open loop from when it was due, so that waiting for a worker is inside."""
    reading = startup.reading(event, capabilities, warmup=False)
    if not event.intended_ns:
        return reading
    waited_s = (event.invoke_ns - event.intended_ns) / _NS_PER_S
    value = None if reading.value is None else reading.value + waited_s
    return replace(reading, value=value, detail={**reading.detail, "waited_s": waited_s, "late": event.late})


def rate_reading(window: Window, load: Load) -> Reading:
    """What the window came to; a window in which no start was over says nothing about the rate."""
    detail = {name: value for name, value in asdict(window).items() if name != "seconds"}
    detail |= {"window_s": window.seconds, "workers": load.workers}
    if window.completed:
        timed_s = window.seconds + window.drain_s
        return Reading(RATE, RATE_UNIT, window.rate, detail=detail, timed_s=timed_s)
    if window.begun == window.failed:
        return Reading(RATE, RATE_UNIT, None, Status.FAILED, "not one start ended well", detail=detail)
    reason = f"none of the {window.begun} starts was over within the window of {window.seconds:.2g} s"
    remedy = "make `window_s` longer and `starts` more in [startup-concurrency] of the matrix"
    return Reading(RATE, RATE_UNIT, None, Status.FAILED, reason, remedy, detail=detail)


def _sweep(
    capabilities: Capabilities, params: ConcurrencyParams
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if capabilities.shares_kernel:
        return params.closed, params.rates
    return params.closed_vm, params.rates_vm


def _window_s(capabilities: Capabilities, params: ConcurrencyParams) -> float:
    return params.window_s if capabilities.shares_kernel else params.window_vm_s

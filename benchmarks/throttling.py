"""throttling: whether a CPU limit gives what it promises, and how long it makes a workload wait.

How each figure is made, and what it contains: docs/benchmarks/throttling.md.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, model_validator

from isobench import starter
from isobench.benchmarks import contract, cpulimit
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.cpulimit import Limited, TrialError
from isobench.benchmarks.throttling_requests import LOAD, Requests, serve
from isobench.benchmarks.throttling_spin import METRIC, UNIT, Trial, spin
from isobench.errors import CgroupError, InternalError
from isobench.isolators.cgroup.tree import MIN_QUOTA_US, PERIOD_RANGE_US
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.model import (
    Capabilities,
    Cell,
    CpuLimit,
    Limits,
    Readiness,
    Reading,
    Scalar,
    Status,
    unavailable,
)

SPIN, REQUEST = "spin", "request"

_LEAST_PERIODS = 3
"""Of one alone, what is carried over at its ends by up to a tick a CPU would be too large a part."""
_MAX_PERIODS = 4_000
"""The agent records 4096 periods; a few of them are the margin of the host's window."""
_US_PER_S = 1_000_000
_EXPECTED_OVERHEAD_S = 0.1
_EXPECTED_VM_OVERHEAD_S = 5.0
"""Boot, and the end under its limit, of a guest under software emulation."""

ValueT = TypeVar("ValueT", int, float)


def _distinct(values: tuple[ValueT, ...]) -> tuple[ValueT, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"each value may stand once, found {list(values)}")
    return values


Cpus = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
PeriodUs = Annotated[int, Field(strict=True, ge=PERIOD_RANGE_US[0], le=PERIOD_RANGE_US[1])]
Seconds = Annotated[float, Field(strict=True, gt=0, le=60, allow_inf_nan=False)]
Threads = Annotated[int, Field(strict=True, ge=1, le=1024)]
Part = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


class ThrottlingParams(contract.Params):
    """The ``[throttling]`` table."""

    cpus: Annotated[tuple[Cpus, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        *(0.1, 0.25, 0.5, 1.0, 1.5),
    )
    """Limits, in CPUs."""
    period_us: Annotated[tuple[PeriodUs, ...], Field(min_length=1), AfterValidator(_distinct)] = (100_000,)
    """How often the kernel hands out the quota."""
    threads: Annotated[tuple[Threads, ...], AfterValidator(_distinct)] = ()
    """Of the workload; empty: one more than each limit could keep busy."""
    burst: Annotated[tuple[Part, ...], Field(min_length=1), AfterValidator(_distinct)] = (0.0,)
    """Unused quota that may be kept, as a part of the quota."""
    window_s: Seconds = 1.0
    """For how long the share is measured; rounded to whole periods, at least three."""
    request_cpus: Annotated[tuple[Cpus, ...], AfterValidator(_distinct)] = ()
    """Limits under which requests are served; besides, they are served without. Empty: none are."""
    request_period_us: PeriodUs = 10_000
    request_burst: Annotated[tuple[Part, ...], Field(min_length=1), AfterValidator(_distinct)] = (0.0, 1.0)
    requests: Annotated[int, Field(strict=True, ge=1_000, le=100_000)] = 4_000
    """How many; a 99.9th percentile needs a thousand."""

    @model_validator(mode="after")
    def _possible(self) -> "ThrottlingParams":
        limits = [CpuLimit(cpus, period) for period, cpus in product(self.period_us, self.cpus)]
        for limit in limits:
            if (periods := _periods(limit, self.window_s)) > _MAX_PERIODS:
                raise ValueError(
                    f"window_s = {self.window_s} has {periods} periods of {limit.period_us} µs; "
                    f"at most {_MAX_PERIODS} are recorded"
                )
        # A grid may hold quotas the kernel refuses, but no value that is good for nothing.
        for own in (
            *([limit for limit in limits if limit.cpus == cpus] for cpus in self.cpus),
            *([limit for limit in limits if limit.period_us == period] for period in self.period_us),
        ):
            largest = max(own, key=lambda limit: limit.quota_us)
            if largest.quota_us < MIN_QUOTA_US:
                raise ValueError(_too_small(largest))
        for count in self.threads:
            if count <= min(self.cpus):
                raise ValueError(f"threads = {count} cannot use up any of the limits {list(self.cpus)}")
        self._check_requests()
        return self

    def _check_requests(self) -> None:
        for cpus in self.request_cpus:
            if (limit := CpuLimit(cpus, self.request_period_us)).quota_us < MIN_QUOTA_US:
                raise ValueError(_too_small(limit))
            if cpus <= LOAD:
                raise ValueError(
                    f"request_cpus = {cpus} is no more than the requests need, {LOAD:g}: they would pile up"
                )


class Throttling(Benchmark[ThrottlingParams]):
    """Let the agent use all the CPU time it gets, or serve requests, under a limit known to be in force."""

    name = "throttling"
    Params = ThrottlingParams

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Isolators that have no CPU limit of their own."""
        return None if "cpu" in capabilities.limits else "it has no CPU limit of its own"

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """A limit that cannot bind with the CPUs there are; a kernel without burst."""
        limit, _ = _asked(cell)
        if limit is None:
            return None
        if lack := lacking_cpus(limit, len(os.sched_getaffinity(0))):
            return unavailable(lack, f"leave {limit.cpus:g} out of `cpus` in [throttling]")
        burst = site.cgroups.burst_lack() if limit.burst_us else None
        return None if burst is None or burst.usable else burst

    def cells(
        self, isolator: str, capabilities: Capabilities, params: ThrottlingParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each possible limit and number of threads, then those of the requests."""
        spins = (Cell(isolator, self.name, SPIN, of, blocks=blocks) for of in _spins(params))
        requests = (Cell(isolator, self.name, REQUEST, of, blocks=blocks) for of in _requests(params))
        return (*spins, *requests)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[ThrottlingParams]
    ) -> Iterator[Reading]:
        """The readings, and a failed one when the instance did not end well."""
        limit, threads = _asked(cell)
        timeout_s = context.timeout_s
        if limit is None or cell.workload == REQUEST:
            requests = Requests(limit, context.params.requests)
            yield from _attempt(
                isolator,
                context,
                _Attempt(limit, requests.command, "latency_p50", "second"),
                lambda held: serve(held, requests, timeout_s),
            )
            return
        usable = len(os.sched_getaffinity(0))
        trial = Trial(limit, _periods(limit, context.params.window_s), threads, usable)
        own_kernel = not isolator.capabilities.shares_kernel

        def spun(held: Limited) -> Iterator[Reading]:
            begun = time.monotonic()
            spell = spin(held, trial, own_kernel=own_kernel, timeout_s=timeout_s)
            yield trial.reading(spell, time.monotonic() - begun)

        yield from _attempt(isolator, context, _Attempt(limit, trial.command, METRIC, UNIT), spun)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: ThrottlingParams) -> float:
        """The spinning or serving, and the start and end around it."""
        limit, threads = _asked(cell)
        overhead_s = _EXPECTED_OVERHEAD_S if capabilities.shares_kernel else _EXPECTED_VM_OVERHEAD_S
        if limit is None or cell.workload == REQUEST:
            return Requests(limit, params.requests).expected_s + overhead_s
        trial = Trial(limit, _periods(limit, params.window_s), threads, len(os.sched_getaffinity(0)))
        return trial.spin_us / _US_PER_S + overhead_s


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A workload to start, and what a reading is called that tells why there is none."""

    limit: CpuLimit | None
    command: tuple[str, ...]
    metric: str
    unit: str


def _attempt(
    isolator: Isolator[Any],
    context: Context[ThrottlingParams],
    asked: _Attempt,
    work: Callable[[Limited], Iterable[Reading]],
) -> Iterator[Reading]:
    site = context.site
    with (
        isolator.prepare(site, agent_bundle(site, *asked.command), Limits(asked.limit)) as launch,
        starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=1) as session,
    ):
        begun = time.monotonic()
        try:
            held = cpulimit.start(session, launch, site, asked.command[0], asked.limit)
            start_s = time.monotonic() - begun
            first, *others = work(held)
            # The start belongs to the attempt: of a virtual machine it is its longest part.
            readings = [replace(first, timed_s=first.timed_s + start_s), *others]
        except TrialError as error:
            readings = [Reading(asked.metric, asked.unit, None, error.status, str(error), error.remedy)]
        except CgroupError as error:
            readings = [Reading(asked.metric, asked.unit, None, Status.FAILED, str(error), error.remedy)]
        ends = session.end()
    yield from readings
    for event in ends:
        # A failed start is told again at its end.
        if event.status is not Status.OK and event.reason != readings[0].reason:
            yield Reading(asked.metric, asked.unit, None, event.status, event.reason)


def lacking_cpus(limit: CpuLimit, host_cpus: int) -> str | None:
    """Why a host with so many CPUs cannot show that limit at work; None when it can."""
    if limit.cpus < host_cpus:
        return None
    return f"a limit of {limit.cpus} CPUs cannot bind: {host_cpus} CPUs are usable on this host"


def _spins(params: ThrottlingParams) -> Iterator[dict[str, Scalar]]:
    """Parameters of the cells. Left out: quotas the kernel refuses, and threads that could not use one up."""
    for period_us, cpus, part in product(params.period_us, params.cpus, params.burst):
        quota_us = CpuLimit(cpus, period_us).quota_us
        burst = {"burst_us": math.floor(part * quota_us)} if part else {}
        for threads in params.threads or (None,):
            if quota_us >= MIN_QUOTA_US and (threads is None or threads > cpus):
                of = {} if threads is None else {"threads": threads}
                yield {"cpus": cpus, "period_us": period_us, **burst, **of}


def _requests(params: ThrottlingParams) -> Iterator[dict[str, Scalar]]:
    if params.request_cpus:
        yield {"limit": "none"}
    for cpus, part in product(params.request_cpus, params.request_burst):
        limit = CpuLimit(cpus, params.request_period_us)
        burst = {"burst_us": math.floor(part * limit.quota_us)} if part else {}
        yield {"cpus": cpus, "period_us": limit.period_us, **burst}


def _asked(cell: Cell) -> tuple[CpuLimit | None, int | None]:
    """The limit and the threads of a cell; None where it has none, or leaves them to us."""
    match dict(cell.params):
        case {"limit": "none"} if cell.workload == REQUEST:
            return None, None
        case {"cpus": float(cpus), "period_us": int(period_us), **others}:
            burst_us, threads = others.get("burst_us", 0), others.get("threads")
            if isinstance(burst_us, int) and (threads is None or isinstance(threads, int)):
                return CpuLimit(cpus, period_us, burst_us), threads
    raise InternalError(f"{cell.id}: a cell of throttling needs cpus and period_us")


def _too_small(limit: CpuLimit) -> str:
    return (
        f"cpus = {limit.cpus} in a period of {limit.period_us} µs is a quota of {limit.quota_us} µs; "
        f"the kernel takes {MIN_QUOTA_US} µs or more"
    )


def _periods(limit: CpuLimit, window_s: float) -> int:
    return max(_LEAST_PERIODS, round(window_s * _US_PER_S / limit.period_us))

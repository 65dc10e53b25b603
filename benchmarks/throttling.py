"""throttling: whether a CPU limit gives what it promises, and how long it makes a workload wait.

How each figure is made, and what it contains: docs/benchmarks/throttling.md.
"""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.cpuwindow import SEARCH_PERIODS, Clock, CpuWindow, watch
from isobench.benchmarks.payload import PayloadError, Spun, hello, spun
from isobench.benchmarks.processes import read_descendants, split_by_argv, workload_argv
from isobench.errors import InternalError
from isobench.isolators.cgroup import CgroupView
from isobench.isolators.cgroup.tree import MIN_QUOTA_US, PERIOD_RANGE_US
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.model import Capabilities, Cell, CpuLimit, Event, Launch, Limits, Reading, Scalar, Status

METRIC = "cpu_share_error"
UNIT = "ratio"

_LEAD_PERIODS = 1
"""The workload's own record leaves out the first period: at the go-ahead the quota is unspent."""
_MAX_PERIODS = 4_000
"""The agent records 4096 periods; a few of them are the margin of the host's window."""
_READ_BACK_TOLERANCE = 0.01
_BOUND_TOLERANCE = 0.01
_CLOCK_TOLERANCE = 0.01
"""How much faster than the host's a guest's clock may run."""
_US_PER_S = 1_000_000
_NS_PER_S = 1_000_000_000
_EXPECTED_OVERHEAD_S = 0.1
_EXPECTED_VM_OVERHEAD_S = 5.0
"""Boot, and the end under its limit, of a guest under software emulation."""


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"each value may stand once, found {list(values)}")
    return values


Cpus = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
PeriodUs = Annotated[int, Field(strict=True, ge=PERIOD_RANGE_US[0], le=PERIOD_RANGE_US[1])]
Seconds = Annotated[float, Field(strict=True, gt=0, le=60, allow_inf_nan=False)]


class ThrottlingParams(contract.Params):
    """The ``[throttling]`` table."""

    cpus: Annotated[tuple[Cpus, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        *(0.1, 0.25, 0.5, 1.0, 1.5),
    )
    """Limits, in CPUs."""
    period_us: Annotated[tuple[PeriodUs, ...], Field(min_length=1), AfterValidator(_distinct)] = (100_000,)
    """How often the kernel hands out the quota."""
    window_s: Seconds = 1.0
    """For how long the share is measured; rounded to whole periods, at least one."""

    @model_validator(mode="after")
    def _possible(self) -> "ThrottlingParams":
        for limit in _limits(self):
            if limit.quota_us < MIN_QUOTA_US:
                raise ValueError(
                    f"cpus = {limit.cpus} in a period of {limit.period_us} µs is a quota of "
                    f"{limit.quota_us} µs; the kernel takes {MIN_QUOTA_US} µs or more"
                )
            if (periods := _periods(limit, self.window_s)) > _MAX_PERIODS:
                raise ValueError(
                    f"window_s = {self.window_s} has {periods} periods of {limit.period_us} µs; "
                    f"at most {_MAX_PERIODS} are recorded"
                )
        return self


class Throttling(Benchmark[ThrottlingParams]):
    """Let the agent's ``spin`` use all the CPU time it gets under a limit that is known to be in force."""

    name = "throttling"
    Params = ThrottlingParams

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Isolators that have no CPU limit of their own."""
        return None if "cpu" in capabilities.limits else "it has no CPU limit of its own"

    def cells(
        self, isolator: str, capabilities: Capabilities, params: ThrottlingParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each limit and period."""
        return tuple(
            Cell(
                isolator,
                self.name,
                "spin",
                {"cpus": limit.cpus, "period_us": limit.period_us},
                blocks=blocks,
            )
            for limit in _limits(params)
        )

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[ThrottlingParams]
    ) -> Iterator[Reading]:
        """One reading, and a failed one when the instance did not end well."""
        limit = _limit_of(cell)
        trial = Trial(limit, _periods(limit, context.params.window_s))
        if lack := lacking_cpus(limit, len(os.sched_getaffinity(0))):
            remedy = f"leave {limit.cpus:g} out of `cpus` in [throttling]"
            yield Reading(METRIC, UNIT, None, Status.UNAVAILABLE, lack, remedy)
            return
        site = context.site
        with (
            isolator.prepare(site, agent_bundle(site, *trial.command), Limits(limit)) as launch,
            starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=1) as session,
        ):
            begun = time.monotonic()
            try:
                spell = _spin(session, launch, site, trial, context.timeout_s)
                reading = trial.reading(spell, time.monotonic() - begun)
            except _TrialError as error:
                reading = Reading(METRIC, UNIT, None, error.status, str(error))
            ends = session.end()
        yield reading
        for event in ends:
            # A failed start is told again at its end.
            if event.status is not Status.OK and event.reason != reading.reason:
                yield Reading(METRIC, UNIT, None, event.status, event.reason)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: ThrottlingParams) -> float:
        """The spinning, and the start and end around it."""
        limit = _limit_of(cell)
        trial = Trial(limit, _periods(limit, params.window_s))
        overhead_s = _EXPECTED_OVERHEAD_S if capabilities.shares_kernel else _EXPECTED_VM_OVERHEAD_S
        return trial.spin_us / _US_PER_S + overhead_s


@dataclass(frozen=True, slots=True)
class Spell:
    """One spell of spinning, as the host and the workload have recorded it."""

    read_back: CpuLimit
    applied: str
    go_ns: int
    """CLOCK_MONOTONIC of the host at the go-ahead."""
    host: CpuWindow
    inside: Spun


@dataclass(frozen=True, slots=True)
class Trial:
    """What is asked of one cell, and what follows from it."""

    limit: CpuLimit
    periods: int

    @property
    def threads(self) -> int:
        """One more than the limit could keep busy, so that the limit is what binds."""
        return math.floor(self.limit.cpus) + 1

    @property
    def spin_us(self) -> int:
        """From the go-ahead on: the lead, and a window wide enough for wherever the host's begins."""
        return (_LEAD_PERIODS + SEARCH_PERIODS + self.periods) * self.limit.period_us

    @property
    def command(self) -> tuple[str, ...]:
        lead_us = _LEAD_PERIODS * self.limit.period_us
        return (
            "spin",
            *("--threads", str(self.threads)),
            *("--lead-us", str(lead_us)),
            *("--window-us", str(self.spin_us - lead_us)),
            *("--period-us", str(self.limit.period_us)),
        )

    def reading(self, spell: Spell, timed_s: float) -> Reading:
        asked, host = self.limit.cpus, spell.host
        detail: dict[str, Scalar] = {
            "asked_cpus": asked,
            "read_back_cpus": spell.read_back.cpus,
            "achieved_host_cpus": host.cpus,
            "achieved_inside_cpus": inside_cpus(spell, self),
            "inside_cpu_per_run": sum(spell.inside.cpu_ns) / max(1, sum(spell.inside.run_ns)),
            "longest_stall_s": spell.inside.longest_stall_ns / _NS_PER_S,
            "window_s": self.periods * self.limit.period_us / _US_PER_S,
            "periods": self.periods,
            "kernel_periods": host.refills,
            "threads": self.threads,
            "nr_throttled": host.nr_throttled,
            "bound": bound(host, asked),
            "throttled_s": host.throttled_s,
            "applied": spell.applied,
            "edges": "still" if host.still else "moving",
            "host_elapsed_s": host.elapsed_ns / _NS_PER_S,
            "host_steal_s": host.steal_s,
        }
        return Reading(METRIC, UNIT, (host.cpus - asked) / asked, detail=detail, timed_s=timed_s)


class _TrialError(Exception):
    """No figure came of a trial; ``status`` is how its reading ends."""

    def __init__(self, message: str, status: Status = Status.FAILED) -> None:
        super().__init__(message)
        self.status = status


def lacking_cpus(limit: CpuLimit, host_cpus: int) -> str | None:
    """Why a host with so many CPUs cannot show that limit at work; None when it can."""
    if limit.cpus < host_cpus:
        return None
    return f"a limit of {limit.cpus} CPUs cannot bind: {host_cpus} CPUs are usable on this host"


def bound(host: CpuWindow, asked_cpus: float) -> bool:
    """Whether the limit decided: the group got it in full, or was stopped by it in all periods but one.

    If not, it got less CPU for another reason (other load, a guest with fewer CPUs), and the error says
    nothing about the limit. Running out is not asked for in every period: what a thread uses beyond the
    quota until the next tick it pays back in the following period, in which it may then not run out.
    """
    return host.cpus >= asked_cpus * (1 - _BOUND_TOLERANCE) or host.nr_throttled >= host.periods - 1


def inside_cpus(spell: Spell, trial: Trial) -> float:
    """CPUs got by the workload's own record: its run time in the periods nearest to the host's window.

    Run time, not CPU time: a guest's kernel counts the time its host took from it as used.
    """
    period_ns = trial.limit.period_us * 1_000
    recorded = spell.inside.per_period_run_ns
    first = math.ceil((spell.host.begin.t_ns - spell.go_ns) / period_ns) - _LEAD_PERIODS
    first = min(max(0, first), len(recorded) - trial.periods)
    return sum(recorded[first : first + trial.periods]) / (trial.periods * period_ns)


def refusal(asked: CpuLimit, found: CpuLimit | None, group: Path) -> str | None:
    """Why the limit found in force is not the one asked for (by more than 1 %); None when it is."""
    if found is None:
        return f"asked for {_words(asked)}, but no limit is set on {group}"
    off = max(abs(found.cpus / asked.cpus - 1), abs(found.period_us / asked.period_us - 1))
    if off > _READ_BACK_TOLERANCE:
        return f"asked for {_words(asked)}, but {_words(found)} is set on {group}"
    return None


def _words(limit: CpuLimit) -> str:
    return f"{limit.cpus:g} CPUs in periods of {limit.period_us} µs"


def _spin(session: starter.Session, launch: Launch, site: Site, trial: Trial, timeout_s: float) -> Spell:
    event = session.start()
    _check_started(event)
    for write in launch.late_writes:
        Path(write.path.replace("{n}", "0")).write_text(write.value)
    view = site.cgroups.of(_workload_pid(session, launch))
    read_back = _read_back(view, trial.limit)
    go_ns = time.monotonic_ns()
    session.send(0)
    host = watch(view, trial.periods, trial.limit.period_us, Clock())
    applied = "after boot" if launch.late_writes else "before start"
    return Spell(read_back, applied, go_ns, host, _result(session, trial, go_ns, timeout_s))


def _check_started(event: Event) -> None:
    if event.status is not Status.OK:
        raise _TrialError(event.reason or "not ready", event.status)
    try:
        hello(event.output, "spin")
    except PayloadError as error:
        raise _TrialError(str(error)) from None


def _workload_pid(session: starter.Session, launch: Launch) -> int:
    argv = workload_argv(launch, 0)
    found, _ = split_by_argv(read_descendants(session.pid), [argv])
    if not found:
        raise _TrialError(f"no process with the workload's command line {argv} is found on the host")
    return found[0].pid


def _read_back(view: CgroupView, asked: CpuLimit) -> CpuLimit:
    group, accounts = view.directory("cpu"), view.directory("cpuacct")
    found = view.cpu_limit()
    if why := refusal(asked, found, group):
        raise _TrialError(why)
    if accounts.name != group.name:
        raise _TrialError(f"the limit is on {group}, but CPU time is accounted for in {accounts}")
    assert found is not None  # noqa: S101 - refusal() has seen to it
    return found


def _result(session: starter.Session, trial: Trial, go_ns: int, timeout_s: float) -> Spun:
    try:
        event = session.next(timeout_s)
    except TimeoutError:
        raise _TrialError(f"no result within {timeout_s:g} s after the window", Status.TIMEOUT) from None
    try:
        found = spun(event.output)
    except PayloadError as error:
        raise _TrialError(str(error)) from None
    if len(found.per_period_run_ns) < trial.periods:
        raise _TrialError(f"the workload recorded {len(found.per_period_run_ns)} periods of {trial.periods}")
    spun_us = (event.t_ns - go_ns) // 1_000
    if spun_us < trial.spin_us * (1 - _CLOCK_TOLERANCE):
        raise _TrialError(
            f"the workload ended {spun_us} µs after the go-ahead, but had to spin for {trial.spin_us} µs: "
            "it did not wait for the go-ahead, or its clock runs fast"
        )
    return found


def _limits(params: ThrottlingParams) -> Iterator[CpuLimit]:
    for period_us in params.period_us:
        for cpus in params.cpus:
            yield CpuLimit(cpus, period_us)


def _limit_of(cell: Cell) -> CpuLimit:
    match cell.params:
        case {"cpus": float(cpus), "period_us": int(period_us)}:
            return CpuLimit(cpus, period_us)
    raise InternalError(f"{cell.id}: a cell of throttling needs cpus and period_us")


def _periods(limit: CpuLimit, window_s: float) -> int:
    return max(1, round(window_s * _US_PER_S / limit.period_us))

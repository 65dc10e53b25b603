"""One spell of spinning under a CPU limit, and what its reading tells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from isobench.benchmarks.cpulimit import Limited, TrialError
from isobench.benchmarks.cpuwindow import SEARCH_PERIODS, Clock, CpuWindow, watch
from isobench.benchmarks.payload import PayloadError, Spun, spun
from isobench.model import CpuLimit, Event, Reading, Scalar

METRIC = "cpu_share_error"
UNIT = "ratio"

_MANY_CPUS = 1 << 16
_BOUND_TOLERANCE = 0.01
_CLOCK_TOLERANCE = 0.01
"""How much faster than the host's a guest's clock may run."""
_SHORT_NS = 10_000_000
_NS_PER_S = 1_000_000_000
_NS_PER_US = 1_000


@dataclass(frozen=True, slots=True)
class Spell:
    """One spell of spinning, as the host and the workload have recorded it."""

    read_back: CpuLimit
    applied: str
    go_ns: int
    """CLOCK_MONOTONIC of the host at the go-ahead."""
    host: CpuWindow
    inside: Spun
    own_kernel: bool = False
    """The workload runs on a kernel of its own."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is asked of one cell, and what follows from it."""

    limit: CpuLimit
    periods: int
    asked_threads: int | None = None
    usable_cpus: int = _MANY_CPUS

    @property
    def lead_periods(self) -> int:
        """How many periods the shares leave out: until what was unspent at the go-ahead is used up.

        A quota is, in the first period after a refill. A burst comes on top, and only what the threads could
        use beyond the quota draws on it.
        """
        beyond = min(self.threads, self.usable_cpus) - self.limit.cpus
        burst = self.limit.burst_us / self.limit.period_us
        return 1 + (math.floor(burst / beyond) if beyond > 0 else 0)

    @property
    def threads(self) -> int:
        """Where none are asked for, one more than the limit could keep busy, so that the limit binds."""
        return self.asked_threads or math.floor(self.limit.cpus) + 1

    @property
    def spin_us(self) -> int:
        """From the go-ahead on: the lead, and a window wide enough for wherever the host's begins."""
        return (self.lead_periods + SEARCH_PERIODS + self.periods) * self.limit.period_us

    @property
    def command(self) -> tuple[str, ...]:
        lead_us = self.lead_periods * self.limit.period_us
        return (
            "spin",
            *("--threads", str(self.threads)),
            *("--lead-us", str(lead_us)),
            *("--window-us", str(self.spin_us - lead_us)),
            *("--period-us", str(self.limit.period_us)),
        )

    def reading(self, spell: Spell, timed_s: float) -> Reading:
        asked, host, inside = self.limit.cpus, spell.host, spell.inside
        achieved_inside, run_ns = inside_cpus(spell, self), sum(inside.run_ns)
        detail: dict[str, Scalar] = {
            "asked_cpus": asked,
            "read_back_cpus": spell.read_back.cpus,
            "burst_us": spell.read_back.burst_us,
            "achieved_host_cpus": host.cpus,
            "achieved_inside_cpus": achieved_inside,
            "inside_to_host": achieved_inside / host.cpus - 1 if host.cpus else None,
            "inside_cpu_per_run": sum(inside.cpu_ns) / max(1, run_ns),
            "progress_per_run_s": sum(inside.progress) / max(1, run_ns) * _NS_PER_S,
            "window_s": self.periods * self.limit.period_us * _NS_PER_US / _NS_PER_S,
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
            **self._use(spell),
            **_stalls(inside),
        }
        if spell.own_kernel and inside.steal_ms is not None:
            detail["guest_steal_s"] = inside.steal_ms / 1_000
        return Reading(METRIC, UNIT, (host.cpus - asked) / asked, detail=detail, timed_s=timed_s)

    def _use(self, spell: Spell) -> dict[str, Scalar]:
        """Greatest use, and that of each period, as parts of the quota."""
        quota_ns = self.limit.cpus * self.limit.period_us * _NS_PER_US
        parts = sorted(run / quota_ns for run in periods_of(spell, self))
        return {
            "overshoot": spell.inside.most_in_period_ns / quota_ns - 1,
            "most_in_10ms_cpus": spell.inside.most_in_10ms_ns / _SHORT_NS,
            "period_use_least": parts[0],
            "period_use_p10": _rank(parts, 0.1),
            "period_use_p50": _rank(parts, 0.5),
            "period_use_p90": _rank(parts, 0.9),
            "period_use_most": parts[-1],
        }


def _stalls(inside: Spun) -> dict[str, Scalar]:
    bins, line = inside.stall_bins, inside.timeline_ns
    return {
        "stalls": inside.stalls,
        "longest_stall_s": inside.longest_stall_ns / _NS_PER_S,
        "p99_stall_s": inside.p99_stall_ns / _NS_PER_S,
        "stall_threshold_s": inside.gap_threshold_ns / _NS_PER_S,
        "stall_bins": " ".join(f"{one}:{count}" for one, count in zip(bins[::2], bins[1::2], strict=True)),
        "timeline_us": " ".join(
            f"{thread}:{begin // _NS_PER_US}-{end // _NS_PER_US}"
            for thread, begin, end in zip(line[::3], line[1::3], line[2::3], strict=True)
        ),
    }


def _rank(ascending: Sequence[float], part: float) -> float:
    """The nearest-rank quantile."""
    return ascending[max(0, math.ceil(part * len(ascending)) - 1)]


def bound(host: CpuWindow, asked_cpus: float) -> bool:
    """Whether the limit decided: the group got it in full, or was stopped by it in all periods but one.

    If not, it got less CPU for another reason (other load, a guest with fewer CPUs), and the error says
    nothing about the limit. Running out is not asked for in every period: what a thread uses beyond the
    quota until the next tick it pays back in the following period, in which it may then not run out. Of a
    single period it is.
    """
    return host.cpus >= asked_cpus * (1 - _BOUND_TOLERANCE) or host.nr_throttled >= max(1, host.periods - 1)


def inside_cpus(spell: Spell, trial: Trial) -> float:
    """CPUs got by the workload's own record: its run time in the periods nearest to the host's window.

    Run time, not CPU time: a guest's kernel counts the time its host took from it as used.
    """
    return sum(periods_of(spell, trial)) / (trial.periods * trial.limit.period_us * _NS_PER_US)


def periods_of(spell: Spell, trial: Trial) -> Sequence[int]:
    """Run time in each of the workload's periods nearest to the host's window, in ns."""
    period_ns = trial.limit.period_us * _NS_PER_US
    recorded = spell.inside.per_period_run_ns
    first = math.ceil((spell.host.begin.t_ns - spell.go_ns) / period_ns) - trial.lead_periods
    first = min(max(0, first), len(recorded) - trial.periods)
    return recorded[first : first + trial.periods]


def spin(limited: Limited, trial: Trial, *, own_kernel: bool, timeout_s: float) -> Spell:
    """Let it spin, and watch it. Raises TrialError, CgroupError."""
    read_back = limited.read_back() or trial.limit
    go_ns = limited.go()
    period_ns = trial.limit.period_us * _NS_PER_US
    Clock().sleep_until(go_ns + (trial.lead_periods - 1) * period_ns)
    host = watch(limited.view, trial.periods, trial.limit.period_us, Clock())
    inside = _checked(limited.result(timeout_s), trial, go_ns)
    return Spell(read_back, limited.applied, go_ns, host, inside, own_kernel)


def _checked(event: Event, trial: Trial, go_ns: int) -> Spun:
    try:
        found = spun(event.output)
    except PayloadError as error:
        raise TrialError(str(error)) from None
    if found.lost_stalls:
        raise TrialError(
            f"{found.lost_stalls} stalls were too many to be recorded: reading its clock takes more "
            f"than {found.gap_threshold_ns // _NS_PER_US} µs, or others load the host"
        )
    if len(found.per_period_run_ns) < trial.periods:
        raise TrialError(f"the workload recorded {len(found.per_period_run_ns)} periods of {trial.periods}")
    spun_us = (event.t_ns - go_ns) // _NS_PER_US
    if spun_us < trial.spin_us * (1 - _CLOCK_TOLERANCE):
        raise TrialError(
            f"the workload ended {spun_us} µs after the go-ahead, but had to spin for {trial.spin_us} µs: "
            "it did not wait for the go-ahead, or its clock runs fast"
        )
    return found

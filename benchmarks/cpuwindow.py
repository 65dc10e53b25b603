"""How much CPU time a limited cgroup got over whole periods, seen from the host, while its workload spins.

The kernel refills a group's quota once a period, at a phase we do not know. Once the group has run out
for the first time its use repeats every period: whole periods hold as many quotas, wherever they begin.
So the interval begins when the group is seen to stand still, out of quota. There, a reading that comes
late by some milliseconds reads the same figure, and the kernel's own accounting, which is behind by up to
a tick for running threads, is exact. Source: Documentation/scheduler/sched-bwc.rst, kernel/sched/fair.c.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from isobench.benchmarks.processes import read_steal_s
from isobench.isolators.cgroup import CgroupView, CpuStat

SEARCH_PERIODS = 2
"""For how many periods from the go-ahead a standstill is looked for: by then the group has run out once."""

_POLL_NS = 1_000_000
_STILL_NS = 11_000_000
"""Longer than the longest tick (CONFIG_HZ=100): a shorter pause may be a tick that is still to come."""
_NS_PER_US = 1_000
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from; another one in tests."""

    now_ns: Callable[[], int] = time.monotonic_ns
    sleep_s: Callable[[float], None] = time.sleep
    steal_s: Callable[[], float] = read_steal_s

    def sleep_until(self, t_ns: int) -> None:
        """Return at once when that time has passed."""
        self.sleep_s(max(0, t_ns - self.now_ns()) / _NS_PER_S)


@dataclass(frozen=True, slots=True)
class Mark:
    """The counters of the group and the host at one instant."""

    t_ns: int
    usage_ns: int
    stat: CpuStat
    steal_s: float


@dataclass(frozen=True, slots=True)
class CpuWindow:
    """What the group got in an interval of ``periods`` whole periods."""

    begin: Mark
    end: Mark
    periods: int
    period_us: int
    began_still: bool

    @property
    def still(self) -> bool:
        """Both ends lie where the group stood still, with exactly one refill a period between them."""
        return self.began_still and self.refills == self.periods

    @property
    def refills(self) -> int:
        """Periods the kernel itself has counted (nr_periods)."""
        return self.end.stat.nr_periods - self.begin.stat.nr_periods

    @property
    def elapsed_ns(self) -> int:
        """Between the two readings; nominally the periods."""
        return self.end.t_ns - self.begin.t_ns

    @property
    def cpus(self) -> float:
        """CPU time a second of wall time.

        Between standstills the wall time is that of the periods, as being late by a little has changed
        nothing in the use; otherwise it is the time that has really passed.
        """
        nominal_ns = self.periods * self.period_us * _NS_PER_US
        return (self.end.usage_ns - self.begin.usage_ns) / (nominal_ns if self.still else self.elapsed_ns)

    @property
    def throttled_s(self) -> float:
        """Time the group's run queues stood waiting for a refill, summed over CPUs, in s."""
        return (self.end.stat.throttled_ns - self.begin.stat.throttled_ns) / _NS_PER_S

    @property
    def nr_throttled(self) -> int:
        """Periods in which the quota ran out."""
        return self.end.stat.nr_throttled - self.begin.stat.nr_throttled

    @property
    def steal_s(self) -> float:
        """CPU time taken from this host as a whole, in s."""
        return self.end.steal_s - self.begin.steal_s


def watch(view: CgroupView, periods: int, period_us: int, clock: Clock) -> CpuWindow:
    """Read the group's counters over that many periods. To be called right after the go-ahead.

    Takes at most ``SEARCH_PERIODS + periods`` periods, during which the workload has to spin. Raises
    CgroupError when the group goes away.
    """
    search_ns = SEARCH_PERIODS * period_us * _NS_PER_US
    began_still = _wait_for_standstill(view, clock, clock.now_ns() + search_ns)
    begin = _mark(view, clock)
    clock.sleep_until(begin.t_ns + periods * period_us * _NS_PER_US)
    return CpuWindow(begin, _mark(view, clock), periods, period_us, began_still)


def _wait_for_standstill(view: CgroupView, clock: Clock, deadline_ns: int) -> bool:
    """Until the group's CPU use has moved and then not moved for a tick; False at the deadline."""
    usage_ns = view.cpu_usage_ns()
    moved_at_ns: int | None = None
    while (now_ns := clock.now_ns()) < deadline_ns:
        seen_ns = view.cpu_usage_ns()
        if seen_ns != usage_ns:
            usage_ns, moved_at_ns = seen_ns, now_ns
        elif moved_at_ns is not None and now_ns - moved_at_ns >= _STILL_NS:
            return True
        clock.sleep_s(_POLL_NS / _NS_PER_S)
    return False


def _mark(view: CgroupView, clock: Clock) -> Mark:
    return Mark(clock.now_ns(), view.cpu_usage_ns(), view.cpu_stat(), clock.steal_s())

"""The host's window over a simulated group: refills at any phase, accounts behind, late readings."""

from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.benchmarks.cpuwindow import Clock, CpuWindow, Mark, watch
from isobench.isolators.cgroup import CgroupView, CpuStat

MS = 1_000_000
PERIOD = 100 * MS
PERIODS = 10


@dataclass
class Group:
    """A group as the kernel's bandwidth control runs it, from the go-ahead at 0 with its quota unspent."""

    quota_ns: int
    threads: int
    phase_ns: int
    """When the first refill comes."""
    tick_ns: int = 4 * MS
    late_ns: int = 0
    """By how much every sleep is too long."""
    unlimited: bool = False
    now_ns: int = 0

    def clock(self) -> Clock:
        return Clock(lambda: self.now_ns, self._sleep, lambda: 0.0)

    def cpu_usage_ns(self) -> int:
        self.now_ns += 20_000  # what a reading costs
        used, running = self._run(self.now_ns)
        # A running thread's time is accounted for at the tick.
        return self._run(self.now_ns - self.now_ns % self.tick_ns)[0] if running else used

    def cpu_stat(self) -> CpuStat:
        refills = 0 if self.unlimited else max(0, (self.now_ns - self.phase_ns) // PERIOD + 1)
        return CpuStat(nr_periods=refills, nr_throttled=refills, throttled_ns=refills * MS)

    def _sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9) + self.late_ns

    def _run(self, until_ns: int) -> tuple[int, bool]:
        if self.unlimited:
            return self.threads * until_ns, True
        used, pool, at, refill = 0, self.quota_ns, 0, self.phase_ns
        while True:
            burst = min(pool, self.threads * (min(refill, until_ns) - at))
            used, pool = used + burst, pool - burst
            if refill >= until_ns:
                return used, pool > 0
            pool, at, refill = min(self.quota_ns, pool + self.quota_ns), refill, refill + PERIOD


def watched(group: Group) -> CpuWindow:
    return watch(cast(CgroupView, group), PERIODS, PERIOD // 1000, group.clock())


phases = st.integers(min_value=1, max_value=PERIOD)


@given(phases, st.floats(min_value=0.02, max_value=0.8), st.sampled_from([1, 2, 3, 8]))
def test_share_is_the_quota_at_whatever_phase_the_refills_come(
    phase_ns: int, filled: float, threads: int
) -> None:
    quota_ns = round(filled * threads * PERIOD)
    window = watched(Group(quota_ns, threads, phase_ns))
    assert window.still
    assert window.cpus == pytest.approx(quota_ns / PERIOD, rel=1e-9)


@given(phases, st.integers(min_value=0, max_value=5 * MS))
def test_share_is_the_quota_when_readings_come_late_by_less_than_the_standstill(
    phase_ns: int, late_ns: int
) -> None:
    window = watched(Group(50 * MS, 1, phase_ns, late_ns=late_ns))
    # A refill may come between the readings of one mark: then the ends do not count as still, and the share
    # is rated by the time that passed, in which being late counts: 5 ms in 1 s.
    assert window.cpus == pytest.approx(0.5, rel=1e-9 if window.still else 0.01)


def test_refill_between_the_readings_of_a_mark_is_rated_by_the_time_that_passed() -> None:
    window = watched(Group(50 * MS, 1, 61_374_571, late_ns=115_455))
    assert not window.still
    assert window.cpus == pytest.approx(0.5, rel=0.001)


@given(phases, st.sampled_from([0.95, 0.99]))
def test_share_without_a_standstill_to_be_seen_is_near_the_quota(phase_ns: int, filled: float) -> None:
    window = watched(Group(round(filled * PERIOD), 1, phase_ns))
    assert window.cpus == pytest.approx(filled, rel=0.02)


def test_end_read_after_one_more_refill_is_not_still_and_is_rated_by_the_time_that_passed() -> None:
    begin = Mark(0, 0, CpuStat(5, 5, 0), 0.0)
    late = Mark(1040 * MS, 728 * MS, CpuStat(16, 16, 0), 0.0)
    window = CpuWindow(begin, late, PERIODS, PERIOD // 1000, began_still=True)
    assert not window.still
    assert window.cpus == pytest.approx(0.7)


def test_group_without_a_limit_is_measured_over_the_time_that_passed() -> None:
    window = watched(Group(1, 2, 1, unlimited=True, late_ns=MS))
    assert not window.still
    assert window.cpus == pytest.approx(2.0, rel=0.005)
    assert window.refills == 0


def test_window_leaves_time_enough_within_the_spinning() -> None:
    group = Group(1, 1, 1, unlimited=True)
    window = watched(group)
    assert window.begin.t_ns <= 2 * PERIOD + 2 * MS
    assert window.end.t_ns < 13 * PERIOD


def test_counters_are_differences_over_the_window() -> None:
    window = watched(Group(50 * MS, 1, 30 * MS))
    assert (window.refills, window.nr_throttled) == (10, 10)
    assert window.throttled_s == pytest.approx(0.010)

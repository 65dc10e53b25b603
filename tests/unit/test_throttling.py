"""throttling over a scripted workload in a scripted cgroup."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from isobench import starter
from isobench.benchmarks import cpulimit, throttling_spin
from isobench.benchmarks.contract import Context
from isobench.benchmarks.cpulimit import refusal, threads_named
from isobench.benchmarks.cpuwindow import Clock, CpuWindow, Mark
from isobench.benchmarks.payload import Spun
from isobench.benchmarks.processes import Process
from isobench.benchmarks.throttling import Throttling, ThrottlingParams, lacking_cpus
from isobench.benchmarks.throttling_spin import Spell, Trial, bound, inside_cpus
from isobench.errors import CgroupGoneError, InternalError
from isobench.isolators.cgroup import CgroupTree, CgroupView, CpuStat
from isobench.isolators.contract import Site
from isobench.isolators.fake import Fake, FakeOptions
from isobench.matrix import read_matrix
from isobench.model import (
    NO_LIMITS,
    Bundle,
    Cell,
    CpuLimit,
    Event,
    FileWrite,
    Launch,
    Limits,
    Move,
    Readiness,
    Reading,
    Scalar,
    Status,
    unavailable,
)
from isobench.model import READY as READINESS_OK

MS = 1_000_000
AGENT_PID, PID = 10, 11
HALF = CpuLimit(0.5)
GROUP = Path("/sys/fs/cgroup/cpu/isobench-0/a")


def window(cpus: float = 0.5, throttled: int = 10, begin_ns: int = 60 * MS) -> CpuWindow:
    return CpuWindow(
        begin=Mark(begin_ns, 0, CpuStat(1, 1, 0), 0.0),
        end=Mark(begin_ns + 1000 * MS, round(cpus * 1000 * MS), CpuStat(11, 1 + throttled, 480 * MS), 0.02),
        periods=10,
        period_us=100_000,
        began_still=True,
    )


def spun_line(periods: Sequence[int], cpu_ns: int = 600 * MS, run_ns: int = 600 * MS, lost: int = 0) -> str:
    line = {
        "verb": "spun",
        "window_ns": 1200 * MS,
        "gap_threshold_ns": 10_000,
        "lost_stalls": lost,
        "steal_ms": 40,
        "progress": [30 * run_ns // 1000],
        "stalls": 13,
        "longest_stall_ns": 51 * MS,
        "p99_stall_ns": 50 * MS,
        "stall_bins": [53, 2, 102, 11],
        "most_in_period_ns": 55 * MS,
        "most_in_10ms_ns": 10 * MS,
        "timeline_ns": [0, 50 * MS, 100 * MS, 0, 150 * MS, 200 * MS],
        "cpu_ns": [cpu_ns],
        "run_ns": [run_ns],
        "per_period_run_ns": list(periods),
    }
    return json.dumps(line)


GO_NS = 1_000 * MS
READY = Event(kind="ready", output='{"verb":"spin","t":5,"pid":1}\n')
RESULT = Event(kind="line", t_ns=GO_NS + 1_301 * MS, output=spun_line([50 * MS] * 12))


@dataclass
class Rig(CgroupView):
    """The session, the cgroup tree and the group in one; what it is told to do it notes in ``log``."""

    limit: CpuLimit | None = HALF
    accounts: Path = GROUP
    ready: Event = READY
    result: Event | None = RESULT
    argv: tuple[str, ...] | None = None
    log: list[str] = field(default_factory=list)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    limits: Limits = NO_LIMITS
    late_writes: tuple[FileWrite, ...] = ()
    late_moves: tuple[Move, ...] = ()
    later: CpuLimit | None = None
    """The limit once the workload spins."""
    frozen: FileWrite | None = None
    gone: bool = False
    """It is removed once the workload spins."""
    burst: Readiness = READINESS_OK
    usages: list[int] = field(default_factory=list)
    """What each further reading of the CPU time used gives; then 0."""
    ends: tuple[Event, ...] = ()

    pid = AGENT_PID

    def start(self) -> Event:
        self.log.append("start")
        return self.ready

    def send(self, slot: int) -> None:
        self.log.append(f"go {slot}")

    def next(self, timeout_s: float) -> Event:
        if self.result is None:
            raise TimeoutError
        return self.result

    def end(self) -> tuple[Event, ...]:
        self.log.append("end")
        return self.ends

    def of(self, pid: int) -> CgroupView:
        assert pid == PID
        return self

    def directory(self, controller: str) -> Path:
        return {"cpu": GROUP, "cpuacct": self.accounts}[controller]

    def cpu_limit(self) -> CpuLimit | None:
        self.log.append("read back")
        return self.later if self.later and "watch" in self.log else self.limit

    def thaw(self) -> FileWrite | None:
        return self.frozen

    def burst_lack(self) -> Readiness:
        return self.burst

    def cpu_usage_ns(self) -> int:
        return self.usages.pop(0) if self.usages else 0

    def cpu_stat(self) -> CpuStat:
        return CpuStat(0, 0, 0)

    def memory_current_bytes(self) -> int | None:
        return None

    memory_limit_bytes = memory_peak_bytes = page_cache_bytes = memory_current_bytes

    def descendants(self, ancestor: int) -> tuple[Process, ...]:
        assert ancestor == AGENT_PID
        return (Process(PID, AGENT_PID, self.argv or self.commands[-1]),)


class Limited(Fake):
    """Passes on what it was asked for."""

    rig: Rig

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        self.rig.limits = limits
        self.rig.commands.append(bundle.argv)
        rig = self.rig
        yield Launch(
            host_argv=bundle.argv,
            spawn=bundle.argv,
            late_writes=rig.late_writes,
            late_moves=rig.late_moves,
        )


def measured(monkeypatch: pytest.MonkeyPatch, rig: Rig, limit: CpuLimit = HALF) -> Reading:
    (found,) = all_measured(monkeypatch, rig, limit)
    return found


def all_measured(
    monkeypatch: pytest.MonkeyPatch, rig: Rig, limit: CpuLimit = HALF, cell: Cell | None = None
) -> list[Reading]:
    @contextmanager
    def session(agent: Path, launch: Launch, **how: object) -> Iterator[Rig]:
        assert (agent, how) == (Path("/a"), {"timeout_s": 9.0, "slots": 1})
        assert launch.host_argv == rig.commands[-1]
        yield rig

    def watch(view: CgroupView, periods: int, period_us: int, clock: Clock) -> CpuWindow:
        assert (view, periods, period_us, clock) == (rig, 10, 100_000, Clock())
        rig.log.append("watch")
        if rig.gone:
            raise CgroupGoneError(f"cgroup {GROUP} does not exist any more")
        return window(begin_ns=GO_NS + 60 * MS)

    monkeypatch.setattr(starter, "session", session)
    monkeypatch.setattr(throttling_spin, "watch", watch)
    monkeypatch.setattr(cpulimit, "read_descendants", rig.descendants)
    monkeypatch.setattr(time, "monotonic_ns", lambda: GO_NS)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    isolator = Limited("x", FakeOptions())
    isolator.rig = rig
    context = Context(site_of(rig), ThrottlingParams(), 0, 9.0)
    return list(Throttling().measure(cell or cell_of(limit), isolator, context))


def site_of(rig: Rig) -> Site:
    return Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/r"), cast(CgroupTree, rig))


def cell_of(limit: CpuLimit) -> Cell:
    burst = {"burst_us": limit.burst_us} if limit.burst_us else {}
    return Cell("x", "throttling", "spin", {"cpus": limit.cpus, "period_us": limit.period_us, **burst})


def test_instance_that_does_not_end_well_is_a_failed_reading_beside_the_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = Event("exit", status=Status.FAILED, reason="the workload exited 3")
    figure, end = all_measured(monkeypatch, Rig(ends=(bad,)))
    assert (figure.status, figure.value is None) == (Status.OK, False)
    assert (end.status, end.value, end.reason) == (Status.FAILED, None, "the workload exited 3")


def test_failed_start_that_is_told_again_at_its_end_is_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Event("ready", status=Status.TIMEOUT, reason="not ready in time")
    found = measured(monkeypatch, Rig(ready=late, ends=(replace(late, kind="exit"),)))
    assert (found.status, found.reason) == (Status.TIMEOUT, "not ready in time")


def test_limit_is_read_back_before_the_go_ahead_and_the_window_follows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    found = measured(monkeypatch, rig)
    assert rig.log == ["start", "read back", "go 0", "watch", "read back", "end"]
    assert rig.limits == Limits(HALF)
    assert (found.metric, found.unit, found.value, found.status) == ("cpu_share_error", "ratio", 0, Status.OK)


def test_reading_tells_everything_that_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, Rig()).detail == {
        "asked_cpus": 0.5,
        "read_back_cpus": 0.5,
        "achieved_host_cpus": 0.5,
        "burst_us": 0,
        "achieved_inside_cpus": 0.5,
        "inside_to_host": 0.0,
        "inside_cpu_per_run": 1.0,
        "progress_per_run_s": 3e7,
        "window_s": 1.0,
        "periods": 10,
        "kernel_periods": 10,
        "threads": 1,
        "nr_throttled": 10,
        "bound": True,
        "throttled_s": 0.48,
        "applied": "before start",
        "edges": "still",
        "host_elapsed_s": 1.0,
        "host_steal_s": 0.02,
        "overshoot": pytest.approx(0.1),
        "most_in_10ms_cpus": 1.0,
        "period_use_least": 1.0,
        "period_use_p10": 1.0,
        "period_use_p50": 1.0,
        "period_use_p90": 1.0,
        "period_use_most": 1.0,
        "stalls": 13,
        "longest_stall_s": 0.051,
        "p99_stall_s": 0.05,
        "stall_threshold_s": 1e-5,
        "stall_bins": "53:2 102:11",
        "timeline_us": "0:50000-100000 0:150000-200000",
    }


@pytest.mark.parametrize(("cpus", "error"), [(0.55, 0.1), (0.45, -0.1)])
def test_error_is_signed_and_relative_to_what_was_asked(cpus: float, error: float) -> None:
    spell = Spell(HALF, "before start", 0, window(cpus), Spun.model_validate_json(RESULT.output))
    assert Trial(HALF, 10).reading(spell, 1.3).value == pytest.approx(error)


def test_spinning_covers_the_lead_the_search_and_the_window() -> None:
    trial = Trial(CpuLimit(1.5), 10)
    assert trial.spin_us == 1_300_000
    assert trial.command == (
        *("spin", "--threads", "2", "--lead-us", "100000"),
        *("--window-us", "1200000", "--period-us", "100000"),
    )


@pytest.mark.parametrize(
    ("cpus", "burst_us", "threads", "usable", "lead"),
    [
        (0.5, 0, 1, 2, 1),
        (1.5, 0, 2, 2, 1),
        (0.5, 40_000, 1, 2, 1),
        (0.5, 50_000, 1, 2, 2),
        (1.5, 150_000, 2, 2, 4),
        (1.5, 150_000, 4, 2, 4),
        (1.5, 150_000, 4, 8, 1),
    ],
)
def test_lead_lasts_until_an_unspent_burst_is_used_up(
    cpus: float, burst_us: int, threads: int, usable: int, lead: int
) -> None:
    trial = Trial(CpuLimit(cpus, 100_000, burst_us), 10, threads, usable)
    assert trial.lead_periods == lead
    assert trial.spin_us == (lead + 2 + 10) * 100_000


@pytest.mark.parametrize(("cpus", "threads"), [(0.1, 1), (0.99, 1), (1.0, 2), (1.5, 2), (2.0, 3)])
def test_threads_could_use_more_than_the_limit(cpus: float, threads: int) -> None:
    assert Trial(CpuLimit(cpus), 10).threads == threads


@pytest.mark.parametrize(
    ("begin_ms", "expected"),
    [(0, 10), (60, 10), (100, 10), (101, 11), (200, 11), (201, 12), (299, 12), (900, 12)],
)
def test_inside_share_is_of_the_periods_nearest_to_the_hosts_window(begin_ms: int, expected: int) -> None:
    # The record begins after a lead of one period; period k has k ms of run, so the sum tells which ten.
    inside = Spun.model_validate_json(spun_line([number * MS for number in range(12)]))
    spell = Spell(HALF, "before start", 0, window(begin_ns=begin_ms * MS), inside)
    first = expected - 10
    assert inside_cpus(spell, Trial(HALF, 10)) == pytest.approx(sum(range(first, first + 10)) / 1000)


def test_late_limit_is_written_before_it_is_read_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = tmp_path / "group-0"
    rig = Rig(late_writes=(FileWrite(str(tmp_path / "group-{n}"), "50000 100000"),))
    found = measured(monkeypatch, rig)
    assert written.read_text() == "50000 100000"
    assert found.detail["applied"] == "after boot"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "asked for 0.5 CPUs in periods of 100000 µs, but no limit is set on"),
        (CpuLimit(0.01), "0.01 CPUs in periods of 100000 µs is set on"),
        (CpuLimit(0.506), "0.506 CPUs"),
        (CpuLimit(0.494), "0.494 CPUs"),
        (CpuLimit(0.5, 50_000), "0.5 CPUs in periods of 50000 µs"),
    ],
)
def test_limit_that_is_not_in_force_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, found: CpuLimit | None, why: str
) -> None:
    rig = Rig(limit=found)
    reading = measured(monkeypatch, rig)
    assert (reading.status, reading.value) == (Status.FAILED, None)
    assert why in str(reading.reason)
    assert str(GROUP) in str(reading.reason)
    assert "go 0" not in rig.log
    assert rig.log[-1] == "end"


def test_rounding_of_the_quota_to_microseconds_is_no_refusal() -> None:
    assert refusal(CpuLimit(1 / 3, 10_000), CpuLimit(0.3333, 10_000), GROUP) is None


def test_use_accounted_for_in_another_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, Rig(accounts=Path("/sys/fs/cgroup/cpuacct")))
    assert found.status is Status.FAILED
    assert "accounted for in /sys/fs/cgroup/cpuacct" in str(found.reason)


def test_workload_not_found_on_the_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, Rig(argv=("other",)))
    assert found.status is Status.FAILED
    assert "no process with the workload's command line ('/isoagent', 'spin'" in str(found.reason)


def test_start_that_fails_keeps_its_status_and_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Event("ready", status=Status.TIMEOUT, reason="not ready in time")
    found = measured(monkeypatch, Rig(ready=ready))
    assert (found.status, found.reason) == (Status.TIMEOUT, "not ready in time")


def test_workload_that_says_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, Rig(ready=Event("ready", output="login:\n")))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert "'login:'" in str(found.reason)


def test_result_that_never_comes_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(result=None)
    found = measured(monkeypatch, rig)
    assert (found.status, found.reason) == (Status.TIMEOUT, "no result within 9 s after the window")
    assert rig.log[-1] == "end"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (replace(RESULT, output="{"), "JSON of 'spun'"),
        (replace(RESULT, output=spun_line([50 * MS] * 9)), "recorded 9 periods of 10"),
        (replace(RESULT, output=spun_line([50 * MS] * 12, lost=3)), "3 stalls were too many"),
        (replace(RESULT, t_ns=GO_NS + 900 * MS), "did not wait for the go-ahead"),
    ],
)
def test_result_that_cannot_be_true_is_refused(
    monkeypatch: pytest.MonkeyPatch, result: Event, why: str
) -> None:
    found = measured(monkeypatch, Rig(result=result))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert why in str(found.reason)


@pytest.mark.parametrize("cpus", [2.0, 2.5])
def test_limit_the_host_has_too_few_cpus_for_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, cpus: float
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    found = Throttling().lack(cell_of(CpuLimit(cpus)), site_of(Rig()))
    assert found is not None
    assert (found.status, found.reason, found.remedy) == (
        Status.UNAVAILABLE,
        f"a limit of {cpus} CPUs cannot bind: 2 CPUs are usable on this host",
        f"leave {cpus:g} out of `cpus` in [throttling]",
    )


def test_burst_on_a_kernel_without_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    lack = unavailable("cgroups of this kernel have no cpu.max.burst", "boot a kernel of 5.14 or newer")
    site = site_of(Rig(burst=lack))
    with_burst, without = (cell_of(CpuLimit(0.5, burst_us=burst)) for burst in (50_000, 0))
    assert Throttling().lack(with_burst, site) == lack
    assert Throttling().lack(without, site) is None
    assert Throttling().lack(with_burst, site_of(Rig())) is None


def test_burst_that_the_tool_does_not_set_is_unavailable_and_never_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    found = measured(monkeypatch, rig, replace(HALF, burst_us=25_000))
    assert (found.status, found.value) == (Status.UNAVAILABLE, None)
    assert found.reason == f"asked for a burst of 25000 µs, but 0 µs is set on {GROUP}"
    assert "runc: 1.2" in str(found.remedy)
    assert "go 0" not in rig.log


def test_burst_nobody_has_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, Rig(limit=replace(HALF, burst_us=1)))
    assert (found.status, found.reason) == (
        Status.FAILED,
        f"asked for a burst of 0 µs, but 1 µs is set on {GROUP}",
    )


def test_limit_changed_by_someone_else_in_mid_run_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, Rig(later=CpuLimit(0.9)))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert str(found.reason).startswith("the limit was changed in mid-run: asked for 0.5 CPUs")
    assert "0.9 CPUs" in str(found.reason)


def test_group_frozen_by_someone_else_is_told_and_goes_on_where_it_is_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = tmp_path / "isobench-0"
    ours.mkdir()
    for file in (ours / "freezer.state", tmp_path / "freezer.state"):
        file.write_text("FROZEN")
        found = measured(monkeypatch, Rig(result=None, frozen=FileWrite(str(file), "THAWED")))
        assert (found.status, found.value) == (Status.FAILED, None)
        assert found.reason == f"{file}: the group was frozen by someone else in mid-run"
    assert (ours / "freezer.state").read_text() == "THAWED"
    assert (tmp_path / "freezer.state").read_text() == "FROZEN"


def test_group_that_vanishes_in_mid_run_is_a_failed_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, Rig(gone=True))
    assert (found.status, found.reason) == (Status.FAILED, f"cgroup {GROUP} does not exist any more")


def test_guest_tells_how_much_cpu_time_was_taken_from_it() -> None:
    inside = Spun.model_validate_json(RESULT.output)
    host, guest = (Spell(HALF, "", 0, window(), inside, own_kernel=own) for own in (False, True))
    assert Trial(HALF, 10).reading(guest, 1.3).detail["guest_steal_s"] == 0.04
    assert "guest_steal_s" not in Trial(HALF, 10).reading(host, 1.3).detail


def test_threads_that_a_limit_is_to_cover_alone_are_moved_and_the_limit_is_read_back_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moves = (Move(str(tmp_path / "procs-{n}")), Move(str(tmp_path / "tasks-{n}"), "CPU "))
    rig = Rig(late_moves=moves)
    monkeypatch.setattr(cpulimit, "threads_named", lambda pid, begin, _: {(PID, "CPU "): [PID]}[pid, begin])
    assert measured(monkeypatch, rig).status is Status.OK
    assert ((tmp_path / "procs-0").read_text(), (tmp_path / "tasks-0").read_text()) == (str(PID),) * 2


def test_threads_are_found_by_the_begin_of_their_names(tmp_path: Path) -> None:
    for tid, name in ((7, "CPU 1/TCG\n"), (5, "qemu-system-x86\n"), (6, "CPU 0/TCG\n")):
        place = tmp_path / "5" / "task" / str(tid)
        place.mkdir(parents=True)
        (place / "comm").write_text(name)
    assert threads_named(5, "CPU ", tmp_path) == [6, 7]


def test_limit_below_the_hosts_cpus_can_bind() -> None:
    assert lacking_cpus(CpuLimit(1.5), 2) is None


@pytest.mark.parametrize(("cpus", "throttled"), [(0.5, 10), (0.496, 3), (0.4, 9), (0.6, 0)])
def test_limit_decided_when_it_was_used_up_or_stopped_the_group(cpus: float, throttled: int) -> None:
    assert bound(window(cpus, throttled), 0.5)


def test_limit_did_not_decide_when_the_group_got_less_and_was_not_stopped() -> None:
    assert not bound(window(0.4, 8), 0.5)


def test_limit_decided_over_a_single_period_only_if_the_quota_ran_out() -> None:
    single = [replace(window(0.4, throttled), periods=1) for throttled in (0, 1)]
    assert [bound(one, 0.5) for one in single] == [False, True]


def test_isolator_without_a_cpu_limit_is_unsupported() -> None:
    without = Fake("x", FakeOptions(cpu_limit=False)).capabilities
    assert Throttling().unsupported(without) == "it has no CPU limit of its own"
    assert Throttling().unsupported(Fake("x", FakeOptions()).capabilities) is None


def test_cells_are_one_for_each_limit_and_period() -> None:
    params = ThrottlingParams(cpus=(0.5, 1.0), period_us=(10_000, 100_000))
    cells = Throttling().cells("x", Fake("x", FakeOptions()).capabilities, params, 3)
    assert [cell.id for cell in cells] == [
        "throttling/x/spin/cpus=0.5/period_us=10000",
        "throttling/x/spin/cpus=1.0/period_us=10000",
        "throttling/x/spin/cpus=0.5/period_us=100000",
        "throttling/x/spin/cpus=1.0/period_us=100000",
    ]
    assert {cell.blocks for cell in cells} == {3}


def test_cells_of_a_grid_leave_out_what_the_kernel_refuses_and_threads_that_cannot_use_it_up() -> None:
    params = ThrottlingParams(cpus=(0.1, 1.0), period_us=(1_000, 100_000), threads=(1, 2), burst=(0.0, 0.5))
    cells = Throttling().cells("x", Fake("x", FakeOptions()).capabilities, params, 1)
    assert [cell.id.removeprefix("throttling/x/spin/") for cell in cells] == [
        "cpus=1.0/period_us=1000/threads=2",
        "burst_us=500/cpus=1.0/period_us=1000/threads=2",
        "cpus=0.1/period_us=100000/threads=1",
        "cpus=0.1/period_us=100000/threads=2",
        "burst_us=5000/cpus=0.1/period_us=100000/threads=1",
        "burst_us=5000/cpus=0.1/period_us=100000/threads=2",
        "cpus=1.0/period_us=100000/threads=2",
        "burst_us=50000/cpus=1.0/period_us=100000/threads=2",
    ]


def test_requests_are_served_without_a_limit_and_under_each_with_and_without_burst() -> None:
    params = ThrottlingParams(cpus=(0.5,), request_cpus=(0.25,))
    cells = Throttling().cells("x", Fake("x", FakeOptions()).capabilities, params, 1)
    assert [cell.id for cell in cells[1:]] == [
        "throttling/x/request/limit=none",
        "throttling/x/request/cpus=0.25/period_us=10000",
        "throttling/x/request/burst_us=2500/cpus=0.25/period_us=10000",
    ]


def served_line(requests: int = 4_000) -> str:
    line = {"verb": "served", "requests": requests, "work_ns": 200_000, "wall_ns": 4_000 * MS}
    times = {"cpu_ns": 800 * MS, "mean_ns": MS, "p50_ns": 300_000, "p99_ns": 9 * MS, "p999_ns": 12 * MS}
    return json.dumps({**line, **times, "max_ns": 20 * MS})


SERVER = Event(kind="ready", output='{"verb":"request","t":5,"pid":1}\n')
UNLIMITED = Cell("x", "throttling", "request", {"limit": "none"})
QUARTER = Cell("x", "throttling", "request", {"cpus": 0.25, "period_us": 10_000, "burst_us": 2_500})


def test_requests_give_three_percentiles_of_their_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = CpuLimit(0.25, 10_000, 2_500)
    rig = Rig(limit=limit, ready=SERVER, result=Event("line", output=served_line()))
    found = all_measured(monkeypatch, rig, cell=QUARTER)
    assert [(one.metric, one.unit, one.value) for one in found] == [
        ("latency_p50", "second", 0.0003),
        ("latency_p99", "second", 0.009),
        ("latency_p999", "second", 0.012),
    ]
    assert rig.limits == Limits(limit)
    assert found[0].detail["burst_us"] == 2_500
    assert found[0].detail["requests"] == 4_000


def test_requests_that_used_up_the_limit_were_more_than_it_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = CpuLimit(0.25, 10_000, 2_500)
    for used, over in ((960 * MS, False), (980 * MS, True)):  # of 1 s: 0.25 CPUs for 4 s
        rig = Rig(limit=limit, ready=SERVER, result=Event("line", output=served_line()), usages=[0, used])
        found = all_measured(monkeypatch, rig, cell=QUARTER)
        assert found[0].detail["achieved_host_cpus"] == used / (4_000 * MS)
        assert found[0].detail["overloaded"] is over


def test_requests_without_a_limit_have_none_to_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(limit=None, ready=SERVER, result=Event("line", output=served_line()))
    found = all_measured(monkeypatch, rig, cell=UNLIMITED)
    assert [one.status for one in found] == [Status.OK] * 3
    assert rig.limits == NO_LIMITS
    assert "read back" not in rig.log
    assert Throttling().lack(UNLIMITED, site_of(rig)) is None


def test_fewer_requests_than_were_due_are_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(limit=None, ready=SERVER, result=Event("line", output=served_line(3_999)))
    (found,) = all_measured(monkeypatch, rig, cell=UNLIMITED)
    assert (found.status, found.reason) == (Status.FAILED, "the workload served 3999 requests of 4000")


def test_whole_number_of_cpus_names_the_same_cell_as_with_a_point() -> None:
    one = ThrottlingParams.model_validate({"cpus": [1]})
    assert one == ThrottlingParams.model_validate({"cpus": [1.0]})


def test_example_of_the_full_grid_takes_about_ten_minutes() -> None:
    matrix = read_matrix(Path(__file__).parents[2] / "examples" / "throttling.toml")
    (params,) = (entry.params for entry in matrix.benchmarks if entry.name == "throttling")
    assert isinstance(params, ThrottlingParams)
    process = Fake("x", FakeOptions()).capabilities
    cells = Throttling().cells("x", process, params, matrix.blocks)
    once_s = sum(Throttling().expected_s(cell, process, params) for cell in cells)
    assert 8 * 60 < once_s * matrix.blocks * len(matrix.isolators) < 11 * 60


@pytest.mark.parametrize("params", [{}, {"cpus": "0.5", "period_us": 100_000}])
def test_cell_of_something_else_is_a_defect(params: dict[str, Scalar]) -> None:
    cell = Cell("x", "throttling", "spin", params)
    with pytest.raises(InternalError, match="needs cpus and period_us"):
        Throttling().expected_s(cell, Fake("x", FakeOptions()).capabilities, ThrottlingParams())


@pytest.mark.parametrize(
    ("period_us", "window_s", "spin_s"), [(100_000, 1.0, 1.3), (100_000, 0.26, 0.6), (1_000_000, 0.2, 6.0)]
)
def test_window_is_whole_periods_and_at_least_three(period_us: int, window_s: float, spin_s: float) -> None:
    cell = Cell("x", "throttling", "spin", {"cpus": 0.5, "period_us": period_us})
    params = ThrottlingParams(period_us=(period_us,), window_s=window_s)
    process = Fake("x", FakeOptions()).capabilities
    assert Throttling().expected_s(cell, process, params) == pytest.approx(spin_s, abs=0.2)
    guest = replace(process, shares_kernel=False)
    assert Throttling().expected_s(cell, guest, params) > Throttling().expected_s(cell, process, params)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"cpus": [0]}, "greater than 0"),
        ({"cpus": [-0.5]}, "greater than 0"),
        ({"cpus": [float("nan")]}, "finite"),
        ({"cpus": [float("inf")]}, "finite"),
        ({"cpus": ["0.5"]}, "valid number"),
        ({"cpus": [True]}, "valid number"),
        ({"cpus": []}, "at least 1"),
        ({"cpus": [0.5, 1, 0.5]}, r"may stand once, found \[0.5, 1.0, 0.5\]"),
        ({"period_us": [999]}, "greater than or equal to 1000"),
        ({"period_us": [1_000_001]}, "less than or equal to 1000000"),
        ({"period_us": [100_000.5]}, "integer"),
        ({"window_s": 0}, "greater than 0"),
        ({"window_s": 3600}, "less than or equal to 60"),
        ({"cpus": [0.1], "period_us": [5_000]}, "is a quota of 500 µs; the kernel takes 1000 µs or more"),
        ({"burst": [1.5]}, "less than or equal to 1"),
        ({"burst": [-0.1]}, "greater than or equal to 0"),
        ({"burst": [float("nan")]}, "finite"),
        ({"threads": [0]}, "greater than or equal to 1"),
        ({"threads": [2, 2]}, "may stand once"),
        ({"cpus": [1.5], "threads": [1]}, r"threads = 1 cannot use up any of the limits \[1.5\]"),
        ({"request_cpus": [0.2]}, "request_cpus = 0.2 is no more than the requests need, 0.2"),
        ({"request_cpus": [0.25], "request_period_us": 1_000}, "is a quota of 250 µs"),
        ({"requests": 999}, "greater than or equal to 1000"),
        ({"cpus": [1.5], "period_us": [1_000], "window_s": 5}, "5000 periods of 1000 µs; at most 4000"),
        ({"quota": [1]}, "Extra inputs"),
    ],
)
def test_bad_parameter_is_refused_with_a_reason(table: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ThrottlingParams.model_validate(table)

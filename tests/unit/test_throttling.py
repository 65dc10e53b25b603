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
from isobench.benchmarks import throttling
from isobench.benchmarks.contract import Context
from isobench.benchmarks.cpuwindow import Clock, CpuWindow, Mark
from isobench.benchmarks.payload import Spun
from isobench.benchmarks.processes import Process
from isobench.benchmarks.throttling import (
    Spell,
    Throttling,
    ThrottlingParams,
    Trial,
    bound,
    inside_cpus,
    lacking_cpus,
    refusal,
)
from isobench.errors import InternalError
from isobench.isolators.cgroup import CgroupTree, CgroupView, CpuStat
from isobench.isolators.contract import Site
from isobench.isolators.fake import Fake, FakeOptions
from isobench.model import (
    NO_LIMITS,
    Bundle,
    Cell,
    CpuLimit,
    Event,
    FileWrite,
    Launch,
    Limits,
    Reading,
    Scalar,
    Status,
)

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


def spun_line(periods: Sequence[int], cpu_ns: int = 600 * MS, run_ns: int = 600 * MS) -> str:
    line = {
        "verb": "spun",
        "window_ns": 1200 * MS,
        "longest_stall_ns": 51 * MS,
        "gap_threshold_ns": 20_000,
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
        return self.limit

    def cpu_usage_ns(self) -> int:
        return 0

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
        yield Launch(host_argv=bundle.argv, spawn=bundle.argv, late_writes=self.rig.late_writes)


def measured(monkeypatch: pytest.MonkeyPatch, rig: Rig, limit: CpuLimit = HALF) -> Reading:
    (found,) = all_measured(monkeypatch, rig, limit)
    return found


def all_measured(monkeypatch: pytest.MonkeyPatch, rig: Rig, limit: CpuLimit = HALF) -> list[Reading]:
    @contextmanager
    def session(agent: Path, launch: Launch, **how: object) -> Iterator[Rig]:
        assert (agent, how) == (Path("/a"), {"timeout_s": 9.0, "slots": 1})
        assert launch.host_argv == rig.commands[-1]
        yield rig

    def watch(view: CgroupView, periods: int, period_us: int, clock: Clock) -> CpuWindow:
        assert (view, periods, period_us, clock) == (rig, 10, 100_000, Clock())
        rig.log.append("watch")
        return window(begin_ns=GO_NS + 60 * MS)

    monkeypatch.setattr(starter, "session", session)
    monkeypatch.setattr(throttling, "watch", watch)
    monkeypatch.setattr(throttling, "read_descendants", rig.descendants)
    monkeypatch.setattr(time, "monotonic_ns", lambda: GO_NS)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    isolator = Limited("x", FakeOptions())
    isolator.rig = rig
    site = Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/r"), cast(CgroupTree, rig))
    cell = Cell("x", "throttling", "spin", {"cpus": limit.cpus, "period_us": limit.period_us})
    return list(Throttling().measure(cell, isolator, Context(site, ThrottlingParams(), 0, 9.0)))


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
    assert rig.log == ["start", "read back", "go 0", "watch", "end"]
    assert rig.limits == Limits(HALF)
    assert (found.metric, found.unit, found.value, found.status) == ("cpu_share_error", "ratio", 0, Status.OK)


def test_reading_tells_everything_that_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, Rig()).detail == {
        "asked_cpus": 0.5,
        "read_back_cpus": 0.5,
        "achieved_host_cpus": 0.5,
        "achieved_inside_cpus": 0.5,
        "inside_cpu_per_run": 1.0,
        "longest_stall_s": 0.051,
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
    rig = Rig()
    found = measured(monkeypatch, rig, CpuLimit(cpus))
    assert (found.status, found.value) == (Status.UNAVAILABLE, None)
    assert found.reason == f"a limit of {cpus} CPUs cannot bind: 2 CPUs are usable on this host"
    assert found.remedy == f"leave {cpus:g} out of `cpus` in [throttling]"
    assert rig.log == []


def test_limit_below_the_hosts_cpus_can_bind() -> None:
    assert lacking_cpus(CpuLimit(1.5), 2) is None


@pytest.mark.parametrize(("cpus", "throttled"), [(0.5, 10), (0.496, 3), (0.4, 9), (0.6, 0)])
def test_limit_decided_when_it_was_used_up_or_stopped_the_group(cpus: float, throttled: int) -> None:
    assert bound(window(cpus, throttled), 0.5)


def test_limit_did_not_decide_when_the_group_got_less_and_was_not_stopped() -> None:
    assert not bound(window(0.4, 8), 0.5)


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


def test_whole_number_of_cpus_names_the_same_cell_as_with_a_point() -> None:
    one = ThrottlingParams.model_validate({"cpus": [1]})
    assert one == ThrottlingParams.model_validate({"cpus": [1.0]})


@pytest.mark.parametrize("params", [{}, {"cpus": "0.5", "period_us": 100_000}])
def test_cell_of_something_else_is_a_defect(params: dict[str, Scalar]) -> None:
    cell = Cell("x", "throttling", "spin", params)
    with pytest.raises(InternalError, match="needs cpus and period_us"):
        Throttling().expected_s(cell, Fake("x", FakeOptions()).capabilities, ThrottlingParams())


@pytest.mark.parametrize(
    ("period_us", "window_s", "spin_s"), [(100_000, 1.0, 1.3), (100_000, 0.26, 0.6), (1_000_000, 0.2, 4.0)]
)
def test_window_is_whole_periods_and_at_least_one(period_us: int, window_s: float, spin_s: float) -> None:
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
        ({"cpus": [1.5], "period_us": [1_000], "window_s": 5}, "5000 periods of 1000 µs; at most 4000"),
        ({"quota": [1]}, "Extra inputs"),
    ],
)
def test_bad_parameter_is_refused_with_a_reason(table: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ThrottlingParams.model_validate(table)

"""When the host counts as at rest, decided from what it showed; tests/integration has the real kernel."""

from pathlib import Path

import pytest

from isobench.isolators.cgroup.parse import Hierarchy
from isobench.isolators.drain import (
    LINGER_S,
    QUIET_S,
    Drain,
    Drained,
    Pending,
    Settling,
    dying_groups,
    parse_group_counts,
)
from isobench.journal import RestRecord
from isobench.resting import LIMIT_S, Rests

IDLE = Pending()


def settled(looks: list[tuple[float, Pending]], floor: int = 0) -> tuple[float, Drained] | None:
    """The first look at which the host counts as at rest, and what is said of it; the wait begins at 0."""
    settling = Settling(0.0, floor)
    for now, pending in looks:
        if drained := settling.see(now, pending):
            return now, drained
    return None


def every_ms(*phases: tuple[float, Pending], step: float = 0.001) -> list[tuple[float, Pending]]:
    """Looks a millisecond apart; each phase lasts until its time."""
    looks, now = [], step
    for until, pending in phases:
        while now < until - step / 2:
            looks.append((now, pending))
            now += step
    return looks


def test_idle_host_is_at_rest_after_the_quiet_time_and_was_so_at_the_first_look() -> None:
    now, drained = settled(every_ms((1.0, IDLE))) or pytest.fail("never at rest")
    assert now == pytest.approx(0.001 + QUIET_S)
    assert (drained.begun, drained.busy_at, drained.rest_at) == (0.0, 0.0, 0.001)
    assert (drained.left, drained.lingering) == ((), 0)


def test_end_lies_between_the_last_look_that_saw_a_worker_and_the_first_that_did_not() -> None:
    _, drained = settled(every_ms((0.040, Pending(1)), (1.0, IDLE))) or pytest.fail("never at rest")
    assert drained.busy_at == pytest.approx(0.039)
    assert drained.rest_at == pytest.approx(0.040)
    assert drained.seconds == pytest.approx(0.040)


def test_pause_shorter_than_the_quiet_time_is_no_rest() -> None:
    looks = every_ms((0.010, Pending(1)), (0.010 + QUIET_S, IDLE), (0.050, Pending(1)), (1.0, IDLE))
    _, drained = settled(looks) or pytest.fail("never at rest")
    assert drained.rest_at == pytest.approx(0.050)


def test_dying_groups_are_waited_for_until_they_are_freed() -> None:
    looks = every_ms((0.030, Pending(0, 2)), (0.060, Pending(0, 1)), (1.0, IDLE))
    _, drained = settled(looks) or pytest.fail("never at rest")
    assert drained.busy_at == pytest.approx(0.059)
    assert drained.rest_at == pytest.approx(0.060)
    assert drained.lingering == 0


def test_dying_groups_known_to_stay_are_not_waited_for() -> None:
    now, drained = settled(every_ms((1.0, Pending(0, 7))), floor=7) or pytest.fail("never at rest")
    assert now < LINGER_S
    assert drained.lingering == 0


def test_dying_groups_that_prove_to_stay_count_as_lingering_from_when_their_number_last_changed() -> None:
    looks = every_ms((0.020, Pending(0, 3)), (2.0, Pending(0, 2)))
    now, drained = settled(looks, floor=1) or pytest.fail("never at rest")
    assert now == pytest.approx(0.020 + LINGER_S, abs=0.002)
    assert drained.rest_at == pytest.approx(0.020)
    assert drained.lingering == 1


def test_worker_that_never_ends_is_never_at_rest_and_named_at_the_limit() -> None:
    settling = Settling(0.0, floor=1)
    assert all(settling.see(now, Pending(1, 3)) is None for now, _ in every_ms((1.0, IDLE)))
    drained = settling.give_up(1.0, Pending(1, 3))
    assert drained.left == ("network namespaces being destroyed", "2 dying cgroups")
    assert drained.seconds == 1.0


CGROUPS = """#subsys_name\thierarchy\tnum_cgroups\tenabled
cpuset\t3\t1\t1
cpu\t1\t4\t1
cpuacct\t1\t4\t1
memory\t4\t14\t1
net_cls\t0\t90\t1
"""


def test_numbers_of_groups_are_those_of_v1_hierarchies_alone() -> None:
    assert parse_group_counts(CGROUPS) == {"cpuset": 1, "cpu": 4, "cpuacct": 4, "memory": 14}


def hierarchy(point: Path, version: int, *controllers: str) -> Hierarchy:
    assert version in {1, 2}
    return Hierarchy(1 if version == 1 else 2, point, "/", frozenset(controllers), read_only=False)


def test_dying_groups_of_v1_are_those_without_a_directory_each_hierarchy_once(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cgroups").write_text(CGROUPS)
    (tmp_path / "cpu/a/b").mkdir(parents=True)
    (tmp_path / "systemd/x").mkdir(parents=True)
    mounted = (hierarchy(tmp_path / "cpu", 1, "cpu", "cpuacct"), hierarchy(tmp_path / "systemd", 1))
    assert dying_groups(mounted, tmp_path / "proc") == 4 - 3


def test_dying_groups_of_v2_are_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "cgroup.stat").write_text("nr_descendants 82\nnr_dying_descendants 5\n")
    assert dying_groups((hierarchy(tmp_path, 2),), tmp_path) == 5


def thread(proc: Path, pid: int, name: str) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "comm").write_text(f"{name}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with kernel threads; 21 executes the work of some other queue."""
    (tmp_path / "2/task/2").mkdir(parents=True)
    (tmp_path / "2/task/2/children").write_text("3 20 21 ")
    thread(tmp_path, 2, "kthreadd")
    thread(tmp_path, 3, "kworker/R-netns")
    thread(tmp_path, 20, "kworker/u8:1-netns")
    thread(tmp_path, 21, "kworker/u8:2+events_unbound")
    return tmp_path


def test_worker_is_at_work_on_namespaces_while_its_name_says_so(proc: Path) -> None:
    drain = Drain(None, proc)
    assert drain.blind_to() is None
    assert drain.wait(10.0).left == ()
    thread(proc, 20, "kworker/u8:1+netns")
    assert drain.wait(0.01).left == ("network namespaces being destroyed",)


def test_worker_that_came_later_is_seen_and_one_that_went_is_none(proc: Path) -> None:
    drain = Drain(None, proc)
    (proc / "2/task/2/children").write_text("3 21 22 23 ")
    thread(proc, 22, "kworker/u8:3+netns")
    assert drain.wait(0.01).left == ("network namespaces being destroyed",)


def test_proc_without_kernel_threads_is_said_to_hide_them(tmp_path: Path) -> None:
    thread(tmp_path, 2, "sh")
    assert "no kernel threads" in str(Drain(None, tmp_path).blind_to())


def test_waits_of_a_run_are_added_up_and_those_that_came_to_the_limit_are_named() -> None:
    ends = iter((Drained(1.0, 1.1, 1.2), Drained(5.0, 6.0, 6.0, left=("x",)), Drained(7.0, 7.0, 7.1, (), 3)))
    asked: list[float] = []

    def wait(limit_s: float) -> Drained:
        asked.append(limit_s)
        return next(ends)

    rests = Rests(wait, RestRecord(LIMIT_S, waits=2, seconds=0.5, longest_s=0.3))
    for _ in range(3):
        rests.take()
    assert asked == [LIMIT_S] * 3
    found = rests.record
    assert (found.waits, found.unfinished, found.left, found.lingering) == (5, 1, ("x",), 3)
    assert found.seconds == pytest.approx(1.8)
    assert found.longest_s == pytest.approx(1.0)

"""Texts under data/cgroup were captured: 6.1 in a virtual machine in each layout, 6.18 on a host."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.isolators.cgroup import parse
from isobench.isolators.cgroup.parse import CpuStat
from isobench.model import CpuLimit
from isobench.procfs import parse_mountinfo

DATA = Path(__file__).parent / "data" / "cgroup"


def _points(case: str) -> dict[str, frozenset[str]]:
    mounted = parse.hierarchies(parse_mountinfo((DATA / case / "mountinfo").read_text()))
    return {str(h.point).removeprefix("/sys/fs/cgroup"): h.controllers for h in mounted}


def test_v2_host_has_one_hierarchy_whose_mount_tells_no_controllers() -> None:
    assert _points("v2-6.1") == {"": frozenset()}


def test_comounted_v1_host_has_cpu_and_cpuacct_in_one_hierarchy() -> None:
    assert _points("v1-comounted-6.1")["/cpu,cpuacct"] == {"cpu", "cpuacct"}


def test_split_hybrid_host_has_a_hierarchy_per_controller_one_named_and_one_unified() -> None:
    points = _points("hybrid-split-6.18")
    assert points["/cpu"] == {"cpu"}
    assert points["/cpuacct"] == {"cpuacct"}
    assert points["/systemd"] == points["/unified"] == frozenset()
    assert len(points) == 10


def test_second_mount_of_a_hierarchy_is_left_out() -> None:
    line = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    mounted = parse.hierarchies(parse_mountinfo(line + line.replace("/sys/fs", "/mnt/host")))
    assert [str(h.point) for h in mounted] == ["/sys/fs/cgroup/cpu"]


def test_flags_of_security_modules_are_no_controllers() -> None:
    line = "32 31 0:29 / /cg rw - cgroup cgroup rw,seclabel,clone_children,cpu,release_agent=/bin/x\n"
    (hierarchy,) = parse.hierarchies(parse_mountinfo(line))
    assert hierarchy.controllers == {"cpu"}


@pytest.mark.parametrize("options", ["ro,nosuid - cgroup2 cgroup2 rw", "rw - cgroup2 cgroup2 ro"])
def test_read_only_is_seen_on_the_mount_and_on_the_file_system(options: str) -> None:
    (hierarchy,) = parse.hierarchies(parse_mountinfo(f"25 23 0:22 / /sys/fs/cgroup {options}\n"))
    assert hierarchy.read_only


def test_group_outside_the_part_that_is_mounted_has_no_directory() -> None:
    (hierarchy,) = parse.hierarchies(
        parse_mountinfo("32 31 0:29 /docker/ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n")
    )
    assert hierarchy.directory("/docker/ab/x") == Path("/sys/fs/cgroup/cpu/x")
    assert hierarchy.directory("/docker/ab") == Path("/sys/fs/cgroup/cpu")
    assert hierarchy.directory("/docker/other") is None


def test_membership_of_an_instance_on_v1_names_the_group_under_both_comounted_controllers() -> None:
    groups = parse.membership((DATA / "v1-comounted-6.1" / "membership-instance").read_text())
    assert groups["cpu"] == groups["cpuacct"] == "/isobench-0123abcd/0"
    assert groups["memory"] == groups[""] == groups["name=systemd"] == "/"


def test_membership_of_an_instance_on_v2_stands_under_the_empty_name() -> None:
    text = (DATA / "v2-6.1" / "membership-instance").read_text()
    assert parse.membership(text) == {"": "/isobench-0123abcd/0"}


def test_membership_with_a_colon_in_the_groups_name_keeps_it() -> None:
    assert parse.membership("0::/system.slice/a:b\n") == {"": "/system.slice/a:b"}


def test_cpu_stat_of_v1_is_in_nanoseconds() -> None:
    text = (DATA / "v1-comounted-6.1" / "cpu.stat").read_text()
    assert parse.cpu_stat_v1(text) == CpuStat(21, 20, 1_487_840_238)


def test_cpu_stat_of_v2_is_turned_into_nanoseconds() -> None:
    text = (DATA / "v2-6.1" / "cpu.stat").read_text()
    assert parse.cpu_stat_v2(text) == CpuStat(21, 20, 1_496_048_000)
    assert parse.usage_ns_v2(text) == 534_377_000


def test_cpu_stat_of_a_v2_group_without_the_controller_is_never_throttled() -> None:
    assert parse.cpu_stat_v2("usage_usec 5\nuser_usec 3\nsystem_usec 2\n") == CpuStat(0, 0, 0)


def test_cpu_max_is_read_as_captured_and_as_unlimited() -> None:
    assert parse.cpu_max((DATA / "v2-6.1" / "cpu.max").read_text()) == CpuLimit(0.25, 100_000)
    assert parse.cpu_max("max 100000\n") is None


def test_negative_quota_of_v1_is_unlimited() -> None:
    assert parse.cpu_limit(-1, 100_000) is None


@given(quota_us=st.integers(1_000, 10**8), period_us=st.integers(1_000, 10**6))
def test_limit_read_back_has_the_quota_that_was_written(quota_us: int, period_us: int) -> None:
    limit = parse.cpu_limit(quota_us, period_us)
    assert limit is not None
    assert (limit.quota_us, limit.period_us) == (quota_us, period_us)

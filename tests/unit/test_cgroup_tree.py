"""The trees over ordinary directories in place of the kernel's; tests/integration has the kernel's own."""

import os
import re
import shutil
from pathlib import Path

import pytest

from isobench.errors import CgroupError, CgroupGoneError, InternalError, UsageError
from isobench.isolators.cgroup import CgroupTree, detect, files, tree
from isobench.isolators.cgroup.parse import membership
from isobench.isolators.cgroup.v1 import V1Tree
from isobench.isolators.cgroup.v2 import V2Tree
from isobench.model import CpuLimit, Status

DATA = Path(__file__).parent / "data" / "cgroup"
TOKEN = "isobench-0123abcd"  # noqa: S105
CASES = sorted(case.name for case in DATA.iterdir())


def host(
    case: str, top: Path, *, offered: str = "cpu memory pids", switched_on: str = "cpu memory"
) -> CgroupTree:
    """A captured host, its mount points below ``top``."""
    text = (DATA / case / "mountinfo").read_text().replace("/sys/fs/cgroup", str(top))
    for line in text.splitlines():
        point = Path(line.split()[4])
        if " - cgroup" in line:
            point.mkdir(parents=True, exist_ok=True)
        if " - cgroup2" in line:
            (point / "cgroup.controllers").write_text(offered if case.startswith("v2") else "hugetlb\n")
            (point / "cgroup.subtree_control").write_text(switched_on)
    return detect(text)


def instance(case: str) -> dict[str, str]:
    return dict(membership((DATA / case / "membership-instance").read_text()))


@pytest.mark.parametrize(
    ("case", "mode", "kind"),
    [
        ("v2-6.1", "v2", V2Tree),
        ("v1-comounted-6.1", "v1", V1Tree),
        ("hybrid-comounted-6.1", "hybrid", V1Tree),
        ("hybrid-split-6.18", "hybrid", V1Tree),
    ],
)
def test_layout_is_found_out_from_the_mount_table(
    case: str, mode: str, kind: type[CgroupTree], tmp_path: Path
) -> None:
    found = host(case, tmp_path)
    assert (found.mode, type(found)) == (mode, kind)
    assert found.controllers >= {"cpu", "memory", "pids"}
    assert found.writable().usable


def test_cpu_controller_on_v2_beside_v1_memory_is_served_by_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io\n")
    found = detect(
        f"1 0 0:1 / {tmp_path} rw - cgroup2 cgroup2 rw\n2 0 0:2 / /cg/memory rw - cgroup cgroup rw,memory\n"
    )
    assert (found.mode, type(found)) == ("hybrid", V2Tree)


def test_named_hierarchy_of_systemd_does_not_make_a_v2_host_hybrid(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    found = detect(
        f"1 0 0:1 / {tmp_path} rw - cgroup2 cgroup2 rw\n2 0 0:2 / /cg/s rw - cgroup cgroup rw,name=systemd\n"
    )
    assert found.mode == "v2"


def test_host_without_cgroups_says_so_and_refuses_every_group() -> None:
    found = detect("22 1 0:20 / /proc rw - proc proc rw\n")
    assert found.mode == "none"
    readiness = found.writable()
    assert readiness.status is Status.UNAVAILABLE
    assert readiness.remedy == "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    with pytest.raises(CgroupError, match=f"{TOKEN}/0"):
        found.directories(f"{TOKEN}/0")
    with pytest.raises(CgroupError, match="no cgroup hierarchy"), found.open(TOKEN):
        pytest.fail("opened a group on a host without cgroups")


@pytest.mark.parametrize(
    ("case", "places"),
    [
        ("v2-6.1", [""]),
        ("v1-comounted-6.1", ["cpu,cpuacct"]),
        ("hybrid-comounted-6.1", ["cpu,cpuacct"]),
        ("hybrid-split-6.18", ["cpu", "cpuacct"]),
    ],
)
def test_group_is_one_directory_per_hierarchy_in_use_and_the_slot_passes_through(
    case: str, places: list[str], tmp_path: Path
) -> None:
    found = host(case, tmp_path).directories(f"{TOKEN}/{{n}}")
    assert found == tuple(str(tmp_path / place / TOKEN / "{n}") for place in places)


def test_limit_on_v1_sets_the_period_before_the_quota(tmp_path: Path) -> None:
    writes = host("hybrid-split-6.18", tmp_path).cpu_limit_writes("g/{n}", CpuLimit(1.5, 50_000))
    assert [(write.path, write.value) for write in writes] == [
        (f"{tmp_path}/cpu/g/{{n}}/cpu.cfs_period_us", "50000"),
        (f"{tmp_path}/cpu/g/{{n}}/cpu.cfs_quota_us", "75000"),
    ]


def test_limit_on_v2_is_one_write(tmp_path: Path) -> None:
    (write,) = host("v2-6.1", tmp_path).cpu_limit_writes("g/{n}", CpuLimit(0.1))
    assert (write.path, write.value) == (f"{tmp_path}/g/{{n}}/cpu.max", "10000 100000")


@pytest.mark.parametrize(
    ("case", "files"),
    [
        (
            "hybrid-split-6.18",
            [("cpu/g", "cpu.cfs_period_us"), ("cpu/g", "cpu.cfs_quota_us"), ("cpu/g", "cpu.cfs_burst_us")],
        ),
        ("v2-6.1", [("g", "cpu.max"), ("g", "cpu.max.burst")]),
    ],
)
def test_burst_is_set_after_the_quota_that_bounds_it(
    case: str, files: list[tuple[str, str]], tmp_path: Path
) -> None:
    writes = host(case, tmp_path).cpu_limit_writes("g", CpuLimit(0.5, burst_us=20_000))
    assert [write.path for write in writes] == [f"{tmp_path}/{group}/{file}" for group, file in files]
    assert writes[-1].value == "20000"


@pytest.mark.parametrize("burst_us", [-1, 50_001])
def test_burst_above_the_quota_is_refused_with_its_bounds(burst_us: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"a burst of {burst_us} µs beside a quota of 50000 µs"):
        host("v2-6.1", tmp_path).cpu_limit_writes("g", CpuLimit(0.5, burst_us=burst_us))


@pytest.mark.parametrize(
    ("case", "place"), [("hybrid-split-6.18", "cpu/cpu.cfs_burst_us"), ("v2-6.1", "a/cpu.max.burst")]
)
def test_burst_is_there_where_groups_have_its_file(case: str, place: str, tmp_path: Path) -> None:
    found = host(case, tmp_path)
    lack = found.burst_lack()
    assert (lack.status, lack.reason) == (
        Status.UNAVAILABLE,
        f"cgroups of this kernel have no {Path(place).name}",
    )
    _write((tmp_path / place).parent, Path(place).name, "0")
    assert found.burst_lack().usable


def test_threads_have_a_group_beside_their_process_on_v1_and_moves_into_it(tmp_path: Path) -> None:
    found = host("hybrid-split-6.18", tmp_path)
    with found.threads_apart("g-{n}", "CPU ", 2) as (name, moves):
        assert name == "g-{n}"
        assert [(move.path, move.threads) for move in moves] == [
            (f"{tmp_path}/cpu/g-{{n}}/tasks", "CPU "),
            (f"{tmp_path}/cpuacct/g-{{n}}/tasks", "CPU "),
        ]
        assert sorted(path.name for path in (tmp_path / "cpu").glob("g-*")) == ["g-0", "g-1"]
    assert list(tmp_path.glob("*/g-*")) == []


@pytest.mark.parametrize("case", ["v2-6.1", "v1-comounted-6.1"])
@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (CpuLimit(0.001), "quota of 100 µs: the kernel takes 1000 µs or more"),
        (CpuLimit(0.0), "quota of 0 µs"),
        (CpuLimit(-1.0), "quota of -100000 µs"),
        (CpuLimit(1.0, 999), "period 999 µs: the kernel takes 1000 to 1000000 µs"),
        (CpuLimit(1.0, 1_000_001), "period 1000001 µs"),
    ],
)
def test_limit_the_kernel_would_refuse_is_refused_with_its_bounds(
    case: str, limit: CpuLimit, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        host(case, tmp_path).cpu_limit_writes("g", limit)


def test_v2_root_that_keeps_cpu_to_itself_is_unavailable_with_the_command(tmp_path: Path) -> None:
    readiness = host("v2-6.1", tmp_path, switched_on="memory pids").writable()
    assert readiness.status is Status.UNAVAILABLE
    assert readiness.remedy == f"echo +cpu > {tmp_path}/cgroup.subtree_control"


def test_v1_host_without_cpuacct_is_unavailable_with_the_command() -> None:
    readiness = detect("1 0 0:1 / /cg/cpu rw - cgroup cgroup rw,cpu\n").writable()
    assert readiness.status is Status.UNAVAILABLE
    assert "mount -t cgroup -o cpuacct" in str(readiness.remedy)


def test_read_only_hierarchy_is_unavailable_and_says_which(tmp_path: Path) -> None:
    line = f"1 0 0:1 / {tmp_path} ro - cgroup cgroup rw,cpu,cpuacct\n"
    readiness = detect(line).writable()
    assert readiness.reason == f"{tmp_path} is mounted read-only"
    assert readiness.remedy == f"mount -o remount,rw {tmp_path}"


def test_without_the_right_to_write_root_is_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    readiness = host("hybrid-split-6.18", tmp_path).writable()
    assert readiness.status is Status.UNAVAILABLE
    assert readiness.remedy == "sudo isobench run"


def test_parent_is_made_in_the_hierarchies_in_use_and_removed_from_all(tmp_path: Path) -> None:
    found = host("hybrid-split-6.18", tmp_path)
    with found.open(TOKEN):
        made = {path.parent.name for path in tmp_path.glob(f"*/{TOKEN}")}
        assert made == {"cpu", "cpuacct", "memory", "pids"}
        (tmp_path / "cpu" / TOKEN / "0" / "inner").mkdir(parents=True)
        (tmp_path / "freezer" / f"{TOKEN}-pivot" / "inner").mkdir(parents=True)
        (tmp_path / "memory" / "other" / f"{TOKEN}-0").mkdir(parents=True)
        (tmp_path / "memory" / "isobench-ffffffff").mkdir()
    assert not list(tmp_path.rglob(f"{TOKEN}*"))
    assert (tmp_path / "memory" / "isobench-ffffffff").is_dir()
    assert (tmp_path / "memory" / "other").is_dir()


def test_parent_on_v2_hands_down_the_controllers_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(directory: Path) -> None:
        directory.mkdir()
        (directory / "cgroup.controllers").write_text("cpu io pids\n")

    monkeypatch.setattr(tree, "make_group", make)
    monkeypatch.setattr(tree, "remove_group", shutil.rmtree)
    with host("v2-6.1", tmp_path).open(TOKEN):
        assert (tmp_path / TOKEN / "cgroup.subtree_control").read_text() == "+cpu +pids"
    assert not (tmp_path / TOKEN).exists()


def test_parent_is_removed_when_only_some_could_be_made(tmp_path: Path) -> None:
    found = host("hybrid-split-6.18", tmp_path)
    (tmp_path / "pids").rmdir()
    with (
        pytest.raises(CgroupError, match=re.escape(f"{tmp_path}/pids/{TOKEN}: No such file")),
        found.open(TOKEN),
    ):
        pytest.fail("opened although the parent could not be made")
    assert not list(tmp_path.rglob(TOKEN))


@pytest.mark.parametrize("name", ["", "other", "isobench-0123abcd/../x"])
def test_name_that_is_no_token_is_never_opened_nor_removed(name: str, tmp_path: Path) -> None:
    with pytest.raises(InternalError), host("v1-comounted-6.1", tmp_path).open(name):
        pytest.fail(f"opened {name!r}")


def test_group_in_use_is_an_error_that_names_the_processes_and_kills_none(tmp_path: Path) -> None:
    group = tmp_path / TOKEN
    group.mkdir()
    (group / "cgroup.procs").write_text("12\n7\n")
    with pytest.raises(CgroupError, match="still in use by processes: 7, 12") as caught:
        files.remove_group(group, timeout_s=0)
    assert caught.value.remedy == "isobench clean"


def test_view_of_a_process_reads_limit_usage_and_memory_from_its_own_groups_on_v1(tmp_path: Path) -> None:
    found = host("hybrid-split-6.18", tmp_path)
    _write(tmp_path / "cpu" / TOKEN / "0", "cpu.cfs_quota_us", "25000\n")
    _write(tmp_path / "cpu" / TOKEN / "0", "cpu.cfs_period_us", "100000\n")
    _write(tmp_path / "cpu" / TOKEN / "0", "cpu.stat", "nr_periods 4\nnr_throttled 3\nthrottled_time 9\n")
    _write(tmp_path / "cpu" / TOKEN / "0", "cgroup.procs", "42\n")
    _write(tmp_path / "cpu" / TOKEN / "0" / "inner", "cgroup.procs", "40\n")
    _write(tmp_path / "cpuacct" / TOKEN / "0", "cpuacct.usage", "123\n")
    _write(tmp_path / "memory", "memory.usage_in_bytes", "4096\n")
    view = found._view("process 42", instance("hybrid-split-6.18"))
    assert view.cpu_limit() == CpuLimit(0.25)
    assert view.cpu_usage_ns() == 123
    assert (view.cpu_stat().nr_throttled, view.cpu_stat().throttled_ns) == (3, 9)
    assert view.members() == (40, 42)
    assert view.memory_current_bytes() == 4096
    assert view.directory("memory") == tmp_path / "memory"


def test_view_on_v2_reads_the_one_group_and_none_where_a_controller_is_off(tmp_path: Path) -> None:
    found = host("v2-6.1", tmp_path)
    group = tmp_path / TOKEN / "0"
    _write(group, "cpu.stat", (DATA / "v2-6.1" / "cpu.stat").read_text())
    view = found._view("process 79", instance("v2-6.1"))
    assert view.cpu_limit() is None
    assert view.memory_current_bytes() is None
    _write(group, "cpu.max", "25000 100000\n")
    _write(group, "memory.current", "4194304\n")
    assert view.cpu_limit() == CpuLimit(0.25)
    assert view.memory_current_bytes() == 4_194_304
    assert view.cpu_usage_ns() == 534_377_000
    assert view.directory("cpuacct") == group
    assert found.at(f"{TOKEN}/0").directory("cpu") == group


@pytest.mark.parametrize("case", CASES)
def test_every_figure_of_a_removed_group_is_a_clear_error(case: str, tmp_path: Path) -> None:
    view = host(case, tmp_path).at(f"{TOKEN}/0")
    for read in (view.cpu_limit, view.cpu_usage_ns, view.cpu_stat, view.members, view.memory_current_bytes):
        with pytest.raises(CgroupGoneError, match=f"{TOKEN}/0 does not exist any more"):
            read()


def test_group_deleted_under_its_process_on_v2_is_gone(tmp_path: Path) -> None:
    with pytest.raises(CgroupGoneError, match="process 5: its cgroup /x was removed"):
        host("v2-6.1", tmp_path)._view("process 5", {"": "/x (deleted)"})


def test_file_that_is_missing_in_a_living_group_is_another_error(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match="cannot read") as caught:
        files.read_file(tmp_path / "cpu.max")
    assert not isinstance(caught.value, CgroupGoneError)


def test_group_outside_our_view_is_an_error_that_names_process_and_controller(tmp_path: Path) -> None:
    found = detect(f"1 0 0:1 /docker/ab {tmp_path} rw - cgroup cgroup rw,cpu,cpuacct\n")
    view = found._view("process 5", {"cpu": "/docker/other", "cpuacct": "/docker/other"})
    with pytest.raises(CgroupError, match="process 5: no mounted cgroup hierarchy shows its group for 'cpu'"):
        view.cpu_limit()


def test_process_that_does_not_exist_is_gone(tmp_path: Path) -> None:
    with pytest.raises(CgroupGoneError, match="has ended"):
        host("v2-6.1", tmp_path).of(2**22 + 1)


def test_process_that_is_dead_but_not_reaped_is_gone(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        with pytest.raises(CgroupGoneError, match=f"process {pid} has ended"):
            host("v2-6.1", tmp_path).of(pid)
    finally:
        os.waitpid(pid, 0)


def _write(group: Path, name: str, text: str) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / name).write_text(text)

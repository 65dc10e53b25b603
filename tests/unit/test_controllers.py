"""Limits beside CPU bandwidth and memory, as v1 and v2, LXC and runc say them; over ordinary directories."""

from pathlib import Path

import pytest

from isobench.errors import UsageError
from isobench.isolators.cgroup import Controllers, GroupUse, controllers_of, detect
from isobench.isolators.cgroup.controllers import (
    NestedKeyed,
    as_cpu_list,
    cpu_list,
    disk_of,
    keyed_by_device,
)
from isobench.isolators.cgroup.controllers_v1 import V1Use, shares_of
from isobench.isolators.cgroup.controllers_v2 import V2Use
from isobench.isolators.runc import resource_limits
from isobench.model import Limits, Readiness, WriteLimit

LIMITS = Limits(cpus=(1, 3), processes=64, write=WriteLimit("254:0", 1024))


def v1(point: Path) -> Controllers:
    names = ("cpu", "cpuacct", "memory", "cpuset", "pids", "blkio", "freezer")
    lines = (f"{n} 1 0:{n} / {point}/{o} rw - cgroup cgroup rw,{o}" for n, o in enumerate(names))
    for name in names:
        (point / name / "t-a").mkdir(parents=True, exist_ok=True)
    (point / "cpuset/cpuset.cpus").write_text("0-3\n")
    (point / "cpuset/cpuset.mems").write_text("0\n")
    return controllers_of(detect("\n".join(lines) + "\n"))


def v2(point: Path, *, offered: str = "cpu memory pids io cpuset") -> Controllers:
    (point / "cgroup.controllers").write_text("cpu memory pids io cpuset\n")
    (point / "cgroup.subtree_control").write_text(offered + "\n")
    return controllers_of(detect(f"1 1 0:1 / {point} rw - cgroup2 cgroup2 rw\n"))


@pytest.mark.parametrize(("text", "cpus"), [("0-2,5\n", (0, 1, 2, 5)), ("\n", ()), ("7", (7,))])
def test_list_of_cpus_is_read_as_numbers(text: str, cpus: tuple[int, ...]) -> None:
    assert cpu_list(text) == cpus
    assert cpu_list(as_cpu_list(cpus)) == cpus


def test_limits_on_v1_go_to_one_hierarchy_each_and_a_cpuset_gets_its_memory_nodes(tmp_path: Path) -> None:
    writes = [(w.path.removeprefix(f"{tmp_path}/"), w.value) for w in v1(tmp_path).writes("t/a", LIMITS)]
    assert writes == [
        ("cpuset/t-a/cpuset.cpus", "1,3"),
        ("cpuset/t-a/cpuset.mems", "0"),
        ("pids/t-a/pids.max", "64"),
        ("blkio/t-a/blkio.throttle.write_bps_device", "254:0 1024"),
    ]


def test_groups_on_v1_are_those_of_the_limits_and_accounts_alone(tmp_path: Path) -> None:
    found = v1(tmp_path)
    assert found.directories("t/a", Limits()) == (f"{tmp_path}/cpu/t/a", f"{tmp_path}/cpuacct/t/a")
    more = found.directories("t/a", Limits(accounted=frozenset({"freezer", "memory", "io"})))[2:]
    assert more == (f"{tmp_path}/memory/t/a", f"{tmp_path}/blkio/t-a", f"{tmp_path}/freezer/t-a")


def test_limits_on_v2_go_to_the_one_directory(tmp_path: Path) -> None:
    found = v2(tmp_path)
    assert [(w.path, w.value) for w in found.writes("t/a", LIMITS)] == [
        (f"{tmp_path}/t/a/cpuset.cpus", "1,3"),
        (f"{tmp_path}/t/a/pids.max", "64"),
        (f"{tmp_path}/t/a/io.max", "254:0 wbps=1024"),
    ]
    assert found.directories("t/a", LIMITS) == (f"{tmp_path}/t/a",)


def test_controllers_on_v2_are_handed_down_for_as_long_as_they_are_needed(tmp_path: Path) -> None:
    found = v2(tmp_path)
    control = tmp_path / "t/cgroup.subtree_control"
    control.parent.mkdir()
    control.write_text("cpu memory pids\n")
    with found.handed_down("t", LIMITS):
        assert control.read_text() == "+cpuset +io"
    assert control.read_text() == "-cpuset -io"


def test_controllers_on_v2_stay_as_they_are_where_nothing_more_is_needed(tmp_path: Path) -> None:
    found = v2(tmp_path)
    control = tmp_path / "t/cgroup.subtree_control"
    control.parent.mkdir()
    control.write_text("cpu memory pids\n")
    with found.handed_down("t", Limits(processes=5, accounted=frozenset({"freezer"}))):
        pass
    assert control.read_text() == "cpu memory pids\n"


def test_controller_the_root_does_not_offer_is_told_with_its_remedy(tmp_path: Path) -> None:
    found = v2(tmp_path, offered="cpu memory pids")
    assert found.lack("pids").usable
    assert found.lack("freezer").usable
    lack = found.lack("io")
    assert lack.remedy == f"echo +io > {tmp_path}/cgroup.subtree_control"
    assert "no misc controller" in str(found.lack("misc").reason)


def test_controller_that_is_not_mounted_on_v1_is_told_with_its_remedy(tmp_path: Path) -> None:
    found = controllers_of(detect(f"1 1 0:1 / {tmp_path}/cpu rw - cgroup cgroup rw,cpu\n"))
    assert found.lack("cpu").usable
    lack = found.lack("io")
    assert "blkio controller is not mounted" in str(lack.reason)
    assert (
        lack.remedy == "mkdir -p /sys/fs/cgroup/blkio && mount -t cgroup -o blkio blkio /sys/fs/cgroup/blkio"
    )


class View:
    """A group whose files all lie in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def directory(self, _controller: str) -> Path:
        return self._directory


def use(kind: type[GroupUse], directory: Path, **files: str) -> GroupUse:
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return kind(View(directory))  # type: ignore[arg-type]


def test_group_on_v1_is_read_back_from_its_files(tmp_path: Path) -> None:
    found = use(
        V1Use,
        tmp_path,
        cpuset__cpus="1,3\n",
        blkio__throttle__write_bps_device="8:0 5\n254:0 1024\n",
        blkio__throttle__io_service_bytes_recursive="254:0 Read 7\n254:0 Write 99\nTotal 106\n",
        pids__max="64\n",
        pids__current="3\n",
        memory__stat="rss 1\ntotal_rss 4096\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    )
    assert (found.cpus(), found.write_limit("254:0"), found.write_limit("9:9")) == ((1, 3), 1024, None)
    assert (found.written_bytes("254:0"), found.written_bytes("9:9")) == (99, 0)
    assert (found.processes_limit(), found.processes()) == (64, 3)
    assert (found.anonymous_bytes(), found.oom_kills()) == (4096, 2)


def test_group_on_v2_is_read_back_from_its_files(tmp_path: Path) -> None:
    found = use(
        V2Use,
        tmp_path,
        cpuset__cpus="\n",
        io__max="8:0 rbps=max wbps=max riops=max wiops=max\n254:0 rbps=max wbps=1024 riops=max wiops=max\n",
        io__stat="254:0 rbytes=7 wbytes=99 rios=1 wios=2 dbytes=0 dios=0\n8:0\n",
        pids__max="max\n",
        memory__stat="anon 4096\nfile 1\n",
        memory__events="low 0\noom 1\noom_kill 2\n",
    )
    assert (found.cpus(), found.processes_limit()) == ((), None)
    assert [found.write_limit(device) for device in ("254:0", "8:0", "9:9")] == [1024, None, None]
    assert [found.written_bytes(device) for device in ("254:0", "8:0")] == [99, 0]
    assert (found.anonymous_bytes(), found.oom_kills()) == (4096, 2)


def test_lines_by_device_are_found_by_device_and_word() -> None:
    assert keyed_by_device("254:0 Read 7\n254:0 Write 9\n", "254:0", "Write") == 9
    assert keyed_by_device("254:0 Read 7\n", "254:0", "Write") is None
    assert NestedKeyed("254:0 a=1\n").value("254:0", "b") is None


@pytest.mark.parametrize(("weight", "shares"), [(1, 10), (100, 1024), (10_000, 102_400)])
def test_weight_on_v1_is_1024_shares_for_each_hundred(weight: int, shares: int) -> None:
    assert shares_of(weight) == shares


@pytest.mark.parametrize("weight", [0, -1, 10_001])
def test_weight_out_of_the_kernels_range_is_refused_by_number(weight: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"CPU weight {weight}: the kernel takes 1 to 10000"):
        v2(tmp_path).weight_write("t/a", weight)
    with pytest.raises(UsageError, match=f"CPU weight {weight}"):
        shares_of(weight)


def test_limits_are_resources_of_an_oci_configuration() -> None:
    found = resource_limits(Limits(cpus=(1,), processes=5, write=WriteLimit("254:16", 7)), swap=True)
    assert found == {
        "cpu": {"cpus": "1"},
        "pids": {"limit": 5},
        "blockIO": {"throttleWriteBpsDevice": [{"major": 254, "minor": 16, "rate": 7}]},
    }
    weights = Limits(cpu_weights=(100, 1000))
    assert [resource_limits(weights, swap=True, slot=slot)["cpu"]["shares"] for slot in (0, 1)] == [
        1024,
        10240,
    ]


def test_limit_of_a_partition_is_that_of_its_disk(tmp_path: Path) -> None:
    number = tmp_path.stat().st_dev
    disk = tmp_path / "disk"
    part = disk / "part"
    part.mkdir(parents=True)
    (part / "partition").write_text("1\n")
    (disk / "dev").write_text("8:0\n")
    sysfs = tmp_path / "sysfs"
    sysfs.mkdir()
    (sysfs / f"{number >> 8 & 0xFFF}:{number & 0xFF}").symlink_to(part)
    assert disk_of(tmp_path, sysfs) == "8:0"


def test_place_on_no_disk_is_told_with_its_remedy(tmp_path: Path) -> None:
    found = disk_of(tmp_path, tmp_path / "none")
    assert isinstance(found, Readiness)
    assert "is on no disk of its own" in str(found.reason)
    assert str(found.remedy).startswith("export ISOBENCH_STATE=")

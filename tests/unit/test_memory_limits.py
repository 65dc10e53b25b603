"""Limits of memory as each isolator and cgroup version says them."""

from pathlib import Path

import pytest

from isobench.errors import UsageError
from isobench.isolators.cgroup import detect
from isobench.isolators.cgroup.parse import memory_max, page_cache_v1, page_cache_v2
from isobench.isolators.cgroup.tree import CgroupTree
from isobench.isolators.qemu import whole_mib
from isobench.isolators.runc import resource_limits
from isobench.model import CpuLimit, Limits

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("text", "limit"), [("max\n", None), ("9223372036854771712\n", None), ("4096\n", 4096), ("0\n", 0)]
)
def test_memory_limit_is_read_as_bytes_and_the_greatest_as_none(text: str, limit: int | None) -> None:
    assert memory_max(text, 4096) == limit


def test_page_cache_of_a_group_leaves_out_files_in_memory() -> None:
    assert page_cache_v1("cache 5\nshmem 1\ntotal_cache 900\ntotal_shmem 100\n") == 800
    assert page_cache_v2("anon 7\nfile 900\nshmem 100\n") == 800


def v1_tree(point: Path) -> CgroupTree:
    mounts = (("cpu", "cpu"), ("cpuacct", "cpuacct"), ("memory", "memory"))
    lines = (f"{n} 1 0:{n} / {point}/{name} rw - cgroup cgroup rw,{o}" for n, (name, o) in enumerate(mounts))
    return detect("\n".join(lines) + "\n")


def test_limit_on_v1_sets_memory_before_memory_with_swap(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.memsw.limit_in_bytes").touch()
    tree = v1_tree(tmp_path)
    group = f"{tmp_path}/memory/t/a"
    assert [(write.path, write.value) for write in tree.memory_limit_writes("t/a", 4096)] == [
        (f"{group}/memory.limit_in_bytes", "4096"),
        (f"{group}/memory.memsw.limit_in_bytes", "4096"),
    ]
    assert tree.memory_directories("t/a") == (f"{tmp_path}/cpu/t/a", f"{tmp_path}/cpuacct/t/a", group)
    assert tree.peak_reset("t/a") == f"{group}/memory.max_usage_in_bytes"


def test_limit_on_v1_leaves_swap_alone_where_it_cannot_be_limited(tmp_path: Path) -> None:
    tree = v1_tree(tmp_path)
    assert [write.value for write in tree.memory_limit_writes("t/a", 4096)] == ["4096"]


def v2_tree(point: Path, *, offered: str = "cpu memory") -> CgroupTree:
    (point / "cgroup.controllers").write_text("cpu memory pids\n")
    (point / "cgroup.subtree_control").write_text(offered + "\n")
    return detect(f"1 1 0:1 / {point} rw - cgroup2 cgroup2 rw\n")


def test_limit_on_v2_forbids_swap_where_the_kernel_swaps(tmp_path: Path) -> None:
    tree = v2_tree(tmp_path)
    assert [write.path for write in tree.memory_limit_writes("t/a", 4096)] == [f"{tmp_path}/t/a/memory.max"]
    (tmp_path / "system.slice").mkdir()
    (tmp_path / "system.slice/memory.swap.max").touch()
    limit, swap = tree.memory_limit_writes("t/a", 4096)
    assert (limit.value, swap.path, swap.value) == ("4096", f"{tmp_path}/t/a/memory.swap.max", "0")
    assert tree.peak_reset("t/a") is None


def test_memory_controller_that_is_not_offered_is_told_with_its_remedy(tmp_path: Path) -> None:
    assert v2_tree(tmp_path).memory_lack().usable
    lack = v2_tree(tmp_path, offered="cpu").memory_lack()
    assert lack.remedy == f"echo +memory > {tmp_path}/cgroup.subtree_control"


def test_kernel_without_the_memory_controller_is_told(tmp_path: Path) -> None:
    tree = detect(f"1 1 0:1 / {tmp_path}/cpu rw - cgroup cgroup rw,cpu\n")
    assert "no memory controller" in str(tree.memory_lack().reason)


def test_runc_is_told_memory_and_swap_together_as_much_as_memory() -> None:
    both = Limits(CpuLimit(0.5), memory_bytes=MIB)
    assert resource_limits(both, swap=True) == {
        "cpu": {"quota": 50_000, "period": 100_000},
        "memory": {"limit": MIB, "swap": MIB},
    }
    assert resource_limits(Limits(memory_bytes=MIB), swap=False) == {"memory": {"limit": MIB}}
    assert resource_limits(Limits(), swap=True) == {}


def test_ram_of_a_guest_is_whole_mib() -> None:
    assert whole_mib(64 * MIB) == 64
    with pytest.raises(UsageError, match="whole number of MiB, not 4096 bytes"):
        whole_mib(4096)

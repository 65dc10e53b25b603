"""Groups on cgroup v1, also beside an empty v2 tree (hybrid): a directory per hierarchy.

cpu and cpuacct may be two mounts or one ("cpu,cpuacct", as systemd co-mounts them). Source:
Documentation/scheduler/sched-bwc.rst, Documentation/admin-guide/cgroup-v1/cpuacct.rst and memory.rst.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from isobench.isolators.cgroup.files import read_file
from isobench.isolators.cgroup.parse import CpuStat, cpu_limit, cpu_stat_v1, memory_max, page_cache_v1
from isobench.isolators.cgroup.tree import CgroupTree, CgroupView, check_limit
from isobench.model import READY, CpuLimit, FileWrite, Readiness, unavailable

LIMIT_CONTROLLERS = ("cpu", "cpuacct")
PARENT_CONTROLLERS = (*LIMIT_CONTROLLERS, "memory", "pids")
_BURST_FILE = "cpu.cfs_burst_us"
_SWAP_FILE = "memory.memsw.limit_in_bytes"


class V1View(CgroupView):
    """A group on v1."""

    def cpu_limit(self) -> CpuLimit | None:
        """From cpu.cfs_quota_us and cpu.cfs_period_us; -1 is unlimited. Kernels before 5.14 have no burst."""
        group = self.directory("cpu")
        quota_us = int(read_file(group / "cpu.cfs_quota_us"))
        burst_us = int(read_file(group / _BURST_FILE)) if (group / _BURST_FILE).exists() else 0
        return cpu_limit(quota_us, int(read_file(group / "cpu.cfs_period_us")), burst_us)

    def thaw(self) -> FileWrite | None:
        """From freezer.state, of the group in the freezer's own hierarchy."""
        if "freezer" not in self._directories:
            return None
        file = self._directories["freezer"] / "freezer.state"
        # The root group has no such file.
        frozen = file.exists() and read_file(file).strip() != "THAWED"
        return FileWrite(str(file), "THAWED") if frozen else None

    def cpu_usage_ns(self) -> int:
        """From cpuacct.usage."""
        return int(read_file(self.directory("cpuacct") / "cpuacct.usage"))

    def cpu_stat(self) -> CpuStat:
        """From cpu.stat."""
        return cpu_stat_v1(read_file(self.directory("cpu") / "cpu.stat"))

    def memory_current_bytes(self) -> int | None:
        """From memory.usage_in_bytes (kept approximately: the kernel batches charges per CPU)."""
        text = self._of_memory("memory.usage_in_bytes")
        return None if text is None else int(text)

    def memory_limit_bytes(self) -> int | None:
        """From memory.limit_in_bytes."""
        text = self._of_memory("memory.limit_in_bytes")
        return None if text is None else memory_max(text, os.sysconf("SC_PAGE_SIZE"))

    def memory_peak_bytes(self) -> int | None:
        """From memory.max_usage_in_bytes."""
        text = self._of_memory("memory.max_usage_in_bytes")
        return None if text is None else int(text)

    def page_cache_bytes(self) -> int | None:
        """From memory.stat."""
        text = self._of_memory("memory.stat")
        return None if text is None else page_cache_v1(text)

    def _of_memory(self, name: str) -> str | None:
        return read_file(self.directory("memory") / name) if "memory" in self._directories else None


class V1Tree(CgroupTree):
    """Hierarchies of v1 that hold the cpu controller."""

    def directories(self, name: str) -> tuple[str, ...]:
        """One directory under cpu and one under cpuacct, or a single one where they share a mount."""
        return tuple(str(path) for path in self._places(LIMIT_CONTROLLERS, name))

    def cpu_limit_writes(self, name: str, limit: CpuLimit) -> tuple[FileWrite, ...]:
        """The period first: a new group has no quota, so any period fits; the quota is checked against it."""
        check_limit(limit)
        (group,) = self._places(("cpu",), name)
        return (
            FileWrite(f"{group}/cpu.cfs_period_us", str(limit.period_us)),
            FileWrite(f"{group}/cpu.cfs_quota_us", str(limit.quota_us)),
            *((FileWrite(f"{group}/{_BURST_FILE}", str(limit.burst_us)),) if limit.burst_us else ()),
        )

    BURST_FILE = _BURST_FILE

    def _has_burst(self) -> bool:
        return (self._by_controller()["cpu"].point / _BURST_FILE).exists()

    def memory_directories(self, name: str) -> tuple[str, ...]:
        """The memory hierarchy is one more, unless it shares a mount with the others."""
        return tuple(str(path) for path in self._places((*LIMIT_CONTROLLERS, "memory"), name))

    def memory_limit_writes(self, name: str, limit_bytes: int) -> tuple[FileWrite, ...]:
        """Memory first, then memory with swap, which the kernel never lets fall below it."""
        (group,) = self._places(("memory",), name)
        files = ("memory.limit_in_bytes", _SWAP_FILE) if self.limits_swap() else ("memory.limit_in_bytes",)
        return tuple(FileWrite(f"{group}/{file}", str(limit_bytes)) for file in files)

    def limits_swap(self) -> bool:
        """The file is there unless the kernel was booted with swapaccount=0."""
        hierarchy = self._by_controller().get("memory")
        return hierarchy is not None and (hierarchy.point / _SWAP_FILE).exists()

    def peak_reset(self, name: str) -> str | None:
        """A 0 sets it to what is charged now."""
        places = self._places(("memory",), name)
        return str(places[0] / "memory.max_usage_in_bytes") if places else None

    def memory_lack(self) -> Readiness:
        """The controller may be there and not mounted."""
        lack = super().memory_lack()
        if not lack.usable or "memory" in self._by_controller():
            return lack
        point = "/sys/fs/cgroup/memory"
        return unavailable(
            "the memory controller is not mounted",
            f"mkdir -p {point} && mount -t cgroup -o memory memory {point}",
        )

    def _parents(self, token: str) -> tuple[Path, ...]:
        return self._places(PARENT_CONTROLLERS, token)

    def _places(self, controllers: tuple[str, ...], name: str) -> tuple[Path, ...]:
        mounted = self._by_controller()
        points = dict.fromkeys(mounted[c].point for c in controllers if c in mounted)
        return tuple(point / name.lstrip("/") for point in points)

    def _view(self, subject: str, groups: Mapping[str, str]) -> V1View:
        mounted = self._by_controller()
        directories = {c: mounted[c].directory(group) for c, group in groups.items() if c in mounted}
        return V1View(subject, {c: path for c, path in directories.items() if path is not None})

    def _lack(self) -> Readiness:
        if "cpuacct" in self._by_controller():
            return READY
        point = "/sys/fs/cgroup/cpuacct"
        return unavailable(
            "the cpuacct controller is not mounted, so CPU use cannot be accounted for",
            f"mkdir -p {point} && mount -t cgroup -o cpuacct cpuacct {point}",
        )

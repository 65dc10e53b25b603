"""Groups on cgroup v1, also beside an empty v2 tree (hybrid): a directory per hierarchy.

cpu and cpuacct may be two mounts or one ("cpu,cpuacct", as systemd co-mounts them). Source:
Documentation/scheduler/sched-bwc.rst, Documentation/admin-guide/cgroup-v1/cpuacct.rst and memory.rst.
"""

from collections.abc import Mapping
from pathlib import Path

from isobench.isolators.cgroup.files import read_file
from isobench.isolators.cgroup.parse import CpuStat, cpu_limit, cpu_stat_v1
from isobench.isolators.cgroup.tree import CgroupTree, CgroupView, check_limit
from isobench.model import READY, CpuLimit, FileWrite, Readiness, unavailable

LIMIT_CONTROLLERS = ("cpu", "cpuacct")
PARENT_CONTROLLERS = (*LIMIT_CONTROLLERS, "memory", "pids")


class V1View(CgroupView):
    """A group on v1."""

    def cpu_limit(self) -> CpuLimit | None:
        """From cpu.cfs_quota_us and cpu.cfs_period_us; -1 is unlimited."""
        group = self.directory("cpu")
        quota_us = int(read_file(group / "cpu.cfs_quota_us"))
        return cpu_limit(quota_us, int(read_file(group / "cpu.cfs_period_us")))

    def cpu_usage_ns(self) -> int:
        """From cpuacct.usage."""
        return int(read_file(self.directory("cpuacct") / "cpuacct.usage"))

    def cpu_stat(self) -> CpuStat:
        """From cpu.stat."""
        return cpu_stat_v1(read_file(self.directory("cpu") / "cpu.stat"))

    def memory_current_bytes(self) -> int | None:
        """From memory.usage_in_bytes (kept approximately: the kernel batches charges per CPU)."""
        if "memory" not in self._directories:
            return None
        return int(read_file(self.directory("memory") / "memory.usage_in_bytes"))


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

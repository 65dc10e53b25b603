"""Groups on cgroup v2: one directory each. Source: Documentation/admin-guide/cgroup-v2.rst.

The host's own groups are left as they are. Controllers are switched on for the children of the run's
parent group only; that works when the root already offers them to its children, as systemd arranges.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from isobench.errors import CgroupGoneError
from isobench.isolators.cgroup.files import read_file, write_file
from isobench.isolators.cgroup.parse import (
    CpuStat,
    Hierarchy,
    cpu_max,
    cpu_stat_v2,
    flat_keyed,
    memory_max,
    page_cache_v2,
    usage_ns_v2,
)
from isobench.isolators.cgroup.tree import CgroupTree, CgroupView, check_limit
from isobench.model import READY, CpuLimit, FileWrite, Move, Readiness, unavailable

CHILD_CONTROLLERS = ("cpu", "memory", "pids")
CONTROLLERS_OF_VIEW = ("cpu", "cpuacct", "memory", "pids")
"""All are one directory on v2; ``cpuacct`` is here so that callers need not know the version."""
DELETED = " (deleted)"
_OF_THREADS = "threads"


class V2View(CgroupView):
    """A group on v2."""

    def cpu_limit(self) -> CpuLimit | None:
        """From cpu.max; the root group and groups without the controller have no such file: unlimited."""
        text, burst = self._read("cpu.max"), self._read("cpu.max.burst")
        return None if text is None else cpu_max(text, int(burst or 0))

    def thaw(self) -> FileWrite | None:
        """From cgroup.events, which counts groups above as well."""
        text = self._read("cgroup.events")
        frozen = text is not None and flat_keyed(text).get("frozen")
        return FileWrite(str(self.directory("cpu") / "cgroup.freeze"), "0") if frozen else None

    def cpu_usage_ns(self) -> int:
        """From cpu.stat, which every group has."""
        return usage_ns_v2(read_file(self.directory("cpu") / "cpu.stat"))

    def cpu_stat(self) -> CpuStat:
        """From cpu.stat; zeros without the controller."""
        return cpu_stat_v2(read_file(self.directory("cpu") / "cpu.stat"))

    def memory_current_bytes(self) -> int | None:
        """From memory.current."""
        text = self._read("memory.current")
        return None if text is None else int(text)

    def memory_limit_bytes(self) -> int | None:
        """From memory.max."""
        text = self._read("memory.max")
        return None if text is None else memory_max(text, os.sysconf("SC_PAGE_SIZE"))

    def memory_peak_bytes(self) -> int | None:
        """From memory.peak, which kernels have from 5.19 on."""
        text = self._read("memory.peak")
        return None if text is None else int(text)

    def page_cache_bytes(self) -> int | None:
        """From memory.stat."""
        text = self._read("memory.stat")
        return None if text is None else page_cache_v2(text)

    def _read(self, name: str) -> str | None:
        """A file of a controller that may be switched off for this group."""
        group = self.directory("cpu")
        if group.exists() and not (group / name).exists():
            return None
        return read_file(group / name)


class V2Tree(CgroupTree):
    """The unified hierarchy, where it holds the cpu controller."""

    @property
    def _unified(self) -> Hierarchy:
        return self._by_controller()[""]

    def directories(self, name: str) -> tuple[str, ...]:
        """The one directory."""
        return (str(self._unified.point / name.lstrip("/")),)

    def cpu_limit_writes(self, name: str, limit: CpuLimit) -> tuple[FileWrite, ...]:
        """Quota and period go in one write, to cpu.max."""
        check_limit(limit)
        (group,) = self.directories(name)
        burst = FileWrite(f"{group}/cpu.max.burst", str(limit.burst_us))
        quota = FileWrite(f"{group}/cpu.max", f"{limit.quota_us} {limit.period_us}")
        return (quota, burst) if limit.burst_us else (quota,)

    def _thread_groups(self, name: str) -> tuple[Path, ...]:
        """Threads of one process are in one group or below it (cgroup-v2.rst, "Threads")."""
        (group,) = self.directories(name)
        return (Path(group), Path(group, _OF_THREADS))

    def _make_threaded(self, group: Path) -> None:
        if group.name == _OF_THREADS:
            write_file(group / "cgroup.type", "threaded")
            write_file(group.parent / "cgroup.subtree_control", "+cpu")

    def _moves(self, name: str, threads: str) -> tuple[str, tuple[Move, ...]]:
        (group,) = self.directories(name)
        of_threads = Move(f"{group}/{_OF_THREADS}/cgroup.threads", threads)
        return f"{name}/{_OF_THREADS}", (Move(f"{group}/cgroup.procs"), of_threads)

    def _has_burst(self) -> bool:
        """Any group but the root has the file."""
        return any(self._unified.point.glob("*/cpu.max.burst"))

    def memory_limit_writes(self, name: str, limit_bytes: int) -> tuple[FileWrite, ...]:
        """memory.max, and no swap."""
        (group,) = self.directories(name)
        limit = FileWrite(f"{group}/memory.max", str(limit_bytes))
        return (limit, FileWrite(f"{group}/memory.swap.max", "0")) if self.limits_swap() else (limit,)

    def limits_swap(self) -> bool:
        """Any group but the root has the file where the kernel can swap and memory is accounted for."""
        return any(self._unified.point.glob("*/memory.swap.max"))

    def memory_lack(self) -> Readiness:
        """The controller may be there and not offered to the root's children."""
        lack = super().memory_lack()
        point = self._unified.point
        if not lack.usable or "memory" in read_file(point / "cgroup.subtree_control").split():
            return lack
        return unavailable(
            f"{point} does not offer the memory controller to its children",
            f"echo +memory > {point}/cgroup.subtree_control",
        )

    def _parents(self, token: str) -> tuple[Path, ...]:
        return (self._unified.point / token,)

    def _delegate(self, parent: Path) -> None:
        offered = read_file(parent / "cgroup.controllers").split()
        wanted = " ".join(f"+{name}" for name in CHILD_CONTROLLERS if name in offered)
        write_file(parent / "cgroup.subtree_control", wanted)

    def _view(self, subject: str, groups: Mapping[str, str]) -> V2View:
        group = groups.get("", "/")
        if group.endswith(DELETED):
            raise CgroupGoneError(f"{subject}: its cgroup {group.removesuffix(DELETED)} was removed")
        directory = self._unified.directory(group)
        return V2View(subject, {} if directory is None else dict.fromkeys(CONTROLLERS_OF_VIEW, directory))

    def _lack(self) -> Readiness:
        point = self._unified.point
        if "cpu" in read_file(point / "cgroup.subtree_control").split():
            return READY
        return unavailable(
            f"{point} does not offer the cpu controller to its children",
            f"echo +cpu > {point}/cgroup.subtree_control",
        )

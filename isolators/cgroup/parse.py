"""Cgroup files as values; no file is opened here. Sources: cgroups(7), and in the kernel's tree
Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst, Documentation/scheduler/sched-bwc.rst.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from isobench.model import CpuLimit
from isobench.procfs import Mount

V1_CONTROLLERS = frozenset(
    {
        "blkio",
        "cpu",
        "cpuacct",
        "cpuset",
        "debug",
        "devices",
        "freezer",
        "hugetlb",
        "memory",
        "misc",
        "net_cls",
        "net_prio",
        "perf_event",
        "pids",
        "rdma",
    }
)
"""All v1 controllers of any kernel: the mount's options hold them among flags such as ``seclabel``."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of cgroups."""

    version: Literal[1, 2]
    point: Path
    root: str
    """The group that is seen at ``point``; other than ``/`` in a container without a cgroup namespace."""
    controllers: frozenset[str]
    """Controllers bound to a v1 mount. Empty for v2 and for named hierarchies: the mount does not tell."""
    read_only: bool

    def directory(self, group: str) -> Path | None:
        """Where the group of that kernel path is seen, or None when it lies outside this mount."""
        try:
            return self.point / PurePosixPath(group).relative_to(self.root)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class CpuStat:
    """What the bandwidth controller did to a group since it was made."""

    nr_periods: int
    """Periods in which something of the group was runnable."""
    nr_throttled: int
    """Of these, the ones in which the quota ran out."""
    throttled_ns: int
    """Time spent waiting for the next period, summed over CPUs: it may exceed wall time."""


def hierarchies(mounts: Iterable[Mount]) -> tuple[Hierarchy, ...]:
    """Every cgroup tree that is mounted, once each (a second mount of the same tree adds nothing)."""
    found: dict[tuple[str, frozenset[str] | str], Hierarchy] = {}
    for mount in mounts:
        if mount.fstype not in {"cgroup", "cgroup2"}:
            continue
        controllers = V1_CONTROLLERS.intersection(mount.super_options)
        names = ",".join(option for option in mount.super_options if option.startswith("name="))
        tree = Hierarchy(
            version=2 if mount.fstype == "cgroup2" else 1,
            point=Path(mount.point),
            root=mount.root,
            controllers=frozenset() if mount.fstype == "cgroup2" else controllers,
            read_only=mount.read_only,
        )
        found.setdefault((mount.fstype, tree.controllers or names), tree)
    return tuple(found.values())


def membership(text: str) -> Mapping[str, str]:
    """/proc/<pid>/cgroup as {controller: kernel path}; the v2 group stands under the empty name.

    Named v1 hierarchies stand under ``name=…``. The path of a removed v2 group ends in `` (deleted)``.
    """
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _id, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def flat_keyed(text: str) -> Mapping[str, int]:
    """A "flat keyed" file such as cpu.stat: one ``name number`` a line."""
    pairs = (line.split(" ", 1) for line in text.splitlines() if line)
    return {name: int(number) for name, number in pairs}


def cpu_max(text: str, burst_us: int = 0) -> CpuLimit | None:
    """cpu.max of v2: ``quota period`` in µs, or ``max period`` for no limit."""
    quota, period = text.split()
    return None if quota == "max" else cpu_limit(int(quota), int(period), burst_us)


def cpu_limit(quota_us: int, period_us: int, burst_us: int = 0) -> CpuLimit | None:
    """A limit from its figures in µs; a negative quota (-1 in cpu.cfs_quota_us) is no limit."""
    return None if quota_us < 0 else CpuLimit(quota_us / period_us, period_us, burst_us)


def memory_max(text: str, page_size: int) -> int | None:
    """A limit in bytes from memory.max (``max`` for none) or memory.limit_in_bytes; None: unlimited.

    v1 shows no limit as the greatest number of whole pages (PAGE_COUNTER_MAX in mm/page_counter.c).
    """
    word = text.strip()
    unlimited = word == "max" or int(word) >= (2**63 - 1) // page_size * page_size
    return None if unlimited else int(word)


def page_cache_v1(text: str) -> int:
    """Page cache charged to a v1 group and those below it in bytes, from memory.stat, without tmpfs."""
    stat = flat_keyed(text)
    return stat["total_cache"] - stat.get("total_shmem", 0)


def page_cache_v2(text: str) -> int:
    """The same of a v2 group, whose figures always include the groups below."""
    stat = flat_keyed(text)
    return stat["file"] - stat.get("shmem", 0)


def cpu_stat_v1(text: str) -> CpuStat:
    """cpu.stat of v1: throttled_time is in ns."""
    stat = flat_keyed(text)
    return CpuStat(stat["nr_periods"], stat["nr_throttled"], stat["throttled_time"])


def cpu_stat_v2(text: str) -> CpuStat:
    """cpu.stat of v2: throttled_usec is in µs.

    A group without the cpu controller, as is the root, shows usage only: it cannot be throttled.
    """
    stat = flat_keyed(text)
    return CpuStat(
        stat.get("nr_periods", 0), stat.get("nr_throttled", 0), stat.get("throttled_usec", 0) * 1000
    )


def usage_ns_v2(text: str) -> int:
    """CPU time used by a v2 group since it was made, from its cpu.stat (µs in the file)."""
    return flat_keyed(text)["usage_usec"] * 1000

"""What a host has of the things it runs out of when many instances are held, and what each of them takes.

Nothing is guessed: one more will take what those so far have taken each. Sources: getrlimit(2), pids.max in
Documentation/admin-guide/cgroup-v2.rst of the kernel's tree, proc_meminfo(5).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from isobench.benchmarks.hostmemory import read_available, reserve_bytes
from isobench.benchmarks.processes import PROC
from isobench.isolators.cgroup.parse import Hierarchy, membership
from isobench.isolators.cgroup.tree import CgroupTree
from isobench.procfs import read_names, read_optional

_NUMBER_RESERVE = 16
"""Of processes and descriptors: the tools of one more start need a few for a moment."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing there is a bound on."""

    used: int
    bound: int
    reserve: int
    remedy: str

    @property
    def available(self) -> int:
        """What may still be taken."""
        return max(0, self.bound - self.used - self.reserve)


Room = Mapping[str, Resource]
"""By the words a shortage is told in."""

MEMORY = "bytes of memory"


@dataclass(frozen=True, slots=True)
class Shortage:
    """Something there is not enough of."""

    what: str
    needed: int
    resource: Resource

    def __str__(self) -> str:
        needed, available = self.needed, self.resource.available
        if self.what == MEMORY:
            return f"{needed / 2**20:.0f} MiB of memory are needed, {available / 2**20:.0f} MiB are available"
        return f"{needed} {self.what} are needed, {available} are available"


def survey(agent: int, groups: CgroupTree) -> Room:
    """What there is now. ``agent`` is the process that holds the instances."""
    available, total = read_available()
    reserve = reserve_bytes(total)
    return {
        MEMORY: Resource(total - available, total, reserve, "free memory of the host, or give it more"),
        **dict(_descriptors(agent)),
        **dict(_tasks(groups.hierarchies)),
    }


def shortage(before: Room, now: Room, held: int, more: int) -> Shortage | None:
    """What ``more`` instances would lack if each takes what each of the ``held`` ones has; None: nothing.

    Without any held yet only what is used up already counts.
    """
    for what, resource in now.items():
        taken = max(0, resource.used - before[what].used) if what in before else 0
        needed = -(-taken * more // held) if held else 1
        if needed > resource.available:
            return Shortage(what, needed, resource)
    return None


def parse_limit(limits: str, name: str) -> int | None:
    """The soft limit from /proc/<pid>/limits; None for unlimited, and where there is no such line."""
    line = next((line for line in limits.splitlines() if line.startswith(name)), "")
    soft = line.removeprefix(name).split()[:1]
    return int(soft[0]) if soft and soft[0].isdecimal() else None


def _descriptors(agent: int) -> Iterator[tuple[str, Resource]]:
    bound = parse_limit(read_optional(PROC / str(agent) / "limits") or "", "Max open files")
    if bound is None:
        return
    used = sum(1 for _ in (PROC / str(agent) / "fd").iterdir())
    yield (
        "file descriptors of the agent (RLIMIT_NOFILE)",
        Resource(used, bound, _NUMBER_RESERVE, f"ulimit -n {max(65536, 4 * bound)}"),
    )


def _tasks(hierarchies: tuple[Hierarchy, ...]) -> Iterator[tuple[str, Resource]]:
    """The bounds on processes and threads of the groups we are in, and of the host."""
    own = membership(read_names(PROC / "self/cgroup"))
    for hierarchy in hierarchies:
        path = own.get("pids" if "pids" in hierarchy.controllers else "")
        if path is None or (hierarchy.version == 1 and "pids" not in hierarchy.controllers):
            continue
        if directory := hierarchy.directory(path):
            yield from group_tasks(directory, hierarchy.point)
    most = read_optional(PROC / "sys/kernel/threads-max")
    running = (read_optional(PROC / "loadavg") or "").split()
    if most and running:
        used = int(running[3].partition("/")[2])
        yield (
            "threads of the host (kernel.threads-max)",
            Resource(used, int(most), _NUMBER_RESERVE, f"sysctl -w kernel.threads-max={4 * int(most)}"),
        )


def group_tasks(group: Path, top: Path) -> Iterator[tuple[str, Resource]]:
    """The bounds of a group and of all those above it up to ``top``."""
    while group.is_relative_to(top):
        bound, used = read_optional(group / "pids.max"), read_optional(group / "pids.current")
        if bound and used and bound.isdecimal():
            remedy = f"echo max > {group / 'pids.max'}"
            resource = Resource(int(used), int(bound), _NUMBER_RESERVE, remedy)
            yield f"processes in {group} (pids.max)", resource
        group = group.parent

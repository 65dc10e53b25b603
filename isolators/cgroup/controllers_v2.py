"""The further controllers on v2, in the one directory. Source: Documentation/admin-guide/cgroup-v2.rst."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isobench.isolators.cgroup.controllers import (
    Controllers,
    GroupUse,
    NestedKeyed,
    as_cpu_list,
    check_weight,
    cpu_list,
    wanted,
)
from isobench.isolators.cgroup.files import read_file, write_file
from isobench.isolators.cgroup.parse import flat_keyed
from isobench.model import READY, FileWrite, Limits, Readiness, unavailable

_CORE = frozenset({"freezer"})
"""Part of every group, no controller to switch on (Linux 5.2)."""


class V2Use(GroupUse):
    """A group on v2."""

    def file(self, controller: str, name: str) -> Path:
        """In its directory, whatever the controller."""
        return self.view.directory("cpu") / name

    def cpus(self) -> tuple[int, ...]:
        """From cpuset.cpus, which is empty unless it was set."""
        return cpu_list(read_file(self.file("cpuset", "cpuset.cpus")))

    def write_limit(self, device: str) -> int | None:
        """From io.max; without any limit the disk is not in it."""
        found = NestedKeyed(read_file(self.file("io", "io.max"))).value(device, "wbps")
        return None if found in {None, "max"} else int(found or 0)

    def weight(self) -> int:
        """From cpu.weight."""
        return int(read_file(self.file("cpu", "cpu.weight")))

    def written_bytes(self, device: str) -> int:
        """From io.stat; a disk never used is not in it."""
        return int(NestedKeyed(read_file(self.file("io", "io.stat"))).value(device, "wbytes") or 0)

    def anonymous_bytes(self) -> int:
        """From memory.stat."""
        return flat_keyed(read_file(self.file("memory", "memory.stat")))["anon"]

    def oom_kills(self) -> int | None:
        """From memory.events."""
        return flat_keyed(read_file(self.file("memory", "memory.events"))).get("oom_kill")

    def freezer(self) -> tuple[int, Path]:
        """cgroup.freeze and cgroup.events."""
        return 2, self.view.directory("cpu")


class V2Controllers(Controllers):
    """One directory; what it can do is what its parent hands down."""

    def directories(self, name: str, limits: Limits) -> tuple[str, ...]:
        """The one directory, whatever the limits."""
        return self.tree.directories(name)

    def writes(self, name: str, limits: Limits) -> tuple[FileWrite, ...]:
        """In any order."""
        found: list[FileWrite] = []
        if limits.cpu:
            found += self.tree.cpu_limit_writes(name, limits.cpu)
        if limits.memory_bytes is not None:
            found += self.tree.memory_limit_writes(name, limits.memory_bytes)
        if limits.cpus:
            found.append(self._write(name, "cpuset.cpus", as_cpu_list(limits.cpus)))
        if limits.processes is not None:
            found.append(self._write(name, "pids.max", str(limits.processes)))
        if limits.write:
            rule = f"{limits.write.device} wbps={limits.write.bytes_per_s}"
            found.append(self._write(name, "io.max", rule))
        return tuple(found)

    def weight_write(self, name: str, weight: int) -> FileWrite:
        """cpu.weight."""
        return self._write(name, "cpu.weight", str(check_weight(weight)))

    def lack(self, controller: str) -> Readiness:
        """The root may not offer it to its children: systemd switches on what its units ask for."""
        point = self._top
        if controller in _CORE or controller in read_file(point / "cgroup.subtree_control").split():
            return READY
        if controller not in read_file(point / "cgroup.controllers").split():
            return unavailable(
                f"the kernel offers no {controller} controller on cgroup v2",
                f"grep {controller} /proc/cgroups  # bound to v1, or not compiled in",
            )
        return unavailable(
            f"{point} does not offer the {controller} controller to its children",
            f"echo +{controller} > {point}/cgroup.subtree_control",
        )

    def use(self, pid: int) -> V2Use:
        """By /proc/<pid>/cgroup."""
        return V2Use(self.tree.of(pid))

    @contextmanager
    def handed_down(self, token: str, limits: Limits) -> Iterator[None]:
        """Switched off again afterwards: every controller makes a new group dearer, and others time that."""
        control = self._top / token / "cgroup.subtree_control"
        before = read_file(control).split()
        needed = [name for name in wanted(limits) if name not in before and name not in _CORE]
        if needed:
            write_file(control, " ".join(f"+{name}" for name in needed))
        try:
            yield
        finally:
            if needed:
                write_file(control, " ".join(f"-{name}" for name in needed))

    def _write(self, name: str, file: str, value: str) -> FileWrite:
        return FileWrite(f"{self.tree.directories(name)[0]}/{file}", value)

    @property
    def _top(self) -> Path:
        return next(h.point for h in self.tree.hierarchies if not h.controllers and h.version == 2)  # noqa: PLR2004

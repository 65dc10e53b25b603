"""The further controllers on v1, each in a hierarchy of its own.

Source: Documentation/admin-guide/cgroup-v1/ (cpusets.rst, pids.rst, blkio-controller.rst, memory.rst,
freezer-subsystem.rst) of the kernel's tree.
"""

from pathlib import Path

from isobench.isolators.cgroup.controllers import (
    DEFAULT_WEIGHT,
    Controllers,
    GroupUse,
    as_cpu_list,
    check_weight,
    cpu_list,
    keyed_by_device,
    wanted,
)
from isobench.isolators.cgroup.files import read_file
from isobench.isolators.cgroup.parse import flat_keyed
from isobench.model import READY, FileWrite, Limits, Readiness, unavailable

DEFAULT_SHARES = 1024
_NAMES = {"io": "blkio"}
"""Controllers that v1 has under another name."""
_IN_PARENT = frozenset({"cpu", "cpuacct", "memory"})
"""Where the run has a parent group. In other hierarchies its groups lie side by side at the top: a parent
would cost every run, and a new cpuset begins without any CPU."""


class V1Use(GroupUse):
    """A group on v1: one in each hierarchy."""

    def file(self, controller: str, name: str) -> Path:
        """Under that controller's mount."""
        return self.view.directory(_NAMES.get(controller, controller)) / name

    def cpus(self) -> tuple[int, ...]:
        """From cpuset.cpus."""
        return cpu_list(read_file(self.file("cpuset", "cpuset.cpus")))

    def write_limit(self, device: str) -> int | None:
        """From blkio.throttle.write_bps_device."""
        return keyed_by_device(read_file(self.file("io", "blkio.throttle.write_bps_device")), device)

    def weight(self) -> int:
        """From cpu.shares."""
        return int(read_file(self.file("cpu", "cpu.shares")))

    def written_bytes(self, device: str) -> int:
        """From blkio.throttle.io_service_bytes_recursive; a disk never written to is not in it."""
        text = read_file(self.file("io", "blkio.throttle.io_service_bytes_recursive"))
        return keyed_by_device(text, device, "Write") or 0

    def anonymous_bytes(self) -> int:
        """From memory.stat."""
        return flat_keyed(read_file(self.file("memory", "memory.stat")))["total_rss"]

    def oom_kills(self) -> int | None:
        """From memory.oom_control, which tells since Linux 4.13."""
        return flat_keyed(read_file(self.file("memory", "memory.oom_control"))).get("oom_kill")

    def freezer(self) -> tuple[int, Path]:
        """freezer.state in the group of that hierarchy."""
        return 1, self.view.directory("freezer")


class V1Controllers(Controllers):
    """A directory for each mount in use."""

    def directories(self, name: str, limits: Limits) -> tuple[str, ...]:
        """Those for CPU, and one more for each further controller."""
        more = (str(self._group(name, controller)) for controller in wanted(limits))
        return tuple(dict.fromkeys((*self.tree.directories(name), *more)))

    def writes(self, name: str, limits: Limits) -> tuple[FileWrite, ...]:
        """A new cpuset has neither CPUs nor memory nodes, and takes no process without both."""
        found: list[FileWrite] = []
        if limits.cpu:
            found += self.tree.cpu_limit_writes(name, limits.cpu)
        if limits.memory_bytes is not None:
            found += self.tree.memory_limit_writes(name, limits.memory_bytes)
        if "cpuset" in wanted(limits):
            top = self._point("cpuset")
            cpus = as_cpu_list(limits.cpus) or read_file(top / "cpuset.cpus").strip()
            found.append(self._write(name, "cpuset", "cpuset.cpus", cpus))
            found.append(self._write(name, "cpuset", "cpuset.mems", read_file(top / "cpuset.mems").strip()))
        if limits.processes is not None:
            found.append(self._write(name, "pids", "pids.max", str(limits.processes)))
        if limits.write:
            rule = f"{limits.write.device} {limits.write.bytes_per_s}"
            found.append(self._write(name, "io", "blkio.throttle.write_bps_device", rule))
        return tuple(found)

    def weight_write(self, name: str, weight: int) -> FileWrite:
        """cpu.shares: 1024 where v2 has 100, as the kernel converts (kernel/sched/core.c)."""
        return self._write(name, "cpu", "cpu.shares", str(shares_of(weight)))

    def lack(self, controller: str) -> Readiness:
        """The controller may be compiled out or not mounted."""
        own = _NAMES.get(controller, controller)
        if any(own in hierarchy.controllers for hierarchy in self.tree.hierarchies):
            return READY
        point = f"/sys/fs/cgroup/{own}"
        return unavailable(
            f"the {own} controller is not mounted",
            f"mkdir -p {point} && mount -t cgroup -o {own} {own} {point}",
        )

    def use(self, pid: int) -> V1Use:
        """By /proc/<pid>/cgroup."""
        return V1Use(self.tree.of(pid))

    def _write(self, name: str, controller: str, file: str, value: str) -> FileWrite:
        return FileWrite(f"{self._group(name, controller)}/{file}", value)

    def _group(self, name: str, controller: str) -> Path:
        own = name.lstrip("/")
        return self._point(controller) / (own if controller in _IN_PARENT else own.replace("/", "-"))

    def _point(self, controller: str) -> Path:
        own = _NAMES.get(controller, controller)
        return next(h.point for h in self.tree.hierarchies if own in h.controllers)


def shares_of(weight: int) -> int:
    """cpu.shares of v1 (2 to 262144) for a weight of v2. Raises UsageError out of range."""
    return max(2, round(check_weight(weight) * DEFAULT_SHARES / DEFAULT_WEIGHT))

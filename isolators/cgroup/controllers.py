"""What a group can be given and asked besides CPU bandwidth and memory, the same on v1 and v2.

CPUs to run on, a number of processes, bytes written a second, a share of CPU time under contention; what was
used of each; and whether it is frozen. ``controllers_of`` gives the implementation for a tree.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isobench.errors import UsageError
from isobench.isolators.cgroup.files import read_file
from isobench.isolators.cgroup.tree import CgroupTree, CgroupView
from isobench.model import FileWrite, Limits, Readiness, unavailable

WEIGHT_RANGE = (1, 10_000)
"""Of cpu.weight of v2, in which weights are asked for; 100 is that of a group nobody has given one."""
DEFAULT_WEIGHT = 100


class GroupUse(ABC):
    """One group. Methods raise CgroupGoneError once it is removed, CgroupError when a file cannot be read."""

    def __init__(self, view: CgroupView) -> None:
        self.view = view

    @abstractmethod
    def file(self, controller: str, name: str) -> Path:
        """One of its files; ``name`` as v2 has it."""

    @abstractmethod
    def cpus(self) -> tuple[int, ...]:
        """CPUs it may run on, by its own setting; empty: none is set, those of its parent."""

    @abstractmethod
    def write_limit(self, device: str) -> int | None:
        """Bytes a second it may write to that disk; None: no limit."""

    @abstractmethod
    def weight(self) -> int:
        """As the kernel keeps it: cpu.shares of v1, cpu.weight of v2."""

    @abstractmethod
    def written_bytes(self, device: str) -> int:
        """Bytes it and those below have written to that disk."""

    @abstractmethod
    def anonymous_bytes(self) -> int:
        """Anonymous memory of it and those below."""

    @abstractmethod
    def oom_kills(self) -> int | None:
        """Processes killed in it for want of memory; None: this kernel does not tell by group."""

    @abstractmethod
    def freezer(self) -> tuple[int, Path]:
        """The version of its freezer, and the directory with the files of that."""

    def processes_limit(self) -> int | None:
        """Tasks it may have; None: no limit (pids.max)."""
        text = read_file(self.file("pids", "pids.max")).strip()
        return None if text == "max" else int(text)

    def processes(self) -> int:
        """Tasks it and those below have, the dead ones nobody has reaped included (pids.current)."""
        return int(read_file(self.file("pids", "pids.current")))


class Controllers(ABC):
    """How to give groups what the limits ask for; ``tree`` makes and finds the groups."""

    def __init__(self, tree: CgroupTree) -> None:
        self.tree = tree

    @abstractmethod
    def directories(self, name: str, limits: Limits) -> tuple[str, ...]:
        """All that together are group ``name``; ``{n}`` in it is passed through."""

    @abstractmethod
    def writes(self, name: str, limits: Limits) -> tuple[FileWrite, ...]:
        """All the writes that set the limits on group ``name``, in an order the kernel accepts."""

    @abstractmethod
    def weight_write(self, name: str, weight: int) -> FileWrite:
        """The write that gives group ``name`` that weight; UsageError when the kernel would refuse it."""

    @abstractmethod
    def lack(self, controller: str) -> Readiness:
        """What the host lacks for groups of that controller (by its name on v2)."""

    @abstractmethod
    def use(self, pid: int) -> GroupUse:
        """The group of a process."""

    @contextmanager
    def handed_down(self, token: str, limits: Limits) -> Iterator[None]:
        """While it lasts, the children of the run's parent group have the controllers the limits need."""
        yield


def wanted(limits: Limits) -> tuple[str, ...]:
    """The controllers (by their names on v2) that the limits need besides cpu."""
    needs = {
        "cpuset": bool(limits.cpus),
        "memory": limits.memory_bytes is not None,
        "pids": limits.processes is not None,
        "io": limits.write is not None,
    }
    return tuple(name for name, needed in needs.items() if needed or name in limits.accounted) + (
        ("freezer",) if "freezer" in limits.accounted else ()
    )


def check_weight(weight: int, label: str = "CPU weight") -> int:
    """Refuse with UsageError what cpu.weight would refuse with a bare ERANGE."""
    low, high = WEIGHT_RANGE
    if not low <= weight <= high:
        raise UsageError(
            f"{label} {weight}: the kernel takes {low} to {high}",
            remedy="set ratios in the [weights] table between 1 and 100",
        )
    return weight


def cpu_list(text: str) -> tuple[int, ...]:
    """``0-2,5`` as numbers (cpuset(7), "List format")."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def as_cpu_list(cpus: tuple[int, ...]) -> str:
    """The way back, number by number."""
    return ",".join(str(cpu) for cpu in cpus)


@dataclass(frozen=True, slots=True)
class NestedKeyed:
    """A "nested keyed" file such as io.stat: ``device key=value …`` a line (cgroup-v2.rst)."""

    text: str

    def value(self, device: str, key: str) -> str | None:
        """None: no such device or key."""
        for line in self.text.splitlines():
            name, *pairs = line.split()
            if name == device:
                return dict(pair.split("=", 1) for pair in pairs if "=" in pair).get(key)
        return None


def keyed_by_device(text: str, device: str, word: str | None = None) -> int | None:
    """A line ``device [word] number`` of a blkio file of v1; None: there is none (blkio-controller.rst)."""
    for line in text.splitlines():
        name, *rest = line.split()
        if name == device and (word is None or rest[:-1] == [word]):
            return int(rest[-1])
    return None


def disk_of(path: Path, sysfs: Path = Path("/sys/dev/block")) -> str | Readiness:
    """``major:minor`` of the whole disk that holds ``path``: limits of I/O are not for partitions."""
    number = path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    place = sysfs / device
    if not place.exists():
        return unavailable(
            f"{path} is on no disk of its own (device {device}), so that writes to it cannot be limited",
            "export ISOBENCH_STATE=DIR  # on ext4 or xfs on a disk",
        )
    if (place / "partition").exists():
        device = (place.resolve().parent / "dev").read_text().strip()
    return device

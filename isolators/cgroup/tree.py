"""The one face of the host's cgroups, whatever their version.

``detect()`` in :mod:`isobench.isolators.cgroup` finds out which implementation serves this host. A group
is named ``<token>/<leaf>``; on v1 that is one directory in each hierarchy in use, on v2 exactly one.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from isobench.errors import CgroupError, CgroupGoneError, InternalError, UsageError
from isobench.isolators.cgroup.files import make_group, members, named_groups, remove_group
from isobench.isolators.cgroup.parse import CpuStat, Hierarchy, membership
from isobench.isolators.tokens import is_token
from isobench.model import READY, CpuLimit, FileWrite, Move, Readiness, unavailable
from isobench.procfs import read_names, read_stat, stat_fields

Mode: TypeAlias = Literal["v1", "v2", "hybrid", "none"]

MIN_QUOTA_US = 1_000
PERIOD_RANGE_US = (1_000, 1_000_000)
"""The kernel's bounds, both versions: min_cfs_quota_period, max_cfs_quota_period in kernel/sched/core.c."""


class CgroupView(ABC):
    """One group, to read from: the one a process is in, or one known by name.

    On v1 a process has a group per hierarchy and these may differ; ``directory`` says which one a
    figure comes from. Every method raises :class:`CgroupGoneError` once the group is removed.
    """

    def __init__(self, subject: str, directories: Mapping[str, Path]) -> None:
        self._subject = subject
        self._directories = directories

    def directory(self, controller: str) -> Path:
        """The group's directory under that controller; CgroupError when the process is in none we see."""
        try:
            return self._directories[controller]
        except KeyError:
            raise CgroupError(
                f"{self._subject}: no mounted cgroup hierarchy shows its group for {controller!r}",
                remedy="grep cgroup /proc/self/mountinfo",
            ) from None

    def members(self) -> tuple[int, ...]:
        """Process ids in the group and the groups below it; for the root group that is the whole host."""
        return members(self.directory("cpu"))

    @abstractmethod
    def cpu_limit(self) -> CpuLimit | None:
        """The limit set on this very group (not on its ancestors); None: unlimited."""

    def thaw(self) -> FileWrite | None:
        """The write that lets the group go on, where it or a group above it is frozen; None: it is not."""
        return None

    @abstractmethod
    def cpu_usage_ns(self) -> int:
        """CPU time used by the group and those below it, living and dead processes, since it was made."""

    @abstractmethod
    def cpu_stat(self) -> CpuStat:
        """How often and how long the limit of this very group made it wait."""

    @abstractmethod
    def memory_current_bytes(self) -> int | None:
        """Memory charged to the group, page cache and kernel memory included; None: not accounted for here.

        On v1 this is the memory hierarchy's group: ``directory("memory")``, often not the cpu one.
        """

    @abstractmethod
    def memory_limit_bytes(self) -> int | None:
        """The limit of memory set on this very group; None: unlimited, or not limited here."""

    @abstractmethod
    def memory_peak_bytes(self) -> int | None:
        """The most that was ever charged at once, everything included; None: this kernel does not tell."""

    @abstractmethod
    def page_cache_bytes(self) -> int | None:
        """Page cache charged to the group and those below, tmpfs left out; None: not accounted for here."""


class CgroupTree(ABC):
    """Makes, limits, finds and removes groups."""

    def __init__(self, mode: Mode, mounted: tuple[Hierarchy, ...], controllers: frozenset[str]) -> None:
        self.mode: Mode = mode
        self.hierarchies = mounted
        """All that are mounted, also those no limit of ours needs: tools leave groups in any of them."""
        self.controllers = controllers
        """What the kernel offers, over all the hierarchies."""

    @abstractmethod
    def directories(self, name: str) -> tuple[str, ...]:
        """The directories that together are group ``name`` for CPU limiting and accounting.

        ``name`` may hold ``{n}``, the slot of an instance; it is passed through.
        """

    @abstractmethod
    def cpu_limit_writes(self, name: str, limit: CpuLimit) -> tuple[FileWrite, ...]:
        """The writes that set the limit on group ``name``, in the order the kernel accepts them.

        Raises UsageError for a limit the kernel would refuse.
        """

    @contextmanager
    def threads_apart(self, name: str, threads: str, slots: int) -> Iterator[tuple[str, tuple[Move, ...]]]:
        """Groups for some threads of a process alone, those whose names begin with ``threads``.

        ``name`` holds ``{n}``. Yields the name of the group that is theirs, to set a limit on, and the moves
        that put them there; removes the groups at the end.
        """
        made: list[Path] = []
        try:
            for slot in range(slots):
                for path in self._thread_groups(name.replace("{n}", str(slot))):
                    make_group(path)
                    made.append(path)
                    self._make_threaded(path)
            yield self._moves(name, threads)
        finally:
            for path in reversed(made):
                remove_group(path)

    def _thread_groups(self, name: str) -> tuple[Path, ...]:
        return tuple(Path(path) for path in self.directories(name))

    def _make_threaded(self, group: Path) -> None:  # noqa: B027  (on v1 any group may hold threads)
        """Let the new group hold threads of a process that is elsewhere."""

    def _moves(self, name: str, threads: str) -> tuple[str, tuple[Move, ...]]:
        return name, tuple(Move(f"{path}/tasks", threads) for path in self.directories(name))

    def burst_lack(self) -> Readiness:
        """What the kernel lacks for a limit with a burst."""
        if self._has_burst():
            return READY
        return unavailable(
            f"cgroups of this kernel have no {self.BURST_FILE}", "boot a kernel of 5.14 or newer"
        )

    BURST_FILE: ClassVar[str] = "cpu.max.burst"

    def _has_burst(self) -> bool:
        return False

    def memory_directories(self, name: str) -> tuple[str, ...]:
        """Those of :meth:`directories`, and the one a limit of memory needs besides."""
        return self.directories(name)

    @abstractmethod
    def memory_limit_writes(self, name: str, limit_bytes: int) -> tuple[FileWrite, ...]:
        """The writes that limit the memory of group ``name`` and, where the kernel can, forbid it to swap."""

    @abstractmethod
    def limits_swap(self) -> bool:
        """Whether swap of a group can be limited on this host (it may be switched off at boot)."""

    def peak_reset(self, name: str) -> str | None:
        """The file whose writing lets the peak of memory of group ``name`` begin anew; None: there is none.

        On v2 a peak begins anew only for the reader who has written to its own open file (Linux 6.12).
        """
        return None

    def memory_lack(self) -> Readiness:
        """What the host lacks for limits of memory."""
        if "memory" in self.controllers:
            return READY
        return unavailable(
            "the kernel offers no memory controller for cgroups",
            "add cgroup_enable=memory to the kernel's command line, and restart the host",
        )

    @abstractmethod
    def _parents(self, token: str) -> tuple[Path, ...]:
        """Directories of the run's parent group, in every hierarchy an instance may use."""

    @abstractmethod
    def _view(self, subject: str, groups: Mapping[str, str]) -> CgroupView:
        """A view of the group that ``groups`` (as ``membership`` gives them) says."""

    @abstractmethod
    def _lack(self) -> Readiness:
        """What a hierarchy that can be written to still lacks for CPU limits."""

    def _delegate(self, parent: Path) -> None:  # noqa: B027  (v1 has nothing to do)
        """Make the controllers of the new parent group usable by its children."""

    def writable(self) -> Readiness:
        """Whether groups with a CPU limit can be made here, and if not, why and the remedy."""
        lack = self._lack()
        if not lack.usable:
            return lack
        for directory in dict.fromkeys(parent.parent for parent in self._parents("token")):
            readiness = _writable(directory, read_only=self._is_read_only(directory))
            if not readiness.usable:
                return readiness
        return READY

    @contextmanager
    def open(self, token: str) -> Iterator[None]:
        """Make the run's parent group; at the end remove it and whatever is below it, killing nothing.

        Raises CgroupError when a group cannot be made, or is still in use at the end.
        """
        if not is_token(token):
            raise InternalError(f"cgroup parent {token!r} is no token of a run")
        try:
            for parent in self._parents(token):
                make_group(parent)
                self._delegate(parent)
            yield
        finally:
            self.remove(token)

    def remove(self, token: str) -> None:
        """Remove every group whose name begins with the token, in every hierarchy."""
        for group in self.named(token):
            remove_group(group)

    def named(self, prefix: str) -> tuple[Path, ...]:
        """The topmost groups whose name begins with ``prefix``, wherever they are in any hierarchy.

        Tools make groups in hierarchies no limit of ours needs, and some below the group they run in.
        """
        return tuple(group for h in self.hierarchies for group in named_groups(h.point, prefix))

    def of(self, pid: int) -> CgroupView:
        """The group of a process. CgroupGoneError when it has ended, even if nobody has reaped it yet."""
        try:
            groups = membership(read_names(Path(f"/proc/{pid}/cgroup")))
            # A dead process not yet reaped is shown in the root group on v1: that is not its group.
            state = stat_fields(read_stat(Path(f"/proc/{pid}")))[0]
        except (FileNotFoundError, ProcessLookupError):
            raise CgroupGoneError(f"process {pid} has ended: it is in no cgroup") from None
        if state in "ZX":
            raise CgroupGoneError(f"process {pid} has ended: it is in no cgroup")
        return self._view(f"process {pid}", groups)

    def at(self, name: str) -> CgroupView:
        """Group ``name`` in every hierarchy, without asking a process (which may have ended)."""
        groups = {
            controller: f"{h.root.rstrip('/')}/{name}" for controller, h in self._by_controller().items()
        }
        return self._view(f"cgroup {name}", groups)

    def _by_controller(self) -> Mapping[str, Hierarchy]:
        """Each v1 controller's hierarchy; v2 under the empty name, as in ``membership``."""
        found: dict[str, Hierarchy] = {}
        for hierarchy in self.hierarchies:
            names: Iterable[str] = hierarchy.controllers if hierarchy.version == 1 else ("",)
            for name in names:
                found.setdefault(name, hierarchy)
        return found

    def _is_read_only(self, directory: Path) -> bool:
        return any(h.read_only for h in self.hierarchies if h.point == directory)


class NoCgroups(CgroupTree):
    """A host without any cgroup hierarchy mounted."""

    _WHY = unavailable(
        "no cgroup hierarchy with the cpu controller is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    )

    def directories(self, name: str) -> tuple[str, ...]:
        """Raises CgroupError: there is no place for a group."""
        raise self._refusal(f"cgroup {name}")

    def cpu_limit_writes(self, name: str, limit: CpuLimit) -> tuple[FileWrite, ...]:
        """Raises CgroupError: there is no file to write."""
        raise self._refusal(f"cgroup {name} with {limit.cpus} CPUs")

    def memory_limit_writes(self, name: str, limit_bytes: int) -> tuple[FileWrite, ...]:
        """Raises CgroupError: there is no file to write."""
        raise self._refusal(f"cgroup {name} with {limit_bytes} bytes")

    def limits_swap(self) -> bool:
        """There is nothing that could be limited."""
        return False

    def _parents(self, token: str) -> tuple[Path, ...]:
        raise self._refusal(f"cgroup {token}")

    def _view(self, subject: str, groups: Mapping[str, str]) -> CgroupView:
        raise self._refusal(f"{subject} in {dict(groups)}")

    def _lack(self) -> Readiness:
        return self._WHY

    def _refusal(self, what: str) -> CgroupError:
        return CgroupError(f"{what}: {self._WHY.reason}", remedy=self._WHY.remedy)


def check_limit(limit: CpuLimit) -> None:
    """Refuse with UsageError what the kernel would refuse with a bare EINVAL."""
    low, high = PERIOD_RANGE_US
    if not low <= limit.period_us <= high:
        raise UsageError(
            f"CPU period {limit.period_us} µs: the kernel takes {low} to {high} µs",
            remedy="set period_us = [100000] in the [throttling] table",
        )
    if limit.quota_us < MIN_QUOTA_US:
        raise UsageError(
            f"CPU limit {limit.cpus} in periods of {limit.period_us} µs is a quota of {limit.quota_us} µs: "
            f"the kernel takes {MIN_QUOTA_US} µs or more",
            remedy="set a longer period_us in the [throttling] table",
        )
    if not 0 <= limit.burst_us <= limit.quota_us:
        raise UsageError(
            f"a burst of {limit.burst_us} µs beside a quota of {limit.quota_us} µs: "
            "the kernel takes 0 to the quota",
            remedy="set burst in the [throttling] table to parts of the quota, from 0 to 1",
        )


def _writable(directory: Path, *, read_only: bool) -> Readiness:
    if read_only:
        return unavailable(f"{directory} is mounted read-only", f"mount -o remount,rw {directory}")
    if not os.access(directory, os.W_OK):
        return unavailable(f"making groups in {directory} is the superuser's right", "sudo isobench run")
    return READY

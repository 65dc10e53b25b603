"""What the kernel still has to clean up after an instance is gone, and waiting until it has.

Two things go on after the last process has ended and the last group is removed:

- A **network namespace** is destroyed by the kernel's work queue ``netns`` (cleanup_net in
  net/core/net_namespace.c), some tens of milliseconds each, mostly grace periods. It is queued while the
  last process in it exits. The worker that executes it is named ``kworker/…+netns`` meanwhile
  (wq_worker_comm in kernel/workqueue.c; Linux 4.18 and later).
- A removed **cgroup** is *dying* until its last reference is gone, which takes a few grace periods. What it
  is charged with (page cache under v1's memory controller) can hold it for as long as it likes: a number that
  has come to rest is no clean-up any more but residue, and is told apart (``lingering``).

Nothing else is waited for: the agent reaps whatever descends from it, so that no instance leaves a zombie,
and the mounts of a mount namespace go with its last process, before the end of that is seen (in do_exit,
exit_task_namespaces comes before exit_notify).
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from isobench.isolators.cgroup.parse import Hierarchy, flat_keyed
from isobench.isolators.cgroup.tree import CgroupTree
from isobench.procfs import read_optional

PROC = Path("/proc")

QUIET_S = 0.005
"""The host has come to rest when nothing was seen for so long: work that is queued but has no worker yet
shows nowhere, and gets one as soon as a CPU is free."""

POLL_S = 0.001
"""Rest between two looks, which themselves take some tenths of a millisecond."""

LINGER_S = 0.3
"""Dying groups whose number has not changed for so long stay: on a quiet host the way from removed to freed
is a few grace periods, together about 60 ms at 250 Hz."""

_KTHREADD = "2"
_UNBOUND_WORKER = "kworker/u"
_NETNS_WORK = "+netns"


@dataclass(frozen=True, slots=True)
class Pending:
    """What the kernel is at, at one moment."""

    netns_workers: int = 0
    """Workers that destroy network namespaces, any number of them each."""
    dying_groups: int = 0
    """Removed cgroups not yet freed, over all hierarchies that tell."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What came of waiting; times are CLOCK_MONOTONIC of the host, in seconds."""

    begun: float
    busy_at: float
    """The last look that found something going on, or else when the wait began. The true end lies between
    this and ``rest_at``."""
    rest_at: float
    """The first look that found the host at rest, as it then stayed; when it did not, the last look."""
    left: tuple[str, ...] = ()
    """What was still going on when the limit was reached; empty: the host came to rest."""
    lingering: int = 0
    """Dying groups that stay, beyond those that did before."""

    @property
    def seconds(self) -> float:
        """How long after the call the host was at rest."""
        return self.rest_at - self.begun


class Drain:
    """Watches the asynchronous clean-up of one host, and remembers which dying groups have proved to stay."""

    def __init__(self, groups: CgroupTree | None, proc: Path = PROC) -> None:
        self._host = _Host(groups, proc)
        self._floor = self._host.look().dying_groups

    def wait(self, limit_s: float) -> Drained:
        """Wait until the host has been at rest for QUIET_S, for ``limit_s`` at most."""
        settling = Settling(time.monotonic(), self._floor)
        deadline = settling.begun + limit_s
        while True:
            pending = self._host.look()
            now = time.monotonic()
            drained = settling.see(now, pending)
            if drained is not None:
                self._floor = pending.dying_groups
                return drained
            if now >= deadline:
                return settling.give_up(now, pending)
            time.sleep(POLL_S)

    def blind_to(self) -> str | None:
        """What cannot be seen here and so is not waited for; None: everything can."""
        if self._host.sees_workers():
            return None
        return "network namespaces: /proc shows no kernel threads here"


class Settling:
    """Decides from one look after the other when the host has come to rest; has no clock and no file."""

    def __init__(self, begun: float, floor: int) -> None:
        """``floor``: so many dying groups are known to stay."""
        self.begun = begun
        self._floor = floor
        self._last_look = begun
        self._busy_workers_at = begun
        self._idle_since: float | None = None
        self._dying: int | None = None
        self._changed_at = begun
        self._before_change = begun

    def see(self, now: float, pending: Pending) -> Drained | None:
        """Take in a look; what came of it all as soon as the host has been at rest for QUIET_S."""
        if pending.netns_workers:
            self._busy_workers_at, self._idle_since = now, None
        elif self._idle_since is None:
            self._idle_since = now
        if pending.dying_groups != self._dying:
            self._before_change, self._changed_at = self._last_look, now
            self._dying = pending.dying_groups
        self._last_look = now
        if self._idle_since is None or self._groups_going(now, pending.dying_groups):
            return None
        rest_at = max(self._idle_since, self._changed_at)
        if now - rest_at < QUIET_S:
            return None
        busy_at = max(self._busy_workers_at, self._before_change)
        lingering = max(0, pending.dying_groups - self._floor)
        return Drained(self.begun, min(busy_at, rest_at), rest_at, lingering=lingering)

    def give_up(self, now: float, pending: Pending) -> Drained:
        """The limit has been reached."""
        left = []
        if pending.netns_workers:
            left.append("network namespaces being destroyed")
        if pending.dying_groups > self._floor:
            left.append(f"{pending.dying_groups - self._floor} dying cgroups")
        return Drained(self.begun, now, now, tuple(left) or ("it came to rest a moment ago",))

    def _groups_going(self, now: float, dying: int) -> bool:
        return dying > self._floor and now - self._changed_at < LINGER_S


class _Host:
    """Where the host shows what its kernel is at."""

    def __init__(self, groups: CgroupTree | None, proc: Path) -> None:
        self._proc = proc
        self._hierarchies = () if groups is None else groups.hierarchies
        self._unbound: dict[str, bool] = {}
        """By the pid of each kernel thread: it may execute work of unbound queues, as ``netns`` is."""

    def look(self) -> Pending:
        # Counting directories costs most: not while a network namespace keeps us waiting anyway.
        workers = sum(name.endswith(_NETNS_WORK) for name in self._workers())
        return Pending(workers, 0 if workers else dying_groups(self._hierarchies, self._proc))

    def sees_workers(self) -> bool:
        return read_optional(self._proc / _KTHREADD / "comm") == "kthreadd"

    def _workers(self) -> list[str]:
        """The names of the workers of unbound queues."""
        children = read_optional(self._proc / _KTHREADD / "task" / _KTHREADD / "children") or ""
        threads = children.split()
        self._unbound = {
            pid: known if (known := self._unbound.get(pid)) is not None else self._is_unbound(pid)
            for pid in threads
        }
        return [self._name(pid) for pid, unbound in self._unbound.items() if unbound]

    def _is_unbound(self, pid: str) -> bool:
        return self._name(pid).startswith(_UNBOUND_WORKER)

    def _name(self, pid: str) -> str:
        return read_optional(self._proc / pid / "comm") or ""


def dying_groups(hierarchies: tuple[Hierarchy, ...], proc: Path = PROC) -> int:
    """Removed cgroups that are not freed yet, over all hierarchies.

    v2 tells (``cgroup.stat``). On v1 it is the kernel's number of groups of a hierarchy less the directories
    we find; a hierarchy without a controller (systemd's) tells nothing, and where only a part of one is
    visible the difference has the rest of it, too.
    """
    known = parse_group_counts(read_optional(proc / "cgroups") or "")
    total = 0
    for hierarchy in hierarchies:
        if hierarchy.version == 2:  # noqa: PLR2004
            stat = flat_keyed(read_optional(hierarchy.point / "cgroup.stat") or "")
            total += stat.get("nr_dying_descendants", 0)
        elif counts := [known[name] for name in hierarchy.controllers if name in known]:
            total += max(counts) - sum(1 for _ in os.walk(hierarchy.point))
    return total


def parse_group_counts(cgroups: str) -> dict[str, int]:
    """/proc/cgroups as {controller: groups of its hierarchy}, dying ones too (cgroups(7)); v1 only."""
    rows = (line.split() for line in cgroups.splitlines() if not line.startswith("#"))
    return {name: int(count) for name, hierarchy, count, _enabled in rows if hierarchy != "0"}

"""The ledger of instances that are held: what they take from the host, line by line, until it adds up.

Any benchmark that holds instances in one session can keep it::

    ledger = Ledger(session, launch, isolator, site)
    ledger.open()                      # no instance runs yet
    ledger.add(session.start())        # as often as it likes
    entry = ledger.read()              # entry.total, entry.lines, entry.detail

What each line contains: docs/benchmarks/memory.md.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from isobench.benchmarks.hostmemory import (
    HostMemory,
    Pss,
    read_available,
    read_bystanders,
    read_guest_ram,
    read_host,
    read_peak_bytes,
    read_pss,
    read_stacks_mapped,
    reserve_bytes,
)
from isobench.benchmarks.processes import Process, below, read_all, read_programs
from isobench.errors import CgroupError, CgroupGoneError
from isobench.isolators.cgroup import CgroupView
from isobench.isolators.contract import Isolator, Site
from isobench.model import Event, Launch, Scalar

LINES = (
    "workload_pss",
    "guest_ram_pss",
    "helpers_pss",
    "daemons_change",
    "kernel_slab",
    "kernel_page_tables",
    "kernel_stacks",
    "kernel_percpu",
    "kernel_vmalloc",
    "shmem_unmapped",
    "unattributed",
)
"""They add up to the total, exactly; one that is None is in ``unattributed``."""

_STEADY_BYTES = 64 * 1024
"""Two readings in a row this near to each other: the host has come to rest."""
STEADY_PAUSE_S = 0.05
_STEADY_LIMIT_S = 1.0
"""A busy host never rests; the reading is then taken as it is and marked."""


class LedgerError(Exception):
    """The account cannot be made: an instance, or a group of it, is not there any more."""


class Holder(Protocol):
    """A session as far as the ledger needs it."""

    @property
    def pid(self) -> int:
        """The process every process of every instance descends from."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The host's memory at one moment."""

    host: HostMemory
    bystanders: Pss
    """What processes hold that are no isolator's: the host's others, and the harness itself."""

    @property
    def net(self) -> int:
        """What is left for the isolator and the kernel."""
        return self.host.used - self.bystanders.own


@dataclass(frozen=True, slots=True)
class Owners:
    """Who holds memory while instances are held."""

    workload: Pss | None
    """None for virtual machines: the workload's part of a guest's memory cannot be told from outside."""
    guest_ram: int | None
    """PSS of the guests' RAM; None where there is no guest, or its RAM is not found in its VMM."""
    helpers: Pss
    """All the other processes of instances: monitors, and VMMs without their guests' RAM."""
    daemons: Pss
    """By how much processes that serve all instances have grown."""

    @property
    def shmem(self) -> int:
        """Shared memory that one of them maps; a guest's RAM counts as anonymous."""
        return (self.workload or Pss()).shmem + self.helpers.shmem + self.daemons.shmem


@dataclass(frozen=True, slots=True)
class Entry:
    """The ledger at one number of instances, in bytes."""

    total: int
    lines: Mapping[str, int | None]
    """By the names in :data:`LINES`."""
    detail: Mapping[str, Scalar]
    """The lines, and what stands beside them and is not to be added."""
    peaks: tuple["Peak", ...] = ()
    """Of each instance, in the order they were added."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The most an instance has used at once since its workload, or its VMM, was executed; in bytes."""

    resident: int
    """Highest resident set size, files included; of several processes the sum of theirs."""
    charged: int | None
    """Peak of its own cgroup, kernel memory and page cache included; None without one, or unknown here."""


def balance(before: Snapshot, now: Snapshot, owners: Owners) -> dict[str, int | None]:
    """The lines, of which ``unattributed`` is what closes the account; it may be negative."""
    workload = owners.workload
    kernel = {
        name: None if value is None else value - (before.host.kernel[name] or 0)
        for name, value in now.host.kernel.items()
    }
    shmem = now.host.shmem - before.host.shmem - (now.bystanders.shmem - before.bystanders.shmem)
    lines: dict[str, int | None] = {
        "workload_pss": None if workload is None else workload.own,
        "guest_ram_pss": owners.guest_ram,
        "helpers_pss": owners.helpers.own,
        "daemons_change": owners.daemons.own,
        **kernel,
        "shmem_unmapped": shmem - owners.shmem,
    }
    told = sum(value for value in lines.values() if value is not None)
    return {**lines, "unattributed": now.net - before.net - told}


def beside(before: Snapshot, now: Snapshot, owners: Owners) -> dict[str, Scalar]:
    """What is worth knowing and no part of the total."""
    workload = owners.workload
    return {
        "host_change": now.host.used - before.host.used,
        "bystanders_change": now.bystanders.own - before.bystanders.own,
        "workload_pss_file": None if workload is None else workload.file,
        "helpers_pss_file": owners.helpers.file,
        "helpers_hold_guest_ram": workload is None and owners.guest_ram is None,
        "page_cache_change": now.host.cache - before.host.cache,
        "slab_reclaimable_change": now.host.slab_reclaimable - before.host.slab_reclaimable,
        "sockets_change": now.host.sockets - before.host.sockets,
    }


@dataclass(frozen=True, slots=True)
class _Instance:
    number: int
    pid: int
    workload: tuple[int, ...]
    """Empty: its process is a VMM."""
    helpers: tuple[int, ...]


class Ledger:
    """The account of the instances of one session, from none on."""

    def __init__(self, session: Holder, launch: Launch, isolator: Isolator[Any], site: Site) -> None:
        self._session = session
        self._launch = launch
        self._isolator = isolator
        self._site = site
        self._pids: list[int] = []
        self._stacks_mapped: bool | None = None
        self._daemons: tuple[int, ...] = ()
        """Alive before the first instance; what they start from then on is an instance's."""
        self._served: frozenset[int] = frozenset()
        """What descended from them at that time."""
        self._daemons_before = Pss()
        self._before: Snapshot | None = None

    def open(self) -> None:
        """Take the reading all others are compared with. No instance may run yet."""
        self._stacks_mapped = read_stacks_mapped()
        self._daemons = read_programs(self._isolator.daemons())
        table = read_all()
        self._served = frozenset(p.pid for pid in self._daemons for p in below(pid, table))
        self._daemons_before = read_pss(self._daemons)
        self._before, _ = settle(self._snapshot)

    def add(self, event: Event) -> None:
        """An instance that has said that it runs. Raises LedgerError for one whose process is not known."""
        if event.pid is None:
            raise LedgerError(f"instance {len(self._pids) + 1}: its process is not known")
        self._pids.append(event.pid)

    def read(self) -> Entry:
        """Let the host come to rest and take the account. Raises LedgerError when an instance is gone."""
        assert self._before is not None, "open() comes first"  # noqa: S101 - a defect of the caller
        now, steady = settle(self._snapshot)
        instances, others = self._instances()
        owners = self._owners(instances, others)
        lines = balance(self._before, now, owners)
        groups = self._groups(instances)
        detail: dict[str, Scalar] = {
            "instances": len(instances),
            **lines,
            **beside(self._before, now, owners),
            "page_cache_charged": _charged(groups),
            "harness_pss": read_pss([self._session.pid]).own,
            "steady": steady,
        }
        peaks = tuple(self._peak(instance) for instance in instances)
        return Entry(now.net - self._before.net, lines, detail, peaks)

    def _snapshot(self) -> Snapshot:
        isolators = {process.pid for process in self._of_isolator(read_all())}
        host = read_host(stacks_mapped=self._stacks_mapped)
        return Snapshot(host, read_bystanders(isolators | set(self._daemons)))

    def _of_isolator(self, table: tuple[Process, ...]) -> tuple[Process, ...]:
        """Descendants of the agent, and what daemons have started since."""
        found = {process.pid: process for process in below(self._session.pid, table)}
        for daemon in self._daemons:
            found |= {p.pid: p for p in below(daemon, table) if p.pid not in self._served}
        return tuple(found[pid] for pid in sorted(found))

    def _instances(self) -> tuple[tuple[_Instance, ...], tuple[int, ...]]:
        """The instances, and the isolator's processes that belong to none of them."""
        table = self._of_isolator(read_all())
        found = tuple(self._instance(number, pid, table) for number, pid in enumerate(self._pids, start=1))
        owned = {pid for one in found for pid in (*one.workload, *one.helpers)}
        return found, tuple(process.pid for process in table if process.pid not in owned)

    def _instance(self, number: int, pid: int, table: tuple[Process, ...]) -> _Instance:
        # A zombie has no command line: it holds nothing, and is no instance any more.
        alive = {process.pid for process in table if process.argv}
        inside = tuple(process.pid for process in below(pid, table) if process.pid in alive)
        if pid not in alive or (self._launch.supervised and not inside):
            raise LedgerError(f"instance {number}: it has ended while it was held (process {pid})")
        if not self._isolator.capabilities.shares_kernel:
            return _Instance(number, pid, (), (pid, *inside))
        if self._launch.supervised:
            return _Instance(number, pid, inside, (pid,))
        return _Instance(number, pid, (pid, *inside), ())

    def _owners(self, instances: Sequence[_Instance], others: Sequence[int]) -> Owners:
        helpers = read_pss((*(pid for one in instances for pid in one.helpers), *others))
        daemons = read_pss(self._daemons) - self._daemons_before
        if self._isolator.capabilities.shares_kernel:
            workload = read_pss(pid for one in instances for pid in one.workload)
            return Owners(workload, None, helpers, daemons)
        ram = self._guest_ram(instances)
        return Owners(None, ram, helpers if ram is None else helpers - Pss(ram), daemons)

    def _guest_ram(self, instances: Sequence[_Instance]) -> int | None:
        size = self._launch.guest_memory_bytes
        found = [None if size is None else read_guest_ram(one.pid, size) for one in instances]
        known = [ram for ram in found if ram is not None]
        return sum(known) if len(known) == len(found) else None

    def _groups(self, instances: Sequence[_Instance]) -> tuple[CgroupView, ...]:
        """The cgroups of this run that account for memory, once each."""
        views: dict[Path, CgroupView] = {}
        for instance in instances:
            for pid in (*instance.workload, *instance.helpers):
                if view := self._own_group(instance, pid):
                    views[view.directory("memory")] = view
        return tuple(views.values())

    def _own_group(self, instance: _Instance, pid: int) -> CgroupView | None:
        """The group of a process, if it is one this run has made."""
        try:
            view = self._site.cgroups.of(pid)
            parts = view.directory("memory").parts
        except CgroupGoneError as error:
            raise LedgerError(f"instance {instance.number}: {error}") from error
        except CgroupError:  # the host has none, or none for memory
            return None
        return view if any(part.startswith(self._site.token) for part in parts) else None

    def _peak(self, instance: _Instance) -> Peak:
        processes = instance.workload or (instance.pid,)
        view = self._own_group(instance, processes[0])
        try:
            charged = view.memory_peak_bytes() if view else None
        except CgroupGoneError as error:
            raise LedgerError(f"instance {instance.number}: {error}") from error
        return Peak(sum(map(read_peak_bytes, processes)), charged)


def _charged(groups: Collection[CgroupView]) -> int | None:
    """Page cache charged to the groups; None where none of them is accounted for."""
    try:
        known = [cache for group in groups if (cache := group.page_cache_bytes()) is not None]
    except CgroupGoneError as error:
        raise LedgerError(str(error)) from error
    return sum(known) if known else None


def settle(read: Callable[[], Snapshot]) -> tuple[Snapshot, bool]:
    """Read until two states in a row are within 64 KiB, for 1 s at most; the last, and whether they were."""
    deadline = time.monotonic() + _STEADY_LIMIT_S
    last = read()
    while True:
        time.sleep(STEADY_PAUSE_S)
        state = read()
        if abs(state.net - last.net) <= _STEADY_BYTES:
            return state, True
        if time.monotonic() >= deadline:
            return state, False
        last = state


def estimate_each(found: Sequence[tuple[int, float]]) -> float:
    """What one more instance may take, from (instances, bytes) so far: the steepest step; 0 without any."""
    steps = [(0, 0.0), *found]
    return max(_steepness(steps), default=0.0)


def _steepness(steps: Sequence[tuple[int, float]]) -> Iterator[float]:
    for (count, total), (next_count, next_total) in pairwise(steps):
        yield max(0.0, (next_total - total) / (next_count - count))


@dataclass(frozen=True, slots=True)
class Shortage:
    """More is needed than the host has to give, in bytes."""

    needed: float
    available: int
    reserve: int


def shortage(needed: float) -> Shortage | None:
    """Whether the host could give so many bytes and keep its reserve; None when it could."""
    available, total = read_available()
    reserve = reserve_bytes(total)
    return Shortage(needed, available, reserve) if needed > available - reserve else None

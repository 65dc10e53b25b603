"""How much memory of the host is in use, what for, and how much of it processes hold.

Sources: proc_meminfo(5), proc_pid_smaps(5), proc_pid_status(5), Documentation/admin-guide/sysctl/vm.rst
(stat_refresh), mm/vmstat.c (zoneinfo), mm/vmalloc.c (vmallocinfo), net/ipv4/proc.c (sockstat) in the
kernel's tree.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isobench.benchmarks.processes import PROC
from isobench.procfs import read_optional

_KIB = 1024
_PAGESET = re.compile(r"^\s+count:\s+(\d+)$", re.MULTILINE)
_STACK_AREA = re.compile(r" (?:kernel_clone|copy_process|dup_task_struct|alloc_thread_stack_node)\+")
"""Who takes the stacks of threads in /proc/vmallocinfo; which name it is depends on what was inlined."""
_SOCKET_PAGES = re.compile(r"^(?:TCP|UDP):.* mem (\d+)$", re.MULTILINE)
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw\S+ ")


@dataclass(frozen=True, slots=True)
class Pss:
    """Proportional set size in bytes: each page divided by the number of processes that map it."""

    anon: int = 0
    shmem: int = 0
    """Shared memory and mapped files of a tmpfs."""
    file: int = 0
    """Pages of the page cache (programs, libraries): the host can take them back, so they are not "used"."""

    @property
    def own(self) -> int:
        """What :func:`used_bytes` counts too."""
        return self.anon + self.shmem

    def __add__(self, other: "Pss") -> "Pss":
        return Pss(self.anon + other.anon, self.shmem + other.shmem, self.file + other.file)

    def __sub__(self, other: "Pss") -> "Pss":
        return Pss(self.anon - other.anon, self.shmem - other.shmem, self.file - other.file)


@dataclass(frozen=True, slots=True)
class HostMemory:
    """What the host's memory is used for at one moment, in bytes."""

    used: int
    slab: int
    """Kernel objects that cannot be given up (task structures, sockets, cgroups, …); in ``used``."""
    page_tables: int
    """Those of processes and, as "secondary" ones, of virtual machines under KVM; in ``used``."""
    stacks: int
    """Kernel stacks of threads; in ``used``."""
    percpu: int
    """In ``used``."""
    vmalloc: int | None
    """The kernel's mapped areas without stacks; in ``used``. None where they cannot be told from the stacks:
    on an old kernel, or without root."""
    shmem: int
    """Files of tmpfs and shared memory, mapped or not; in ``used``."""
    cache: int
    """Buffers and page cache without ``shmem``; not in ``used``."""
    slab_reclaimable: int
    """Kernel objects that can be given up (dentries, inodes); not in ``used``."""
    sockets: int
    """What TCP and UDP have reserved for their buffers, in all network namespaces. The buffers themselves are
    objects of ``slab`` and pages that no counter shows: not to be added."""

    @property
    def kernel(self) -> dict[str, int | None]:
        """The lines of the ledger that are the kernel's own; none contains another."""
        return {
            "kernel_slab": self.slab,
            "kernel_page_tables": self.page_tables,
            "kernel_stacks": self.stacks,
            "kernel_percpu": self.percpu,
            "kernel_vmalloc": self.vmalloc,
        }


def parse_kib_lines(text: str) -> Mapping[str, int]:
    """The ``Name: number kB`` lines of meminfo, smaps_rollup or status, in bytes; others are left out."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        match line.split():
            case [name, number, "kB"]:
                values[name.removesuffix(":")] = int(number) * _KIB
    return values


def parse_pageset_pages(zoneinfo: str) -> int:
    """Free pages on the per-CPU lists of all zones: MemFree does not count them.

    They are tens of MiB on an ordinary host and move with every burst of allocation, so without them an
    instance of a few hundred KiB would be lost in the noise.
    """
    return sum(int(count) for count in _PAGESET.findall(zoneinfo))


def used_bytes(meminfo: str, zoneinfo: str, page_size: int) -> int:
    """Memory the host cannot give to anybody else without taking it from its user.

    MemTotal less what is free (on the zones' and on the per-CPU lists) and less what is cache. Shmem is a
    part of Cached that cannot be dropped (tmpfs, shared memory), so it counts as used.
    """
    found = parse_kib_lines(meminfo)
    free = found["MemFree"] + parse_pageset_pages(zoneinfo) * page_size
    cache = found["Buffers"] + found["Cached"] - found["Shmem"] + found["SReclaimable"]
    return found["MemTotal"] - free - cache


def parse_pss(smaps_rollup: str) -> Pss:
    """From /proc/<pid>/smaps_rollup; empty (a process without memory: a zombie) is zero."""
    found = parse_kib_lines(smaps_rollup)
    file, shmem = found.get("Pss_File", 0), found.get("Pss_Shmem", 0)
    return Pss(found.get("Pss", 0) - file - shmem, shmem, file)


def parse_guest_ram(smaps: str, size: int) -> int | None:
    """PSS of the RAM of a guest in /proc/<pid>/smaps: a writable mapping of exactly its size.

    None where there is none of that size; the fullest one where there are several.
    """
    found: list[int] = []
    wanted = False
    for line in smaps.splitlines():
        if line[0] in "0123456789abcdef":
            mapping = _MAPPING.match(line)
            wanted = mapping is not None and int(mapping[2], 16) - int(mapping[1], 16) == size
        elif wanted and line.startswith("Pss:"):
            found.append(int(line.split()[1]) * _KIB)
    return max(found, default=None)


def parse_resident(status: str) -> Pss:
    """Anonymous and shared memory of a process from /proc/<pid>/status; nothing for kernel threads.

    Resident, not proportional: what several processes map counts for each of them.
    """
    found = parse_kib_lines(status)
    return Pss(found.get("RssAnon", 0), found.get("RssShmem", 0))


def parse_host(
    meminfo: str, zoneinfo: str, sockstat: str, page_size: int, *, stacks_mapped: bool | None
) -> HostMemory:
    """From the texts of /proc; ``stacks_mapped``: whether VmallocUsed contains the stacks, None: unknown."""
    found = parse_kib_lines(meminfo)
    # Kernels before 5.3 write 0.
    areas = found.get("VmallocUsed", 0)
    known = areas and stacks_mapped is not None
    return HostMemory(
        used=used_bytes(meminfo, zoneinfo, page_size),
        slab=found["SUnreclaim"],
        page_tables=found["PageTables"] + found.get("SecPageTables", 0),
        stacks=found["KernelStack"],
        percpu=found.get("Percpu", 0),
        vmalloc=areas - (found["KernelStack"] if stacks_mapped else 0) if known else None,
        shmem=found["Shmem"],
        cache=found["Buffers"] + found["Cached"] - found["Shmem"],
        slab_reclaimable=found["SReclaimable"],
        sockets=sum(map(int, _SOCKET_PAGES.findall(sockstat))) * page_size,
    )


def read_stacks_mapped(proc: Path = PROC) -> bool | None:
    """Whether kernel stacks are mapped areas (CONFIG_VMAP_STACK); None without the right to look."""
    try:
        return _STACK_AREA.search((proc / "vmallocinfo").read_text()) is not None
    except OSError:
        return None


def read_host(*, stacks_mapped: bool | None, proc: Path = PROC) -> HostMemory:
    """The memory of this host now."""
    # Reading it folds the per-CPU differences into the counters meminfo shows; only root may.
    with suppress(OSError):
        (proc / "sys/vm/stat_refresh").read_bytes()
    meminfo, zoneinfo = (proc / "meminfo").read_text(), (proc / "zoneinfo").read_text()
    sockstat = read_optional(proc / "net/sockstat") or ""
    return parse_host(meminfo, zoneinfo, sockstat, os.sysconf("SC_PAGE_SIZE"), stacks_mapped=stacks_mapped)


def reserve_bytes(total: int) -> int:
    """What is left to a host with so much memory: 256 MiB, or a sixteenth of it where that is less."""
    return min(256 * 2**20, total // 16)


def read_available(proc: Path = PROC) -> tuple[int, int]:
    """MemAvailable, the kernel's estimate of what can still be had without swapping, and MemTotal."""
    found = parse_kib_lines((proc / "meminfo").read_text())
    return found["MemAvailable"], found["MemTotal"]


def read_pss(pids: Iterable[int], proc: Path = PROC) -> Pss:
    """The PSS of several processes together; one that ends meanwhile has none."""
    total = Pss()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            total += parse_pss((proc / str(pid) / "smaps_rollup").read_text())
    return total


def read_guest_ram(pid: int, size: int, proc: Path = PROC) -> int | None:
    """PSS of the RAM of the guest that VMM runs; None where no mapping of it has that size."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return parse_guest_ram((proc / str(pid) / "smaps").read_text(errors="replace"), size)
    return None


def read_peak_bytes(pid: int, proc: Path = PROC) -> int:
    """The most a process ever had resident at once since it executed its program, its files included.

    An address space is new at exec (execve(2)): what a runtime used before is not in it. Before Linux 6.2
    VmHWM learns of a thread's page faults 64 at a time (TASK_RSS_EVENTS_THRESH in mm/memory.c), and a small
    process seems to have had next to nothing; what its page tables hold now is exact, and no more than the
    peak. 0: it has ended.
    """
    place = proc / str(pid)
    with suppress(FileNotFoundError, ProcessLookupError):
        marked = parse_kib_lines((place / "status").read_text(errors="replace")).get("VmHWM", 0)
        return max(marked, parse_kib_lines((place / "smaps_rollup").read_text()).get("Rss", 0))
    return 0


def read_bystanders(others_than: Collection[int], proc: Path = PROC) -> Pss:
    """Anonymous and shared memory of all processes but those, which are the isolator's.

    Pages that forked processes still share are counted for each of them: PSS would not, but costs a walk
    through all page tables of the host, and only the change of this sum matters. Processes that /proc hides
    from us (mounted with hidepid, and we are not root) are left out.
    """
    total = Pss()
    for entry in proc.iterdir():
        if not entry.name.isdecimal() or int(entry.name) in others_than:
            continue
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            total += parse_resident((entry / "status").read_text(errors="replace"))
    return total

"""How much memory of the host is in use, and how much of it processes hold.

Sources: proc_meminfo(5), proc_pid_smaps(5), Documentation/admin-guide/sysctl/vm.rst (stat_refresh) and
mm/vmstat.c (zoneinfo) in the kernel's tree.
"""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isobench.benchmarks.processes import PROC

_KIB = 1024
_PAGESET = re.compile(r"^\s+count:\s+(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pss:
    """Proportional set size in bytes: each page divided by the number of processes that map it."""

    own: int = 0
    """Anonymous and shared memory: what :func:`used_bytes` counts too."""
    file: int = 0
    """Pages of the page cache (programs, libraries): the host can take them back, so they are not "used"."""

    def __add__(self, other: "Pss") -> "Pss":
        return Pss(self.own + other.own, self.file + other.file)


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
    file = found.get("Pss_File", 0)
    return Pss(found.get("Pss", 0) - file, file)


def parse_resident(status: str) -> int:
    """Anonymous and shared memory of a process in bytes, from /proc/<pid>/status; 0 for kernel threads."""
    found = parse_kib_lines(status)
    return found.get("RssAnon", 0) + found.get("RssShmem", 0)


def read_used_bytes(proc: Path = PROC) -> int:
    """:func:`used_bytes` of this host now."""
    # Reading it folds the per-CPU differences into the counters meminfo shows; only root may.
    with suppress(OSError):
        (proc / "sys/vm/stat_refresh").read_bytes()
    meminfo = (proc / "meminfo").read_text()
    zoneinfo = (proc / "zoneinfo").read_text()
    return used_bytes(meminfo, zoneinfo, os.sysconf("SC_PAGE_SIZE"))


def read_pss(pids: Iterable[int], proc: Path = PROC) -> Pss:
    """The PSS of several processes together; one that ends meanwhile has none."""
    total = Pss()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            total += parse_pss((proc / str(pid) / "smaps_rollup").read_text())
    return total


def read_bystanders_bytes(instances: Collection[int], proc: Path = PROC) -> int:
    """Anonymous and shared memory of all processes that belong to no instance.

    Pages that forked processes still share are counted for each of them: PSS would not, but costs a walk
    through all page tables of the host, and only the change of this sum matters. Processes that /proc hides
    from us (mounted with hidepid, and we are not root) are left out.
    """
    total = 0
    for entry in proc.iterdir():
        if not entry.name.isdecimal() or int(entry.name) in instances:
            continue
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            total += parse_resident((entry / "status").read_text(errors="replace"))
    return total

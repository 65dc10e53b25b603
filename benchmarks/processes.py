"""The processes of instances, found in /proc (proc_pid_stat(5), proc_pid_cmdline(5), proc_stat(5))."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isobench.model import Launch
from isobench.procfs import read_stat, stat_fields

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the host as it was when looked at."""

    pid: int
    parent: int
    argv: tuple[str, ...]
    """Its command line; empty for kernel threads and for the dead that nobody has reaped."""


def parse_parent(stat: str) -> int:
    """The parent's id from /proc/<pid>/stat; the command before it may hold spaces and parentheses."""
    return int(stat_fields(stat)[1])


def parse_cmdline(cmdline: bytes) -> tuple[str, ...]:
    """/proc/<pid>/cmdline as an argv; an argument may be empty, the list may be."""
    return tuple(os.fsdecode(word) for word in cmdline.split(b"\0")[:-1])


def parse_steal_s(stat: str, ticks_per_s: int) -> float:
    """CPU time the hypervisor took from all CPUs of this host since boot, from /proc/stat, in s."""
    cpu = stat.partition("\n")[0].split()
    return int(cpu[8]) / ticks_per_s


def read_steal_s() -> float:
    """Stolen CPU time of this host until now, in s; to the resolution of USER_HZ, 10 ms."""
    return parse_steal_s((PROC / "stat").read_text(), os.sysconf("SC_CLK_TCK"))


def read_all(proc: Path = PROC) -> tuple[Process, ...]:
    """The processes of the host, by id, without those that end meanwhile or that /proc hides."""
    return tuple(sorted(_read_all(proc), key=lambda process: process.pid))


def read_descendants(ancestor: int, proc: Path = PROC) -> tuple[Process, ...]:
    """Children, grandchildren … of a process, by id, without those that end meanwhile or that /proc hides."""
    return below(ancestor, read_all(proc))


def read_programs(names: Collection[str], proc: Path = PROC) -> tuple[int, ...]:
    """Processes that execute a program with one of these file names; without names nobody is asked."""
    found: list[int] = []
    for entry in proc.iterdir() if names else ():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended, is a kernel thread, or is hidden from us
                if (entry / "exe").readlink().name.removesuffix(" (deleted)") in names:
                    found.append(int(entry.name))
    return tuple(sorted(found))


def workload_argv(launch: Launch, slot: int) -> tuple[str, ...]:
    """The command line by which the workload of an instance (for a VM: its VMM) is known on the host."""
    return tuple(word.replace("{n}", str(slot)) for word in launch.host_argv)


def split_by_argv(
    processes: tuple[Process, ...], argvs: Iterable[tuple[str, ...]]
) -> tuple[tuple[Process, ...], tuple[Process, ...]]:
    """Divide into those with one of the command lines, with all their descendants, and the others."""
    wanted = set(argvs)
    roots = [process for process in processes if process.argv in wanted]
    inside = {process.pid for process in roots}
    for root in roots:
        inside.update(process.pid for process in below(root.pid, processes))
    return (
        tuple(process for process in processes if process.pid in inside),
        tuple(process for process in processes if process.pid not in inside),
    )


def _read_all(proc: Path) -> Iterator[Process]:
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            parent = parse_parent(read_stat(entry))
            yield Process(int(entry.name), parent, parse_cmdline((entry / "cmdline").read_bytes()))


def below(ancestor: int, processes: Iterable[Process]) -> tuple[Process, ...]:
    """Children, grandchildren … of a process among those, by id."""
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [ancestor]
    while queue:
        born = children.get(queue.pop(), [])
        found += born
        queue += [process.pid for process in born]
    return tuple(sorted(found, key=lambda process: process.pid))

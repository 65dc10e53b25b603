"""Which processes of the host are a run's.

Proof is what no bystander has: a cgroup of that run, or an executable or a root in its directory. Other
signs count only for a process that nobody but init, we, or another process of that run looks after:

- a command line or a working directory with a run's name: a user's editor, pager or shell has it too;
- executing the agent of our cache, or having our root file system as its root (the same file, whatever
  root it is seen from): this tells no run, so it may belong to one that is going on.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from isobench.isolators.rootfs import AGENT_NAME
from isobench.isolators.tokens import token_in
from isobench.procfs import read_names, read_stat, stat_fields

Identity: TypeAlias = tuple[int, int]
"""Device and inode: a file is the same from inside any root and mount namespace."""


@dataclass(frozen=True, slots=True)
class Process:
    """What /proc says of a process; what it hides from us is empty."""

    pid: int
    parent: int
    start_ticks: int
    name: str
    command: str
    groups: str
    places: tuple[str, ...]
    """Paths of its executable, its root and its working directory, as seen from here."""
    executable: Identity | None
    root: Identity | None


def ours(state: Path, wanted: str | None) -> Iterator[tuple[Process, str | None]]:
    """Each process of that run, or of any; with the run's name where it shows one.

    Never the calling process, nor its ancestors, nor one that shows the name of another run.
    """
    table = {process.pid: process for process in _living()}
    spared = set(_lineage(os.getpid(), table))
    shared = _identities(state / "cache" / "rootfs")
    proven: dict[int, str | None] = {}
    likely: dict[int, str | None] = {}
    for process in table.values():
        proof = token_in(process.groups, *process.places[:2])
        shown = proof or token_in(process.command, *process.places)
        if process.pid in spared or (wanted and shown not in {None, wanted}):
            continue
        if proof:
            proven[process.pid] = proof
        elif shown or {process.executable, process.root} & shared:
            likely[process.pid] = shown
    caretakers = {1, os.getpid()}
    marked = proven.keys() | likely.keys()
    for pid, shown in likely.items():
        top = _topmost(pid, table, marked)
        keeper = table.get(table[top].parent)
        # systemd: a user's own instance adopts the orphans of that user's sessions.
        adopted = keeper is not None and (keeper.pid in caretakers or keeper.name == "systemd")
        if adopted or top in proven:
            proven[pid] = shown
    yield from ((table[pid], token) for pid, token in sorted(proven.items()))


def start_ticks(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None when there is none, or only its zombie."""
    try:
        fields = stat_fields(read_stat(Path(f"/proc/{pid}")))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _living() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # It has ended while we read, or it is another user's and /proc is mounted with hidepid.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if process := _read(entry):
                yield process


def _read(entry: Path) -> Process | None:
    stat = read_stat(entry)
    fields = stat_fields(stat)
    if fields[0] in "ZX":
        return None
    return Process(
        pid=int(entry.name),
        parent=int(fields[1]),
        start_ticks=int(fields[19]),
        name=stat.partition("(")[2].rpartition(")")[0],
        command=(entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip(),
        groups=read_names(entry / "cgroup"),
        places=tuple(_target(entry / link) for link in ("exe", "root", "cwd")),
        executable=_identity(entry / "exe"),
        root=_identity(entry / "root"),
    )


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # kernel threads have none; others' processes are hidden from us without root
        return ""


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _identities(cache: Path) -> frozenset[Identity]:
    """Every shared root file system and the agent in it."""
    paths = [path for root in cache.glob("*") for path in (root, root / AGENT_NAME)]
    return frozenset(identity for path in paths if (identity := _identity(path)))


def _lineage(pid: int, table: dict[int, Process]) -> Iterator[int]:
    """The process and its ancestors."""
    while pid in table:
        yield pid
        pid = table[pid].parent


def _topmost(pid: int, table: dict[int, Process], marked: set[int]) -> int:
    """The ancestor of the process up to which all are marked."""
    while table[pid].parent in marked:
        pid = table[pid].parent
    return pid

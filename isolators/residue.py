"""What runs have left behind on the host, found by the names everything of ours carries.

Looked for: processes, mounts, cgroups, network namespaces and links, loop devices, files. Nothing is
changed here; :mod:`isobench.isolators.removal` removes what was found.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from isobench.isolators import cgroup, processes
from isobench.isolators.contract import Site
from isobench.isolators.tokens import PREFIX, token_in
from isobench.procfs import MOUNTINFO, Mount, parse_mountinfo, read_names
from isobench.state import state_dir

Kind: TypeAlias = Literal["process", "mount", "loop device", "cgroup", "link", "network namespace", "file"]

LINK_PREFIX = "isob-"
"""A network link is named this and the digits of its run's token: the kernel allows 15 characters only."""

SHARED_DIRECTORIES = ("/run", "/run/runc", "/run/lxc", "/var/lib/lxc", "/dev/shm", "/tmp")  # noqa: S108
"""Where tools leave state under the name of a container, although told to use the run's own directory."""


@dataclass(frozen=True, slots=True)
class Residue:
    """One thing left behind."""

    kind: Kind
    what: str
    """The path, the link's name, or the command line."""
    token: str | None
    """The run that made it; None when it shows only that some run of ours did."""
    pid: int = 0
    """Of a process."""
    start_ticks: int = 0
    """When that process began; with the pid this tells it from a later one with the same number."""

    def __str__(self) -> str:
        return f"{self.kind} {self.pid}: {self.what}" if self.pid else f"{self.kind} {self.what}"


def find(token: str | None = None) -> tuple[Residue, ...]:
    """Everything on this host that carries that run's name, or any run's, in the order to remove it.

    Meant for runs that have ended: of a live one it finds the working parts too. The calling process and
    its ancestors are never among it. What other users made under such a name is not ours either.
    """
    search = _Search(token, state_dir().absolute(), parse_mountinfo(read_names(MOUNTINFO)))
    finders: tuple[Callable[[_Search], Iterable[Residue]], ...] = (
        _processes,
        _mounts,
        _loop_devices,
        _cgroups,
        _links,
        _network_namespaces,
        _files,
    )
    return tuple(residue for finder in finders for residue in finder(search))


def strays(site: Site) -> tuple[Residue, ...]:
    """What a cell has left behind while its run goes on: all but the run's own directory and groups.

    To be asked between cells, when every instance has been ended and every ``prepare`` is over.
    """
    parents = {str(h.point / site.token) for h in site.cgroups.hierarchies}
    skeleton = {*parents, str(site.work)}
    inside = [
        *(
            Residue("cgroup", str(group), site.token)
            for parent in parents
            for group in _children(Path(parent))
            if group.is_dir()
        ),
        *(Residue("file", str(path), site.token) for path in sorted(site.work.iterdir())),
    ]
    return (*(residue for residue in find(site.token) if residue.what not in skeleton), *inside)


@dataclass(frozen=True, slots=True)
class _Search:
    """What is looked for, and where."""

    token: str | None
    state: Path
    mounts: tuple[Mount, ...]

    def owner(self, *texts: str) -> str | None:
        """The run whose name is in the texts, when it is one looked for."""
        found = token_in(*texts)
        return found if self.token in {None, found} else None


def _processes(search: _Search) -> Iterator[Residue]:
    for process, owner in processes.ours(search.state, search.token):
        # One that shows no name and is nobody else's is taken for the asked run's.
        yield Residue("process", process.command, owner or search.token, process.pid, process.start_ticks)


def _mounts(search: _Search) -> Iterator[Residue]:
    shared_root = f"{search.state / 'cache' / 'rootfs'}/"
    for mount in reversed(search.mounts):
        owner = search.owner(mount.point, mount.root, mount.source)
        if owner or mount.point.startswith(shared_root):
            yield Residue("mount", mount.point, owner or search.token)


def _loop_devices(search: _Search) -> Iterator[Residue]:
    for backing in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        owner = search.owner(read_names(backing))
        if owner:
            yield Residue("loop device", f"/dev/{backing.parts[3]}", owner)


def _cgroups(search: _Search) -> Iterator[Residue]:
    for group in cgroup.detect().named(search.token or PREFIX):
        if owner := search.owner(group.name):
            yield Residue("cgroup", str(group), owner)


def _links(search: _Search) -> Iterator[Residue]:
    for link in sorted(Path("/sys/class/net").glob(f"{LINK_PREFIX}*")):
        if owner := search.owner(link.name.replace(LINK_PREFIX, PREFIX)):
            yield Residue("link", link.name, owner)


def _network_namespaces(search: _Search) -> Iterator[Residue]:
    for name in _children(Path("/run/netns")):
        if owner := search.owner(name.name):
            yield Residue("network namespace", name.name, owner)


def _files(search: _Search) -> Iterator[Residue]:
    uid = os.geteuid()
    for directory in (search.state / "run", *map(Path, SHARED_DIRECTORIES)):
        for path in _children(directory):
            owner = search.owner(path.name)
            # Anybody may make such a name in /tmp.
            if owner and path.name.startswith(PREFIX) and path.lstat().st_uid == uid:
                yield Residue("file", str(path), owner)


def _children(directory: Path) -> tuple[Path, ...]:
    """What is in a directory that need not exist, nor be ours to read."""
    try:
        return tuple(sorted(directory.iterdir()))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()

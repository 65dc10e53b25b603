"""What there is on the host of the kinds an isolator may leave behind: two of these show what was left.

Unlike :mod:`isobench.isolators.residue` it also lists what does not carry a run's name, which is how a leak
shows that our names do not reach; on a host where others are at work, that part is theirs as well.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from isobench.isolators import processes, residue
from isobench.isolators.cgroup.tree import CgroupTree
from isobench.isolators.contract import Site
from isobench.isolators.tokens import token_in
from isobench.procfs import MOUNTINFO, parse_mountinfo, read_names, read_stat, stat_fields
from isobench.state import state_dir

Kind: TypeAlias = Literal[
    "process", "zombie", "mount", "cgroup", "network namespace", "link", "loop device", "file"
]

KINDS: tuple[Kind, ...] = (
    "process",
    "zombie",
    "mount",
    "cgroup",
    "network namespace",
    "link",
    "loop device",
    "file",
)
"""In the order they are told."""

DEEP_DIRECTORIES = ("/run/runc", "/run/lxc", "/var/lib/lxc")
"""Where tools leave state of a container below directories that do not bear its name."""

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """One thing of the host."""

    kind: Kind
    what: str
    """A path, a name, a command line; nothing in it hangs on when it was looked at."""
    ours: bool
    """It carries the run's name, or lies in its directory; else it may be anybody's."""

    def __str__(self) -> str:
        return f"{self.kind} {self.what}"


Census: TypeAlias = Mapping[Thing, int]
"""How many there are of each: two mounts may be on one point."""


def take(site: Site) -> Census:
    """Everything there is now; what carries the name of another run is that run's and left out."""
    things = (
        *_processes(site),
        *_mounts(),
        *_groups(site.cgroups),
        *_network_namespaces(),
        *(("link", name) for name in _names(Path("/sys/class/net"))),
        *_loop_devices(),
        *_files(site),
    )
    return Counter(
        Thing(kind, what, ours=token_in(what) == site.token)
        for kind, what in things
        if token_in(what) in {None, site.token}
    )


def left_behind(before: Census, after: Census) -> tuple[Thing, ...]:
    """What has come and stayed; of directories and groups with all below them only the topmost."""
    new = Counter(after) - Counter(before)
    paths = {(thing.kind, thing.what) for thing in new}
    return tuple(
        sorted(
            thing
            for thing in new.elements()
            if not any((thing.kind, str(parent)) in paths for parent in Path(thing.what).parents)
        )
    )


def parse_namespace_mounts(mountinfo: str) -> tuple[str, ...]:
    """Network namespaces that a mount keeps alive, as ``net:[4026532345]`` (ip-netns(8))."""
    mounts = parse_mountinfo(mountinfo)
    return tuple(m.root for m in mounts if m.fstype == "nsfs" and m.root.startswith("net:"))


_Named: TypeAlias = tuple[Kind, str]


def _processes(site: Site) -> Iterator[_Named]:
    """Those of the run, and every zombie: a dead process tells nothing but its name."""
    for process, _token in processes.ours(state_dir().absolute(), site.token):
        yield "process", f"{process.command} ({site.token})"
    for entry in _process_directories():
        with suppress(OSError):
            stat = read_stat(entry)
            if stat_fields(stat)[0] == "Z":
                yield "zombie", f"{entry.name} {stat.partition('(')[2].rpartition(')')[0]}"


def _mounts() -> Iterator[_Named]:
    # A name of ours may be in the source alone, as that of an overlay's layer is not in its mount point.
    for mount in parse_mountinfo(read_names(MOUNTINFO)):
        owner = token_in(mount.point, mount.root, mount.source)
        yield "mount", mount.point if owner in {None, token_in(mount.point)} else f"{mount.point} ({owner})"


def _groups(groups: CgroupTree) -> Iterator[_Named]:
    for hierarchy in groups.hierarchies:
        yield from (("cgroup", path) for path, _names, _files in os.walk(hierarchy.point))


def _network_namespaces() -> Iterator[_Named]:
    found = set(parse_namespace_mounts(read_names(MOUNTINFO)))
    for entry in _process_directories():
        with suppress(OSError):  # it has ended, or is another user's
            found.add(str((entry / "ns/net").readlink()))
    yield from (("network namespace", name) for name in sorted(found))


def _loop_devices() -> Iterator[_Named]:
    for backing in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        with suppress(OSError):
            yield "loop device", f"/dev/{backing.parts[3]} on {read_names(backing).strip()}"


def _files(site: Site) -> Iterator[_Named]:
    """All in the run's directory; what bears its name where tools keep their state; the top of the rest."""
    for path in _below(site.work):
        yield "file", path
    for directory in DEEP_DIRECTORIES:
        yield from (("file", path) for path in _below(Path(directory)) if token_in(path) == site.token)
    for directory in residue.SHARED_DIRECTORIES:
        yield from (("file", f"{directory}/{name}") for name in _names(Path(directory)))


def _below(directory: Path) -> Iterator[str]:
    for place, directories, files in os.walk(directory):
        yield from (f"{place}/{name}" for name in (*directories, *files))


def _names(directory: Path) -> Iterable[str]:
    try:
        return sorted(path.name for path in directory.iterdir())
    except OSError:
        return ()


def _process_directories() -> Iterator[Path]:
    return (entry for entry in PROC.iterdir() if entry.name.isdecimal())

"""Cgroup directories: make, read, list, remove. The same on v1 and v2."""

import errno
import os
import time
from pathlib import Path

from isobench.errors import CgroupError, CgroupGoneError

REMOVAL_TIMEOUT_S = 2.0
"""How long a group may stay busy after its last process has ended: exit and removal are asynchronous."""


def make_group(directory: Path) -> None:
    """mkdir, with an error that says which group and why."""
    try:
        directory.mkdir()
    except OSError as error:
        raise CgroupError(
            f"cannot make cgroup {directory}: {error.strerror}", remedy="isobench doctor"
        ) from error


def read_file(path: Path) -> str:
    """One cgroup file. CgroupGoneError: the group is removed; CgroupError: the file cannot be read."""
    try:
        return path.read_text()
    except OSError as error:
        # ENODEV: the group was removed between open and read.
        gone = error.errno == errno.ENODEV or not path.parent.exists()
        if gone:
            raise CgroupGoneError(f"cgroup {path.parent} does not exist any more") from error
        raise CgroupError(f"cannot read {path}: {error.strerror}") from error


def write_file(path: Path, value: str) -> None:
    """One value to one cgroup file."""
    try:
        path.write_text(value)
    except OSError as error:
        raise CgroupError(f"cannot write {value!r} to {path}: {error.strerror}") from error


def groups_below(directory: Path) -> tuple[Path, ...]:
    """The group and all below it, children before their parents; empty when it does not exist."""
    return tuple(Path(path) for path, _dirs, _files in os.walk(directory, topdown=False))


def named_groups(top: Path, prefix: str) -> tuple[Path, ...]:
    """The topmost groups below ``top`` whose name begins with ``prefix``; they are not searched in turn."""
    found: list[Path] = []
    for path, names, _files in os.walk(top):
        found.extend(Path(path) / name for name in names if name.startswith(prefix))
        names[:] = [name for name in names if not name.startswith(prefix)]
    return tuple(found)


def members(directory: Path) -> tuple[int, ...]:
    """Process ids in the group and all groups below it, ascending."""
    found: set[int] = set()
    for group in groups_below(directory):
        try:
            found.update(int(line) for line in read_file(group / "cgroup.procs").split())
        except CgroupGoneError:
            if group == directory:
                raise
    if not directory.exists():
        raise CgroupGoneError(f"cgroup {directory} does not exist any more")
    return tuple(sorted(found))


def remove_group(directory: Path, *, timeout_s: float = REMOVAL_TIMEOUT_S) -> None:
    """Remove the group and all below it, deepest first. Kills nothing: a group in use is an error.

    Does nothing when the group does not exist.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        busy = [group for group in groups_below(directory) if not _removed(group)]
        if not busy:
            return
        if time.monotonic() > deadline:
            who = ", ".join(map(str, members(directory))) or "none shown, perhaps a mount or a dying one"
            raise CgroupError(
                f"cannot remove cgroup {busy[0]}: still in use by processes: {who}",
                remedy="isobench clean",
            )
        time.sleep(0.01)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        # ENOTEMPTY: on an ordinary file system; cgroupfs says EBUSY for a group with children too.
        if error.errno in {errno.EBUSY, errno.ENOTEMPTY}:
            return False
        raise CgroupError(f"cannot remove cgroup {group}: {error.strerror}") from error
    return True

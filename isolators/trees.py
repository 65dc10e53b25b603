"""Walking a directory tree as an archive stores it: no link followed, parents first, names sorted."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Found:
    """One thing below the top of a tree."""

    name: str
    """Relative to the top; bytes that are no UTF-8 as ``os.fsdecode`` gives them."""
    path: str
    status: os.stat_result
    """Of itself, not of what it links to."""


def walk(top: Path, *, one_file_system: bool = False) -> Iterator[Found]:
    """Everything below ``top``. The order hangs on the names' bytes alone, not on the file system.

    ``one_file_system``: a directory on which something else is mounted counts as empty.
    """
    device = top.stat().st_dev if one_file_system else None
    waiting = _children(str(top), "")
    while waiting:
        found = waiting.pop()
        yield found
        if stat.S_ISDIR(found.status.st_mode) and device in {None, found.status.st_dev}:
            waiting += _children(found.path, f"{found.name}/")


def _children(directory: str, prefix: str) -> list[Found]:
    """The last comes first: they are taken off the end."""
    with os.scandir(directory) as scan:
        entries = sorted(scan, key=lambda entry: os.fsencode(entry.name), reverse=True)
    return [Found(prefix + entry.name, entry.path, entry.stat(follow_symlinks=False)) for entry in entries]

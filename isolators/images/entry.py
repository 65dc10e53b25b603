"""One entry of a root file system, whatever it comes from: a tar archive, a layer, a directory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

CHUNK_BYTES = 1 << 18


class Content(Protocol):
    """The bytes of a regular file, read once from start to end."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        ...


Kind: TypeAlias = Literal["file", "directory", "symlink", "hardlink", "device", "fifo"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says about itself; nothing in it is checked yet."""

    name: str
    kind: Kind
    mode: int
    """The permission bits, with set-user-ID, set-group-ID and sticky."""
    uid: int
    gid: int
    mtime_s: int
    """Whole seconds since 1970, as the formats have it."""
    size: int = 0
    """Of a file: how many bytes its content has."""
    link: str = ""
    """Of a symbolic link its target as it stands, of a hard link the name of another entry."""
    device: int = 0
    """Of a character device, as os.makedev gives it."""


Entries: TypeAlias = Iterator[tuple[Entry, Content | None]]
"""Entries with the content of those that are files; it must be read before the next entry is taken."""

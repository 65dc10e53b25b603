"""A directory as the source of a root file system."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from isobench.isolators.images.entry import CHUNK_BYTES, Content, Entries, Entry, Kind
from isobench.isolators.images.paths import Refusal
from isobench.isolators.trees import Found, walk

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFIFO: "fifo",
}


class Hash(Protocol):
    """Of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Add to what is hashed."""
        ...


def entries(top: Path) -> Entries:
    """The directory's own entries, itself first. Sockets are left out, and what is mounted in it is empty.

    A second name of a file is a hard link to the first. Raises Refusal for a device of block kind.
    """
    status = top.stat()
    yield _entry(Found(".", str(top), status), "directory"), None
    first_names: dict[int, str] = {}
    for found in walk(top, one_file_system=True):
        if stat.S_ISSOCK(found.status.st_mode):
            continue  # of a program that ran there; as tar(1) does
        kind = _KINDS.get(stat.S_IFMT(found.status.st_mode))
        if kind is None:
            raise Refusal("it is a block device, through which the host could be harmed", entry=found.name)
        shared = kind != "directory" and found.status.st_nlink > 1
        first = first_names.setdefault(found.status.st_ino, found.name) if shared else found.name
        if first != found.name:
            yield _entry(found, "hardlink", link=first), None
        elif kind == "file":
            with _opened(found) as content:
                yield _entry(found, kind), content
        else:
            yield _entry(found, kind), None


def hashed(source: Entries, digest: Hash) -> Entries:
    """The same entries; what they are and their content as it is read goes into the digest."""
    for entry, content in source:
        fields = (entry.name, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_s, entry.size)
        record = b"\0".join(os.fsencode(str(field)) for field in (*fields, entry.link, entry.device))
        digest.update(b"%d\0%s" % (len(record), record))
        yield entry, None if content is None else _Hashed(content, digest)


def digest_of(top: Path) -> str:
    """SHA-256 over every name, kind, mode, owner, time and byte of the directory."""
    digest = hashlib.sha256()
    for _entry_of, content in hashed(entries(top), digest):
        while content is not None and content.read(CHUNK_BYTES):
            pass
    return digest.hexdigest()


class _Hashed:
    def __init__(self, content: Content, digest: Hash) -> None:
        self._content = content
        self._digest = digest

    def read(self, size: int, /) -> bytes:
        piece = self._content.read(size)
        self._digest.update(piece)
        return piece


@contextmanager
def _opened(found: Found) -> Iterator[Content]:
    """The file that was found there; not one put in its place since, which might be a link or a FIFO."""
    file = os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb", buffering=0) as content:
        if not os.path.samestat(os.fstat(file), found.status):
            raise Refusal("it was replaced while it was read", entry=found.name)
        yield content


def _entry(found: Found, kind: Kind, link: str = "") -> Entry:
    status = found.status
    return Entry(
        name=found.name,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_s=max(int(status.st_mtime), 0),
        size=status.st_size if kind == "file" else 0,
        link=os.readlink(found.path) if kind == "symlink" else link,  # noqa: PTH115 - as it stands
        device=status.st_rdev if kind == "device" else 0,
    )

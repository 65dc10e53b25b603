"""A VM guest's root file system: a tree as one cpio archive, which the guest's kernel unpacks.

The format is "newc" (cpio(5); Documentation/driver-api/early-userspace/buffer-format.rst of the Linux
kernel). Written here rather than by cpio(1) because a device node in an archive is only a header: no
root and no mknod(2) is needed for it.
"""

import hashlib
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from isobench.errors import UsageError
from isobench.isolators.trees import Found, walk

_MAX_FILE_BYTES = _LAST_SECOND = 0xFFFF_FFFF
"""A size and a time have 8 hex digits in the header: one more, and every later entry is garbage."""

_CHUNK_BYTES = 1 << 20

_FORMAT = "2"
"""Of what is made from a tree of the cache; another one, and the archives there are made anew."""


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of an archive; ``source`` is the regular file its content comes from."""

    name: str
    mode: int
    uid: int = 0
    gid: int = 0
    device: int = 0
    """Of a device node, as os.makedev gives it."""
    source: Path | None = None
    link: str = ""
    """Target of a symbolic link."""
    mtime_s: int = 0
    file: int = 0
    """The same number for all names of one file, whose content is in the first; 0: it has no other name."""


DEVICES = (
    Node("dev/console", stat.S_IFCHR | 0o600, device=os.makedev(5, 1)),
    Node("dev/null", stat.S_IFCHR | 0o666, device=os.makedev(1, 3)),
)
"""The kernel opens /dev/console for PID 1 before anything is mounted on /dev."""


def image(root: Path, cache: Path, extra: tuple[Node, ...] = ()) -> Path:
    """The archive of the tree ``root``, with ``extra`` in place of what the tree has of those names.

    In ``cache`` under the hash of its content; made if it is not there. A tree of the cache is named by a
    digest and never changes, so that its archive is found by that name, without reading the tree. The same
    tree gives the same bytes. Raises UsageError for a file the format cannot hold.
    """
    directory = cache / "initramfs"
    directory.mkdir(parents=True, exist_ok=True)
    alias = directory / f"{_key(root, extra)}.cpio" if root.parent.parent == cache else None
    if alias is not None and alias.exists():
        return alias
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".draft-", delete=False) as draft:
        try:
            for piece in archive(nodes(root, extra)):
                digest.update(piece)
                draft.write(piece)
            draft.flush()
            place = alias or directory / f"{digest.hexdigest()}.cpio"
            Path(draft.name).rename(place)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return place


def file_node(name: str, source: Path, mode: int = 0o755) -> Node:
    """A regular file of root's, for ``extra``."""
    return Node(name, stat.S_IFREG | mode, source=source)


def nodes(root: Path, extra: tuple[Node, ...] = ()) -> tuple[Node, ...]:
    """Everything below ``root``, parents before children, then ``extra`` and the devices every guest needs.

    No link is followed. Of a file with several names all stay names of one file.
    """
    added = (*extra, *DEVICES)
    given = {node.name for node in added}
    found = [_node(item) for item in walk(root) if item.name not in given]
    if not any(node.name == "dev" for node in found):
        found.insert(0, Node("dev", stat.S_IFDIR | 0o755))
    return (*_joined(found), *added)


def archive(entries: tuple[Node, ...]) -> Iterator[bytes]:
    """The archive of these entries, piece by piece."""
    inodes: dict[int, int] = {}
    for number, node in enumerate(entries, start=1):
        yield from _entry(node, inodes.setdefault(node.file, number) if node.file else number)
    yield from _entry(Node("TRAILER!!!", 0), 0)


def _key(root: Path, extra: tuple[Node, ...]) -> str:
    """Of a tree of the cache, what is added to it, and the form of the archive."""
    parts = [_FORMAT, root.parent.name, root.name]
    for node in extra:
        content = node.source.read_bytes() if node.source else b""
        parts += [repr(replace(node, source=None)), hashlib.sha256(content).hexdigest()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _joined(found: list[Node]) -> Iterator[Node]:
    """The nodes as :class:`Node` says of ``file``: other names outside of the tree do not count."""
    names = Counter(node.file for node in found)
    seen: set[int] = set()
    for node in found:
        if names[node.file] == 1 or not node.file:
            yield replace(node, file=0)
        elif node.file in seen:
            yield replace(node, source=None)
        else:
            seen.add(node.file)
            yield node


def _node(found: Found) -> Node:
    status = found.status
    kind = stat.S_IFMT(status.st_mode)
    return Node(
        name=found.name,
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        device=status.st_rdev if kind in {stat.S_IFCHR, stat.S_IFBLK} else 0,
        source=Path(found.path) if kind == stat.S_IFREG else None,
        link=os.readlink(found.path) if kind == stat.S_IFLNK else "",  # noqa: PTH115 - as it stands
        mtime_s=min(max(int(status.st_mtime), 0), _LAST_SECOND),
        file=status.st_ino if kind == stat.S_IFREG and status.st_nlink > 1 else 0,
    )


def _entry(node: Node, inode: int) -> Iterator[bytes]:
    name = os.fsencode(node.name) + b"\0"
    size = node.source.stat().st_size if node.source else len(os.fsencode(node.link))
    if size > _MAX_FILE_BYTES:
        raise UsageError(f"{node.source} has {size} bytes: a file of a VM guest may have {_MAX_FILE_BYTES}")
    fields = (
        *(inode, node.mode, node.uid, node.gid),
        # With 2 links the kernel looks for an earlier name of that inode, with 1 it does not. The times are
        # needed: Python compiles a module anew when its source is not as old as the compiled one says.
        *(2 if node.file else 1, node.mtime_s, size, 0, 0),
        *(os.major(node.device), os.minor(node.device), len(name), 0),
    )
    header = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    yield header + _padding(len(header))
    if node.source:
        yield from _content(node.source, size)
    else:
        yield os.fsencode(node.link)
    yield _padding(size)


def _content(source: Path, size: int) -> Iterator[bytes]:
    with source.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            size -= len(piece)
            yield piece
    if size:
        # One byte more or less than the header says, and every later entry is garbage.
        raise UsageError(f"{source} changed its size while it was read", remedy="isobench run")


def _padding(size: int) -> bytes:
    return bytes(-size % 4)

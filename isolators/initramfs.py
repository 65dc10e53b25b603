"""A VM guest's root file system: the shared tree as one cpio archive, which the guest's kernel unpacks.

The format is "newc" (cpio(5); Documentation/driver-api/early-userspace/buffer-format.rst of the Linux
kernel). Written here rather than by cpio(1) because a device node in an archive is only a header: no
root and no mknod(2) is needed for it.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isobench.errors import UsageError

_MAX_FILE_BYTES = 0xFFFF_FFFF
"""A size has 8 hex digits in the header."""

_CHUNK_BYTES = 1 << 20


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


DEVICES = (
    Node("dev/console", stat.S_IFCHR | 0o600, device=os.makedev(5, 1)),
    Node("dev/null", stat.S_IFCHR | 0o666, device=os.makedev(1, 3)),
)
"""The kernel opens /dev/console for PID 1 before anything is mounted on /dev."""


def image(root: Path, cache: Path) -> Path:
    """The archive of the tree ``root``, in ``cache`` under the hash of its content; made if it is not there.

    The same tree gives the same bytes: entries are sorted and carry no times. Raises UsageError for a
    file the format cannot hold.
    """
    directory = cache / "initramfs"
    directory.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".draft-", delete=False) as draft:
        try:
            for piece in archive(nodes(root)):
                digest.update(piece)
                draft.write(piece)
            draft.flush()
            place = directory / f"{digest.hexdigest()}.cpio"
            Path(draft.name).rename(place)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return place


def nodes(root: Path) -> tuple[Node, ...]:
    """Everything below ``root``, parents before children, and the device nodes every guest needs."""
    given = {device.name for device in DEVICES}
    found = [node for path in sorted(root.rglob("*")) if (node := _node(root, path)).name not in given]
    if not any(node.name == "dev" for node in found):
        found.insert(0, Node("dev", stat.S_IFDIR | 0o755))
    return (*found, *DEVICES)


def archive(entries: tuple[Node, ...]) -> Iterator[bytes]:
    """The archive of these entries, piece by piece."""
    for number, node in enumerate(entries, start=1):
        yield from _entry(node, number)
    yield from _entry(Node("TRAILER!!!", 0), 0)


def _node(root: Path, path: Path) -> Node:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    return Node(
        name=str(path.relative_to(root)),
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        device=status.st_rdev if kind in {stat.S_IFCHR, stat.S_IFBLK} else 0,
        source=path if kind == stat.S_IFREG else None,
        link=str(path.readlink()) if kind == stat.S_IFLNK else "",
    )


def _entry(node: Node, number: int) -> Iterator[bytes]:
    name = os.fsencode(node.name) + b"\0"
    size = node.source.stat().st_size if node.source else len(os.fsencode(node.link))
    if size > _MAX_FILE_BYTES:
        raise UsageError(f"{node.source} has {size} bytes: a file of a VM guest may have {_MAX_FILE_BYTES}")
    fields = (
        *(number, node.mode, node.uid, node.gid),
        # Links: 1, so the kernel looks for no second name. Time 0. Device of the archive: none.
        *(1, 0, size, 0, 0),
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

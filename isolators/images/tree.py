"""Writing the entries of an archive below one directory, and nowhere else.

The tree is made by following no link of the file system: every directory above an entry is looked at, one
after the other. A link among them (``lib -> usr/lib``) is resolved here, inside the tree, and refused where
it leads out of it or to something that is no directory. Nobody else may write to the directory meanwhile; the
caller keeps it where only root can enter. The filters of Python's tarfile (PEP 706) are not enough for this:
"data" refuses the absolute links and devices a root file system has, and neither it nor "tar" bounds what an
archive may take of the disk.
"""

import errno
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isobench.errors import HostUnfitError
from isobench.isolators.images.entry import CHUNK_BYTES, Content, Entry
from isobench.isolators.images.paths import Refusal, parts_of, shown

HARMLESS_DEVICES = {
    os.makedev(1, 3): "null",
    os.makedev(1, 5): "zero",
    os.makedev(1, 7): "full",
    os.makedev(1, 8): "random",
    os.makedev(1, 9): "urandom",
    os.makedev(5, 0): "tty",
    os.makedev(5, 1): "console",
    os.makedev(5, 2): "ptmx",
}
"""Character devices every container runtime hands out (Documentation/admin-guide/devices.txt of Linux)."""

_USUAL = {"proc": 0o555, "sys": 0o555, "dev": 0o755, "tmp": 0o1777}
"""What isolators mount something on; made where the archive has nothing of that name."""

_MAX_HOPS = 40
"""Links followed for one path; as the kernel's MAXSYMLINKS."""

_MAX_LINK_BYTES = 4095
_NO_ID = 0xFFFF_FFFF
"""(uid_t)-1 means "leave as it is" to chown(2)."""

_ZEROS = bytes(CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class Room:
    """How much an import may take: half of what the disk has free, so that the host stays usable."""

    free_bytes: int
    free_entries: int

    @classmethod
    def at(cls, directory: Path) -> "Room":
        """What the file system of that directory has. Some (btrfs) count no inodes: then bytes alone bind."""
        disk = os.statvfs(directory)
        entries = disk.f_favail // 2 if disk.f_files else disk.f_bavail // 2
        return cls(disk.f_bavail * disk.f_frsize // 2, entries)


class Tree:
    """A root file system in the making, below a directory that exists and is empty."""

    def __init__(self, top: Path, room: Room) -> None:
        self._top = str(top)
        self._bytes_left = room.free_bytes
        self._entries_left = room.free_entries
        self._room = room
        self._touched: set[str] = set()
        self._directories: dict[str, tuple[int, int]] = {self._top: (0o755, 0)}
        """Mode and time to be set at the end: making things inside changes the one and needs the other."""
        self._entered: dict[tuple[str, ...], str] = {}

    def begin_layer(self) -> None:
        """What follows lies above what is there: it may replace it, and whiteouts may remove it."""
        self._touched.clear()

    def add(self, entry: Entry, content: Content | None) -> None:
        """Make that entry. Raises Refusal, and HostUnfitError for what only root may make."""
        self._count(entry)
        parts = parts_of(entry.name)
        if not parts:
            if entry.kind != "directory":
                raise Refusal("it stands for the top of the root file system, but is no directory")
            self._own(self._top, entry)
            self._directories[self._top] = (entry.mode, entry.mtime_s)
            return
        path = f"{self._directory(parts[:-1])}/{parts[-1]}"
        self._replace(path, entry)
        try:
            self._make(path, entry, content)
        except PermissionError as error:
            raise needs_root(f"making {shown(entry.name)}") from error
        self._touch(path)

    def remove_lower(self, name: str) -> None:
        """Remove what lower layers have under that name; what this layer has made stays."""
        if parts := parts_of(name):
            self._remove_lower(f"{self._directory(parts[:-1])}/{parts[-1]}")

    def clear_lower(self, name: str) -> None:
        """Remove all that lower layers have inside that directory."""
        directory = self._directory(parts_of(name))
        self._touch(directory)
        for child in os.listdir(directory):
            self._remove_lower(f"{directory}/{child}")

    def finish(self) -> None:
        """Add the usual directories that are missing, and set modes and times of all directories."""
        for name, mode in _USUAL.items():
            if not os.path.lexists(f"{self._top}/{name}"):
                self._make_directory(f"{self._top}/{name}", mode)
        # As they are found, the deepest first: a later layer may have put a link where a directory was, and a
        # remembered path would lead through it to the host.
        for path, _, _ in os.walk(self._top, topdown=False):
            mode, mtime_s = self._directories[path]
            os.chmod(path, mode)
            os.utime(path, (mtime_s, mtime_s))

    def _count(self, entry: Entry) -> None:
        self._entries_left -= 1
        self._bytes_left -= entry.size
        if self._entries_left < 0:
            raise Refusal(
                f"it has more than {self._room.free_entries} entries: half of the disk's free inodes"
            )
        if self._bytes_left < 0:
            allowed = f"{self._room.free_bytes} bytes: half of what the disk has free"
            raise Refusal(f"with it the content has more than {allowed}")

    def _directory(self, parts: tuple[str, ...]) -> str:
        """The directory of these names, made where it is missing."""
        known = self._entered.get(parts)
        if known is None:
            known = self._entered[parts] = "/".join((self._top, *self._enter((), parts, make=True, hops=0)))
        return known

    def _enter(
        self, at: tuple[str, ...], names: tuple[str, ...], *, make: bool, hops: int
    ) -> tuple[str, ...]:
        """Where one comes to from ``at``; without ``make`` only through what is there."""
        for name in names:
            if name == "..":
                if not at:
                    raise Refusal("a link in its path leads out of the root file system")
                at = at[:-1]
                continue
            path = "/".join((self._top, *at, name))
            mode = _mode(path)
            if mode is None and make:
                self._make_directory(path, 0o755)
            elif mode is not None and stat.S_ISLNK(mode):
                at = self._follow(at, path, hops)
                continue
            elif mode is None or not stat.S_ISDIR(mode):
                what = "is missing" if mode is None else "is no directory"
                raise Refusal(f"{shown('/'.join((*at, name)))}, through which its path leads, {what}")
            at = (*at, name)
        return at

    def _follow(self, at: tuple[str, ...], path: str, hops: int) -> tuple[str, ...]:
        if hops == _MAX_HOPS:
            raise Refusal("links in its path lead to each other in a circle")
        target = os.readlink(path)
        names = tuple(part for part in target.split("/") if part not in {"", "."})
        try:
            return self._enter(() if target.startswith("/") else at, names, make=False, hops=hops + 1)
        except Refusal as refusal:
            if hops:
                raise
            link = shown(path[len(self._top) + 1 :])
            raise Refusal(
                f"its path leads through the link {link} -> {shown(target)}: {refusal}"
            ) from refusal

    def _replace(self, path: str, entry: Entry) -> None:
        """Make way for an entry. A directory stays under a directory: the two are merged."""
        mode = _mode(path)
        if mode is None or (stat.S_ISDIR(mode) and entry.kind == "directory"):
            return
        if stat.S_ISDIR(mode) and path in self._touched:
            raise Refusal(f"it is there twice, first as a directory and then as a {entry.kind}")
        if entry.kind == "hardlink" and self._target(entry) == path:
            raise Refusal("it is a hard link to itself")
        self._remove(path, mode)

    def _remove(self, path: str, mode: int) -> None:
        self._entered.clear()
        if stat.S_ISDIR(mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def _remove_lower(self, path: str) -> None:
        mode = _mode(path)
        if mode is None:
            return
        if path not in self._touched:
            self._remove(path, mode)
        elif stat.S_ISDIR(mode):
            for child in os.listdir(path):
                self._remove_lower(f"{path}/{child}")

    def _touch(self, path: str) -> None:
        """Note that this layer has something at or below that path."""
        while path not in self._touched and len(path) >= len(self._top):
            self._touched.add(path)
            path = path.rpartition("/")[0]

    def _make(self, path: str, entry: Entry, content: Content | None) -> None:
        match entry.kind:
            case "directory":
                self._make_directory(path, entry.mode, entry.mtime_s)
            case "file":
                _write(path, entry, content)
            case "symlink":
                _link(path, entry)
            case "hardlink":
                self._link_hard(path, entry)
                return  # owner, mode and time are those of the file it is another name of
            case "device":
                if entry.device not in HARMLESS_DEVICES:
                    numbers = f"{os.major(entry.device)}:{os.minor(entry.device)}"
                    raise _unsafe_device(f"the character device {numbers}")
                os.mknod(path, stat.S_IFCHR | 0o600, entry.device)
            case "fifo":
                os.mkfifo(path, 0o600)
        self._own(path, entry)
        if entry.kind not in {"directory", "symlink"}:
            os.chmod(path, entry.mode)  # after chown(2), which clears the set-user-ID bit
        if entry.kind != "directory":
            os.utime(path, (entry.mtime_s, entry.mtime_s), follow_symlinks=False)

    def _make_directory(self, path: str, mode: int, mtime_s: int = 0) -> None:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        self._directories[path] = (mode, mtime_s)
        self._touch(path)

    def _target(self, entry: Entry) -> str:
        """The file a hard link is another name of."""
        try:
            parts = parts_of(entry.link)
            directory = self._enter((), parts[:-1], make=False, hops=0)
        except Refusal as refusal:
            raise Refusal(f"it is a hard link to {shown(entry.link)}: {refusal}") from refusal
        return "/".join((self._top, *directory, *parts[-1:]))

    def _link_hard(self, path: str, entry: Entry) -> None:
        target = self._target(entry)
        mode = _mode(target)
        if mode is None or stat.S_ISDIR(mode):
            why = "is not there before it" if mode is None else "is a directory"
            raise Refusal(f"it is a hard link to {shown(entry.link)}, which {why}")
        os.link(target, path, follow_symlinks=False)

    def _own(self, path: str, entry: Entry) -> None:
        if not (0 <= entry.uid < _NO_ID and 0 <= entry.gid < _NO_ID):
            raise Refusal(f"its owner {entry.uid}:{entry.gid} is none a file can have")
        try:
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        except OSError as error:
            # EINVAL: that user does not exist in this user namespace.
            if error.errno not in {errno.EPERM, errno.EINVAL}:
                raise
            raise needs_root(f"giving {shown(entry.name)} to {entry.uid}:{entry.gid}") from error


def needs_root(act: str) -> HostUnfitError:
    """The error for what an ordinary user may not do."""
    return HostUnfitError(
        f"importing a root file system needs root, for owners and device nodes: {act} is not permitted",
        remedy="sudo isobench run",
    )


def _unsafe_device(what: str) -> Refusal:
    allowed = " ".join(HARMLESS_DEVICES.values())
    return Refusal(
        f"it is {what}, through which the host could be harmed; allowed: {allowed}",
        remedy="tar --exclude='./dev/*' ...  # isolators give a workload its own /dev",
    )


def _mode(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _write(path: str, entry: Entry, content: Content | None) -> None:
    """A regular file; runs of zeros become holes, so that a sparse file costs no more than it did."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb", buffering=0) as out:
        left = entry.size
        while left and content is not None:
            piece = content.read(min(CHUNK_BYTES, left))
            if not piece:
                break
            left -= len(piece)
            if piece == _ZEROS[: len(piece)]:
                out.seek(len(piece), os.SEEK_CUR)
            else:
                _write_all(out.fileno(), piece)
        if left or (content is not None and content.read(1)):
            raise Refusal(f"its content has not the {entry.size} bytes it should have")
        out.truncate(entry.size)


def _write_all(file: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(file, rest) :]


def _link(path: str, entry: Entry) -> None:
    if not entry.link or "\0" in entry.link or len(os.fsencode(entry.link)) > _MAX_LINK_BYTES:
        raise Refusal(f"it is a symbolic link to {shown(entry.link)}, which no link can hold")
    os.symlink(entry.link, path)

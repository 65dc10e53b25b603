"""Files of /proc and /sys: read where they exist, and the mount table parsed (proc_pid_mountinfo(5)).

Names in them are bytes of anybody's choosing, seldom but now and then no UTF-8: no reader here minds.
"""

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/<pid>/mountinfo."""

    root: str
    """Which directory of the file system is seen at ``point``."""
    point: str
    read_only: bool
    """Either the mount or its file system is read-only."""
    fstype: str
    source: str
    super_options: tuple[str, ...]


def read_names(path: Path) -> str:
    """A file's text in which paths stay usable as such, whatever their bytes (as ``os.fsdecode`` does)."""
    return path.read_text(errors="surrogateescape")


def read_stat(directory: Path) -> str:
    """``stat`` of a process directory; what is no UTF-8 in the process's name is replaced."""
    return (directory / "stat").read_text(errors="replace")


def stat_fields(stat: str) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on (proc_pid_stat(5)); the name may hold anything."""
    return stat.rpartition(")")[2].split()


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Every mount, in the order of the table (later ones may cover earlier ones)."""
    return tuple(_mount(line) for line in text.splitlines() if line)


def _mount(line: str) -> Mount:
    # The optional fields before the lone "-" vary in number, hence the split in two.
    before, _, after = line.partition(" - ")
    _id, _parent, _device, root, point, options, *_optional = before.split(" ")
    fstype, source, super_options = after.split(" ", 2)
    flags = tuple(super_options.split(","))
    return Mount(
        root=_plain(root),
        point=_plain(point),
        read_only="ro" in options.split(",") or "ro" in flags,
        fstype=fstype,
        source=_plain(source),
        super_options=flags,
    )


def _plain(text: str) -> str:
    """A path as it is: space, tab, newline and backslash come as three octal digits."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def read_optional(path: Path) -> str | None:
    """The file's text without white space at its ends; None where this host has no such file for us."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None

"""Names of an archive's entries: which may be made below the root file system, and why the others may not."""

import os

MAX_NAME_BYTES = 255
"""NAME_MAX of every file system of Linux."""

MAX_PATH_BYTES = 3584
"""PATH_MAX (4096) less what stands before it on the host: the cache, the mount point of an overlay."""

MAX_DEPTH = 256
"""Directories inside each other. Far above any system's; tools that recurse still come through."""


class Refusal(Exception):  # noqa: N818 - it becomes an ImageError where the archive's name is known
    """Why an entry, or the whole source, is not imported."""

    def __init__(self, reason: str, *, entry: str | None = None, remedy: str | None = None) -> None:
        super().__init__(reason)
        self.entry = entry
        self.remedy = remedy


def parts_of(name: str) -> tuple[str, ...]:
    """The directories and the last name of an entry; empty for the top of the tree (``.``, ``./``).

    Raises Refusal for a name that leads out of the tree or that no file may have. A ``..`` is refused even
    where it would lead back inside: no archiver writes one.
    """
    if name.startswith("/"):
        raise Refusal("its name is an absolute path, which leads out of the root file system")
    if "\0" in name:
        raise Refusal("its name has a NUL byte")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise Refusal("its name has a '..', which leads out of the root file system")
    _check_length(parts)
    return parts


def shown(name: str) -> str:
    """A name as a message can hold it: ASCII, all else escaped; a long one without its middle."""
    text = ascii(name)
    return text if len(text) <= MAX_NAME_BYTES else f"{text[:120]}…{text[-40:]}"


def _check_length(parts: tuple[str, ...]) -> None:
    length = sum(len(os.fsencode(part)) + 1 for part in parts)
    if length > MAX_PATH_BYTES:
        raise Refusal(f"its name has {length} bytes; at most {MAX_PATH_BYTES} can be used")
    if len(parts) > MAX_DEPTH:
        raise Refusal(f"it lies {len(parts)} directories deep; at most {MAX_DEPTH} can be used")
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in parts):
        raise Refusal(f"a part of its name is longer than the {MAX_NAME_BYTES} bytes a file name may have")

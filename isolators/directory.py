"""Directory trees put in place as a whole, and removed without reaching through a mount."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from isobench.errors import HostUnfitError
from isobench.procfs import MOUNTINFO, Mount, parse_mountinfo, read_names


def mounts_below(directory: Path, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """The mounts on the directory itself and inside it, the last made first: the order to unmount them."""
    place = str(directory)
    return tuple(m for m in reversed(mounts) if m.point == place or m.point.startswith(f"{place}/"))


def remove_directory(directory: Path) -> None:
    """``rm -r``, refused with HostUnfitError while anything is mounted there. No error when it is absent."""
    place = directory.resolve()
    mounted = mounts_below(place, parse_mountinfo(read_names(MOUNTINFO)))
    if mounted:
        # A bind mount may show any of the host's files here: rm -r would remove those.
        points = " ".join(mount.point for mount in mounted)
        raise HostUnfitError(
            f"{directory} is not removed: mounted below it is {points}", remedy=f"umount {points}"
        )
    if not place.exists():
        return
    try:
        shutil.rmtree(place)
    except PermissionError:
        # overlayfs leaves work/work, which is empty and into which its owner may not look; rmdir(2) need not.
        for _ in os.walk(place, onerror=_remove_closed):
            pass
        shutil.rmtree(place)


def _remove_closed(error: OSError) -> None:
    with suppress(OSError):
        Path(error.filename).rmdir()


def put_directory(draft: Path, place: Path, is_complete: Callable[[], bool]) -> None:
    """Give a finished draft its name, whole or not at all.

    rename(2) fails onto a tree that another build has put there meanwhile; that one stays if it is complete
    and is removed if it is not.
    """
    try:
        draft.rename(place)
    except OSError:
        if is_complete():
            return
        remove_directory(place)
        draft.rename(place)


@contextmanager
def scratch_directory(work: Path, name: str) -> Iterator[Path]:
    """A directory of its own for the time of one ``prepare``; gone afterwards, with all that is in it."""
    work.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))
    directory.chmod(0o755)  # users that the host's root is mapped to search it
    try:
        yield directory
    finally:
        remove_directory(directory)

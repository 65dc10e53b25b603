"""What a user's workload finds inside an isolator: its environment, a root file system it may write to.

The imported root file system is shared by all instances of all runs, so nobody writes to it: each instance
has an overlay of it (Documentation/filesystems/overlayfs.rst), made untimed. The layer is kept from one start
to the next in the same slot, and dropped at the end of ``prepare``.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from isobench.errors import HostUnfitError, ToolError
from isobench.isolators.contract import Site
from isobench.isolators.directory import scratch_directory
from isobench.model import Bundle
from isobench.process import run
from isobench.starter import ENVIRONMENT

_TIMEOUT_S = 10.0

_DIRECTORIES = {"proc": 0o555, "sys": 0o555, "tmp": 0o1777, "dev": 0o755, "dev/shm": 0o1777}
_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
"""What container runtimes put into /dev (OCI runtime specification, Linux: default devices, /dev links)."""

_UNFIT = frozenset('\\,:"')
"""Have a meaning in the options of an overlay mount."""


def environment(bundle: Bundle) -> tuple[str, ...]:
    """The whole environment of a workload, ``NAME=value`` each: the fixed one, and its own, which wins."""
    # runc and the kernel of a guest set HOME by themselves where it is missing; so everybody has it.
    fixed = {**ENVIRONMENT, "HOME": "/"} if bundle.own else ENVIRONMENT
    own = dict(variable.split("=", 1) for variable in bundle.env)
    return tuple(f"{name}={value}" for name, value in {**fixed, **own}.items())


def at_slot(path: Path, slot: int) -> Path:
    """A path of a launch with the number of a slot in it."""
    return Path(str(path).replace("{n}", str(slot)))


@contextmanager
def writable_roots(site: Site, bundle: Bundle, slots: int, *, proc: bool = False) -> Iterator[Bundle]:
    """The bundle with a root of its own for each slot (``{n}`` in its path); gone at the end.

    A bundle that is not a user's stays as it is. ``proc``: with the host's /proc in it, for isolators
    without a PID namespace. Raises HostUnfitError where no overlay can be made.
    """
    if not bundle.own:
        yield bundle
        return
    # It is removed only when nothing is mounted there any more.
    with scratch_directory(site.work, "roots") as directory, ExitStack() as mounts:
        directory.chmod(0o700)  # it may hold setuid programs, and the host has other users
        for slot in range(slots):
            _make(bundle.root, directory / str(slot), mounts, proc=proc)
        yield replace(bundle, root=directory / "{n}" / "root")


def _make(lower: Path, place: Path, mounts: ExitStack, *, proc: bool) -> None:
    root, upper, work = (place / name for name in ("root", "upper", "work"))
    for directory in (root, upper, work):
        directory.mkdir(parents=True)
    upper.chmod(stat.S_IMODE(lower.stat().st_mode) | 0o555)  # its mode is that of / inside
    _mount("overlay", root, mounts, f"lowerdir={lower},upperdir={upper},workdir={work}")
    _furnish(root)
    if proc:
        _mount("proc", root / "proc", mounts, "nosuid,nodev,noexec")


def _mount(kind: str, place: Path, mounts: ExitStack, options: str) -> None:
    if kind == "overlay" and _UNFIT & set(str(place)):
        raise HostUnfitError(
            f"{place}: a path with any of {' '.join(sorted(_UNFIT))} cannot be part of an overlay",
            remedy="export ISOBENCH_STATE=/var/lib/isobench",
        )
    try:
        run(["mount", "-t", kind, "-o", options, kind, place], timeout_s=_TIMEOUT_S)
    except ToolError as error:
        raise HostUnfitError(
            f"no {kind} can be mounted on {place}, so a workload of a user cannot have a root file system "
            f"it may write to: {error}",
            remedy="export ISOBENCH_STATE=DIR  # on ext4 or xfs; and as root",
        ) from error
    mounts.callback(run, ["umount", "--", place], timeout_s=_TIMEOUT_S)


def _furnish(root: Path) -> None:
    """What every runtime gives a container, where the root file system lacks it."""
    for name, mode in _DIRECTORIES.items():
        _directory(root / name, mode)
    for name, number in _DEVICES.items():
        if not os.path.lexists(device := root / "dev" / name):
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(*number))
            device.chmod(0o666)
    for name, target in _LINKS.items():
        if not os.path.lexists(link := root / "dev" / name):
            link.symlink_to(target)


def _directory(path: Path, mode: int) -> None:
    """A real directory: a link of that name could lead us out of the root file system."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    if not path.exists():
        path.mkdir()
        path.chmod(mode)

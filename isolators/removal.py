"""Removing what :mod:`isobench.isolators.residue` found, and only that."""

import os
import select
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isobench.errors import HostUnfitError, IsobenchError
from isobench.isolators import processes
from isobench.isolators.cgroup.files import remove_group
from isobench.isolators.directory import remove_directory
from isobench.isolators.residue import Kind, Residue
from isobench.process import run
from isobench.procfs import MOUNTINFO, parse_mountinfo, read_names

KILL_TIMEOUT_S = 5.0
TOOL_TIMEOUT_S = 10.0
_MOST_ROUNDS = 3
"""After the first, no process of the run is left to make anything, unless one could not be ended."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What came of removing one thing."""

    residue: Residue
    error: str | None
    """Why it is still there; None: it is gone."""


def remove(residues: Iterable[Residue]) -> tuple[Removal, ...]:
    """Remove each, in the order given (``find`` gives the right one); a failure does not stop the others."""
    return tuple(Removal(residue, _attempt(residue)) for residue in residues)


def clear(find: Callable[[], Iterable[Residue]]) -> tuple[Removal, ...]:
    """Remove what ``find`` finds, and look again until nothing new is found.

    What was ended first may have made something meanwhile: the monitor of LXC tidies up when its container is
    killed, in a cgroup it makes for that.
    """
    done: dict[Residue, Removal] = {}
    for _ in range(_MOST_ROUNDS):
        found = tuple(find())
        gone = done.keys() - set(found)
        done.update((residue, Removal(residue, None)) for residue in gone)
        if done.keys() >= set(found):
            break
        done.update((one.residue, one) for one in remove(found))
    return tuple(done.values())


def _attempt(residue: Residue) -> str | None:
    try:
        _REMOVERS[residue.kind](residue)
    except (IsobenchError, OSError) as error:
        return str(error)
    return None


def _end(residue: Residue) -> None:
    """SIGKILL, after making sure that the number still means the process that was found."""
    try:
        handle = os.pidfd_open(residue.pid)
    except ProcessLookupError:
        return
    try:
        # The handle holds on to whoever has the number now; only then the question who that is, is safe.
        if processes.start_ticks(residue.pid) != residue.start_ticks:
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        ended, _, _ = select.select([handle], [], [], KILL_TIMEOUT_S)
    finally:
        os.close(handle)
    if not ended:
        raise HostUnfitError(f"process {residue.pid} still runs {KILL_TIMEOUT_S:g} s after SIGKILL")


def _unmount(residue: Residue) -> None:
    # What is below a shared mount, as systemd makes them, may be there twice; both go with the first.
    if residue.what in {mount.point for mount in parse_mountinfo(read_names(MOUNTINFO))}:
        run(["umount", "--", residue.what], timeout_s=TOOL_TIMEOUT_S)


def _detach(residue: Residue) -> None:
    run(["losetup", "--detach", residue.what], timeout_s=TOOL_TIMEOUT_S)


def _remove_group(residue: Residue) -> None:
    remove_group(Path(residue.what))


def _remove_link(residue: Residue) -> None:
    # The other end of a veth pair goes with the first.
    if Path("/sys/class/net", residue.what).exists():
        run(["ip", "link", "delete", "dev", residue.what], timeout_s=TOOL_TIMEOUT_S)


def _remove_namespace(residue: Residue) -> None:
    run(["ip", "netns", "delete", residue.what], timeout_s=TOOL_TIMEOUT_S)


def _remove_file(residue: Residue) -> None:
    path = Path(residue.what)
    if path.is_dir() and not path.is_symlink():
        remove_directory(path)
    else:
        path.unlink(missing_ok=True)


_REMOVERS: Mapping[Kind, Callable[[Residue], None]] = {
    "process": _end,
    "mount": _unmount,
    "loop device": _detach,
    "cgroup": _remove_group,
    "link": _remove_link,
    "network namespace": _remove_namespace,
    "file": _remove_file,
}

"""One run at a time on a host: two would measure each other.

The lock is an flock(2) on one file for all users of the host, so it ends with its process however that
ends; the text in the file only tells others who holds it, and text of a dead holder means nothing. The file
may lie in a directory in which everybody can make files: it is never followed as a link, and all that is
ever read of it is this text.
"""

import errno
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isobench.errors import LockedError, OutputError
from isobench.journal_writer import now_utc

_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def host_lock(path: Path) -> Iterator[None]:
    """Hold the host while the body runs.

    Raises :class:`isobench.errors.LockedError`, naming the holder, when another process has it, and
    :class:`isobench.errors.OutputError` when the lock file cannot be written.
    """
    fd = _open(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(path, os.pread(fd, 4096, 0)) from None
        _write_holder(path, fd)
        yield
    finally:
        os.close(fd)  # children do not inherit it (close-on-exec), so this frees the lock


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # First without O_CREAT: with it, fs.protected_regular forbids even root another user's file.
            return os.open(path, _FLAGS)
        except FileNotFoundError:
            fd = os.open(path, _FLAGS | os.O_CREAT, 0o666)
            os.fchmod(fd, 0o666)  # not subject to the umask: the next run may be another user's
            return fd
    except OSError as error:
        raise _unwritable(path, error) from error


def _write_holder(path: Path, fd: int) -> None:
    holder = {"pid": os.getpid(), "command": shlex.join(sys.argv), "since": now_utc()}
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(holder).encode() + b"\n", 0)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: the lock of this host cannot be written: {error.strerror}",
        remedy=_remedy(path, error),
    )


def _remedy(path: Path, error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"free some space: df {path.parent}"
    if error.errno in {errno.ELOOP, errno.EISDIR}:
        return f"a link or a directory has its name; move it away, as root: mv -T {path} {path}.old"
    if os.path.lexists(path):
        return f"make it writable, as root: chmod 666 {path}"
    return f"let every user make files there, as root: mkdir -p {path.parent} && chmod 1777 {path.parent}"


def _locked(path: Path, text: bytes) -> LockedError:
    try:
        holder = json.loads(text)
        who = f"process {holder['pid']} ({holder['command']}), since {holder['since']}"
        stop = f"wait for it, or stop it: kill -INT {holder['pid']}"
    except (ValueError, TypeError, KeyError):  # seen between its flock and its write
        who, stop = "a process that has only just begun", f"see who it is: fuser -v {path}"
    return LockedError(f"another run is using this host: {who}", remedy=stop)

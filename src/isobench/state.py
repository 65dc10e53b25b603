"""Where isobench keeps things on a host between and during runs."""

import os
import stat
from pathlib import Path

LOCK_DIRECTORIES = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 - see lock.py for why that is safe
"""Where the lock of the host may be: the first in which every user can make files, the same for all.

Debian's /run/lock is such a place, that of Fedora and Arch is root's alone; there it is /tmp.
"""

_SHARED = stat.S_ISVTX | stat.S_IWOTH


def lock_path() -> Path:
    """The lock of the host. Not below the state directory: runs of two users disturb each other as well."""
    directory = next(filter(_is_shared, LOCK_DIRECTORIES), LOCK_DIRECTORIES[-1])
    return directory / "isobench.lock"


def _is_shared(directory: Path) -> bool:
    """Everybody may make files there, and nobody may remove those of another."""
    return directory.is_dir() and directory.stat().st_mode & _SHARED == _SHARED


def state_dir() -> Path:
    """``$ISOBENCH_STATE``, else /var/lib/isobench for root, else ~/.local/state/isobench.

    Not /run: it is mounted noexec on many systems, and root file systems live here. Holds ``cache/``
    (content-addressed, survives runs) and ``run/<token>/`` (one live run each).
    """
    if override := os.environ.get("ISOBENCH_STATE"):
        return Path(override)
    if os.geteuid() == 0:
        return Path("/var/lib/isobench")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "isobench"

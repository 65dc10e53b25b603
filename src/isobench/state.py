"""Where isobench keeps things on a host between and during runs."""

import os
from pathlib import Path

LOCK_DIRECTORIES = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 - see lock.py for why that is safe
"""Where the lock of the host may be: the first that exists. Writable for every user, the same for all."""


def lock_path() -> Path:
    """The lock of the host. Not below the state directory: runs of two users disturb each other as well."""
    directory = next((place for place in LOCK_DIRECTORIES if place.is_dir()), LOCK_DIRECTORIES[-1])
    return directory / "isobench.lock"


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

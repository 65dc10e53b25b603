"""Where isobench keeps things on a host between and during runs."""

import os
from pathlib import Path


def state_dir() -> Path:
    """``$ISOBENCH_STATE``, else /var/lib/isobench for root, else ~/.local/state/isobench.

    Not /run: it is mounted noexec on many systems, and root file systems live here. Holds ``cache/``
    (content-addressed, survives runs), ``run/<token>/`` (one live run each) and ``lock``.
    """
    if override := os.environ.get("ISOBENCH_STATE"):
        return Path(override)
    if os.geteuid() == 0:
        return Path("/var/lib/isobench")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "isobench"

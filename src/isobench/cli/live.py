"""Which runs are going on, anywhere on this host.

The lock of a state folder keeps apart the runs that use this folder; a run that was told to keep its state
elsewhere (ISOBENCH_STATE) is found by the lock file it holds open there.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from isobench.isolators.tokens import is_token


def live_tokens(own_lock: Path, proc: Path = Path("/proc")) -> frozenset[str]:
    """The names of all runs whose process lives; of other users' processes only root can see them.

    ``own_lock`` is held by whoever asks: beside it no run is going on.

    A run's name is that of its directory ``run/<token>`` beside the lock. Asked after things were found, the
    answer holds for them: a run has its lock before it makes anything.
    """
    locks = set(_open_locks(proc)) - {own_lock.resolve()}
    return frozenset(token for lock in locks for token in _tokens(lock.parent / "run"))


def _open_locks(proc: Path) -> Iterator[Path]:
    """Every file named ``lock`` that a process has open."""
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):  # it has ended, or is none of ours to look into
            for handle in (process / "fd").iterdir():
                target = _target(handle)
                if target.name == "lock":
                    yield target


def _target(handle: Path) -> Path:
    try:
        return Path(os.readlink(handle))  # noqa: PTH115 - a socket's name is no path to normalise
    except OSError:  # closed meanwhile
        return Path()


def _tokens(folder: Path) -> Iterator[str]:
    with suppress(OSError):
        yield from (entry.name for entry in folder.iterdir() if is_token(entry.name))

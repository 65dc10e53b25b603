"""What a command takes: its time, its CPU time and its memory, each command a process of its own.

``python -m tests.perf.fleet_scale`` and ``python -m tests.perf.one_run`` print tables of it, judging nothing.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from isobench.reports import units

_MODULE = (sys.executable, "-m")
COLUMNS = ("time", "CPU time", "memory", "size")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took."""

    wall_s: float
    cpu_s: float
    """Of the command and of the children it has waited for, in user and system mode."""
    peak_bytes: int
    """The most that was resident at once; at least what this process has, of which it begins as a copy."""

    def cells(self, made: Path | None = None) -> tuple[str, ...]:
        """Under :data:`COLUMNS`; the size is that of what the command has made, if it has made something."""
        size = "" if made is None else units.nbytes(disk_bytes(made))
        return (f"{self.wall_s:.1f} s", f"{self.cpu_s:.1f} s", units.nbytes(self.peak_bytes), size)


def isobench(*words: str | Path) -> Cost:
    """Run ``isobench …``; what it prints is thrown away.

    Raises SystemExit with its errors when it fails.
    """
    return measured("isobench", *words)


def measured(module: str, *words: str | Path) -> Cost:
    """Run ``python -m module …``, as :func:`isobench`."""
    with tempfile.TemporaryFile() as told:
        begin = time.perf_counter()
        argv = [*_MODULE, module, *map(str, words)]
        away = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
        files = [away, (os.POSIX_SPAWN_DUP2, told.fileno(), 2)]
        # Not subprocess: the memory is told to whoever waits for the process by this very call.
        _, status, used = os.wait4(os.posix_spawn(argv[0], argv, os.environ, file_actions=files), 0)
        wall_s = time.perf_counter() - begin
        if status:
            told.seek(0)
            raise SystemExit(f"{' '.join(argv)} failed:\n{told.read().decode(errors='replace')}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def disk_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder, as they are counted on the disk (in blocks)."""
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.stat().st_blocks for file in ([path] if path.is_file() else below)) * 512


def table(title: str, *first: str) -> Table:
    """A table whose first columns are ``first``, then :data:`COLUMNS`."""
    made = Table(title=title, title_justify="left")
    made.add_column(first[0])
    for heading in (*first[1:], *COLUMNS):
        made.add_column(heading, justify="right")
    return made


def conditions() -> str:
    """What the figures depend on, for the line above a table."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} CPUs, load now {load:.2f}, Python {sys.version.split()[0]}"


def show(made: Table) -> None:
    """Print it, as wide as it needs to be."""
    Console(width=120).print(made)

"""What the steps of the set-up have in common. Standard library only: runs before anything is installed."""

import hashlib
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"

NEEDS_INDEX = "make setup   (with a connection to a Python package index)"


class StepError(Exception):
    """A step that cannot be done, or failed; ``remedy`` is the command that mends it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Step(ABC):
    """One thing to set up. ``plan`` is asked of every step before any is done."""

    vital = False
    """Whether nothing can run without it."""

    @abstractmethod
    def plan(self) -> str | None:
        """What will be done, as it reads after "set-up will"; None when nothing is missing.

        Raises StepError when something is missing that cannot be had here.
        """

    @abstractmethod
    def do(self) -> None:
        """Do it, or raise StepError."""


class Stamp:
    """Remembers, inside the virtual environment, from which files something was last made."""

    def __init__(self, name: str, files: Iterable[Path]) -> None:
        self._path = VENV / f".isobench-{name}"
        self._files = tuple(files)

    def is_current(self) -> bool:
        """Whether it was made from these very files."""
        return self._path.is_file() and self._path.read_text() == self._digest()

    def set(self) -> None:
        """Note that it is made."""
        self._path.write_text(self._digest())

    def _digest(self) -> str:
        total = hashlib.sha256()
        for path in self._files:
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()


def run(
    argv: Sequence[str | Path], *, why_not: str, remedy: str, env: Mapping[str, str] | None = None
) -> None:
    """Run one command in sight of the user, without standard input; StepError when it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", **(env or {})}
    try:
        done = subprocess.run(argv, check=False, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise StepError(f"{why_not}: {error}", remedy) from error
    if done.returncode != 0:
        raise StepError(f"{why_not} (exit code {done.returncode}; its output is above)", remedy)


def pip_install(*arguments: str | Path, why_not: str, env: Mapping[str, str] | None = None) -> None:
    """``pip install`` into the virtual environment, quietly."""
    argv = [PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *arguments]
    run(argv, why_not=why_not, remedy=NEEDS_INDEX, env=env)

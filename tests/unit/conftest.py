"""What holds for every unit test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from isobench import state


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests start nothing real: a run that goes on on this host need not stop them."""
    monkeypatch.setattr(state, "LOCK_DIRECTORIES", (tmp_path,))


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a directory's files unreadable, as hidepid does to /proc/<pid>; permissions bind no root."""
    read_text = Path.read_text

    def hide(directory: Path) -> None:
        def guarded(path: Path, encoding: str | None = None, errors: str | None = None) -> str:
            if path.parent == directory:
                raise PermissionError(13, "Permission denied", str(path))
            return read_text(path, encoding, errors)

        monkeypatch.setattr(Path, "read_text", guarded)

    return hide

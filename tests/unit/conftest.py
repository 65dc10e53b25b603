"""What holds for every unit test."""

from pathlib import Path

import pytest

from isobench import state


@pytest.fixture(autouse=True)
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests start nothing real: a run that goes on on this host need not stop them."""
    monkeypatch.setattr(state, "LOCK_DIRECTORIES", (tmp_path,))

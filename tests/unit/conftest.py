"""What holds for every unit test, and the runs that several of them read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench import state
from isobench.journal import StoredRun

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


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


@pytest.fixture(scope="session")
def stored(made_run: SyntheticRun) -> StoredRun:
    """The synthetic run as it is read from its folder."""
    return StoredRun(made_run.record, made_run.samples)


HOSTILE = 'a"b\\c\n=d,\t</x>]]>&amp;{}|%0A \x1b[31m\x00\x85\ufffe\ud800\u202e#/-1'
"""Whatever separates, ends, escapes or steers in one of the formats a run is written in."""


@pytest.fixture(scope="session")
def hostile(stored: StoredRun) -> StoredRun:
    """The synthetic run, but all that comes from outside was chosen to do harm."""
    samples = tuple(
        replace(
            sample,
            cell=f"{HOSTILE}{sample.cell}",
            isolator=f"{HOSTILE}{sample.isolator}",
            workload=f"{HOSTILE}{sample.workload}",
            reason=sample.reason and HOSTILE,
            remedy=sample.remedy and HOSTILE,
            params={**sample.params, HOSTILE: HOSTILE, "metric": "x"},
            detail={**sample.detail, HOSTILE: HOSTILE},
        )
        for sample in stored.samples
    )
    host = {"hostname": HOSTILE, "os": f"={HOSTILE}", "kernel": "\n", "cpu": {"model": HOSTILE}, HOSTILE: 1}
    record = replace(stored.record, run_id=HOSTILE, started="yesterday", host=host)
    return StoredRun(record, samples)

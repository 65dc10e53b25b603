"""`make perf` says which of its rows this host cannot have."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[1] / "perf" / "perf.py"


@pytest.fixture(scope="module")
def perf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("perf", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("gone", "packages"),
    [(("hyperfine", "bwrap"), "hyperfine bubblewrap"), (("bwrap",), "bubblewrap")],
    ids=["both", "one"],
)
def test_rows_without_their_tool_are_told_with_the_command_that_brings_it(
    gone: tuple[str, ...], packages: str, perf: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name in gone else f"/usr/bin/{name}")
    told = perf.left_out()
    assert told.startswith(f"left out: the rows that need {packages}\n")
    assert f"apt-get install --no-install-recommends {packages} " in told


def test_with_all_tools_nothing_is_left_out(perf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert perf.left_out() is None

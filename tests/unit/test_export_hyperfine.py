"""A run as hyperfine's JSON, held against a file that hyperfine itself has just written."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import pytest

from isobench.journal import StoredRun
from isobench.reports.exports import export
from isobench.reports.exports.series import series_of

NOT_OURS = {"exit_codes"}
"""Keys that isobench has nothing for; ``user`` and ``system`` are there and null."""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Results of hyperfine: with a parameter, and of a single run, which has no standard deviation."""
    if not shutil.which("hyperfine"):
        pytest.skip("hyperfine is not installed: apt-get install hyperfine")
    folder = tmp_path_factory.mktemp("theirs")
    for file, rest in (
        ("several.json", ["--runs=3", "-L", "n", "1,2", "true {n}"]),
        ("one.json", ["--runs=1", "true"]),
    ):
        command = ["hyperfine", "--shell=none", "--style=none", f"--export-json={file}", *rest]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return [result for file in ("several.json", "one.json") for result in read(folder / file)]


def read(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text())
    assert list(found) == ["results"]
    results: list[dict[str, Any]] = found["results"]
    return results


def ours(run: StoredRun, tmp_path: Path) -> dict[str, dict[str, Any]]:
    path = tmp_path / "run.json"
    path.write_bytes(export(run, "hyperfine").data)
    return {result["command"]: result for result in read(path)}


def kinds(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The type of a value as JSON has it; of a list those of its items."""
    if isinstance(value, list):
        return {"list of": {kinds(item) for item in value}}
    if isinstance(value, dict):
        return "object of text" if {type(item) for item in value.values()} == {str} else "object"
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_every_result_has_the_keys_and_types_that_hyperfine_writes(
    stored: StoredRun, theirs: list[dict[str, Any]], tmp_path: Path
) -> None:
    several, _, one = theirs
    for result in ours(stored, tmp_path).values():
        like = (
            several
            if result.get("parameters")
            else {key: value for key, value in several.items() if key != "parameters"}
        )
        assert list(result) == [key for key in like if key not in NOT_OURS]
        for key, value in result.items():
            if key in {"user", "system"}:
                assert value is None
            elif key == "stddev" and len(result["times"]) == 1:
                assert value is one[key] is None
            else:
                assert kinds(value) == kinds(like[key]), key


def test_figures_are_those_of_the_series(stored: StoredRun, tmp_path: Path) -> None:
    found = ours(stored, tmp_path)
    wanted = {series.name: series.values for series in series_of(stored.samples) if series.unit == "second"}
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        result = found[name]
        assert result["times"] == list(values)
        assert (result["min"], result["max"], result["median"]) == (min(values), max(values), median(values))
        assert result["mean"] == pytest.approx(mean(values))
        assert result["stddev"] == pytest.approx(stdev(values))


def test_figures_are_made_of_times_as_hyperfine_makes_them(theirs: list[dict[str, Any]]) -> None:
    for result in theirs:
        times = result["times"]
        assert result["mean"] == pytest.approx(mean(times))
        assert result["median"] == pytest.approx(median(times))
        assert result["stddev"] == (pytest.approx(stdev(times)) if len(times) > 1 else None)


def test_what_it_lacks_is_listed(stored: StoredRun) -> None:
    listed = [str(omission) for omission in export(stored, "hyperfine").left_out]
    assert "14 values of peak (byte): hyperfine holds times only" in listed
    assert "user and system time (null), exit codes (no key): isobench does not record them" in listed


def test_hostile_names_are_on_one_line(hostile: StoredRun, tmp_path: Path) -> None:
    for result in ours(hostile, tmp_path).values():
        texts = (result["command"], *result["parameters"], *result["parameters"].values())
        assert not any(char in text for text in texts for char in "\n\x1b\x00\x85\u202e")

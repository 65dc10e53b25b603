"""A run as the JSON of pytest-benchmark, read by its own command and held against its own statistics."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats

from isobench.journal import StoredRun
from isobench.reports.exports import export
from isobench.reports.exports.pytest_benchmark import _stats
from isobench.reports.load import summarize

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


def compared(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def table(text: str, group: str) -> dict[str, float]:
    """Name → first number of the row, of one group."""
    found = re.search(rf"benchmark '{re.escape(group)}'.*?\n-+\n(.*?)\n-+\n", text, re.DOTALL)
    assert found, text
    rows = (re.match(r"(.+?) +([0-9.,]+)", line) for line in found[1].splitlines())
    return {row[1]: float(row[2].replace(",", "")) for row in rows if row}


def test_medians_that_pytest_benchmark_prints_are_those_of_the_report(
    made_run: SyntheticRun, stored: StoredRun, tmp_path: Path
) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    (tmp_path / "run.json").write_bytes(export(stored, "pytest-benchmark").data)
    text = compared(tmp_path, "run.json", "--columns=median", "--time-unit=us")
    wanted = {one.isolator: one.ready.median.value * 1e6 for one in summary.startups}
    assert table(text, "startup/ready:ready") == pytest.approx(wanted, abs=0.00006)


def test_two_files_are_compared_series_by_series(stored: StoredRun, tmp_path: Path) -> None:
    slower = tuple(
        replace(one, value=2 * one.value) if one.cell == "startup/runc/ready" and one.value else one
        for one in stored.samples
    )
    (tmp_path / "a.json").write_bytes(export(stored, "pytest-benchmark").data)
    (tmp_path / "b.json").write_bytes(export(replace(stored, samples=slower), "pytest-benchmark").data)
    text = compared(tmp_path, "a.json", "b.json", "--between=median")
    changes = dict(re.findall(r"^(\S+) .* ([+-][0-9.]+%)$", text, re.MULTILINE))
    assert changes == {one: "+100.0%" if one == "runc" else "+0.0%" for one in changes}
    assert len(changes) == 7


def statistics(values: Iterable[float]) -> Any:  # noqa: ANN401 - its classes have no types
    """What pytest-benchmark makes of these times."""
    found: Any = Stats()  # type: ignore[no-untyped-call]
    for value in values:
        found.update(value)
    return found


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60))
def test_statistics_are_those_of_pytest_benchmark(values: list[float]) -> None:
    theirs = statistics(values)
    ours = _stats(np.array(values))
    assert ours["data"] == theirs.data
    for name, value in theirs.as_dict().items():
        if name not in {"outliers", "stddev_outliers", "iqr_outliers", "ld15iqr", "hd15iqr"}:
            assert ours[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60))
def test_outliers_are_those_of_pytest_benchmark(values: list[int]) -> None:
    """Of whole numbers, whose quartiles are exact: no rounding decides what lies on a border."""
    theirs = statistics(map(float, values))
    ours = _stats(np.array(values, dtype=np.float64))
    for name in ("iqr_outliers", "ld15iqr", "hd15iqr", "q1", "q3"):
        assert ours[name] == getattr(theirs, name), name


def test_file_has_the_keys_that_pytest_benchmark_writes(
    stored: StoredRun, pytester_file: dict[str, Any]
) -> None:
    ours = json.loads(export(stored, "pytest-benchmark").data)
    assert set(ours) == set(pytester_file)
    (theirs,), own = pytester_file["benchmarks"], ours["benchmarks"][0]
    assert set(own) == set(theirs)
    assert set(own["stats"]) == set(theirs["stats"])
    assert {key: type(value) for key, value in own["stats"].items() if key != "data"} == {
        key: type(value) for key, value in theirs["stats"].items() if key != "data"
    }
    assert set(ours["machine_info"]) <= set(pytester_file["machine_info"])


@pytest.fixture(scope="module")
def pytester_file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What pytest-benchmark itself writes about one benchmark."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "test_it.py").write_text("def test_it(benchmark):\n    benchmark(sum, range(9))\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    quick = ["--benchmark-min-rounds=5", "--benchmark-max-time=0.01", "--benchmark-json=out.json"]
    # In a worker of xdist, whose mark is in the environment, pytest-benchmark writes nothing.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [*command, *quick, "test_it.py"], cwd=folder, env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads((folder / "out.json").read_text())
    return found


def test_bytes_and_ratios_are_left_out_and_listed(stored: StoredRun) -> None:
    done = export(stored, "pytest-benchmark")
    listed = [str(omission) for omission in done.left_out]
    assert "40 values of cpu_share_error (ratio): pytest-benchmark holds times only" in listed
    assert "14 values of peak (byte): pytest-benchmark holds times only" in listed
    assert "the commit (empty): a run is not of a repository" in listed


def test_hostile_texts_do_not_keep_it_from_being_compared(hostile: StoredRun, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(export(hostile, "pytest-benchmark").data)
    assert "\x1b" not in compared(tmp_path, "run.json", "--columns=median")

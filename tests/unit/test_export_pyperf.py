"""A run as a suite of pyperf, read by pyperf's own commands."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyperf  # type: ignore[import-untyped]
import pytest

from isobench.errors import CellsFailedError
from isobench.journal import StoredRun
from isobench.reports.exports import export
from isobench.reports.exports.series import series_of
from isobench.reports.load import summarize

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

SCALES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "sec": 1.0}


def written(run: StoredRun, path: Path) -> str:
    path.write_bytes(export(run, "pyperf").data)
    return str(path)


def told(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pyperf", *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


def medians(stats: str) -> dict[str, float]:
    """Name → seconds, of those benchmarks of `pyperf stats` that are times."""
    found = {}
    for name, text in re.findall(r"^(\S+)\n-+\n(.*?)(?=^\S+\n-+\n|\Z)", stats, re.MULTILINE | re.DOTALL):
        value = re.search(r"^Median \+- MAD: +([0-9.]+) (ns|us|ms|sec) ", text, re.MULTILINE)
        if value:
            found[name] = float(value[1]) * SCALES[value[2]]
    return found


def test_medians_that_pyperf_stats_prints_are_those_of_the_report(
    made_run: SyntheticRun, stored: StoredRun, tmp_path: Path
) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    found = medians(told("stats", written(stored, tmp_path / "run.json")))
    wanted = {f"startup/{one.isolator}/ready:ready": one.ready.median.value for one in summary.startups}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=0.006)  # three digits


@pytest.mark.parametrize("command", ["show", "check", "hist", "metadata", "dump", "slowest"])
def test_command_of_pyperf_reads_the_file(command: str, stored: StoredRun, tmp_path: Path) -> None:
    text = told(command, written(stored, tmp_path / "run.json"))
    assert "startup/runc/ready:ready" in text or command == "metadata"
    assert "lab-1" in text or command != "metadata"


def test_compare_to_finds_the_same_series_and_the_one_that_got_slower(
    stored: StoredRun, tmp_path: Path
) -> None:
    slower = tuple(
        replace(one, value=2 * one.value) if one.cell == "startup/runc/ready" and one.value else one
        for one in stored.samples
    )
    base = written(stored, tmp_path / "base.json")
    text = told(
        "compare_to", base, written(StoredRun(stored.record, slower), tmp_path / "new.json"), "--table"
    )
    rows = [line for line in text.splitlines() if "slower" in line or "faster" in line]
    assert len(rows) == 2
    assert re.match(r"\| startup/runc/ready:ready .* ms: 2\.00x slower +\|", rows[0])
    assert rows[1].startswith("| Geometric mean")
    assert "Ignored benchmarks" not in text


def test_values_warmups_and_blocks_are_those_of_the_series(stored: StoredRun) -> None:
    suite = pyperf.BenchmarkSuite.loads(export(stored, "pyperf").data.decode())
    found = {benchmark.get_name(): benchmark for benchmark in suite}
    wanted = {series.name: series for series in series_of(stored.samples)}
    assert set(found) == {name for name, series in wanted.items() if series.unit in {"second", "byte"}}
    for name, benchmark in found.items():
        series = wanted[name]
        assert sorted(benchmark.get_values()) == sorted(series.values)
        assert [len(run.values) for run in benchmark.get_runs()] == [
            len(values) for _, values, _ in series.by_block()
        ]
        assert sum(len(run.warmups) for run in benchmark.get_runs()) == len(series.warmups)
        assert [run.get_metadata()["block"] for run in benchmark.get_runs()] == [0, 1]
    assert found["memory/runc/hold:peak"].get_unit() == "byte"


def test_duration_is_the_time_that_was_timed_and_never_a_sum_of_bytes(stored: StoredRun) -> None:
    suite = pyperf.BenchmarkSuite.loads(export(stored, "pyperf").data.decode())
    ready = suite.get_benchmark("startup/bare/ready:ready")
    values = [value for run in ready.get_runs() for value in (*run.values, *(w for _, w in run.warmups))]
    assert ready.get_total_duration() == pytest.approx(sum(values))
    assert suite.get_benchmark("memory/bare/hold:peak").get_total_duration() == 0


def test_host_and_run_are_metadata_under_the_names_pyperf_has(stored: StoredRun) -> None:
    metadata = pyperf.BenchmarkSuite.loads(export(stored, "pyperf").data.decode()).get_metadata()
    assert metadata["hostname"] == "lab-1"
    assert metadata["platform"] == "Linux-6.1.0-18-cloud-amd64-x86_64"
    assert metadata["isobench_run"] == "20260301T101500Z-abc123"
    assert metadata["host_cpu.count"] == 2


def test_ratios_and_series_with_a_zero_are_left_out_and_listed(stored: StoredRun) -> None:
    (first, *_) = (one for one in stored.samples if one.metric == "peak" and one.isolator == "lxc")
    samples = tuple(replace(one, value=0.0) if one is first else one for one in stored.samples)
    done = export(StoredRun(stored.record, samples), "pyperf")
    assert b"memory/lxc/hold:peak" not in done.data
    assert b"memory/runc/hold:peak" in done.data
    listed = [str(omission) for omission in done.left_out]
    assert "2 values of peak (byte): pyperf holds values above 0" in listed
    assert "40 values of cpu_share_error (ratio): pyperf holds seconds, bytes and whole numbers" in listed


def test_run_with_nothing_that_pyperf_can_hold_is_an_error_that_says_what_there_was(
    stored: StoredRun,
) -> None:
    ratios = tuple(one for one in stored.samples if one.unit == "ratio")
    with pytest.raises(CellsFailedError, match=r"pyperf can hold\nleft out: 40 values of cpu_share_error"):
        export(StoredRun(stored.record, ratios), "pyperf")


def test_hostile_texts_are_metadata_that_pyperf_reads(hostile: StoredRun, tmp_path: Path) -> None:
    text = told("show", "--metadata", written(hostile, tmp_path / "run.json"))
    assert "\x1b" not in text
    assert len(pyperf.BenchmarkSuite.load(str(tmp_path / "run.json"))) == sum(
        series.unit in {"second", "byte"} for series in series_of(hostile.samples)
    )

"""A run as figures: for Bencher, and for github-action-benchmark."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from isobench.journal import StoredRun
from isobench.model import Side
from isobench.reports.exports import export
from isobench.reports.load import summarize

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


def bmf(run: StoredRun) -> dict[str, dict[str, dict[str, float]]]:
    """Read as the schema of the format says: names to measures to numbers, ``value`` always."""
    found: dict[str, dict[str, dict[str, float]]] = json.loads(export(run, "bmf").data)
    for name, measures in found.items():
        assert 0 < len(name) <= 1024
        assert measures
        for measure, metric in measures.items():
            assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", measure)  # a slug, by which Bencher finds it
            assert len(measure) <= 64
            assert set(metric) in ({"value"}, {"value", "lower_value", "upper_value"})
            assert all(type(number) in {int, float} for number in metric.values())
            assert metric.get("lower_value", metric["value"]) <= metric["value"]
            assert metric["value"] <= metric.get("upper_value", metric["value"])
    return found


def gha(run: StoredRun) -> list[dict[str, Any]]:
    """Read as github-action-benchmark reads it: a list of entries with these keys of these types."""
    found = json.loads(export(run, "gha").data)
    assert isinstance(found, list)
    for entry in found:
        assert {"name", "unit", "value"} <= set(entry) <= {"name", "unit", "value", "range", "extra"}
        assert type(entry["value"]) in {int, float}
        assert all(isinstance(entry[key], str) for key in entry if key != "value")
    assert len({entry["name"] for entry in found}) == len(found)
    return found


def test_bmf_has_the_median_and_the_interval_of_the_report(
    made_run: SyntheticRun, stored: StoredRun, tmp_path: Path
) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    found = bmf(stored)
    for startup in summary.startups:
        median = startup.ready.median
        assert median.interval
        assert found[f"startup/{startup.isolator}/ready"] == {
            "ready-seconds": {
                "value": median.value,
                "lower_value": median.interval.low,
                "upper_value": median.interval.high,
            }
        }


def test_bmf_has_what_each_instance_takes_beside_the_readings(
    made_run: SyntheticRun, stored: StoredRun, tmp_path: Path
) -> None:
    (runc,) = (m for m in summarize(made_run.write(tmp_path / "run")).memories if m.isolator == "runc")
    found = bmf(stored)
    assert found["memory/runc/hold"]["each-instance-bytes"]["value"] == runc.total.value
    assert set(found["memory/runc/hold"]) == {"each-instance-bytes", "peak-bytes"}
    assert set(found["memory/runc/hold/instances=4"]) == {"footprint-bytes"}


def test_bmf_leaves_out_and_lists_names_that_are_too_long(stored: StoredRun) -> None:
    samples = tuple(replace(one, cell="x" * 1025) if one.isolator == "lxc" else one for one in stored.samples)
    samples = tuple(one for one in samples if one.benchmark == "startup")
    run = replace(stored, samples=samples)
    assert len(bmf(run)) == 6
    assert "1 cell: their names have over 1024 characters" in map(str, export(run, "bmf").left_out)


def test_bmf_measures_whose_slugs_are_alike_stay_apart(stored: StoredRun) -> None:
    first = next(one for one in stored.samples if one.metric == "peak")
    run = replace(stored, samples=tuple(replace(first, metric=metric) for metric in ("A b", "a-b", "a b")))
    (measures,) = bmf(run).values()
    assert list(measures) == ["a-b-bytes", "a-b-bytes-2", "a-b-bytes-3"]


def test_gha_has_times_and_bytes_in_base_units_and_no_ratio(
    made_run: SyntheticRun, stored: StoredRun, tmp_path: Path
) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    found = {entry["name"]: entry for entry in gha(stored)}
    for startup in summary.startups:
        entry = found[f"startup/{startup.isolator}/ready:ready"]
        assert (entry["value"], entry["unit"]) == (startup.ready.median.value, "s")
    assert found["memory/runc/hold:each_instance"]["unit"] == "B"
    assert {entry["unit"] for entry in found.values()} == {"s", "B"}
    listed = [str(omission) for omission in export(stored, "gha").left_out]
    assert "20 figures in ratio: less of that is not better" in listed


def test_gha_tells_the_interval_the_number_of_values_and_the_host(stored: StoredRun) -> None:
    (entry,) = (entry for entry in gha(stored) if entry["name"] == "startup/runc/ready:ready")
    low, high = map(float, re.fullmatch(r"(\S+) to (\S+)", entry["range"]).groups())  # type: ignore[union-attr]
    assert low <= entry["value"] <= high
    assert entry["extra"].startswith("20 values\nrun: 20260301T101500Z-abc123\n")
    assert "\nkernel: 6.1.0-18-cloud-amd64\n" in entry["extra"]


def test_gha_leaves_out_and_lists_what_is_below_zero(stored: StoredRun) -> None:
    first = next(one for one in stored.samples if one.metric == "peak")
    run = replace(stored, samples=(replace(first, value=-1.0), replace(first, metric="other")))
    assert [entry["name"] for entry in gha(run)] == [f"{first.cell}:other"]
    assert "1 figure below 0: it compares by ratios" in map(str, export(run, "gha").left_out)


@pytest.mark.parametrize("name", ["bmf", "gha"])
def test_single_values_are_listed_as_left_out(stored: StoredRun, name: str) -> None:
    done = export(stored, name)
    assert f"{done.values} single values: it holds the median and its interval" in map(str, done.left_out)


@pytest.mark.parametrize("read", [bmf, gha])
def test_hostile_names_are_clean_and_apart(read: Any, hostile: StoredRun, stored: StoredRun) -> None:  # noqa: ANN401
    assert len(read(hostile)) == len(read(stored))
    assert b"\\u001b" not in export(hostile, "bmf").data + export(hostile, "gha").data


def test_sides_of_a_comparison_are_figures_of_their_own(stored: StoredRun) -> None:
    starts = tuple(one for one in stored.samples if one.cell == "startup/runc/ready")
    other = tuple(
        replace(one, cell="startup/runc-new/ready", isolator="runc-new", side=Side.B) for one in starts
    )
    assert set(bmf(replace(stored, samples=starts + other))) == {
        "startup/runc/ready",
        "startup/runc-new/ready",
    }

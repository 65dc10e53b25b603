"""What holds for every export format."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from isobench.errors import CellsFailedError, HostUnfitError, UsageError
from isobench.journal import StoredRun
from isobench.reports.exports import FORMATS, export, format_named

if TYPE_CHECKING:
    from isobench.model import Sample

TELL_FAILURES = {"junit", "openmetrics", "csv", "parquet"}


def without_values(run: StoredRun) -> tuple[Sample, ...]:
    return tuple(sample for sample in run.samples if sample.value is None)


@pytest.mark.parametrize("name", FORMATS)
def test_equal_runs_give_equal_bytes(name: str, stored: StoredRun) -> None:
    twin = StoredRun(replace(stored.record), tuple(map(replace, stored.samples)))
    assert export(stored, name) == export(twin, name)


@pytest.mark.parametrize("name", FORMATS)
def test_text_ends_in_a_newline_and_is_utf_8(name: str, hostile: StoredRun) -> None:
    data = export(hostile, name).data
    if FORMATS[name].text:
        assert data.decode().endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_run_without_an_attempt_is_refused(name: str, stored: StoredRun) -> None:
    with pytest.raises(
        CellsFailedError, match=r"the run 20260301T101500Z-abc123 \(finished\) made not one attempt"
    ):
        export(replace(stored, samples=()), name)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - TELL_FAILURES))
def test_run_without_a_value_is_refused_and_what_there_was_is_told(name: str, stored: StoredRun) -> None:
    with pytest.raises(
        CellsFailedError, match=r"nothing to export(.|\n)*left out: \d+ attempts without a value"
    ):
        export(replace(stored, samples=without_values(stored)), name)


@pytest.mark.parametrize("name", sorted(TELL_FAILURES))
def test_run_without_a_value_is_exported_where_failures_can_be_told(name: str, stored: StoredRun) -> None:
    done = export(replace(stored, samples=without_values(stored)), name)
    assert done.values == 0
    assert b"crun" in done.data


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_leaves_out(name: str, stored: StoredRun) -> None:
    done = export(stored, name)
    assert any("run.json" in omission.what for omission in done.left_out)
    assert done.values > 0


@pytest.mark.parametrize("name", FORMATS)
def test_run_that_knows_nothing_of_its_host_is_exported(name: str, stored: StoredRun) -> None:
    assert export(replace(stored, record=replace(stored.record, host={}, isolators=())), name).data


@pytest.mark.parametrize("name", FORMATS)
def test_host_that_is_told_in_other_shapes_is_exported(name: str, stored: StoredRun) -> None:
    host = {"hostname": ["x"], "cpu": "none", "kernel": {"a": 1}, "memory_bytes": "much", "os": True}
    assert export(replace(stored, record=replace(stored.record, host=host)), name).data


def test_module_of_every_format_is_one_of_its_own() -> None:
    modules = [found.module for found in FORMATS.values()]
    assert len(set(modules)) == len(modules)
    assert len({found.file for found in FORMATS.values()}) == len(modules)
    for module in modules:
        assert callable(import_module(f"isobench.reports.exports.{module}").export)


def test_unknown_format_is_told_with_the_nearest_and_all() -> None:
    with pytest.raises(
        UsageError, match=r'no export format "pyperv" \(did you mean "pyperf"\?\); allowed: pyperf, '
    ):
        format_named("pyperv")


def test_missing_library_of_a_format_is_told_with_the_command_that_brings_it(
    stored: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("isobench.reports.exports.parquet", "isobench.reports.parquet_schema"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(HostUnfitError, match="the format parquet needs the Python package pyarrow") as caught:
        export(stored, "parquet")
    assert caught.value.remedy == "pip install 'isobench[lake]'"

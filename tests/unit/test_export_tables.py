"""A run as a table of attempts: CSV and Parquet, read by pandas and DuckDB."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from isobench.journal import StoredRun
from isobench.reports.exports import export
from isobench.reports.frame import samples_frame
from isobench.reports.load import summarize
from isobench.reports.parquet_schema import check_schema, schema

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture
def medians(made_run: SyntheticRun, tmp_path: Path) -> dict[str, float]:
    """Isolator → median start, as the report has it."""
    summary = summarize(made_run.write(tmp_path / "of-the-report"))
    return {startup.isolator: startup.ready.median.value for startup in summary.startups}


def test_csv_is_the_frame_to_the_last_bit(made_run: SyntheticRun, stored: StoredRun, tmp_path: Path) -> None:
    frame = samples_frame(made_run.write(tmp_path / "run"))
    through_pandas = io.BytesIO(frame.to_csv(index=False).encode())
    found, wanted = (pd.read_csv(file) for file in (io.BytesIO(export(stored, "csv").data), through_pandas))
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    assert found["value"].dropna().tolist() == [
        one.value for one in made_run.samples if one.value is not None
    ]


def test_median_of_the_csv_by_pandas_is_that_of_the_report(
    stored: StoredRun, medians: dict[str, float]
) -> None:
    found = pd.read_csv(io.BytesIO(export(stored, "csv").data))
    starts = found[found["counts"] & (found["metric"] == "ready")]
    assert starts.groupby("isolator")["value"].median().to_dict() == pytest.approx(medians)


def test_csv_is_read_by_duckdb(stored: StoredRun, tmp_path: Path, medians: dict[str, float]) -> None:
    (tmp_path / "run.csv").write_bytes(export(stored, "csv").data)
    rows = duckdb.execute(
        "select isolator, median(value) from read_csv(?) where metric = 'ready' and counts group by isolator",
        [str(tmp_path / "run.csv")],
    ).fetchall()
    assert dict(rows) == pytest.approx(medians)


def test_csv_has_lines_and_quotes_as_rfc_4180_has_them(stored: StoredRun) -> None:
    samples = tuple(replace(one, reason='two\nlines, "quoted"') for one in stored.samples[:2])
    text = export(replace(stored, samples=samples), "csv").data.decode()
    assert text.count("\r\n") == 3
    assert ',"two\nlines, ""quoted""",' in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-x", "'-x"),
        ("\tx", "'\tx"),
        ("a=b", "a=b"),
        ("\x1b[2J\x00", "\ufffd[2J\ufffd"),
        ("a\u202eb", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("é\n", "é\n"),
    ],
)
def test_text_in_csv_neither_computes_nor_steers(text: str, told: str, stored: StoredRun) -> None:
    done = export(replace(stored, samples=(replace(stored.samples[0], reason=text),)), "csv")
    (row,) = csv.DictReader(io.StringIO(done.data.decode(), newline=""))
    assert row["reason"] == told
    listed = "1 text: begins as a formula does, and has an apostrophe before it" in map(str, done.left_out)
    assert listed == told.startswith("'")


def test_negative_numbers_in_csv_are_no_formulas(stored: StoredRun) -> None:
    done = export(replace(stored, samples=(replace(stored.samples[0], value=-0.5),)), "csv")
    (row,) = csv.DictReader(io.StringIO(done.data.decode(), newline=""))
    assert row["value"] == "-0.5"


def test_csv_of_hostile_texts_has_a_row_an_attempt_for_pandas(hostile: StoredRun) -> None:
    found = pd.read_csv(io.BytesIO(export(hostile, "csv").data))
    assert len(found) == len(hostile.samples)
    assert found["order"].tolist() == [sample.order for sample in hostile.samples]


def test_parquet_is_read_by_duckdb_with_the_medians_of_the_report(
    stored: StoredRun, tmp_path: Path, medians: dict[str, float]
) -> None:
    path = tmp_path / "run.parquet"
    path.write_bytes(export(stored, "parquet").data)
    rows = duckdb.execute(
        "select isolator, median(value) from read_parquet(?) where metric = 'ready' and counts group by all",
        [str(path)],
    ).fetchall()
    assert dict(rows) == pytest.approx(medians)
    assert duckdb.execute("select count(*) from read_parquet(?)", [str(path)]).fetchone() == (
        len(stored.samples),
    )


def test_parquet_is_read_by_pandas_with_the_medians_of_the_report(
    stored: StoredRun, medians: dict[str, float]
) -> None:
    found = pd.read_parquet(io.BytesIO(export(stored, "parquet").data))
    starts = found[found["counts"] & (found["metric"] == "ready")]
    assert starts.groupby("isolator", observed=True)["value"].median().to_dict() == pytest.approx(medians)
    assert len(found) == len(stored.samples)


def test_parquet_tells_its_schema(stored: StoredRun) -> None:
    found = pq.read_schema(io.BytesIO(export(stored, "parquet").data))
    check_schema(found, "run.parquet")
    assert found.names == schema().names


def test_parquet_of_hostile_texts_is_read(hostile: StoredRun) -> None:
    table = pq.read_table(io.BytesIO(export(hostile, "parquet").data))
    assert table["isolator"][0].as_py() == hostile.samples[0].isolator.replace("\ud800", "?")

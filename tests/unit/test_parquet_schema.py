"""The table of attempts that every Parquet file of isobench is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isobench.errors import ResultsError
from isobench.journal import load
from isobench.model import Sample, Status
from isobench.reports.load import counts, summarize
from isobench.reports.parquet_schema import check_schema, fingerprint_of, schema, table_of

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture
def table(made_run: SyntheticRun) -> pa.Table:
    return table_of(made_run.record, made_run.samples)


def test_table_has_a_row_an_attempt_in_the_order_of_the_journal(
    made_run: SyntheticRun, table: pa.Table
) -> None:
    assert table.schema.equals(schema(), check_metadata=True)
    assert table["row"].to_pylist() == list(range(1, len(made_run.samples) + 1))
    assert table["value"].to_pylist() == [sample.value for sample in made_run.samples]
    assert table["cell"].to_pylist() == [sample.cell for sample in made_run.samples]
    assert table["counts"].to_pylist() == [counts(sample) for sample in made_run.samples]


def test_table_of_no_attempt_has_all_columns(made_run: SyntheticRun) -> None:
    empty = table_of(made_run.record, ())
    assert empty.num_rows == 0
    assert empty.schema.equals(schema(), check_metadata=True)


def test_every_field_of_a_sample_is_a_column() -> None:
    assert set(Sample.__dataclass_fields__) <= set(schema().names)


def test_entries_of_detail_part_into_numbers_and_texts(made_run: SyntheticRun) -> None:
    sample = replace(
        made_run.samples[0],
        params={"cpus": 0.5, "threads": None, "fast": True},
        detail={"steady": True, "warmup": False, "n": 7, "share": 0.25, "note": "x", "unknown": None},
    )
    row = table_of(made_run.record, [sample]).to_pylist()[0]
    assert dict(row["params"]) == {"cpus": "0.5", "threads": "None", "fast": "True"}
    assert dict(row["detail"]) == {"steady": 1.0, "warmup": 0.0, "n": 7.0, "share": 0.25, "unknown": None}
    assert dict(row["detail_text"]) == {"note": "x"}


def test_runs_of_two_hosts_are_one_table_for_duckdb(made_run: SyntheticRun, tmp_path: Path) -> None:
    other = replace(made_run.record, run_id="other", host={**made_run.record.host, "kernel": "6.2"})
    pq.write_table(table_of(made_run.record, made_run.samples), tmp_path / "a.parquet")
    pq.write_table(table_of(other, made_run.samples, host="rack-2"), tmp_path / "b.parquet")

    rows = duckdb.execute(f"""
        select host, hostname, any_value(host_facts->>'$.kernel'), count(distinct fingerprint), count(*),
               any_value(started)::varchar
        from '{tmp_path}/*.parquet' group by all order by host
    """).fetchall()  # noqa: S608 - a folder of ours

    n = len(made_run.samples)
    assert rows == [
        ("lab-1", "lab-1", "6.1.0-18-cloud-amd64", 1, n, "2026-03-01 10:15:00"),
        ("rack-2", "lab-1", "6.2", 1, n, "2026-03-01 10:15:00"),
    ]
    assert fingerprint_of(made_run.record.host) != fingerprint_of(other.host)


def test_median_by_duckdb_is_that_of_the_report(made_run: SyntheticRun, tmp_path: Path) -> None:
    folder = made_run.write(tmp_path / "run")
    stored = load(folder)
    pq.write_table(table_of(stored.record, stored.samples), tmp_path / "run.parquet")

    rows = duckdb.execute(f"""
        select isolator, median(value), median(phases['exit']) from '{tmp_path}/run.parquet'
        where metric = 'ready' and counts group by isolator
    """).fetchall()  # noqa: S608 - a folder of ours

    wanted = {
        s.isolator: (s.ready.median.value, s.phases["exit"].median.value) for s in summarize(folder).startups
    }
    assert {name: found for name, *found in rows} == {
        name: pytest.approx(list(pair)) for name, pair in wanted.items()
    }


def test_values_of_maps_are_found_by_duckdb_by_their_keys(made_run: SyntheticRun, tmp_path: Path) -> None:
    pq.write_table(table_of(made_run.record, made_run.samples), tmp_path / "run.parquet")
    rows = duckdb.execute(f"""
        select params['cpus']::double as cpus, max(detail['longest_stall_s']), count(detail['nothing'])
        from '{tmp_path}/run.parquet' where metric = 'cpu_share_error' group by cpus order by cpus
    """).fetchall()  # noqa: S608 - a folder of ours
    assert [row[0] for row in rows] == [0.1, 0.25, 0.5, 1.0, 1.5]
    assert rows[0][1:] == (pytest.approx(0.095), 0)


@pytest.mark.parametrize(
    ("started", "wanted"),
    [
        ("2026-03-01T10:15:00Z", "2026-03-01 10:15:00"),
        ("2026-03-01T12:15:00+02:00", "2026-03-01 10:15:00"),
        ("2026-03-01T10:15:00", "2026-03-01 10:15:00"),
        ("yesterday", "None"),
    ],
)
def test_time_of_a_run_is_utc_or_unknown(made_run: SyntheticRun, started: str, wanted: str) -> None:
    table = table_of(replace(made_run.record, started=started), made_run.samples[:1])
    assert str(table["started"][0].as_py()) == wanted


def test_run_whose_record_lacks_an_isolator_or_a_hostname_is_a_table_too(made_run: SyntheticRun) -> None:
    record = replace(made_run.record, isolators=(), host={})
    row = table_of(record, made_run.samples[:1]).to_pylist()[0]
    assert (row["isolator_kind"], row["hostname"], row["host"]) == (None, "", "")


def test_half_a_surrogate_pair_becomes_a_question_mark_in_every_column(made_run: SyntheticRun) -> None:
    odd = "a\ud800b"
    sample = replace(
        made_run.samples[0], cell=odd, reason=odd, params={odd: odd}, phases={odd: 1.0}, detail={odd: odd}
    )
    record = replace(made_run.record, run_id=odd, host={"hostname": odd})
    row = table_of(record, [sample]).to_pylist()[0]
    assert {row["cell"], row["reason"], row["run_id"], row["hostname"]} == {"a?b"}
    assert (row["params"], row["phases"], row["detail_text"]) == (
        [("a?b", "a?b")],
        [("a?b", 1.0)],
        [("a?b", "a?b")],
    )


def test_failed_attempt_is_a_row_with_its_reason(table: pa.Table) -> None:
    late = [row for row in table.to_pylist() if row["status"] == Status.TIMEOUT]
    assert [(row["value"], row["reason"], row["counts"]) for row in late] == [
        (None, "not ready within 60 s", False)
    ]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not a Parquet file of isobench"),
        ({b"isobench.schema": b"soon"}, "not a Parquet file of isobench"),
        ({b"isobench.schema": b"2"}, r"x.parquet: written by a newer isobench \(schema 2;"),
    ],
)
def test_foreign_or_newer_schema_is_refused(
    metadata: dict[bytes | str, bytes | str] | None, message: str
) -> None:
    with pytest.raises(ResultsError, match=message):
        check_schema(pa.schema([("a", pa.int64())], metadata=metadata), "x.parquet")


def test_schema_of_ours_is_accepted_as_it_comes_back_from_a_file(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "x.parquet")
    check_schema(pq.read_schema(tmp_path / "x.parquet"), "x.parquet")

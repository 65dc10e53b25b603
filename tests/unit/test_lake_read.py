"""Asking a lake: what a question may touch, and what is said of files that cannot be read."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pytest
from tests.perf.fleet import write_fleet

from isobench.errors import HostUnfitError, ResultsError, UsageError
from isobench.reports.lake import Lake, open_or_begin
from isobench.reports.lake_add import add
from isobench.reports.lake_compact import compact
from isobench.reports.lake_read import newest_cells, reading


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = open_or_begin(str(tmp_path / "lake [1]*?'"))
    list(add(made, write_fleet(tmp_path / "results", 3, 42, runs=2)))
    return made


def test_lake_of_any_name_is_read(lake: Lake) -> None:
    with reading(lake) as reader:
        assert reader.ask("SELECT count(*) FROM samples") == [(252,)]
        assert len(reader.hosts()) == 3


def test_answer_has_names_and_rows(lake: Lake) -> None:
    with reading(lake) as reader:
        columns, rows = reader.answer(
            "WITH a AS (FROM samples) SELECT count(*) AS n, min(date) AS day FROM a"
        )
        assert columns == ("n", "day")
        assert rows[0][0] == 252
        assert len(reader.answer("DESCRIBE samples")[1]) > 30


def test_question_is_answered_from_files_of_runs_and_of_days_alike(lake: Lake) -> None:
    question = (
        "SELECT host, run_id, sum(value), any_value(phases['ready']) FROM samples GROUP BY ALL ORDER BY ALL"
    )
    with reading(lake) as reader:
        before = reader.answer(question)
    list(compact(lake))
    with reading(lake) as reader:
        (columns, rows) = reader.answer(question)
    assert columns == before[0]
    assert [row[:2] for row in rows] == [row[:2] for row in before[1]]
    assert [row[2] for row in rows] == pytest.approx([row[2] for row in before[1]])


@pytest.mark.parametrize(
    "question",
    [
        "COPY samples TO '{root}/out.csv'",
        "COPY samples TO '{lake}/out.csv'",
        "CREATE TABLE t AS FROM samples",
        "DROP VIEW samples",
        "INSERT INTO own_file VALUES ('a', '2026-01-01', 'b')",
        "ATTACH '{root}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "SELECT 1; DROP VIEW samples",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE SELECT 1",
        "",
        "  -- nothing",
    ],
)
def test_anything_but_one_select_is_refused(question: str, lake: Lake, tmp_path: Path) -> None:
    with reading(lake) as reader:
        with pytest.raises(UsageError, match="one SELECT is asked for"):
            reader.answer(question.format(root=tmp_path, lake=lake.place.name.replace("'", "''")))
        assert reader.ask("SELECT count(*) FROM samples") == [(252,)]
    assert not list(tmp_path.rglob("out.csv"))


@pytest.mark.parametrize(
    "question",
    [
        "FROM read_text('{root}/secret')",
        "FROM '{root}/secret.csv'",
        "FROM read_csv('{root}/secret.csv')",
        "FROM glob('{root}/*')",
        "FROM read_blob('/etc/passwd')",
        "FROM read_text('lake [[]1]/../secret')",
        "FROM read_parquet('https://localhost:1/x.parquet')",
        "SELECT * FROM secret_of_python",
        "FROM query('COPY samples TO ''{root}/out.csv''')",
        "FROM sniff_csv('{root}/secret.csv')",
    ],
)
def test_question_reads_nothing_but_the_lake(question: str, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a,b\n1,2\n")
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    secret_of_python = duckdb.sql("SELECT 1 AS a")  # noqa: F841 - DuckDB would find it by its name
    with reading(lake) as reader, pytest.raises(UsageError, match="the question cannot be answered"):
        reader.answer(question.format(root=tmp_path))
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("SELEKT 1", "syntax error"),
        ("SELECT nothing FROM samples", "nothing"),
        ("SELECT error('mine')", "mine"),
        ("SELECT 'a'::INTEGER", "Could not convert"),
    ],
)
def test_question_that_is_wrong_is_told_in_the_words_of_duckdb(
    question: str, message: str, lake: Lake
) -> None:
    with reading(lake) as reader, pytest.raises(UsageError, match=message) as caught:
        reader.answer(question)
    assert "DESCRIBE samples" in str(caught.value.remedy)


def test_empty_lake_is_told_with_what_fills_it(tmp_path: Path) -> None:
    lake = open_or_begin(str(tmp_path / "lake"))
    with pytest.raises(ResultsError, match="the lake is empty") as caught, reading(lake):
        pass
    assert "isobench history add" in str(caught.value.remedy)
    assert newest_cells(lake) == ()


def test_file_damaged_between_its_ends_is_named_among_whole_ones(lake: Lake) -> None:
    damaged = lake.runs()[1]
    path = Path(lake.place.name, damaged.name)
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"X" * 2000 + data[2004:])
    with reading(lake) as reader, pytest.raises(ResultsError, match=damaged.run_id) as caught:
        reader.ask("SELECT sum(value), bit_xor(hash(COLUMNS(*))) FROM samples")
    assert "isobench history add" in (caught.value.remedy or "")
    with pytest.raises(ResultsError, match=damaged.run_id):
        list(compact(lake))


@pytest.mark.parametrize("cut", [0, 3, 500, -1])
@pytest.mark.parametrize("compacted", [False, True])
def test_torn_file_is_named_with_what_mends_it(cut: int, compacted: bool, lake: Lake) -> None:  # noqa: FBT001
    if compacted:
        list(compact(lake))
    names = [*(day.name for day in lake.days()), *(run.name for run in lake.runs())]
    path = Path(lake.place.name, names[-1])
    path.write_bytes(path.read_bytes()[:cut])
    for ask in ("ask", "answer"):
        with pytest.raises(ResultsError, match="not a whole Parquet file") as caught, reading(lake) as reader:
            getattr(reader, ask)("SELECT count(*), max(value) FROM samples")
        assert names[-1] in str(caught.value)
        assert "rm " in str(caught.value.remedy)


def test_file_that_is_not_ours_is_an_error_of_the_results(lake: Lake) -> None:
    name = "runs/host=a-0/date=2026-01-01/foreign.parquet"
    path = Path(lake.place.name, name)
    path.parent.mkdir(parents=True)
    duckdb.execute(f"COPY (SELECT 1 AS a) TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")
    with pytest.raises(ResultsError, match="cannot be read"), reading(lake) as reader:
        reader.ask("SELECT max(value) FROM samples")


def test_missing_duckdb_is_told_with_its_extra(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> object:
        if name == "duckdb":
            raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")
        return real(name, globals_, locals_, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    for use in (lambda: reading(lake).__enter__(), lambda: list(compact(lake)), lambda: newest_cells(lake)):
        with pytest.raises(HostUnfitError, match="needs the Python package duckdb") as caught:
            use()
        assert caught.value.remedy == "pip install 'isobench[lake]'"


def test_newest_cells_are_those_of_the_last_runs(lake: Lake) -> None:
    cells = newest_cells(lake)
    assert len(cells) == 21
    assert "startup/runc/ready" in cells
    list(compact(lake))
    assert newest_cells(lake) == cells

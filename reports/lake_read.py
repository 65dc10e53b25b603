"""A lake opened for questions: DuckDB in this process, with one view ``samples`` over all files of the lake.

The database is in memory, and all it may open is below the lake: whatever is asked, and whoever wrote the
question, no other file is read, no extension loaded, and none of this can be allowed again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isobench.errors import IsobenchError, ResultsError, UsageError
from isobench.extras import needed
from isobench.plugins import did_you_mean
from isobench.reports.lake import DAYS, RUNS, DayFile, Lake, RunFile, hosts_named, torn

if TYPE_CHECKING:
    import duckdb

_NEWEST = 20
"""Runs that tell which cells there are."""
_MAGIC = b"PAR1"
"""The first and the last four bytes of a Parquet file."""


@dataclass(frozen=True, slots=True)
class Reader:
    """An open lake."""

    lake: Lake
    runs: tuple[RunFile, ...]
    """Those with a file of their own."""
    days: tuple[DayFile, ...]
    connection: duckdb.DuckDBPyConnection

    @property
    def files(self) -> tuple[DayFile | RunFile, ...]:
        """All of the lake."""
        return (*self.days, *self.runs)

    def hosts(self) -> frozenset[str]:
        """The ids of all hosts."""
        own = {run.host for run in self.runs}
        in_days = self.ask("SELECT DISTINCT host FROM days") if self.days else []
        return frozenset(own | {host for (host,) in in_days})

    def hosts_named(self, wanted: str) -> list[str]:
        """The ids of the hosts that a user means by an id or by a host name.

        Raises :class:`isobench.errors.UsageError` when there is none.
        """
        known = self.hosts()
        found = hosts_named(wanted, known)
        if not found:
            raise UsageError(
                f'{self.lake.place.name}: no host "{wanted}" in the lake{did_you_mean(wanted, known)}',
                remedy="see which there are: isobench history hosts",
            )
        return list(found)

    def ask(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """The rows that a question of ours gives; ``values`` are those of its ``$names``.

        Raises :class:`isobench.errors.ResultsError` when a file of the lake cannot be read, and names it.
        """
        import duckdb  # noqa: PLC0415 - it is there: the connection is its

        try:
            return self.connection.execute(sql, values or {}).fetchall()
        except duckdb.Error as error:
            raise unreadable(self.lake, self.files, error) from error

    def answer(self, sql: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """The names of the columns and the rows that a question of the user's gives.

        Raises :class:`isobench.errors.UsageError` for one that is wrong, or more than one question.
        """
        import duckdb  # noqa: PLC0415 - as above

        try:
            statements = self.connection.extract_statements(sql)
            kinds = [statement.type for statement in statements]
            if kinds != [duckdb.StatementType.SELECT]:
                raise UsageError(
                    "one SELECT is asked for, and nothing else: a lake is changed by `isobench history add` "
                    "and `compact` only",
                    remedy='isobench history sql "SELECT count(*) FROM samples"',
                )
            found = self.connection.execute(statements[0])
            return tuple(column[0] for column in found.description or ()), found.fetchall()
        except duckdb.Error as error:
            raise torn_file(self.lake, self.files) or UsageError(
                f"the question cannot be answered: {str(error).strip()}",
                remedy='see the columns: isobench history sql "DESCRIBE samples"',
            ) from error


def newest_cells(lake: Lake) -> tuple[str, ...]:
    """The cells of the last few runs, for which few files are opened."""
    with needed("lake", "a question to the result lake"):
        import duckdb  # noqa: PLC0415 - as in reading()

    files: Sequence[DayFile | RunFile] = sorted(lake.runs(), key=lambda run: (run.date, run.run_id))[
        -_NEWEST:
    ]
    files = files or lake.days()[-1:]
    if not files:
        return ()
    with duckdb.connect() as connection:
        lake.place.attach(connection)
        table = parquet(lake, [one.name for one in files])
        try:
            found = connection.execute(f"SELECT DISTINCT cell FROM {table} ORDER BY cell").fetchall()  # noqa: S608
        except duckdb.Error as error:
            raise unreadable(lake, files, error) from error
    return tuple(name for (name,) in found)


def unreadable(lake: Lake, files: Iterable[DayFile | RunFile], error: Exception) -> IsobenchError:
    """What DuckDB could not read for a question of ours, which cannot be the question's fault."""
    found = torn_file(lake, files) or damaged_file(lake, files)
    return found or ResultsError(f"{lake.place.name}: cannot be read: {str(error).strip()}")


def damaged_file(lake: Lake, files: Iterable[DayFile | RunFile]) -> ResultsError | None:
    """That the first of the files that has its two ends but not all between is damaged, if there is one.

    Reads them one by one to their last value, as DuckDB does not say which of many files it could not read.
    """
    import duckdb  # noqa: PLC0415 - it is there: it could not read something

    with duckdb.connect() as connection:
        lake.place.attach(connection)
        for one in files:
            try:
                connection.execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {parquet(lake, [one.name])}")  # noqa: S608
            except duckdb.Error as error:
                return torn(lake, one.name, str(error).strip())
    return None


def torn_file(lake: Lake, files: Iterable[DayFile | RunFile]) -> ResultsError | None:
    """That the first of the files that is no whole Parquet file is none, if there is one."""
    for one in files:
        try:
            with lake.place.open(one.name) as file:
                begin, size = file.read(len(_MAGIC)), file.seek(0, os.SEEK_END)
                file.seek(max(0, size - len(_MAGIC)))
                end = file.read()
        except OSError as error:
            return torn(lake, one.name, error.strerror or str(error))
        if (begin, end) != (_MAGIC, _MAGIC):
            return torn(lake, one.name, f"its {size} bytes are not a whole Parquet file")
    return None


@contextmanager
def reading(lake: Lake) -> Iterator[Reader]:
    """Open a lake for questions.

    Raises :class:`isobench.errors.ResultsError` when there is no run in it, and
    :class:`isobench.errors.HostUnfitError` when DuckDB is not installed.
    """
    with needed("lake", "a question to the result lake"):
        import duckdb  # noqa: PLC0415 - a fifth of a second, and only for who asks

    runs, days = lake.runs(), lake.days()
    if not runs and not days:
        raise ResultsError(
            f"{lake.place.name}: the lake is empty",
            remedy=f"isobench history add DIR --lake {lake.place.name}",
        )
    with tempfile.TemporaryDirectory(prefix="isobench-history-") as spill, duckdb.connect() as connection:
        reader = Reader(lake, runs, days, connection)
        lake.place.attach(connection)
        connection.execute("SET temp_directory = $spill", {"spill": spill})
        try:
            _make_view(connection, lake, runs, days)
        except duckdb.Error as error:
            raise unreadable(lake, reader.files, error) from error
        _fence(connection, lake)
        yield reader


def _make_view(
    connection: duckdb.DuckDBPyConnection, lake: Lake, runs: Sequence[RunFile], days: Sequence[DayFile]
) -> None:
    dates = {day.date for day in days}
    own = [run for run in runs if run.date in dates]
    note_own(connection, own)
    parts = []
    if days:
        connection.execute(f"CREATE VIEW days AS FROM {parquet(lake, [f'{DAYS}/*/*.parquet'])}")
        parts.append(f"FROM days {'ANTI JOIN own_file USING (host, date, run_id)' if own else ''}")
    if runs:
        parts.append(f"FROM {parquet(lake, [f'{RUNS}/*/*/*.parquet'])}")
    connection.execute(f"CREATE VIEW samples AS {' UNION ALL BY NAME '.join(parts)}")


def note_own(connection: duckdb.DuckDBPyConnection, runs: Sequence[RunFile]) -> None:
    """Make the table ``own_file``: the runs that count as their own file has them, not as that of a day."""
    connection.execute(
        "CREATE OR REPLACE TABLE own_file AS SELECT unnest($hosts::VARCHAR[]) AS host, "
        "unnest($dates::DATE[]) AS date, unnest($ids::VARCHAR[]) AS run_id",
        {
            "hosts": [run.host for run in runs],
            "dates": [run.date for run in runs],
            "ids": [run.run_id for run in runs],
        },
    )


def parquet(lake: Lake, names: Sequence[str]) -> str:
    """Files of runs, or of days, as a table of DuckDB's; what is in their paths are columns too."""
    urls = ", ".join("'" + lake.place.url(name).replace("'", "''") + "'" for name in names)
    host = "'host': VARCHAR, " if names[0].startswith(f"{RUNS}/") else ""
    return f"read_parquet([{urls}], hive_partitioning = true, hive_types = {{{host}'date': DATE}})"


def _fence(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """Nothing but the lake can be opened from now on, and that cannot be changed any more."""
    connection.execute("SET allowed_directories = $roots", {"roots": list(lake.place.roots())})
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")

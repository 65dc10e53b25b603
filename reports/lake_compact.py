"""Making one file of all runs of a day: a question opens a file in half a millisecond, and a fleet has many.

The new file is in place before the runs' own are removed, and a run that is in both counts once: a compaction
may be killed at any moment and done again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from isobench.errors import IsobenchError, OutputError
from isobench.extras import needed
from isobench.reports.lake import VERSION, VERSION_KEY, DayFile, Lake, RunFile
from isobench.reports.lake_read import damaged_file, note_own, parquet, torn_file

if TYPE_CHECKING:
    import duckdb

_MEMORY = "1GB"
"""DuckDB's share of it for a day; what it needs beyond goes to the disk."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """A day that is one file now."""

    date: str
    runs: int
    """That had a file of their own until now."""
    nbytes_before: int
    """Of those files, and of the day's own if it had one."""
    nbytes: int
    """Of the day's file."""


def compact(lake: Lake) -> Iterator[Compacted]:
    """Put the runs of each day into one file, and tell of each day when that is done.

    Raises :class:`isobench.errors.ResultsError` for a file that cannot be read, and
    :class:`isobench.errors.OutputError` when the lake cannot be written; then the day is as it was.
    """
    with needed("lake", "the result lake"):
        import duckdb  # noqa: PLC0415 - a fifth of a second, and only for who asks

    with (
        lake.place.held(),
        tempfile.TemporaryDirectory(prefix=".compacting-", dir=lake.place.scratch) as scratch,
        duckdb.connect() as connection,
    ):
        lake.place.attach(connection)
        connection.execute("SET temp_directory = $spill", {"spill": f"{scratch}/spill"})
        connection.execute("SET memory_limit = $memory", {"memory": _MEMORY})
        days = {day.date: day for day in lake.days()}
        for date, runs in groupby(sorted(lake.runs(), key=_date), key=_date):
            yield _compact(connection, lake, days.get(date), list(runs), Path(scratch) / f"{date}.parquet")


def _date(run: RunFile) -> str:
    return run.date


def _compact(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    before: DayFile | None,
    runs: Sequence[RunFile],
    fresh: Path,
) -> Compacted:
    """One day: its file, if it had one, and those of its runs become ``fresh``, and that its file."""
    import duckdb  # noqa: PLC0415 - it is there: the connection is its

    date = runs[0].date
    old: tuple[DayFile | RunFile, ...] = (*runs, *([before] if before else []))
    try:
        note_own(connection, runs)
        connection.execute(_copy(lake, before, runs, fresh))
    except duckdb.Error as error:
        raise torn_file(lake, old) or damaged_file(lake, old) or _unwritable(lake, date, error) from error
    size = fresh.stat().st_size
    lake.place.take(fresh, DayFile(date).name)
    for run in runs:
        lake.place.remove(run.name)
    return Compacted(date, len(runs), sum(one.nbytes for one in old), size)


def _copy(lake: Lake, before: DayFile | None, runs: Sequence[RunFile], fresh: Path) -> str:
    """The command to DuckDB. It keeps the order of the runs, so that those of a host lie together."""
    parts = [f"FROM {parquet(lake, [run.name for run in runs])}"]
    if before:
        parts.insert(0, f"FROM {parquet(lake, [before.name])} ANTI JOIN own_file USING (host, date, run_id)")
    target = str(fresh).replace("'", "''")
    return (
        f"COPY (SELECT * EXCLUDE (date) FROM ({' UNION ALL BY NAME '.join(parts)})) TO '{target}' "  # noqa: S608
        f"(FORMAT parquet, COMPRESSION zstd, KV_METADATA {{'{VERSION_KEY}': '{VERSION}'}})"
    )


def _unwritable(lake: Lake, date: str, error: Exception) -> IsobenchError:
    return OutputError(
        f"{lake.place.name}: the file of {date} cannot be made: {str(error).strip()}",
        remedy="free some space, then again: isobench history compact; nothing was lost",
    )

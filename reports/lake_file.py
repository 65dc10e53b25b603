"""The Parquet files of a lake: made from runs, and read back.

pyarrow comes with the extra ``lake``; questions to a lake need DuckDB only and not this module.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from isobench.extras import needed
from isobench.journal import StoredRun
from isobench.reports.lake import VERSION, VERSION_KEY, DayFile, Lake, RunFile, moment, torn

with needed("lake", "the result lake"):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from isobench.reports.parquet_schema import schema, table_of

FINISHED = "finished"

_OF_RUN = frozenset({"run_id", "host", "hostname", "fingerprint", "started", "isobench", "host_facts"})
_DERIVED = frozenset({"isolator_kind", "counts"})


def as_table(stored: StoredRun, source: str) -> pa.Table:
    """A run as the table of its file; ``source`` is the checksum of its result folder."""
    record = stored.record
    table = table_of(record, stored.samples).drop_columns(["host"])
    finished = moment(record.finished)
    more: Mapping[str, tuple[pa.DataType, Any]] = {
        "run_status": (pa.string(), record.status),
        "finished": (pa.timestamp("us"), finished and finished.replace(tzinfo=None)),
        "source": (pa.string(), source),
    }
    for name, (kind, value) in more.items():
        table = table.append_column(name, pa.array([value] * table.num_rows, kind))
    return table


def as_bytes(table: pa.Table) -> bytes:
    """A table as the bytes of a file."""
    file = io.BytesIO()
    # Without Arrow's own copy of the schema, which is a quarter of the file of one run.
    with pq.ParquetWriter(file, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({VERSION_KEY: str(VERSION)})
    return file.getvalue()


def source_of(lake: Lake, run: RunFile) -> str | None:
    """The ``source`` of a run that has a file of its own; None for a file that cannot be read."""
    try:
        with lake.place.open(run.name) as file:
            return str(_columns(file, ["source"])["source"][0].as_py())
    except (OSError, pa.ArrowException, LookupError):
        return None


def sources_of(lake: Lake, day: DayFile) -> dict[str, tuple[str, str]]:
    """Host and ``source`` of each run in the file of a day."""
    names = ["run_id", "host", "source"]
    with _opened(lake, day.name) as file:
        table = _columns(file, names).group_by(names, use_threads=False).aggregate([])
    return {row["run_id"]: (row["host"], row["source"]) for row in table.to_pylist()}


def attempts(lake: Lake, run: RunFile, name: str) -> tuple[list[dict[str, Any]], bool]:
    """What was measured in a run that is in a file of the lake, and whether the run had come to its end."""
    only: list[Any] = (
        [("run_id", "=", run.run_id)]
        if name == run.name
        else [("run_id", "=", run.run_id), ("host", "=", run.host)]
    )
    with _opened(lake, name) as file:
        return told(pq.read_table(file, filters=only, use_threads=False, pre_buffer=False))


def told(table: pa.Table) -> tuple[list[dict[str, Any]], bool]:
    """The attempts of one run as plain values in the order of the journal, and whether it had ended.

    Without what is said of the run as a whole, and what this version makes of the attempts.
    """
    kept = [name for name in schema().names if name not in _OF_RUN | _DERIVED]
    ended = table["run_status"][0].as_py() == FINISHED
    return table.select(kept).sort_by("row").to_pylist(), ended


def _columns(file: IO[bytes], names: list[str]) -> pa.Table:
    """In this thread: a process that ends while one of Arrow's still runs can abort (apache/arrow#34314)."""
    return pq.ParquetFile(file).read(names, use_threads=False)


@contextmanager
def _opened(lake: Lake, name: str) -> Iterator[IO[bytes]]:
    """A file of the lake; what makes it unreadable is told as damage."""
    try:
        with lake.place.open(name) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise torn(lake, name, str(error)) from error

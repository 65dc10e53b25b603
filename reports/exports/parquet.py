"""parquet: every attempt, one row each, in the schema of :mod:`isobench.reports.parquet_schema`."""

import pyarrow as pa
import pyarrow.parquet as pq

from isobench.journal import StoredRun
from isobench.reports.exports.series import REST_OF_RECORD, Export
from isobench.reports.parquet_schema import table_of


def export(run: StoredRun) -> Export:
    """One file, with all that there is of the attempts."""
    sink = pa.BufferOutputStream()
    pq.write_table(table_of(run.record, run.samples), sink, compression="zstd")
    values = sum(sample.value is not None for sample in run.samples)
    return Export(sink.getvalue().to_pybytes(), values, (REST_OF_RECORD,))

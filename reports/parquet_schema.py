"""Attempts as an Arrow table, the one shape they have in every Parquet file of isobench.

One row an attempt, also those that failed. What a run has once (its id, its host) is repeated in every row,
so that the files of many runs are one table. DuckDB says ``phases['ready']``, ``detail['instances']``,
``params['cpus']::DOUBLE``, ``host_facts->>'$.cpu.model'``; a key that an attempt has not got is NULL.

The number of the schema stands in the metadata of every file, under ``isobench.schema``. A column may be
added without a new number; one that is renamed, removed or means something else takes one.

pyarrow comes with the extra ``lake``: import this module where :func:`isobench.extras.needed` watches.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from isobench.errors import ResultsError
from isobench.host import comparable
from isobench.journal import RunRecord
from isobench.model import Sample, Scalar
from isobench.reports.load import counts
from isobench.reports.summary import number
from isobench.reports.units import utf8

SCHEMA = 1
"""The number of this schema. Readers refuse higher ones."""

SCHEMA_KEY = b"isobench.schema"
"""Where in the metadata of a file its number is."""

_DIGEST_CHARS = 16


def schema() -> pa.Schema:
    """The columns, in their order.

    ==================  ==========================================================================
    ``run_id``          of the run, as in run.json
    ``row``             which line of samples.jsonl it is, from 1: (run_id, row) names an attempt
    ``host``            what the host is called by whoever gathered the run; else ``hostname``
    ``hostname``        what the host calls itself
    ``fingerprint``     of all that must be alike for two runs to be comparable: equal where it is
    ``started``         of the run, UTC; NULL where run.json has no time that can be read
    ``isobench``        the version that measured
    ``isolator_kind``   ``runc`` of the isolator ``runc-new``; NULL where run.json has no such one
    ``host_facts``      the whole fingerprint, JSON
    ``cell`` … ``v``    the fields of :class:`isobench.model.Sample`
    ``counts``          whether it enters the figures of a report (:func:`isobench.reports.load.counts`)
    ``params``          text of each value, as the id of the cell has it
    ``phases``          seconds since invoke
    ``detail``          numbers; 1 and 0 for true and false; NULL for what was looked for and not told
    ``detail_text``     the other entries of ``detail``
    ==================  ==========================================================================

    A time has no zone on purpose: it is UTC for every reader, whatever zone its session is in. Words that
    come often are dictionary-encoded, in memory too; for readers they are text.
    """
    text, once = pa.string(), pa.dictionary(pa.int32(), pa.string())
    columns = {
        "run_id": once,
        "row": pa.int64(),
        "host": once,
        "hostname": once,
        "fingerprint": once,
        "started": pa.timestamp("us"),
        "isobench": once,
        "isolator_kind": once,
        "host_facts": once,
        "cell": once,
        "isolator": once,
        "benchmark": once,
        "workload": once,
        "metric": once,
        "unit": once,
        "value": pa.float64(),
        "block": pa.int64(),
        "order": pa.int64(),
        "status": once,
        "reason": text,
        "remedy": text,
        "side": once,
        "v": pa.int64(),
        "counts": pa.bool_(),
        "params": pa.map_(text, text),
        "phases": pa.map_(text, pa.float64()),
        "detail": pa.map_(text, pa.float64()),
        "detail_text": pa.map_(text, text),
    }
    return pa.schema(list(columns.items()), metadata={SCHEMA_KEY: str(SCHEMA).encode()})


def table_of(record: RunRecord, samples: Sequence[Sample], *, host: str | None = None) -> pa.Table:
    """The attempts of one run in the order of its journal.

    ``host`` is the name under which the host is known where the run was gathered, if it has one there.
    """
    hostname = str(record.host.get("hostname") or "")
    kinds = {found.shown_as: found.kind for found in record.isolators}
    once: dict[str, str | datetime | None] = {
        "run_id": record.run_id,
        "host": host or hostname,
        "hostname": hostname,
        "fingerprint": fingerprint_of(record.host),
        "started": _utc(record.started),
        "isobench": record.isobench_version,
        "host_facts": json.dumps(record.host, sort_keys=True, ensure_ascii=False),
    }
    rows: dict[str, Sequence[Any]] = {
        "row": range(1, len(samples) + 1),
        "isolator_kind": [kinds.get(sample.isolator) for sample in samples],
        "status": [sample.status.value for sample in samples],
        "side": [sample.side.value for sample in samples],
        "counts": [counts(sample) for sample in samples],
        "params": [[(utf8(key), utf8(str(found))) for key, found in one.params.items()] for one in samples],
        "phases": [[(utf8(key), found) for key, found in one.phases.items()] for one in samples],
        "detail": [_numbers(sample.detail) for sample in samples],
        "detail_text": [_texts(sample.detail) for sample in samples],
    }
    wanted = schema()
    return pa.Table.from_arrays(
        [
            _repeated(once[field.name], field.type, len(samples))
            if field.name in once
            else _column(rows.get(field.name) or [getattr(one, field.name) for one in samples], field.type)
            for field in wanted
        ],
        schema=wanted,
    )


def check_schema(found: pa.Schema, where: str) -> None:
    """Raise :class:`isobench.errors.ResultsError` unless a file has a schema that this version reads."""
    told = (found.metadata or {}).get(SCHEMA_KEY, b"").decode(errors="replace")
    if not told.isdecimal():
        raise ResultsError(f"{where}: not a Parquet file of isobench, it has no {SCHEMA_KEY.decode()}")
    if int(told) > SCHEMA:
        raise ResultsError(
            f"{where}: written by a newer isobench (schema {told}; this one reads up to {SCHEMA})",
            remedy="read it with the isobench that wrote it, or upgrade this one",
        )


def fingerprint_of(host: Mapping[str, Any]) -> str:
    """One short word for all facts of :data:`isobench.host.COMPARABLE`: 16 hexadecimal digits."""
    facts = json.dumps(comparable(host), sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:_DIGEST_CHARS]


def _utc(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo is None else found.astimezone(UTC)).replace(tzinfo=None)


def _numbers(detail: Mapping[str, Scalar]) -> list[tuple[str, float | None]]:
    return [
        (utf8(key), float(value) if isinstance(value, bool) else number(value))
        for key, value in detail.items()
        if not isinstance(value, str)
    ]


def _texts(detail: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    return [(utf8(key), utf8(value)) for key, value in detail.items() if isinstance(value, str)]


def _repeated(value: str | datetime | None, kind: pa.DataType, rows: int) -> pa.Array[Any]:
    """One value in all rows, held once where it is text."""
    if not isinstance(value, str):
        return pa.array([value] * rows, kind)
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), _texts_array([value]))


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    if pa.types.is_dictionary(kind):
        return _texts_array(values).dictionary_encode()
    return _texts_array(values) if pa.types.is_string(kind) else pa.array(values, kind)


def _texts_array(values: Sequence[str | None]) -> pa.Array[Any]:
    return pa.array([None if value is None else utf8(value) for value in values], pa.string())

"""A run as a pandas table, for notebooks and for questions no report answers."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isobench import journal
from isobench.model import Sample
from isobench.reports.load import counts

if TYPE_CHECKING:
    import pandas as pd


_NESTED = ("params", "phases", "detail")
_FIELDS = tuple(item.name for item in fields(Sample) if item.name not in _NESTED)


def samples_frame(folder: Path) -> pd.DataFrame:
    """Every attempt of a run, one row each, in the order of the journal.

    Columns: the fields of :class:`isobench.model.Sample`; ``params.*``, ``phases.*`` (seconds since invoke)
    and ``detail.*`` one column a key, missing where an attempt has none; and ``counts``, whether the attempt
    enters the figures of the report. Raises :class:`isobench.errors.ResultsError` as reading a run does.
    """
    import pandas as pd  # noqa: PLC0415 - half a second, and only for who asks for a table

    return pd.DataFrame([row_of(sample) for sample in journal.load(folder).samples])


def row_of(sample: Sample) -> dict[str, Any]:
    """One attempt as one row: column to value."""
    row = {name: getattr(sample, name) for name in _FIELDS}
    nested = {name: getattr(sample, name) for name in _NESTED}
    columns = {f"{name}.{key}": value for name, table in nested.items() for key, value in table.items()}
    return {**row, "status": sample.status.value, "counts": counts(sample), **columns}

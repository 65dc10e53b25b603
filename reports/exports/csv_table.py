"""csv: every attempt, one row each, as RFC 4180 has it, with the columns of ``samples_frame``.

Numbers are read back to the last bit. Texts come from outside and end up in terminals and spreadsheets:
control characters become �, and a text that a spreadsheet would take for a formula gets an apostrophe before
it, which is listed.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable
from typing import Any

from isobench.journal import StoredRun
from isobench.reports.exports.series import RECORD, Export, Omission, number
from isobench.reports.frame import row_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that spreadsheets compute (OWASP, CSV injection)."""


def export(run: StoredRun) -> Export:
    """The table: UTF-8, a header, lines that end in CR LF; a column that an attempt has not is empty."""
    rows = [row_of(sample) for sample in run.samples]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    guarded = _write(writer, columns)
    for row in rows:
        guarded += _write(writer, map(row.get, columns))
    values = sum(sample.value is not None for sample in run.samples)
    return Export(text.getvalue().encode(), values, (*_guards(guarded), RECORD))


def _write(writer: Any, cells: Iterable[object]) -> int:  # noqa: ANN401 - the writer has no public type
    """One row; how many of its texts got an apostrophe."""
    told = [_safe(cell) if isinstance(cell, str) else (cell, False) for cell in cells]
    writer.writerow([cell for cell, _ in told])
    return sum(guarded for _, guarded in told)


def _safe(text: str) -> tuple[str, bool]:
    """For a spreadsheet, and whether that took an apostrophe."""
    kept = text if text.isprintable() else "".join(map(_visible, text))
    return (f"'{kept}", True) if kept.startswith(_FORMULA) else (kept, False)


def _visible(char: str) -> str:
    return "\ufffd" if unicodedata.category(char) in {"Cc", "Cf", "Cs"} and char not in "\n\t" else char


def _guards(n: int) -> tuple[Omission, ...]:
    if not n:
        return ()
    return (Omission(number(n, "text"), "begins as a formula does, and has an apostrophe before it"),)

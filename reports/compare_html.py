"""A comparison of two runs as a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from isobench import __version__
from isobench.reports import compare_words as words
from isobench.reports import page_shell, places
from isobench.reports.compare_values import Comparison, Only, Row
from isobench.reports.strips import Scale, around, scale

_LISTED = 500
"""Cells that are listed by name where only one run has them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the interval of a change lies, in pixels of its strip."""

    low: float
    at: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the page."""

    row: Row
    verdict: str
    base: str
    candidate: str
    change: str
    interval: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Part:
    """Rows whose change is told in one way, on one scale."""

    key: str
    title: str
    lead: str
    lines: tuple[Line, ...]
    none_at: float
    """Where no change lies on the strips."""


def page(found: Comparison) -> str:
    """The whole document. Equal runs give equal bytes, wherever they lie."""
    found = replace(found, base=places.by_name(found.base), candidate=places.by_name(found.candidate))
    values: dict[str, Any] = {
        "version": __version__,
        "found": found,
        "runs": [(name, words.run_line(run)) for name, run in _runs(found)],
        "headline": words.headline(found),
        "cautions": words.cautions(found),
        "differences": words.differences(found),
        "parts": [part for part in (_ratios(found), _differences(found)) if part.lines],
        "legend": words.legend(found.rows),
        "ended": [(one.cell, words.ended(one)) for one in found.ended_otherwise],
        "only": [(name, only[:_LISTED], len(only) - _LISTED) for name, only in _only(found) if only],
        "no_gate": words.NO_GATE,
    }
    return page_shell.render("compare.html.j2", {}, values)


def _runs(found: Comparison) -> Sequence[tuple[str, Any]]:
    return (("base", found.base), ("candidate", found.candidate))


def _only(found: Comparison) -> Sequence[tuple[str, tuple[Only, ...]]]:
    return (("base", found.only_base), ("candidate", found.only_candidate))


def _ratios(found: Comparison) -> Part:
    rows = [row for row in found.rows if row.relative]
    common = around(1.0, _limits(rows))
    lead = (
        "The median of the candidate as times that of the base; of memory what each further instance takes."
    )
    return Part("ratios", "Ratios", lead, tuple(_line(row, common) for row in rows), common.place(1.0))


def _differences(found: Comparison) -> Part:
    """Of figures near 0; each has a scale of its own, as wide to either side of no change."""
    rows = [row for row in found.rows if not row.relative]
    lead = (
        "Candidate minus base, where figures are near 0 and a ratio would mean nothing: errors of limits in "
        "percentage points, counts, and what may be negative."
    )
    lines = tuple(_line(row, _balanced(row)) for row in rows)
    return Part("differences", "Differences", lead, lines, _balanced(None).place(0.0))


def _balanced(row: Row | None) -> Scale:
    reach = max(map(abs, _limits([row])), default=1.0) if row is not None else 1.0
    return scale((-reach or -1.0, reach or 1.0))


def _limits(rows: Sequence[Row]) -> list[float]:
    found = [row.change.interval for row in rows if row.change and row.change.interval]
    return [limit for interval in found for limit in (interval.low, interval.high)]


def _line(row: Row, common: Scale) -> Line:
    mark = None
    if row.change is not None and row.change.interval is not None:
        limits = row.change.interval
        mark = Mark(*map(common.place, (limits.low, row.change.value, limits.high)))
    return Line(
        row=row,
        verdict=words.verdict(row),
        base=words.figure(row, row.base.value),
        candidate=words.figure(row, row.candidate.value),
        change=words.change(row),
        interval=words.interval(row),
        mark=mark,
    )

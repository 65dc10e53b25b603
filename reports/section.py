"""One benchmark's part of a report as plain values, rendered alike in the terminal, in Markdown and in HTML.

A benchmark that has a part of its own writes one module in :mod:`isobench.reports.sections`; nothing else
needs to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from isobench.reports import units
from isobench.reports.summary import CellSummary, Isolator

if TYPE_CHECKING:  # matplotlib takes its time, and a terminal draws nothing
    from matplotlib.figure import Figure as Drawing

    from isobench.reports.stats import Estimate


@dataclass(frozen=True, slots=True)
class Figure:
    """One entry of a table."""

    text: str
    small: str = ""
    """Said below it in small letters, such as its interval; not in the terminal."""
    cell: CellSummary | None = None
    """Whose raw samples it was made of."""
    exact: Estimate | None = None
    """Unrounded, where it is one number: what its column is sorted by and saved with."""
    unit: str = ""
    """That of ``exact``, as the journal says it."""


NO_FIGURE = Figure(units.NONE)


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column."""

    title: str
    small: str = ""
    room: int = 0
    """The terminal's width below which the column is left out."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; ``isolator`` is None where it is about something else."""

    name: str
    figures: tuple[Figure, ...]
    isolator: Isolator | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every row has a figure for each column."""

    title: str
    first: str
    """The head of the column with the rows' names."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    brief: bool = True
    """Worth its lines in the terminal at the end of a run that has an overview as well."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, drawn at the width in pixels it is shown at; colour never stands alone in it."""

    key: str
    """Unique in the report, a name fit for an identifier."""
    label: str
    """Read aloud in its place."""
    caption: str
    draw: Callable[[int], Drawing]
    data: Table | None = None
    """The same as a table; one of the section's own is not repeated."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot over a number."""

    isolator: Isolator
    points: tuple[tuple[float, Estimate], ...]
    """At so many, this; ascending."""
    upper: tuple[tuple[float, float], ...] = ()
    """The 99th percentile there, where so many values carry one; drawn dashed."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report."""

    key: str
    """Its anchor."""
    title: str
    lead: str
    """What was measured, from when to when, on whose clock."""
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()


def estimated(found: Estimate | None, form: units.Format, cell: CellSummary | None = None) -> Figure:
    """An estimate with its interval below it; a dash for None."""
    if found is None:
        return NO_FIGURE
    small = ""
    if found.interval and form(found.interval.low) != form(found.interval.high):
        small = units.interval(found.interval, form)
    return Figure(form(found.value), small, cell, found, _UNITS.get(form, ""))


def number_of(
    value: float | None, form: units.Format, cell: CellSummary | None = None, small: str = ""
) -> Figure:
    """A number without an interval; a dash for None."""
    from isobench.reports.stats import Estimate  # noqa: PLC0415 - numpy takes its time

    return NO_FIGURE if value is None else replace(estimated(Estimate(value, None), form, cell), small=small)


_UNITS: Mapping[units.Format, str] = {
    units.seconds: "second",
    units.nbytes: "byte",
    units.percent: "ratio",
    units.times: "ratio",
    units.a_second: "1/second",
}

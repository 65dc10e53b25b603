"""Starts while others start: how many a second, and how long each takes, in a closed and in an open loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import NO_FIGURE, Column, Figure, Plot, Row, Section, Series, Table, estimated
from isobench.reports.stats import Distribution, Estimate, distribution, median
from isobench.reports.summary import CellSummary, Isolator, Summary, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

NAME = "startup-concurrency"
_LEAD = (
    "Many instances are started at once, for a window. Closed loop: so many starters, each of which begins "
    "the next start as soon as its last instance is cleaned up; from invoke to ready. Open loop: starts are "
    "due at a rate, whether or not the ones before are over; from when a start was due to ready, so that "
    "waiting for a free starter is inside. The starters use the same CPUs: the bare row shows what they "
    "take. Failed starts count for no rate and no time."
)
_RATE, _READY = "rate", "ready"


@dataclass(frozen=True, slots=True)
class Point:
    """One cell: an isolator under one load."""

    isolator: Isolator
    cell: CellSummary
    load: float
    """Starters of a closed loop, starts a second of an open one."""
    ready: Distribution | None
    rate: Estimate | None


def section(summary: Summary) -> Section | None:
    """None for a run without such starts."""
    closed, opened = _points(summary, "closed", "k"), _points(summary, "open", "rate")
    if not any(point.ready for point in (*closed, *opened)):
        return None
    tables: list[Table] = []
    plots: list[Plot] = []
    if closed:
        rates = _sweep("Closed loop: completed starts a second", closed, "{:g} at once", _rate)
        starts = _sweep("Closed loop: median start (p99)", closed, "{:g} at once", _start)
        starters = "closed loop: starters at work"
        tables += [rates, starts]
        plots += [
            _plot("rate", starters, closed, _rate_value, rates),
            _plot("closed", starters, closed, _start_value, starts),
        ]
    if opened:
        starts = _sweep("Open loop: median start since it was due (p99)", opened, "{:g}/s", _start)
        tables += [starts, _misses(opened)]
        plots += [_plot("open", "open loop: starts due a second", opened, _start_value, starts)]
    return Section(NAME, "Starts while others start", _LEAD, tuple(tables), tuple(plots))


def _points(summary: Summary, loop: str, load: str) -> tuple[Point, ...]:
    return tuple(
        sorted(
            (
                Point(
                    isolator,
                    cell,
                    number(cell.samples[0].params.get(load)) or 0.0,
                    _ready_of(cell),
                    _rate_of(cell),
                )
                for isolator in summary.isolators
                for cell in summary.cells
                if cell.benchmark == NAME
                and cell.isolator == isolator.name
                and cell.samples[0].params.get("loop") == loop
            ),
            key=lambda point: point.load,
        )
    )


def _columns(cell: CellSummary, metric: str) -> tuple[list[float], list[int]]:
    found = [sample for sample in cell.samples if sample.metric == metric and counts(sample)]
    return [sample.value or 0.0 for sample in found], [sample.block for sample in found]


def _ready_of(cell: CellSummary) -> Distribution | None:
    values, blocks = _columns(cell, _READY)
    return distribution(values, blocks) if values else None


def _rate_of(cell: CellSummary) -> Estimate | None:
    values, blocks = _columns(cell, _RATE)
    return median(values, blocks) if values else None


def _rate(point: Point) -> Figure:
    return estimated(point.rate, units.a_second, point.cell)


def _start(point: Point) -> Figure:
    if point.ready is None:
        return NO_FIGURE
    text = units.seconds(point.ready.median.value)
    p99 = f" ({units.seconds(point.ready.p99.value)})" if point.ready.p99 else ""
    return replace(estimated(point.ready.median, units.seconds, point.cell), text=text + p99, small="")


def _sweep(title: str, points: Sequence[Point], head: str, figure: Callable[[Point], Figure]) -> Table:
    loads = sorted({point.load for point in points})
    found = {(point.isolator.name, point.load): figure(point) for point in points}
    rows = tuple(
        Row(name, tuple(found.get((name, load), NO_FIGURE) for load in loads), isolator)
        for name, isolator in _in_order(points)
    )
    return Table(title, "isolator", tuple(Column(head.format(load)) for load in loads), rows)


def _in_order(points: Sequence[Point]) -> list[tuple[str, Isolator]]:
    """As they are in the report's other tables: sorting by load has kept that order."""
    return list({point.isolator.name: point.isolator for point in points}.items())


def _misses(points: Sequence[Point]) -> Table:
    """What became of the arrivals of each open loop, over all its blocks."""
    columns = tuple(Column(title) for title in ("due", "completed", "late", "missed", "failed", "at once"))
    rows = tuple(
        Row(f"{point.isolator.name}, {point.load:g}/s", _counts(point.cell), point.isolator)
        for point in sorted(points, key=lambda point: point.isolator.name)
    )
    note = (
        "Late: no starter was free when it was due. Missed: nobody came to begin it before the window's end; "
        "it has no time. Completed: over within the window. At once: most instances at one moment."
    )
    return Table(
        "Open loop: what became of the starts that were due", "isolator and rate", columns, rows, note
    )


def _counts(cell: CellSummary) -> tuple[Figure, ...]:
    windows = [sample.detail for sample in cell.samples if sample.metric == _RATE and sample.detail]
    if not windows:
        return (NO_FIGURE,) * 6

    def total(key: str) -> Figure:
        return Figure(f"{sum(number(window.get(key)) or 0 for window in windows):.0f}")

    most = max(number(window.get("in_flight_max")) or 0 for window in windows)
    sums = (total(key) for key in ("offered", "completed", "late", "missed", "failed"))
    return (*sums, Figure(f"{most:.0f}"))


Value = Callable[[Point], Estimate | None]


def _rate_value(point: Point) -> Estimate | None:
    return point.rate


def _start_value(point: Point) -> Estimate | None:
    return point.ready.median if point.ready else None


def _plot(key: str, x: str, points: Sequence[Point], value: Value, data: Table) -> Plot:
    form, dashed = (units.a_second, "") if value is _rate_value else (units.seconds, "; p99 is dashed")

    def draw(width_px: int) -> Drawing:
        from isobench.reports.chart_lines import lines  # noqa: PLC0415 - matplotlib takes its time

        found = (_series(isolator, points, value) for _, isolator in _in_order(points))
        return lines([one for one in found if one.points], x, form, width_px)

    caption = f"{data.title}; both axes are logarithmic{dashed}."
    return Plot(f"{NAME}-{key}", data.title, caption, draw, data)


def _series(isolator: Isolator, points: Sequence[Point], value: Value) -> Series:
    own = [point for point in points if point.isolator is isolator]
    upper: tuple[tuple[float, float], ...] = ()
    if value is _start_value:
        upper = tuple((p.load, p.ready.p99.value) for p in own if p.ready and p.ready.p99)
    return Series(isolator, tuple((p.load, found) for p in own if (found := value(p))), upper)

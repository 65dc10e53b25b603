"""How long a start takes while so many instances already run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import (
    NO_FIGURE,
    Column,
    Figure,
    Plot,
    Row,
    Section,
    Series,
    Table,
    estimated,
    number_of,
)
from isobench.reports.stats import Estimate, median
from isobench.reports.summary import CellSummary, Isolator, Summary, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

NAME = "density"
_LEAD = (
    "From just before the start of one more instance to the first byte its workload wrote, while so many "
    "instances already run and wait; the host comes to rest before each start. What the harness itself takes "
    "longer with so many descriptors to watch is inside: the bare row shows it. An instance beyond what "
    "memory, processes or descriptors allow is not started: a dash, and the reason where cells that did not "
    "end well are told."
)
_READY, _FOOTPRINT = "ready", "footprint"


def section(summary: Summary) -> Section | None:
    """None for a run without such starts."""
    cells = [cell for cell in summary.cells if cell.benchmark == NAME]
    found = {
        isolator.name: (isolator, {_level(cell): cell for cell in cells if cell.isolator == isolator.name})
        for isolator in summary.isolators
    }
    levels = sorted({_level(cell) for cell in cells if _median(cell, _READY)})
    if not levels:
        return None
    shown = [one for one in found.values() if any(_median(cell, _READY) for cell in one[1].values())]
    columns = tuple(Column(f"beside {level}") for level in levels)
    starts = tuple(
        Row(isolator.name, tuple(_start(own.get(level)) for level in levels), isolator)
        for isolator, own in shown
    )
    tables = [Table("Median start beside so many that run", "isolator", columns, starts)]
    crowds = [level for level in levels if level]
    if crowds:
        memory = tuple(
            Row(isolator.name, tuple(_memory(own.get(level)) for level in crowds), isolator)
            for isolator, own in shown
        )
        columns = tuple(Column(f"{level} held") for level in crowds)
        note = "The host's change divided by their number, with what comes once: docs/benchmarks/memory.md."
        tables.append(Table("Memory of each of them", "isolator", columns, memory, note))
    series = tuple(_series(isolator, own) for isolator, own in shown)
    return Section(NAME, "Starts beside others", _LEAD, tuple(tables), (_plot(series, tables[0]),))


def _level(cell: CellSummary) -> int:
    return int(number(cell.samples[0].params.get("running")) or 0)


def _median(cell: CellSummary, metric: str) -> Estimate | None:
    samples = [sample for sample in cell.samples if sample.metric == metric and counts(sample)]
    if not samples:
        return None
    return median((sample.value or 0.0 for sample in samples), (sample.block for sample in samples))


def _start(cell: CellSummary | None) -> Figure:
    return estimated(_median(cell, _READY), units.seconds, cell) if cell else NO_FIGURE


def _memory(cell: CellSummary | None) -> Figure:
    found = _median(cell, _FOOTPRINT) if cell else None
    return number_of(found.value / _level(cell) if cell and found else None, units.nbytes)


def _series(isolator: Isolator, cells: dict[int, CellSummary]) -> Series:
    medians = ((level, _median(cell, _READY)) for level, cell in sorted(cells.items()))
    return Series(isolator, tuple((level, found) for level, found in medians if found))


def _plot(series: tuple[Series, ...], data: Table) -> Plot:
    def draw(width_px: int) -> Drawing:
        from isobench.reports.chart_lines import lines  # noqa: PLC0415 - matplotlib takes its time

        return lines(series, "instances that already run", units.seconds, width_px)

    caption = (
        "Median start beside so many instances that run; both axes are logarithmic, with none at the left."
    )
    return Plot(f"{NAME}-starts", "Median start over the number of instances that run", caption, draw, data)

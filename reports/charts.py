"""The figures of a report. Each is drawn twice, for wide and for narrow screens, at the size it is shown.

Colour never stands alone: groups differ in shape, owners in hatching, and every row is named.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from isobench.reports import (
    chart_memory,
    chart_spread,
    chart_startup,
    chart_throttling,
    figure_tables,
    svg,
    thin,
)
from isobench.reports.section import Section, Table
from isobench.reports.summary import Summary

WIDE_PX, NARROW_PX = 840, 340


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure in its two widths."""

    wide: svg.Drawing
    narrow: svg.Drawing
    table: Table | None = None
    """The same as a table, unless one on the page is."""
    note: str = ""
    """Which of the points it was made of are not drawn."""

    @property
    def rules(self) -> Mapping[str, str]:
        """The style of its classes."""
        return {**self.wide.rules, **self.narrow.rules}


def charts(summary: Summary) -> Mapping[str, Chart]:
    """Every figure this run has values for, by name: startup, shares, blocks, phases, memory, …"""
    drawn: dict[str, Chart] = {}
    if summary.startups:
        note = thin.note(len(found.seconds) for found in summary.startups)
        drawn["startup"] = _chart(
            "startup", "Time to ready, logarithmic", chart_startup.strips, summary, note=note
        )
        drawn["shares"] = _chart(
            "shares",
            "Share of starts ready by a time, logarithmic",
            chart_spread.shares,
            summary,
            figure_tables.shares(summary),
            note=note,
        )
        drawn["blocks"] = _chart(
            "blocks",
            "Time to ready by block, against the isolator's median",
            chart_spread.blocks,
            summary,
            figure_tables.blocks(summary),
            note=note,
        )
    if chart_startup.tells_phases(summary):
        drawn["phases"] = _chart("phases", "Phases of a start, logarithmic", chart_startup.phases, summary)
    if summary.memories:
        drawn["memory"] = _chart("memory", "Memory an instance, by owner", chart_memory.stacks, summary)
    if summary.limits:
        drawn["throttling"] = _chart(
            "throttling",
            "CPU time achieved against asked",
            chart_throttling.shares,
            summary,
            figure_tables.achieved(summary),
        )
    return drawn


def plots(sections: Iterable[Section]) -> Mapping[str, Chart]:
    """The pictures of these parts of the report, by their keys."""
    return {
        plot.key: _drawn(plot.key, plot.label, plot.draw, None if plot.data in part.tables else plot.data)
        for part in sections
        for plot in part.plots
    }


def _chart(
    name: str,
    label: str,
    draw: Callable[[Summary, int], Figure],
    summary: Summary,
    table: Table | None = None,
    *,
    note: str = "",
) -> Chart:
    return _drawn(name, label, partial(draw, summary), table, note)


def _drawn(
    name: str, label: str, draw: Callable[[int], Figure], table: Table | None, note: str = ""
) -> Chart:
    with svg.style():
        wide, narrow = draw(WIDE_PX), draw(NARROW_PX)
    drawings = svg.drawing(wide, f"{name}-wide", label), svg.drawing(narrow, f"{name}-narrow", label)
    return Chart(*drawings, table, note)

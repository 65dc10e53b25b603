"""Median start over the number of instances that already run, a line for each isolator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from isobench.reports import svg, units
from isobench.reports.chart_kit import SMALL, Canvas

if TYPE_CHECKING:
    from isobench.reports.section import Series

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_NONE_AT = 0.3
"""Where no instance at all stands on a logarithmic axis, left of one."""
_HEIGHT_PX, _NAME_PX = 340, 16


def lines(series: Sequence[Series], width_px: int) -> Figure:
    """Each line ends with its name; markers tell them apart without colour."""
    canvas = Canvas(width_px, _HEIGHT_PX)
    figure = canvas.figure()
    right = canvas.label_room(one.isolator for one in series)
    axes = canvas.axes(figure, left=64, right=right, top=14, bottom=46)
    for place, one in enumerate(series):
        colour = svg.SERIES[place % len(svg.SERIES)]
        marker = _MARKERS[place % len(_MARKERS)]
        where = [_at(level) for level, _ in one.points]
        axes.plot(where, [found.value for _, found in one.points], color=colour, marker=marker, linewidth=2)
        for level, found in one.points:
            if found.interval:
                span = [found.interval.low, found.interval.high]
                axes.plot([_at(level)] * 2, span, color=colour, alpha=0.5)
    levels = sorted({level for one in series for level, _ in one.points})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([_at(level) for level in levels], [str(level) for level in levels])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(LogLocator(10, subs=()))
    axes.set_xlabel("instances that already run", fontsize=SMALL)
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.seconds(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    _name(canvas, figure, series)
    return figure


def _at(level: int) -> float:
    return level or _NONE_AT


def _name(canvas: Canvas, figure: Figure, series: Sequence[Series]) -> None:
    """The names beside the last points, moved apart where they would overlap."""
    (axes,) = figure.axes
    ends = sorted((one.points[-1][1].value, place) for place, one in enumerate(series))
    above = float("-inf")
    for value, place in ends:
        _, wanted = axes.transData.transform((1, value))
        at = max(wanted, above + _NAME_PX)
        above = at
        axes.annotate(
            f"{canvas.short(series[place].isolator)}",
            (1, axes.transAxes.inverted().transform((0, at))[1]),
            (10, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=svg.SERIES[place % len(svg.SERIES)],
        )

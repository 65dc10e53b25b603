"""Figures over a number of starters or a rate of arrivals: a line for each isolator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from isobench.reports import svg, units
from isobench.reports.chart_kit import SMALL, Canvas, Look
from isobench.reports.summary import Isolator

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_HEIGHT_PX, _NAME_PX = 340, 16


@dataclass(frozen=True, slots=True)
class Line:
    """One isolator's figures over x; ``upper`` is its 99th percentile, where so many values carry one."""

    isolator: Isolator
    points: tuple[tuple[float, float], ...]
    upper: tuple[tuple[float, float], ...] = ()


def lines(series: Sequence[Line], x: str, form: units.Format, width_px: int) -> Figure:
    """Each line ends with its name; markers tell them apart without colour; dashes: 99th percentile."""
    canvas = Canvas(width_px, _HEIGHT_PX)
    figure = canvas.figure()
    right = canvas.label_room(one.isolator for one in series)
    axes = canvas.axes(figure, left=64, right=right, top=14, bottom=46)
    for place, one in enumerate(series):
        look: Look = {"color": svg.SERIES[place % len(svg.SERIES)], "marker": _MARKERS[place % len(_MARKERS)]}
        axes.plot(*_columns(one.points), linewidth=2, **look)
        if one.upper:
            axes.plot(*_columns(one.upper), linewidth=1, linestyle="--", markersize=4, **look)
    ticks = sorted({at for one in series for at, _ in one.points})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{at:g}" for at in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(LogLocator(10, subs=()))
    axes.set_xlabel(x, fontsize=SMALL)
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    _name(canvas, figure, series)
    return figure


def _columns(points: tuple[tuple[float, float], ...]) -> tuple[list[float], list[float]]:
    return [at for at, _ in points], [value for _, value in points]


def _name(canvas: Canvas, figure: Figure, series: Sequence[Line]) -> None:
    """The names beside the last points, moved apart where they would overlap."""
    (axes,) = figure.axes
    ends = sorted((one.points[-1][1], place) for place, one in enumerate(series))
    above = float("-inf")
    for value, place in ends:
        _, wanted = axes.transData.transform((1, value))
        above = max(wanted, above + _NAME_PX)
        axes.annotate(
            canvas.short(series[place].isolator),
            (1, axes.transAxes.inverted().transform((0, above))[1]),
            (10, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=svg.SERIES[place % len(svg.SERIES)],
        )

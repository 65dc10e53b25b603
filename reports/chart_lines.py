"""Figures over a number, of instances or starters or arrivals a second: a line for each isolator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from isobench.reports import svg, units
from isobench.reports.chart_kit import SMALL, Canvas, Look

if TYPE_CHECKING:
    from isobench.reports.section import Series

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_NONE_AT = 0.3
"""Where none at all stands on a logarithmic axis, left of one."""
_HEIGHT_PX, _NAME_PX = 340, 16


def lines(series: Sequence[Series], x: str, form: units.Format, width_px: int) -> Figure:
    """Both axes logarithmic. Each line ends with its name; markers tell them apart without colour."""
    canvas = Canvas(width_px, _HEIGHT_PX)
    figure = canvas.figure()
    right = canvas.label_room(one.isolator for one in series)
    axes = canvas.axes(figure, left=64, right=right, top=14, bottom=46)
    for place, one in enumerate(series):
        _draw(axes, one, form, {"color": _colour(place), "marker": _MARKERS[place % len(_MARKERS)]})
    ticks = sorted({at for one in series for at, _ in one.points})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([_place(at) for at in ticks], [f"{at:g}" for at in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(LogLocator(10, subs=()))
    axes.set_xlabel(x, fontsize=SMALL)
    axes.yaxis.set_major_locator(LogLocator(10))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    _name(canvas, figure, series)
    return figure


def _draw(axes: Axes, one: Series, form: units.Format, look: Look) -> None:
    middle = [found.value for _, found in one.points]
    (drawn,) = axes.plot([_place(at) for at, _ in one.points], middle, linewidth=2, **look)
    svg.tell(drawn, [f"{one.isolator.name}, {at:g}: {form(found.value)}" for at, found in one.points])
    for at, found in one.points:
        if found.interval:
            span = [found.interval.low, found.interval.high]
            axes.plot([_place(at)] * 2, span, color=look["color"], alpha=0.5)
    if one.upper:
        upper = [value for _, value in one.upper]
        axes.plot(
            [_place(at) for at, _ in one.upper], upper, linewidth=1, linestyle="--", markersize=4, **look
        )


def _place(at: float) -> float:
    return at or _NONE_AT


def _colour(place: int) -> str:
    return svg.SERIES[place % len(svg.SERIES)]


def _name(canvas: Canvas, figure: Figure, series: Sequence[Series]) -> None:
    """The names beside the last points, moved apart where they would overlap."""
    (axes,) = figure.axes
    ends = sorted((one.points[-1][1].value, place) for place, one in enumerate(series))
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
            color=_colour(place),
        )

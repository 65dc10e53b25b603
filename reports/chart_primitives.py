"""Kernel primitives: the steps of a sequence as stairs, each from the end of the one before to its own."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from isobench.reports import svg, units
from isobench.reports.chart_kit import SMALL, Canvas, beside, two_ends

_ROW_PX = 24
_LEFT_PX, _LEFT_NARROW_PX = 150, 132
_LETTERS, _LETTERS_NARROW = 22, 19
_RIGHT_PX = 78
_LEAST = 0.004
"""Part of the axis a step is drawn with at least, to be seen at all."""


def stairs(steps: Sequence[tuple[str, float, float, float]], width_px: int) -> Figure:
    """One bar a step on a linear axis: on a logarithmic one lengths would not add up.

    A step is its name, its begin and its end in seconds, and the median of its own length.
    """
    canvas = Canvas(width_px, 76 + _ROW_PX * len(steps))
    figure = canvas.figure()
    left = _LEFT_NARROW_PX if canvas.narrow else _LEFT_PX
    axes = canvas.axes(figure, left=left, right=_RIGHT_PX, top=26, bottom=50)
    whole = max(end for _, _, end, _ in steps)
    for place, (name, begin, end, own) in enumerate(steps):
        length = max(end - begin, _LEAST * whole)
        (bar,) = axes.barh(place, length, left=begin, height=0.62, color=svg.SERIES[0], linewidth=0)
        svg.tell(bar, [f"{name}: {units.seconds(own)}, over at {units.seconds(end)}"])
    most = _LETTERS_NARROW if canvas.narrow else _LETTERS
    axes.set_yticks(range(len(steps)), [two_ends(name, most) for name, _, _, _ in steps], fontsize=SMALL)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_xlim(0, whole * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(2 if canvas.narrow else 6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.seconds(value) if value else "0"))
    axes.set_xlabel("time since the sequence began, median", fontsize=SMALL)
    beside(axes, _RIGHT_PX - 2, "this step", [units.seconds(own) for _, _, _, own in steps])
    return figure

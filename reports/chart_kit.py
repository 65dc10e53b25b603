"""What all figures share: a canvas measured in pixels, rows with names, axes with units."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from isobench.reports import rows, svg, units
from isobench.reports.summary import Isolator

ROW_PX = 36
_PX = 72
"""A point of matplotlib is a pixel of the page."""
_NARROW_PX = 500
_LETTER_PX = 7
_LETTERS, _LETTERS_NARROW = 20, 12
_GOLDEN = 0.618_034
"""Its multiples, less their whole part, spread evenly: they look jittered and are always the same."""

SMALL = 10.5
"""The size of secondary text, in pixels."""

_ONE_DECADE = 10.0
_NEAR = 3.0


Look: TypeAlias = dict[str, Any]
"""Keyword arguments of matplotlib."""


def is_narrow(width_px: int) -> bool:
    """It is meant for the screen of a telephone."""
    return width_px < _NARROW_PX


@dataclass(frozen=True, slots=True)
class Canvas:
    """Room for a figure, at the size it is shown."""

    width_px: int
    height_px: int

    @property
    def narrow(self) -> bool:
        """As :func:`is_narrow`."""
        return is_narrow(self.width_px)

    def figure(self) -> Figure:
        """An empty figure of this size."""
        return Figure(figsize=(self.width_px / _PX, self.height_px / _PX), dpi=_PX)

    def axes(self, figure: Figure, *, left: float, right: float, top: float, bottom: float) -> Axes:
        """Axes with margins of so many pixels around them."""
        width, height = self.width_px, self.height_px
        box = (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
        return figure.add_axes(box)

    def label_room(self, isolators: Iterable[Isolator]) -> int:
        """Pixels that the names of the rows need."""
        lengths = [len(line) for isolator in isolators for line in self.label(isolator).splitlines()]
        return 16 + _LETTER_PX * max(lengths, default=0)

    def label(self, isolator: Isolator) -> str:
        """The isolator's name for its row."""
        emulated = "emulated" if self.narrow else rows.EMULATED
        return f"{self.short(isolator)}\n{emulated}" if isolator.emulated else self.short(isolator)

    def short(self, isolator: Isolator) -> str:
        """The isolator's name; where there is no room for all of it, its two ends, which tell names apart."""
        return two_ends(isolator.name, _LETTERS_NARROW if self.narrow else _LETTERS)


def two_ends(text: str, most: int) -> str:
    """Foreign text of at most so many letters, of a longer one its two ends."""
    name = units.plain(text)
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - most // 2 - 1) :]}"


def name_rows(axes: Axes, canvas: Canvas, isolators: Sequence[Isolator]) -> None:
    """One row an isolator, the first on top."""
    axes.set_yticks(range(len(isolators)), [canvas.label(isolator) for isolator in isolators])
    axes.set_ylim(len(isolators) - 0.5, -0.5)


def beside(axes: Axes, offset_px: float, title: str, texts: Sequence[str]) -> None:
    """A column of figures right of the axes, flush right at ``offset_px`` from them."""
    where: Look = {"textcoords": "offset points", "ha": "right", "va": "center"}
    for place, text in enumerate(texts):
        axes.annotate(text, (1, place), (offset_px, 0), xycoords=("axes fraction", "data"), **where)
    axes.annotate(
        title, (1, 1), (offset_px, 12), xycoords="axes fraction", color=svg.MUTED, fontsize=SMALL, **where
    )


def log_seconds(axes: Axes, values: Sequence[float], *, narrow: bool) -> None:
    """A logarithmic axis of times, from a little below the least to a little above the greatest."""
    shown = [value for value in values if value > 0]  # a clock of ours gives no others; a script may
    if not shown:
        return
    axes.set_xscale("log")
    low, high = min(shown), max(shown)
    decade = 10.0 ** floor(log10(low))
    # Begin at a labelled decade where that wastes little room, and show one in any case.
    low = decade if low / decade < _NEAR or high / decade < _ONE_DECADE else low
    room = (max(high, 2 * low) / low) ** 0.04
    axes.set_xlim(low / room, max(high, 2 * low) * room)
    axes.xaxis.set_major_locator(LogLocator(10, numticks=4 if narrow else 12))
    axes.xaxis.set_minor_locator(LogLocator(10, subs=range(2, 10), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=3)
    axes.tick_params(axis="x", which="major", length=0, pad=8)


def jitter(count: int, width: float) -> list[float]:
    """Offsets within ±width that keep points on the same value apart."""
    return [width * (2 * (number * _GOLDEN % 1) - 1) for number in range(1, count + 1)]


def _tick(value: float) -> str:
    """``100 µs``, ``1 ms``: decades need no decimals."""
    number, _, unit = units.seconds(value).partition(" ")
    return f"{float(number.replace(',', '')):g} {unit}"

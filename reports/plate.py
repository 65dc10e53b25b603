"""Small pictures of one cell, written as SVG by hand: a report has hundreds of them.

The figures of a report are drawn by matplotlib; docs/adr/0013 has the reasons why these are not. A plate is a
few paths in the classes of the page's style sheet, so that it follows the theme of its page; it has one size
and scales with its box. All text goes through :func:`label`, which escapes it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeAlias

from markupsafe import Markup, escape

from isobench.reports import units

WIDTH, HEIGHT = 280, 150
LEFT, RIGHT = 8.0, WIDTH - 8.0

_LOG_FROM = 8.0
"""The greatest value over the least from which on an axis is logarithmic."""
_MARGIN = 0.03
_GOLDEN = 0.618_034
"""As in :mod:`isobench.reports.chart_kit`: its multiples spread evenly and are always the same."""

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Plate:
    """One picture."""

    title: str
    svg: Markup
    caption: str
    """Below it: what is to be seen, and its key."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places on the picture, linear or logarithmic."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; one beyond the scale is at its edge."""
        part = (self._up(value) - self._up(self.low)) / (self._up(self.high) - self._up(self.low))
        return self.begin + min(1.0, max(0.0, part)) * (self.end - self.begin)

    def _up(self, value: float) -> float:
        return log(max(value, self.low)) if self.logarithmic else value


def scale(values: Iterable[float], begin: float, end: float) -> Scale:
    """One that all these values lie on, with a little room at both ends."""
    shown = list(values)
    low, high = min(shown), max(shown)
    if low > 0 and high / low >= _LOG_FROM:
        room = (high / low) ** _MARGIN
        return Scale(low / room, high * room, begin, end, logarithmic=True)
    room = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0
    return Scale(low - room, high + room, begin, end)


def picture(title: str, said: str, parts: Iterable[Markup], height: int = HEIGHT) -> Markup:
    """The whole of it; ``said`` is read aloud in its place."""
    inside = Markup("").join(parts)
    return Markup(
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{inside}</svg>'
    ).format(width=WIDTH, height=height, label=units.plain(f"{title}: {said}"), inside=inside)


def label(text: str, at: Point, look: str = "") -> Markup:
    """A text that begins there; ``look`` are classes of the style sheet (``mid`` and ``end`` move it)."""
    return Markup('<text x="{}" y="{}"{}>{}</text>').format(
        _number(at[0]), _number(at[1]), Markup(' class="{}"').format(look) if look else "", units.plain(text)
    )


def dots(points: Iterable[Point], look: str = "dots") -> Markup:
    """All of them one path: a line of no length with round ends is a dot."""
    return _path("".join(f"M{_number(x)} {_number(y)}h0" for x, y in points), look)


def line(points: Sequence[Point], look: str) -> Markup:
    """Straight from one point to the next."""
    return _path("M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points), look)


def stairs(points: Sequence[Point], look: str) -> Markup:
    """From one point to the next, first across, then up."""
    (x, y), *others = points
    return _path(
        f"M{_number(x)} {_number(y)}" + "".join(f"H{_number(a)}V{_number(b)}" for a, b in others), look
    )


def box(begin: Point, end: Point, look: str) -> Markup:
    """A rectangle between two corners."""
    (left, right), (top, bottom) = sorted((begin[0], end[0])), sorted((begin[1], end[1]))
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"/>').format(
        _number(left), _number(top), _number(right - left), _number(bottom - top), look
    )


def jittered(count: int, middle: float, width: float) -> list[float]:
    """Places around the middle that keep dots of equal values apart."""
    return [middle + width * (2 * (number * _GOLDEN % 1) - 1) for number in range(1, count + 1)]


def _path(steps: str, look: str) -> Markup:
    return Markup('<path d="{}" class="{}"/>').format(escape(steps), look)


def _number(value: float) -> str:
    """To a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")

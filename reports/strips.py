"""Small pictures inside table rows: where values lie on a scale that all rows of a table share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, log

WIDTH = 120
"""Pixels of a strip."""

_WIDE = 3.0
"""From so many times the least on the scale is logarithmic."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value lies, from 0 to ``width``."""

    low: float
    high: float
    logarithmic: bool
    width: float = WIDTH

    def place(self, value: float) -> float:
        """Pixels from the left, with one decimal; a value beyond the scale lies at its end."""
        low, high, at = (
            log(x) if self.logarithmic else x for x in (self.low, self.high, max(value, self.low))
        )
        part = (at - low) / (high - low) if high > low else 0.5
        return round(self.width * min(1.0, max(0.0, part)), 1)


def scale(values: Iterable[float], *, width: float = WIDTH) -> Scale:
    """A scale over these values: logarithmic where they are above 0 and far apart."""
    known = [value for value in values if isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return Scale(low, high, low > 0 and high >= _WIDE * low, width)


def around(one: float, values: Iterable[float]) -> Scale:
    """A logarithmic scale of ratios over these values and ``one``."""
    known = [value for value in values if value > 0 and isfinite(value)]
    return Scale(min(one, *known, one), max(one, *known, one), logarithmic=True)


def path(points: Sequence[tuple[float, float] | None]) -> str:
    """An SVG path through these points, broken where one is missing."""
    parts = []
    pen = "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:g} {point[1]:g}")
        pen = "L"
    return "".join(parts)

"""Numbers and foreign text as people read them, in one place: every face says a figure the same way.

Three significant digits: more than the intervals allow would be decoration.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # only for annotations: the progress of a run speaks through here, without numpy
    from isobench.reports.stats import Distribution, Interval

NONE = "–"
"""Stands where there is no figure; never a blank, never a zero."""

_Scale: TypeAlias = Sequence[tuple[float, str]]
_SECONDS: _Scale = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES: _Scale = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_DIGITS = 3
_HALF_DIGIT = 0.0005

Format: TypeAlias = Callable[[float], str]


def seconds(value: float) -> str:
    """``213 µs``, ``22.7 ms``, ``3.05 s``."""
    return _scaled(value, _SECONDS)


def nbytes(value: float) -> str:
    """``92.0 KiB``, ``-1.50 MiB``, ``514 B``: there is no part of a byte."""
    return _scaled(value if _reaches(value, 2.0**10) else round(value), _BYTES)


def byte_unit(value: float) -> tuple[float, str]:
    """The unit in which a number of bytes is said, and its size."""
    return _unit(value, _BYTES)


def times(value: float) -> str:
    """``1.25×``."""
    return f"{_rounded(value)}×"


def percent(ratio: float) -> str:
    """A signed ratio in percent: ``+1.20 %``. Two decimals: limits are exact to a few hundredths."""
    value = round(100 * ratio, 2)
    return f"{value + 0.0:+.2f} %" if value else "0.00 %"


def a_second(value: float) -> str:
    """``57.0/s``."""
    return f"{_rounded(value)}/s"


def cpus(value: float) -> str:
    """``0.25``."""
    return f"{value:g}"


def interval(found: Interval | None, form: Format) -> str:
    """``210 to 225 µs``, the unit once where both limits share it; a dash where there is none."""
    return NONE if found is None else _range(found.low, found.high, form)


def spread(found: Distribution, form: Format) -> str:
    """From the least to the greatest value, as an interval."""
    return _range(found.least, found.greatest, form)


def spread_of(least: float, greatest: float, form: Format) -> str:
    """From one value to another, the unit once where both share it; one value where they are said alike."""
    return form(least) if form(least) == form(greatest) else _range(least, greatest, form)


def _range(least: float, greatest: float, form: Format) -> str:
    low, high = form(least), form(greatest)
    number, _, unit = low.partition(" ")
    shared = unit == high.partition(" ")[2]
    return f"{number if shared and unit else low} to {high}"


def quantity(value: float, unit: str) -> str:
    """A value in the unit of a sample, said the way its kind of figure is said everywhere."""
    forms = {"second": seconds, "byte": nbytes, "ratio": percent, "1/second": a_second}
    return forms[unit](value) if unit in forms else f"{value:.3g} {unit}".rstrip()


def optional(value: float | None, form: Format) -> str:
    """A dash for None."""
    return NONE if value is None else form(value)


def short(text: str, most: int = 80) -> str:
    """Foreign text of at most about so many characters: of a longer one its two ends, and how long it is."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … {text[-half:]} ({len(text):,} characters)"


def plain(text: str) -> str:
    """Foreign text on one line without control characters, which could steer a terminal or break a file."""
    if text.isascii() and text.isprintable():
        return text
    kept = ("�" if unicodedata.category(char) in {"Cc", "Cf", "Cs"} else char for char in text)
    return "".join(kept) if "\n" not in text and "\t" not in text else plain(" ".join(text.split()))


def utf8(text: str) -> str:
    """Foreign text that a UTF-8 file can hold: JSON may have half a surrogate pair, which becomes ``?``."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _scaled(value: float, scale: _Scale) -> str:
    size, unit = _unit(value, scale)
    return f"{_rounded(value / size)} {unit}"


def _unit(value: float, scale: _Scale) -> tuple[float, str]:
    return next((step for step in scale if _reaches(value, step[0])), scale[-1])


def _reaches(value: float, size: float) -> bool:
    # 0.9996 ms is shown as 1.00 ms, not as 1000 µs.
    return abs(value) >= size * (1 - _HALF_DIGIT)


def _rounded(value: float) -> str:
    """Three significant digits, and all digits before the point."""
    if value == 0:
        return "0"
    decimals = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    decimals_after = _DIGITS - 1 - math.floor(math.log10(abs(round(value, decimals))))
    if decimals_after <= 0:
        return f"{round(value, decimals_after):,.0f}"
    return f"{value:.{decimals_after}f}"

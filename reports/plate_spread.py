"""Plates of any metric of a cell: its values with their box, the share below a value, and values in time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from isobench.reports import units
from isobench.reports.plate import (
    HEIGHT,
    LEFT,
    RIGHT,
    Plate,
    Scale,
    box,
    dots,
    jittered,
    label,
    line,
    picture,
    scale,
    stairs,
)
from isobench.reports.stats import ecdf
from isobench.reports.stats_blocks import block_medians
from isobench.reports.thin import thinned, thinned_by_block

DRAWN = 120
"""Most points of a plate."""

_FOOT = HEIGHT - 22
_NAMES_Y = HEIGHT - 7
_AXIS_LEFT = 62
_TOP = 12
_STRIP_Y, _STRIP_WIDTH = 42, 26
_BOX = (84.0, 108.0)
_SHARES = (0.5, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one metric that count, in the order they were taken."""

    metric: str
    unit: str
    values: tuple[float, ...]
    blocks: tuple[int, ...]

    def said(self, value: float) -> str:
        """One of them with its unit."""
        return units.quantity(value, self.unit)

    @property
    def one_block(self) -> bool:
        """They were all measured in one block."""
        return len(set(self.blocks)) == 1


def spread(found: Values, name: str = "") -> tuple[Plate, ...]:
    """All three; ``name`` goes before their titles where a cell has several metrics."""
    plates = strip(found), shares(found), in_time(found)
    if not name:
        return plates
    return tuple(replace(one, title=f"{name}: {one.title.lower()}") for one in plates)


def strip(found: Values) -> Plate:
    """Values, thinned, above a box from the lower to the upper quartile with whiskers to the extremes."""
    values = [found.values[at] for at in thinned(found.values, DRAWN)]
    least, low, middle, high, greatest = (
        float(x) for x in np.quantile(found.values, (0, 0.25, 0.5, 0.75, 1))
    )
    across = scale((least, greatest), LEFT, RIGHT)
    half = sum(_BOX) / 2
    said = (
        f"{len(found.values):,} values from {found.said(least)} to {found.said(greatest)}; "
        f"half of them from {found.said(low)} to {found.said(high)}, median {found.said(middle)}"
    )
    parts = [
        dots(zip(map(across, values), jittered(len(values), _STRIP_Y, _STRIP_WIDTH), strict=True)),
        line([(across(least), half), (across(low), half)], "thin"),
        line([(across(high), half), (across(greatest), half)], "thin"),
        box((across(low), _BOX[0]), (across(high), _BOX[1]), "box"),
        line([(across(middle), _BOX[0] - 3), (across(middle), _BOX[1] + 3)], "median"),
        *_across(found, across, least, greatest),
    ]
    caption = f"Each value; below it the median, the middle half and the extremes{_logarithmic(across)}."
    return Plate("Values", picture("Values", said, parts), caption)


def shares(found: Values) -> Plate:
    """The empirical distribution."""
    steps = ecdf(found.values)
    kept = [steps[at] for at in thinned([value for value, _ in steps], DRAWN, DRAWN // 10)]
    least, greatest = kept[0][0], kept[-1][0]
    across, up = scale((least, greatest), LEFT + 34, RIGHT), Scale(0, 1, _FOOT, _TOP)
    middle, high = np.quantile(found.values, (0.5, 0.9)).tolist()
    said = f"half of the values are at most {found.said(middle)}, nine tenths at most {found.said(high)}"
    parts = [
        *(line([(across.begin, up(share)), (RIGHT, up(share))], "grid") for share in _SHARES),
        *(label(f"{100 * share:.0f} %", (LEFT + 28, up(share) + 4), "end") for share in _SHARES),
        stairs([(across(least), up(0)), *((across(value), up(share)) for value, share in kept)], "curve"),
        *_across(found, across, least, greatest),
    ]
    return Plate(
        "Share at or below",
        picture("Share of values at or below", said, parts),
        f"Share of the values at or below{_logarithmic(across)}.",
    )


def in_time(found: Values) -> Plate:
    """Values by block with the medians of the blocks; of one block by attempt."""
    times = range(1, len(found.values) + 1) if found.one_block else found.blocks
    kept = thinned_by_block(found.values, found.blocks, DRAWN)
    least, greatest = min(found.values), max(found.values)
    up, across = scale((least, greatest), _FOOT - 8, _TOP), scale(times, _AXIS_LEFT, RIGHT)
    aside = jittered(len(kept), 0, 0.0 if found.one_block else _room(across))
    parts = [
        line([(_AXIS_LEFT, _FOOT), (RIGHT, _FOOT)], "grid"),
        dots((across(times[at]) + off, up(found.values[at])) for at, off in zip(kept, aside, strict=True)),
        *_up(found, up, least, greatest),
        *_ends(found, times),
    ]
    if found.one_block:
        said, caption = "all of one block", "Values in the order of the attempts, all of one block"
    else:
        names, medians = block_medians(found.values, found.blocks)
        joined = [(across(name), up(value)) for name, value in zip(names, medians, strict=True)]
        parts.append(line(joined, "curve"))
        said = f"medians of {len(names)} blocks from {found.said(min(medians))} to {found.said(max(medians))}"
        caption = "Values by block; the line joins the medians of the blocks"
    return Plate("In time", picture("Values in time", said, parts), f"{caption}{_logarithmic(up)}.")


def _room(across: Scale) -> float:
    """Pixels to either side that the dots of one block may take."""
    return min(8.0, 0.3 * (across.end - across.begin) / max(1.0, across.high - across.low))


def _across(found: Values, across: Scale, least: float, greatest: float) -> Iterator[Markup]:
    """The foot of a picture with the values at its ends."""
    yield line([(across.begin, _FOOT), (RIGHT, _FOOT)], "grid")
    yield label(found.said(least), (across.begin, _NAMES_Y))
    if found.said(least) != found.said(greatest):
        yield label(found.said(greatest), (RIGHT, _NAMES_Y), "end")


def _up(found: Values, up: Scale, least: float, greatest: float) -> Iterator[Markup]:
    """The values at the ends of its side."""
    yield label(found.said(least), (_AXIS_LEFT - 6, up(least) + 4), "end")
    if found.said(least) != found.said(greatest):
        yield label(found.said(greatest), (_AXIS_LEFT - 6, up(greatest) + 4), "end")


def _ends(found: Values, times: Sequence[int]) -> Iterator[Markup]:
    word, first, last = ("attempt", 1, len(times)) if found.one_block else ("block", min(times), max(times))
    yield label(f"{word} {first}", (_AXIS_LEFT, _NAMES_Y))
    if last != first:
        yield label(str(last), (RIGHT, _NAMES_Y), "end")


def _logarithmic(axis: Scale) -> str:
    return ", on a logarithmic scale" if axis.logarithmic else ""

"""Many runs of one host as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isobench import __version__
from isobench.reports import page_shell
from isobench.reports import trend_words as words
from isobench.reports.brief import Measure
from isobench.reports.changes import Change
from isobench.reports.strips import Scale, path, scale
from isobench.reports.trend import Track, Trend

_TRACKS = 200
"""Of more cells those with hints and the first ones are drawn; the page says so."""

_WIDTH, _HEIGHT, _EDGE = 360.0, 56.0, 4.0
"""Pixels of a line, and what is kept free around it."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One change of level that is hinted at."""

    track: Track
    change: Change
    suspects: Sequence[str]


@dataclass(frozen=True, slots=True)
class Line:
    """One cell over the runs, as it is drawn."""

    track: Track
    label: str
    medians: str
    """An SVG path."""
    intervals: str
    dots: tuple[tuple[float, float], ...]
    hints: tuple[float, ...]
    """Pixels from the left of each change that is hinted at."""


@dataclass(frozen=True, slots=True)
class Part:
    """All isolators under one measure."""

    key: str
    measure: Measure
    lines: tuple[Line, ...]


def page(trend: Trend) -> str:
    """The whole document. Equal runs give equal bytes."""
    shown = trend.tracks[:_TRACKS]
    across = scale((0, max(1, len(trend.moments) - 1)), width=_WIDTH - 2 * _EDGE)
    values: dict[str, Any] = {
        "version": __version__,
        "trend": trend,
        "words": words,
        "headline": words.headline(trend),
        "cautions": words.cautions(trend),
        "hints": [
            Hint(track, change, words.suspects(trend, change))
            for track in trend.hinted
            for change in track.hints
        ],
        "parts": _parts(shown, across),
        "left_out": len(trend.tracks) - len(shown),
        "news": [_x(at, across) for at, moment in enumerate(trend.moments) if moment.news],
        "size": (_WIDTH, _HEIGHT),
    }
    return page_shell.render("trend.html.j2", {}, values)


def _parts(tracks: Sequence[Track], across: Scale) -> list[Part]:
    by_measure: dict[Measure, list[Line]] = {}
    for track in tracks:
        by_measure.setdefault(track.measure, []).append(_line(track, across))
    return [
        Part(f"measure-{number}", measure, tuple(lines))
        for number, (measure, lines) in enumerate(by_measure.items(), start=1)
    ]


def _line(track: Track, across: Scale) -> Line:
    limits = [
        value
        for found in track.known
        for value in (found.value, *((found.interval.low, found.interval.high) if found.interval else ()))
    ]
    up = scale(limits, width=_HEIGHT - 2 * _EDGE)
    points = [
        None if found is None else (_x(at, across), _y(found.value, up))
        for at, found in enumerate(track.figures)
    ]
    bars = [
        (_x(at, across), _y(found.interval.low, up), _y(found.interval.high, up))
        for at, found in enumerate(track.figures)
        if found is not None and found.interval is not None
    ]
    return Line(
        track=track,
        label=words.label(track),
        medians=path(points),
        intervals="".join(f"M{x:g} {low:g}V{high:g}" for x, low, high in bars),
        dots=tuple(point for point in points if point is not None),
        hints=tuple((_x(one.at - 1, across) + _x(one.at, across)) / 2 for one in track.hints),
    )


def _x(run: int, across: Scale) -> float:
    return round(_EDGE + across.place(run), 1)


def _y(value: float, up: Scale) -> float:
    return round(_HEIGHT - _EDGE - up.place(value), 1)

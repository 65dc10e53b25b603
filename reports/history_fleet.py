"""Hosts of a lake compared by one figure: how it is spread over a fleet, and which hosts stand out.

Of each host its last run speaks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from isobench.reports.history import Found, RunFigure

ALL = "all hosts"

MIN_FOR_TAILS = 20
"""Hosts, from which on there are some beyond the 5th and the 95th percentile."""
MIN_FOR_OUTLIERS = 5
"""Fewer hosts do not tell which of them is the odd one."""
OUTLYING = 3.5
"""Robust standard deviations (Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993)).

In how many of 20,000 simulated groups of hosts that differ by nothing but chance, normally distributed, at
least one host lies beyond:

    ======  ===  ===  ===  ===  ===  ====
    hosts   5    10   20   50   100  1000
    groups  5 %  3 %  3 %  4 %  6 %  37 %
    ======  ===  ===  ===  ===  ===  ====
"""
_ROUNDING = 1e-9
"""Hosts that differ by no more do so by rounding alone."""
_FEW = 5
"""How much few hosts scatter less than many would."""
_MAD = 0.6745
"""Median absolute deviation of normal values of standard deviation 1."""
_MEAN_ABSOLUTE = 0.7979
"""Their mean absolute deviation, the scale where more than half of the hosts have one figure."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How the figures of hosts are spread."""

    what: str
    """All of them, or those of one CPU and kernel."""
    hosts: int
    least: float
    p5: float | None
    """None below :data:`MIN_FOR_TAILS` hosts."""
    p50: float
    p95: float | None
    greatest: float


@dataclass(frozen=True, slots=True)
class Outlier:
    """A host that stands out."""

    run: RunFigure
    among: str
    """Among which hosts: all, or those of its CPU and kernel."""
    score: float
    """Robust standard deviations from their median."""
    apart: float
    """How many times their median its figure is; for units of ratios the difference to it."""


def percentiles(found: Found) -> tuple[Percentiles, ...]:
    """Over all hosts, then over those of each CPU and kernel if there are several, the most hosts first."""
    return tuple(
        _percentiles(what, [run.value for run in runs]) for what, runs in _groups(found.last).items()
    )


def outliers(found: Found) -> tuple[Outlier, ...]:
    """The hosts that lie further than :data:`OUTLYING` from the others, the furthest first.

    The distance is that of ln(figure / median) in robust standard deviations: the median absolute distance of
    the hosts, scaled to the standard deviation of normal values, and by 1 + 5 / (hosts - 1), as few hosts
    scatter less around their own median (Rousseeuw and Leroy, Robust Regression and Outlier Detection (1987),
    chapter 5). For units of ratios the distance is that of the figure itself. A host is compared with all
    others, and with those of its CPU and kernel, and told by the greater distance; groups below
    :data:`MIN_FOR_OUTLIERS` hosts tell none.
    """
    furthest: dict[str, Outlier] = {}
    for what, runs in _groups(found.last).items():
        for one in _outliers(what, runs, relative=found.relative):
            other = furthest.get(one.run.host)
            if other is None or abs(other.score) < abs(one.score):
                furthest[one.run.host] = one
    return tuple(sorted(furthest.values(), key=lambda one: (-abs(one.score), one.run.host)))


def _groups(runs: Sequence[RunFigure]) -> dict[str, list[RunFigure]]:
    """All of them, and those of each CPU and kernel if there is more than one."""
    builds: dict[str, list[RunFigure]] = {}
    for run in runs:
        builds.setdefault(f"{run.cpu or '?'}, {run.kernel or '?'}", []).append(run)
    if not runs:
        return {}
    by_size = sorted(builds.items(), key=lambda item: (-len(item[1]), item[0]))
    return {ALL: list(runs), **dict(by_size if len(builds) > 1 else ())}


def _outliers(what: str, runs: Sequence[RunFigure], *, relative: bool) -> Iterator[Outlier]:
    if len(runs) < MIN_FOR_OUTLIERS:
        return
    values = [math.log(run.value) if relative else run.value for run in runs]
    middle = median(values)
    distances = [abs(value - middle) for value in values]
    usual = median(distances)
    # Where more than half are equal but for rounding, the mean of the distances says how far the others lie.
    spread = usual / _MAD if usual > _ROUNDING else sum(distances) / len(distances) / _MEAN_ABSOLUTE
    scale = spread * (1 + _FEW / (len(runs) - 1))
    for run, value in zip(runs, values, strict=True):
        score = (value - middle) / scale if scale > _ROUNDING else 0.0
        if abs(score) > OUTLYING:
            yield Outlier(run, what, score, math.exp(value - middle) if relative else value - middle)


def _percentiles(what: str, values: Sequence[float]) -> Percentiles:
    """Interpolated linearly between order statistics, as in a report."""
    tails = quantiles(values, n=20, method="inclusive") if len(values) >= MIN_FOR_TAILS else (None,)
    return Percentiles(what, len(values), min(values), tails[0], median(values), tails[-1], max(values))

"""Where a series of runs seems to have changed its level: hints for people who look for a cause, no verdicts.

The series is split where a Mann-Whitney test between what is before and what is after is greatest, each split
point standardised by its own variance; whether that is great is told by random orders of as many ranks, so no
shape of the distribution is assumed (Hawkins and Deng, A Nonparametric Change-Point Control Chart, Journal of
Quality Technology 42 (2010)). Both parts are searched anew: binary segmentation (Scott and Knott, A Cluster
Analysis Method for Grouping Means, Biometrics 30 (1974)).

How many of 100 simulated series of normal values (of 2000, ``python -m tests.perf.change_hints``) had a hint
though nothing had changed, values independent or each leaning on the one before (correlation 0.5: a host that
is slow tends to be slow tomorrow); and how many had one within a run of a change in their middle, of so many
standard deviations:

    ====  ===========  =======  ====  ====  ====
    runs  independent  leaning  1 sd  2 sd  4 sd
    ====  ===========  =======  ====  ====  ====
    8     0.0          0        0     0     0
    12    0.8          8        9     46    98
    20    1.3          15       13    67    100
    30    0.9          20       20    83    100
    50    1.2          25       30    85    100
    100   0.8          30       46    86    100
    ====  ===========  =======  ====  ====  ====

So one hint in a hundred comes from nothing where runs are independent of each other, and many more where they
are not; a small change is seen late or never, and eight runs are too few for any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.01
"""The chance of a hint in a series of independent values that never changes."""

MIN_RUNS = 3
"""Runs on either side of a change: one odd run is none."""

_ORDERS = 4000
_SEED = 20_110

_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """A hint that the level changed between two runs."""

    at: int
    """The place of the first value of the new level."""
    before: float
    """The median of the values since the change before this one, or since the first."""
    after: float
    """The median of the values up to the next change, or to the last."""
    chance: float
    """Of so clear a split in values that never changed."""


def changes(values: Sequence[float]) -> tuple[Change, ...]:
    """Every change that is hinted at, in order. Raises ValueError for a value that is not finite."""
    data = np.asarray(values, dtype=np.float64)
    if not np.isfinite(data).all():
        raise ValueError("a value is NaN or infinite")
    found = _split(data, 0)
    edges = [0, *(at for at, _ in found), len(values)]
    # A split that was found while others were still to come need not be the best between its neighbours.
    for place in range(1, len(edges) - 1):
        edges[place] = edges[place - 1] + _best(data[edges[place - 1] : edges[place + 1]])[0]
    return tuple(
        Change(
            at=edges[place],
            before=median(values[edges[place - 1] : edges[place]]),
            after=median(values[edges[place] : edges[place + 1]]),
            chance=chance,
        )
        for place, (_, chance) in enumerate(found, start=1)
    )


def _best(data: _Floats) -> tuple[int, float]:
    """Where the second part of the clearest split begins, and its statistic."""
    statistics = _statistics(_ranks(data)[None, :])[0]
    best = int(statistics.argmax())
    return best + MIN_RUNS, float(statistics[best])


def _split(data: _Floats, offset: int) -> list[tuple[int, float]]:
    if data.size < 2 * MIN_RUNS:
        return []
    at, statistic = _best(data)
    chance = float((_by_chance(data.size) >= statistic - 1e-9).mean())
    if chance > ALPHA:
        return []
    return [*_split(data[:at], offset), (offset + at, chance), *_split(data[at:], offset + at)]


def _ranks(data: _Floats) -> _Floats:
    """From 1; equal values have the mean of theirs."""
    _, where, counts = np.unique(data, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[where])


def _statistics(ranks: _Floats) -> _Floats:
    """Of each row of ranks: |U| of every split, in standard deviations."""
    n = ranks.shape[1]
    before = np.arange(MIN_RUNS, n - MIN_RUNS + 1)
    sums = ranks.cumsum(axis=1)[:, MIN_RUNS - 1 : n - MIN_RUNS]
    expected = before * (n + 1) / 2
    deviation = np.sqrt(before * (n - before) * (n + 1) / 12)
    return np.asarray(np.abs(sums - expected) / deviation)


@cache
def _by_chance(n: int) -> _Floats:
    """The greatest statistic of each of many random orders."""
    random = np.random.default_rng(_SEED)
    ranks = np.tile(np.arange(1.0, n + 1), (_ORDERS, 1))
    return np.asarray(_statistics(random.permuted(ranks, axis=1)).max(axis=1))

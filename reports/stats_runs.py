"""Statistics between runs and between hosts: pure functions, as those of :mod:`isobench.reports.stats`.

Runs are independent of each other: block 3 of one and block 3 of another share nothing but a number, so no
block of one is ever paired with one of the other. And one run of each is one witness of each: an interval
from what varies within two runs cannot know by how much a host differs from one run to the next. How often an
interval of a ratio of medians held the true one in 2000 simulated pairs of runs with values that scatter by
10 %, by 5 % between blocks, and besides by so much from run to run (``python -m tests.perf.runs_apart``):

    ===============  =========  =======  =======
    blocks x values  nothing    2 %      5 %
    ===============  =========  =======  =======
    5 x 20           94 of 100  87       63
    10 x 20          96         85       50
    20 x 10          98         81       48
    ===============  =========  =======  =======

Hosts, on the other hand, are independent witnesses of what holds for their like, so an interval over hosts
needs no resampling: order statistics carry it (:func:`median_by_rank`).
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import special

from isobench.reports.stats import (
    LEVEL,
    Estimate,
    Interval,
    difference_of_medians,
    ratio_of_medians,
)
from isobench.reports.stats_resample import RESAMPLES


def ratio_between_runs(
    values: Sequence[float],
    blocks: Sequence[int],
    base: Sequence[float],
    base_blocks: Sequence[int],
    resamples: int = RESAMPLES,
) -> Estimate:
    """How many times the median of ``base`` that of ``values`` is; values of two runs, all above 0."""
    return ratio_of_medians(values, blocks, base, _apart(base_blocks), resamples)


def difference_between_runs(
    values: Sequence[float],
    blocks: Sequence[int],
    base: Sequence[float],
    base_blocks: Sequence[int],
    resamples: int = RESAMPLES,
) -> Estimate:
    """By how much the median of ``values`` is above that of ``base``; values of two runs."""
    return difference_of_medians(values, blocks, base, _apart(base_blocks), resamples)


def _apart(blocks: Sequence[int]) -> list[int]:
    """Names that no block of another run has: those begin at 0."""
    return [-1 - block for block in blocks]


def ratio_of_estimates(above: Estimate, below: Estimate) -> Estimate:
    """The ratio of two independent estimates above 0, from their intervals alone.

    Donner and Zou, Closed-form confidence intervals for functions of the normal mean and standard deviation,
    Statistical Methods in Medical Research 21 (2012), eq. 9 (MOVER-R): each limit is as far from the ratio as
    the limits nearest to it are from their estimates. No interval where one of them reaches 0.
    """
    value = above.value / below.value
    if above.interval is None or below.interval is None:
        return Estimate(value, None)
    if above.interval.low <= 0 or below.interval.low <= 0 or below.interval.high >= 2 * below.value:
        return Estimate(value, None)
    return Estimate(
        value,
        Interval(
            _limit(above.value, above.interval.low, below.value, below.interval.high, -1),
            _limit(above.value, above.interval.high, below.value, below.interval.low, +1),
        ),
    )


def _limit(above: float, above_limit: float, below: float, below_limit: float, side: int) -> float:
    product = above * below
    under = product**2 - above_limit * below_limit * (2 * above - above_limit) * (2 * below - below_limit)
    return (product + side * math.sqrt(max(0.0, under))) / (below_limit * (2 * below - below_limit))


def difference_of_estimates(above: Estimate, below: Estimate) -> Estimate:
    """By how much one of two independent estimates is above the other, from their intervals alone.

    Zou and Donner, Construction of confidence limits about effect measures, Statistics in Medicine 27 (2008):
    distances of limits from their estimates add as standard errors do.
    """
    value = above.value - below.value
    if above.interval is None or below.interval is None:
        return Estimate(value, None)
    down = math.hypot(above.value - above.interval.low, below.interval.high - below.value)
    up = math.hypot(above.interval.high - above.value, below.value - below.interval.low)
    return Estimate(value, Interval(value - down, value + up))


def median_by_rank(values: Sequence[float]) -> Estimate:
    """The median of independent values, its interval between two of them; from six values on.

    The number of values below the true median is binomial, whatever their distribution: Conover, Practical
    Nonparametric Statistics, 3.2. The interval covers it in at least 95 of 100 cases, for few values in more.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if ordered.size == 0 or not np.isfinite(ordered).all():
        raise ValueError("no values, or one that is not finite")
    value = float(np.median(ordered))
    place = _place(ordered.size)
    if place is None:
        return Estimate(value, None)
    return Estimate(value, Interval(float(ordered[place]), float(ordered[-1 - place])))


@cache
def _place(n: int) -> int | None:
    """How many values may be left off at each end; None: not even all of them would do."""
    below = special.bdtr(np.arange(n // 2 + 1), n, 0.5)
    return (
        int(np.searchsorted(below, (1 - LEVEL) / 2, side="right")) - 1 if 2 * below[0] <= 1 - LEVEL else None
    )


def sen_slope(blocks: Sequence[int], x: Sequence[float], y: Sequence[float]) -> float | None:
    """The median slope over all pairs of readings of one block, or None where no block has two different x.

    Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63 (1968); within blocks, so
    that what differs between them cancels.
    """
    block, at, value = (np.asarray(column) for column in (blocks, x, y))
    one, other = np.triu_indices(block.size, 1)
    pairs = (block[one] == block[other]) & (at[one] != at[other])
    if not pairs.any():
        return None
    one, other = one[pairs], other[pairs]
    return float(np.median((value[other] - value[one]) / (at[other] - at[one])))

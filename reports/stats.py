"""The statistics of a report: pure functions from numbers to frozen values.

None of them guesses: a figure that too few values carry is None, and an empty input, a NaN or an infinity
is a ValueError. Results do not depend on the order of the values, nor on anything random: the resampling is
seeded with a constant. Intervals are meant to cover the true value in 95 of 100 cases.

Why medians: start-up times have a long upper tail and often two modes, which a mean and a standard
deviation hide. Why bootstrap intervals: they assume no shape of the distribution.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.95

MIN_FOR_INTERVAL = 5
"""The widest interval there is, from the least to the greatest of n values, covers the median with
probability 1 - 2^(1-n): 94 % for five values, 88 % for four (Conover, Practical Nonparametric Statistics,
3.2)."""

MIN_FOR_P90 = 10
MIN_FOR_P99 = 100
"""Fewer values have none beyond the percentile: it would be their maximum under a better-sounding name."""

_RESAMPLES = 4000
"""The limits then move by under a tenth of the interval's width from one seed to another."""
_SEED = 20_110
_CHUNK = 4_000_000
"""Values resampled at once: 32 MB."""

_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, in the unit of what it belongs to."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and how far it can be trusted; ``interval`` is None where too few values carry one."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """What is told of a sample of ``n`` values, all in their unit."""

    n: int
    least: float
    median: Estimate
    p90: float | None
    """None below :data:`MIN_FOR_P90` values."""
    p99: float | None
    """None below :data:`MIN_FOR_P99` values."""
    greatest: float


def distribution(values: Iterable[float]) -> Distribution:
    """Extremes, median with its interval, and the percentiles that so many values carry.

    Percentiles are interpolated linearly between order statistics: definition 7 of Hyndman and Fan, Sample
    Quantiles in Statistical Packages, The American Statistician 50 (1996).
    """
    data = _checked(values)
    return Distribution(
        n=data.size,
        least=float(data[0]),
        median=median(data),
        p90=float(np.percentile(data, 90)) if data.size >= MIN_FOR_P90 else None,
        p99=float(np.percentile(data, 99)) if data.size >= MIN_FOR_P99 else None,
        greatest=float(data[-1]),
    )


def median(values: Iterable[float]) -> Estimate:
    """The median with its bootstrap interval, if there are five values or more.

    Percentile method: Efron and Tibshirani, An Introduction to the Bootstrap (1993), 13.3. Their BCa method
    corrects by a jackknife, which is inconsistent for a median (same book, 11.6).
    """
    data = _checked(values)
    if data.size < MIN_FOR_INTERVAL:
        return Estimate(float(np.median(data)), None)
    return Estimate(float(np.median(data)), _percentile_interval(_resampled_medians(data, 0)))


def ratio_of_medians(values: Iterable[float], floor: Iterable[float]) -> Estimate:
    """How many times the median of ``floor`` the median of ``values`` is; both samples must be positive.

    The interval is that of the ratio: both samples are resampled, independently of each other (Efron and
    Tibshirani, 8.3). Dividing the limits of two intervals by one another would be too wide.
    """
    above, below = _checked(values), _checked(floor)
    if above[0] <= 0 or below[0] <= 0:
        raise ValueError("a ratio of medians needs values above 0")
    value = float(np.median(above) / np.median(below))
    if min(above.size, below.size) < MIN_FOR_INTERVAL:
        return Estimate(value, None)
    ratios = _resampled_medians(above, 0) / _resampled_medians(below, 1)
    return Estimate(value, _percentile_interval(ratios))


def slope(points: Iterable[tuple[Hashable, float, float]]) -> Estimate:
    """The common slope of y over x in several groups, from (group, x, y); each group has its own offset.

    Least squares on deviations from the group's means ("within" estimator: Wooldridge, Econometric Analysis
    of Cross Section and Panel Data, 10.5), with Student's interval on n - groups - 1 degrees of freedom.

    Chosen over Theil-Sen for being linear in y: slopes of parts add up to the slope of their sum, so a
    ledger of memory by owner still reconciles. An outlier shows as a wide interval. Raises ValueError when
    no group has two different x.
    """
    rows = sorted(points, key=lambda row: (row[1], row[2]))
    _checked(value for _, x, y in rows for value in (x, y))
    groups = [group for group, _, _ in rows]
    x, y = (_within(groups, column) for column in ([x for _, x, _ in rows], [y for _, _, y in rows]))
    spread = float(x @ x)
    if spread == 0:
        raise ValueError("a slope needs a group with two different x")
    value = float(x @ y) / spread
    freedom = len(rows) - len(set(groups)) - 1
    if freedom < 1:
        return Estimate(value, None)
    residuals = y - value * x
    error = float(np.sqrt(residuals @ residuals / freedom / spread))
    half = error * float(special.stdtrit(freedom, (1 + LEVEL) / 2))
    return Estimate(value, Interval(value - half, value + half))


def _checked(values: Iterable[float]) -> _Floats:
    """The values in ascending order. Raises ValueError for none at all and for what is no number."""
    data = np.sort(np.fromiter(values, dtype=np.float64))
    if data.size == 0:
        raise ValueError("no values")
    if not np.isfinite(data).all():
        raise ValueError("a value is NaN or infinite")
    return data


def _within(groups: Sequence[Hashable], column: Sequence[float]) -> _Floats:
    """Deviations from the mean of the value's own group."""
    data = np.asarray(column, dtype=np.float64)
    for group in set(groups):
        members = np.array([other == group for other in groups])
        data[members] -= data[members].mean()
    return data


def _resampled_medians(data: _Floats, stream: int) -> _Floats:
    """Medians of samples drawn with replacement; one ``stream`` for each sample that takes part."""
    random = np.random.default_rng((_SEED, stream))
    rows = max(1, min(_RESAMPLES, _CHUNK // data.size))
    chunks = (min(rows, _RESAMPLES - done) for done in range(0, _RESAMPLES, rows))
    draws = (data[random.integers(0, data.size, (count, data.size))] for count in chunks)
    return np.concatenate([np.median(draw, axis=1) for draw in draws])


def _percentile_interval(estimates: _Floats) -> Interval:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(estimates, [tail, 100 - tail])
    return Interval(float(low), float(high))

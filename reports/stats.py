"""The statistics of a report: pure functions from numbers to frozen values.

None of them guesses: a figure that too few values carry is None, and an empty input, a NaN or an infinity
is a ValueError. Results do not depend on the order of the values, nor on anything random: the resampling is
seeded with a constant. Intervals are meant to cover the true value in 95 of 100 cases.

Why medians: start-up times have a long upper tail and often two modes, which a mean and a standard
deviation hide. Why bootstrap intervals: they assume no shape of the distribution.

Why groups: values measured in one block of the run share the state of the host at that time and are no
independent witnesses. So the bootstrap has two stages: blocks are drawn with replacement, then values within
each drawn block (Davison and Hinkley, Bootstrap Methods and their Application (1997), 3.8). How often an
interval covered the true median, in 2000 simulated samples of normal values that scatter by 10 % within a
block:

    ===============  ================  ===================  ==========
    blocks x values  between blocks    all values as alike  two stages
    ===============  ================  ===================  ==========
    5 x 4            20 %              72 of 100            90 of 100
    5 x 4            nothing           95                   98
    10 x 10          20 %              56                   93
    10 x 10          nothing           95                   99
    2 x 10           20 %              52                   63
    ===============  ================  ===================  ==========

Two blocks cannot tell how much blocks differ, whatever is made of them.

Robust lines, slope and constant, whose parts add up: :func:`isobench.reports.stats_lines.slopes`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95

MIN_FOR_INTERVAL = 5
"""The widest interval there is, from the least to the greatest of n values, covers the median with
probability 1 - 2^(1-n): 94 % for five values, 88 % for four (Conover, Practical Nonparametric Statistics,
3.2)."""

MIN_FOR_P90 = 10
MIN_FOR_P99 = 100
MIN_FOR_P999 = 1000
"""Fewer values have none beyond the percentile: it would be their maximum under a better-sounding name."""

RESAMPLES = 4000
"""The limits then move by under a tenth of the interval's width from one seed to another."""
MIN_RESAMPLES = 1000
"""By under a fifth."""
_DRAWS = 40_000_000
"""Values drawn for one figure, a second's work: more than 10,000 values get fewer resamples."""
_CHUNK = 1_000_000
"""Values drawn at once: some 80 MB."""
_SEED = 20_110

_Floats: TypeAlias = NDArray[np.float64]
_Ints: TypeAlias = NDArray[np.int64]


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
    p90: Estimate | None
    """None below :data:`MIN_FOR_P90` values."""
    p99: Estimate | None
    """None below :data:`MIN_FOR_P99` values."""
    p999: Estimate | None
    """The 99.9th percentile, None below :data:`MIN_FOR_P999` values."""
    greatest: float


def distribution(values: Iterable[float], groups: Iterable[int]) -> Distribution:
    """Extremes, median with its interval (see :func:`median`), and the percentiles so many values carry.

    Percentiles are interpolated linearly between order statistics: definition 7 of Hyndman and Fan, Sample
    Quantiles in Statistical Packages, The American Statistician 50 (1996). Their intervals are made as the
    median's.
    """
    sample = _grouped(values, groups)
    n = sample.values.size
    return Distribution(
        n=n,
        least=float(sample.values[0]),
        median=_quantile(sample, 0.5),
        p90=_quantile(sample, 0.9) if n >= MIN_FOR_P90 else None,
        p99=_quantile(sample, 0.99) if n >= MIN_FOR_P99 else None,
        p999=_quantile(sample, 0.999) if n >= MIN_FOR_P999 else None,
        greatest=float(sample.values[-1]),
    )


def ecdf(values: Iterable[float]) -> tuple[tuple[float, float], ...]:
    """Each different value, ascending, with the share of values at or below it.

    No smoothing, no bins: nothing is assumed and nothing is lost but the order of the values (van der Vaart,
    Asymptotic Statistics (1998), 19.1).
    """
    found, counts = np.unique(_checked(values), return_counts=True)
    shares = counts.cumsum() / counts.sum()
    return tuple(zip(found.tolist(), shares.tolist(), strict=True))


def median(values: Iterable[float], groups: Iterable[int]) -> Estimate:
    """The median with its two-stage bootstrap interval, if there are five values or more.

    ``groups`` has the block of each value; in one block it is the plain bootstrap. Percentile method: Efron
    and Tibshirani, An Introduction to the Bootstrap (1993), 13.3. Their BCa method corrects by a jackknife,
    which is inconsistent for a median (same book, 11.6).
    """
    return _quantile(_grouped(values, groups), 0.5)


def ratio_of_medians(
    values: Iterable[float],
    groups: Iterable[int],
    floor: Iterable[float],
    floor_groups: Iterable[int],
    resamples: int = RESAMPLES,
) -> Estimate:
    """How many times the median of ``floor`` the median of ``values`` is; both samples must be positive.

    The interval is that of the ratio: both samples are resampled (Efron and Tibshirani, 8.3). Dividing the
    limits of two intervals by one another would be too wide. Samples of the very same blocks are resampled by
    the same blocks, so that a drift which hit both alike cancels; others independently of each other.
    """
    above, below = _grouped(values, groups), _grouped(floor, floor_groups)
    if above.values[0] <= 0 or below.values[0] <= 0:
        raise ValueError("a ratio of medians needs values above 0")
    return _contrast(np.divide, above, below, resamples)


def difference_of_medians(
    values: Iterable[float],
    groups: Iterable[int],
    floor: Iterable[float],
    floor_groups: Iterable[int],
    resamples: int = RESAMPLES,
) -> Estimate:
    """By how much the median of ``values`` is above that of ``floor``; else as :func:`ratio_of_medians`."""
    return _contrast(np.subtract, _grouped(values, groups), _grouped(floor, floor_groups), resamples)


def _contrast(how: np.ufunc, above: "_Sample", below: "_Sample", resamples: int) -> Estimate:
    value = float(how(np.median(above.values), np.median(below.values)))
    if min(above.values.size, below.values.size) < MIN_FOR_INTERVAL:
        return Estimate(value, None)
    return Estimate(value, _percentile_interval(how(*_resampled(0.5, above, below, resamples=resamples))))


def _checked(values: Iterable[float]) -> _Floats:
    """The values in ascending order. Raises ValueError for none at all and for what is no number."""
    data = np.sort(np.fromiter(values, dtype=np.float64))
    if data.size == 0:
        raise ValueError("no values")
    if not np.isfinite(data).all():
        raise ValueError("a value is NaN or infinite")
    return data


@dataclass(frozen=True, slots=True)
class _Sample:
    """Values in ascending order, and which of them each group has."""

    values: _Floats
    groups: tuple[int, ...]
    ranks: _Ints
    """Positions in ``values``, group by group."""
    starts: _Ints
    """Where in ``ranks`` each group begins."""
    sizes: _Ints


def _grouped(values: Iterable[float], groups: Iterable[int]) -> _Sample:
    """The sample, in the same form whatever order the values come in. Raises ValueError as ``_checked``."""
    data, labels = np.fromiter(values, dtype=np.float64), np.fromiter(groups, dtype=np.int64)
    if data.size != labels.size:
        raise ValueError(f"{data.size} values, but groups for {labels.size}")
    checked = _checked(data)
    labels = labels[np.lexsort((labels, data))]
    ranks = np.argsort(labels, kind="stable")
    names, starts, sizes = np.unique(labels[ranks], return_index=True, return_counts=True)
    return _Sample(checked, tuple(names.tolist()), ranks, starts, sizes)


def _quantile(sample: _Sample, part: float) -> Estimate:
    """A percentile; its interval is None where even the widest there is would not cover it.

    The chance that all n values lie below it must be about within the tail of an interval: from 5 values for
    a median, 35 for p90, 367 for p99, 3687 for p99.9 (Conover, 3.2).
    """
    value = float(np.quantile(sample.values, part))
    if sample.values.size < max(MIN_FOR_INTERVAL, int(math.log((1 - LEVEL) / 2) / math.log(part))):
        return Estimate(value, None)
    (quantiles,) = _resampled(part, sample)
    return Estimate(value, _percentile_interval(quantiles))


def _resampled(part: float, *samples: _Sample, resamples: int = RESAMPLES) -> tuple[_Floats, ...]:
    """For each sample that quantile of its resamples; the n-th of one goes with the n-th of another.

    Samples of the same blocks are resampled by the same blocks: a block in which all was slow is then slow
    for both, and cancels where they are compared.
    """
    random = np.random.default_rng(_SEED)
    together = len({sample.groups for sample in samples}) == 1
    size = max(sample.values.size for sample in samples)
    resamples = min(resamples, max(MIN_RESAMPLES, _DRAWS // size))
    rows = max(1, min(resamples, _CHUNK // size))
    quantiles: list[list[_Floats]] = [[] for _ in samples]
    for done in range(0, resamples, rows):
        shape = (min(rows, resamples - done), len(samples[0].groups))
        shared = random.integers(0, shape[1], shape)
        for sample, found in zip(samples, quantiles, strict=True):
            own = len(sample.groups)
            drawn = shared if together else random.integers(0, own, (shape[0], own))
            found.append(_quantiles(part, sample, drawn, random))
    return tuple(np.concatenate(found) for found in quantiles)


def _quantiles(part: float, sample: _Sample, drawn: _Ints, random: np.random.Generator) -> _Floats:
    """That quantile of each resample, a row of ``drawn``: as many values from each drawn group as it has."""
    sizes = sample.sizes[drawn]
    totals = sizes.sum(axis=1)
    group = np.repeat(drawn.ravel(), sizes.ravel())
    places = sample.starts[group] + (random.random(group.size) * sample.sizes[group]).astype(np.int64)
    # Sorting is not needed: how often each value was drawn, in ascending order, tells where it is.
    cells = np.repeat(np.arange(len(drawn)), totals) * sample.values.size + sample.ranks[places]
    counts = np.bincount(cells, minlength=len(drawn) * sample.values.size)
    reached = counts.reshape(len(drawn), -1).cumsum(axis=1)
    place = part * (totals - 1)
    lower, upper = (
        sample.values[(reached > whole[:, None]).argmax(axis=1)]
        for whole in (np.floor(place), np.ceil(place))
    )
    return np.asarray(lower + (upper - lower) * (place % 1))


def _percentile_interval(estimates: _Floats) -> Interval:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(estimates, [tail, 100 - tail])
    return Interval(float(low), float(high))

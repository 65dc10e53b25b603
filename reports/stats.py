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

How the resamples are drawn: :mod:`isobench.reports.stats_resample`. Robust lines, slope and constant, whose
parts add up: :func:`isobench.reports.stats_lines.slopes`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isobench.reports.stats_resample import RESAMPLES, Grouped, resampled

LEVEL = 0.95

MIN_FOR_INTERVAL = 5
"""The widest interval there is, from the least to the greatest of n values, covers the median with
probability 1 - 2^(1-n): 94 % for five values, 88 % for four (Conover, Practical Nonparametric Statistics,
3.2)."""

MIN_FOR_P90 = 10
MIN_FOR_P99 = 100
MIN_FOR_P999 = 1000
"""Fewer values have none beyond the percentile: it would be their maximum under a better-sounding name."""
_TOLD = {0.5: 1, 0.9: MIN_FOR_P90, 0.99: MIN_FOR_P99, 0.999: MIN_FOR_P999}

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
    found = _quantiles(sample, *(part for part, least in _TOLD.items() if n >= least))
    return _distribution(sample, found)


def _distribution(sample: Grouped, told: Mapping[float, Estimate]) -> Distribution:
    return Distribution(
        n=sample.values.size,
        least=float(sample.values[0]),
        median=told[0.5],
        p90=told.get(0.9),
        p99=told.get(0.99),
        p999=told.get(0.999),
        greatest=float(sample.values[-1]),
    )


def percentiles(values: Iterable[float], groups: Iterable[int]) -> Distribution:
    """The same with an interval of the median alone, for figures by the thousand."""
    sample = _grouped(values, groups)
    n = sample.values.size
    found = {part: float(np.quantile(sample.values, part)) for part, least in _TOLD.items() if n >= least}
    told = {part: Estimate(value, None) for part, value in found.items()} | _quantiles(sample, 0.5)
    return _distribution(sample, told)


def ecdf(values: Iterable[float]) -> tuple[tuple[float, float], ...]:
    """Each different value, ascending, with the share of values at or below it.

    No smoothing, no bins: nothing is assumed and nothing is lost but the order of the values (van der Vaart,
    Asymptotic Statistics (1998), 19.1).
    """
    found, counts = np.unique(_checked(values), return_counts=True)
    shares = counts.cumsum() / counts.sum()
    return tuple(zip(found.tolist(), shares.tolist(), strict=True))


def median(values: Iterable[float], groups: Iterable[int], resamples: int = RESAMPLES) -> Estimate:
    """The median with its two-stage bootstrap interval, if there are five values or more.

    ``groups`` has the block of each value; in one block it is the plain bootstrap. Percentile method: Efron
    and Tibshirani, An Introduction to the Bootstrap (1993), 13.3. Their BCa method corrects by a jackknife,
    which is inconsistent for a median (same book, 11.6).
    """
    return _quantiles(_grouped(values, groups), 0.5, resamples=resamples)[0.5]


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


def _contrast(how: np.ufunc, above: Grouped, below: Grouped, resamples: int) -> Estimate:
    value = float(how(np.median(above.values), np.median(below.values)))
    if min(above.values.size, below.values.size) < MIN_FOR_INTERVAL:
        return Estimate(value, None)
    medians, floors = resampled((0.5,), above, below, resamples=resamples)
    return Estimate(value, _percentile_interval(how(medians[0], floors[0])))


def _checked(values: Iterable[float]) -> _Floats:
    """The values in ascending order. Raises ValueError for none at all and for what is no number."""
    data = np.sort(np.fromiter(values, dtype=np.float64))
    if data.size == 0:
        raise ValueError("no values")
    if not np.isfinite(data).all():
        raise ValueError("a value is NaN or infinite")
    return data


def _grouped(values: Iterable[float], groups: Iterable[int]) -> Grouped:
    """The sample, in the same form whatever order the values come in. Raises ValueError as ``_checked``."""
    data, labels = np.fromiter(values, dtype=np.float64), np.fromiter(groups, dtype=np.int64)
    if data.size != labels.size:
        raise ValueError(f"{data.size} values, but groups for {labels.size}")
    checked = _checked(data)
    labels = labels[np.lexsort((labels, data))]
    ranks = np.argsort(labels, kind="stable")
    names, starts, sizes = np.unique(labels[ranks], return_index=True, return_counts=True)
    return Grouped(checked, tuple(names.tolist()), ranks, starts, sizes)


def _quantiles(sample: Grouped, *parts: float, resamples: int = RESAMPLES) -> dict[float, Estimate]:
    """Percentiles; an interval is None where even the widest there is would not cover it.

    The chance that all n values lie below it must be about within the tail of an interval: from 5 values for
    a median, 35 for p90, 367 for p99, 3687 for p99.9 (Conover, 3.2).
    """
    n = sample.values.size
    carried = [
        part for part in parts if n >= max(MIN_FOR_INTERVAL, int(math.log((1 - LEVEL) / 2) / math.log(part)))
    ]
    intervals = _intervals(sample, carried, resamples)
    return {part: Estimate(float(np.quantile(sample.values, part)), intervals.get(part)) for part in parts}


_KNOWN: dict[bytes, dict[float, Interval]] = {}
"""Intervals by a digest of their sample: the parts of a report ask for many of them again."""
_MOST_KNOWN = 20_000


def _intervals(sample: Grouped, parts: Sequence[float], resamples: int) -> Mapping[float, Interval]:
    if not parts:
        return {}
    parts_of_it = (sample.values.tobytes(), sample.ranks.tobytes(), sample.starts.tobytes())
    digest = sha256(b"".join((*parts_of_it, str(resamples).encode()))).digest()
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    known = _KNOWN.setdefault(digest, {})
    if missing := [part for part in parts if part not in known]:
        (drawn,) = resampled(missing, sample, resamples=resamples)
        known |= dict(zip(missing, map(_percentile_interval, drawn), strict=True))
    return known


def _percentile_interval(estimates: _Floats) -> Interval:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(estimates, [tail, 100 - tail])
    return Interval(float(low), float(high))

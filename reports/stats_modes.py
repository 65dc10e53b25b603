"""Whether values have two modes, where they are, and whether they only are two kinds of blocks.

The test is Hartigan and Hartigan, The Dip Test of Unimodality, Annals of Statistics 13 (1985). Its null is
the uniform distribution, the least favourable one: values with a peak reach a p-value of 0.05 far more seldom
than 5 times in 100, so a found mode can be believed.

Blocks that differ in level also make a histogram with two peaks, but say that the host changed, not that a
start goes two ways. So the test is made twice, on all values and on values less their block's median, with
the smaller p-value doubled; and of what is found it is told how much of it blocks explain.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from isobench.reports.thin import spaced

MIN_FOR_MODES = 20
"""Fewer have no two peaks that could not be chance."""
MIN_IN_MODE = 4
"""Values of the smaller mode: fewer are outliers."""

MIN_IN_BLOCK = 5
"""Values of a block, on average, for a test of deviations from its median: those of two values are mirror
images, and so far fewer than they seem."""

_MOST = 4000
"""Values whose dip is looked for; it takes a tenth of a second."""

OF_BLOCKS = 0.7
"""Share of the variance of "which mode" that lies between blocks, from which on modes are kinds of blocks.
Modes that mix at random in five blocks of four reach 0.21 on average."""

_CRITICAL: Mapping[int, tuple[float, ...]] = {
    20: (0.3281, 0.4348, 0.4702, 0.5393, 0.6191, 0.6812),
    50: (0.3454, 0.4586, 0.4969, 0.5730, 0.6623, 0.7417),
    100: (0.3548, 0.4714, 0.5108, 0.5899, 0.6833, 0.7614),
    200: (0.3615, 0.4810, 0.5212, 0.6029, 0.7006, 0.7822),
    500: (0.3685, 0.4892, 0.5306, 0.6151, 0.7170, 0.8005),
    1000: (0.3714, 0.4931, 0.5348, 0.6193, 0.7198, 0.8115),
    5000: (0.3760, 0.5000, 0.5431, 0.6331, 0.7335, 0.8193),
}
"""By number of values, what sqrt(n) * dip of uniform ones exceeds with the probabilities of ``_TAILS``:
quantiles of 1,000,000 simulated samples up to 100 values, 600,000 of 200, 300,000 of 500, 200,000 of 1000 and
50,000 of 5000."""
_TAILS = (0.5, 0.1, 0.05, 0.01, 0.001, 0.0001)

_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Modes:
    """Two modes, in the unit of the values."""

    p_value: float
    """Of the test for one mode; 0.0001 is the least the table tells."""
    low: float
    """The median of the lower mode."""
    high: float
    upper: tuple[bool, ...]
    """For each value, whether it belongs to the higher mode."""
    between_blocks: float
    """Share of the variance of ``upper`` that lies between blocks, from 0 to 1."""

    @property
    def share_high(self) -> float:
        """Part of the values that belongs to the higher mode."""
        return sum(self.upper) / len(self.upper)

    @property
    def of_blocks(self) -> bool:
        """They are kinds of blocks: the host changed."""
        return self.between_blocks >= OF_BLOCKS


def two_modes(values: Sequence[float], groups: Sequence[int]) -> Modes | None:
    """The two modes values most likely have, and how likely chance alone makes them; None if one tells less.

    ``groups`` has the block of each value. Values must be positive: they are compared by ratios. None below
    :data:`MIN_FOR_MODES` values, and where a mode has fewer than :data:`MIN_IN_MODE`.
    """
    if len(values) < MIN_FOR_MODES:
        return None
    if min(values) <= 0:
        raise ValueError("modes are told of positive values")
    raw, labels = np.log(np.asarray(values, np.float64)), np.asarray(groups, np.int64)
    columns = [raw]
    if raw.size >= MIN_IN_BLOCK * np.unique(labels).size:
        columns.append(_within(raw, labels))
    tests = [(dip_p_value(dip(_some(_untied(column))), raw.size), column) for column in columns]
    p_value, column = min(tests, key=lambda test: test[0])
    upper = _split(column)
    if upper is None:
        return None
    low, high = (float(np.median(np.asarray(values)[side])) for side in (~upper, upper))
    return Modes(min(1.0, len(tests) * p_value), low, high, tuple(upper.tolist()), _between(upper, labels))


def _some(values: _Floats) -> _Floats:
    """Of very many values so many that are evenly spaced by rank: the dip is that of all to 1 / (2 n)."""
    if values.size <= _MOST:
        return values
    return np.asarray(np.sort(values)[spaced(values.size, _MOST)])


def _within(values: _Floats, labels: NDArray[np.int64]) -> _Floats:
    """Deviations from the median of the value's own block."""
    deviations = values.copy()
    for label in np.unique(labels):
        deviations[labels == label] -= np.median(values[labels == label])
    return deviations


def dip_p_value(distance: float, n: int) -> float:
    """How often ``n`` uniform values have so great a dip; 1 for more than every second time.

    From the table, between its entries by the logarithm of the probability and by 1 / sqrt(n); the least it
    tells is 0.0001.
    """
    sizes = np.array(sorted(_CRITICAL, reverse=True))
    table = np.array([_CRITICAL[size] for size in sizes])
    critical = [np.interp(1 / np.sqrt(n), 1 / np.sqrt(sizes), column) for column in table.T]
    found = np.sqrt(n) * distance
    return 1.0 if found < critical[0] else float(np.exp(np.interp(found, critical, np.log(_TAILS))))


def _untied(values: _Floats) -> _Floats:
    """Equal values spread evenly over the least step between different ones: a clock's ticks are no modes."""
    found, counts = np.unique(values, return_counts=True)
    if found.size in {1, values.size}:
        return values
    step = np.diff(found).min()
    place = np.concatenate([(np.arange(count) + 0.5) / count - 0.5 for count in counts])
    return np.asarray(np.repeat(found, counts) + step * place)


def _split(values: _Floats) -> NDArray[np.bool_] | None:
    """Whether each value belongs to the higher of the two groups most likely to have given them.

    Normal groups of one variance and free sizes: maximum classification likelihood (Symons, Clustering
    Criteria and Multivariate Normal Mixtures, Biometrics 37 (1981)), over all cuts of the ordered values.
    """
    ordered = np.sort(values) - values.mean()
    n = ordered.size
    below = np.arange(1, n)
    sums, squares = ordered.cumsum(), (ordered**2).cumsum()
    inside = squares[-1] - sums[:-1] ** 2 / below - (sums[-1] - sums[:-1]) ** 2 / (n - below)
    share = below / n
    inside = np.maximum(inside, np.finfo(np.float64).tiny)
    misfit = n * np.log(inside) - 2 * n * (share * np.log(share) + (1 - share) * np.log(1 - share))
    cuttable = ordered[1:] > ordered[:-1]
    cuttable &= (below >= MIN_IN_MODE) & (n - below >= MIN_IN_MODE)
    if not cuttable.any():
        return None
    cut = int(np.argmin(np.where(cuttable, misfit, np.inf)))
    return np.asarray(values - values.mean() > (ordered[cut] + ordered[cut + 1]) / 2)


def _between(upper: NDArray[np.bool_], labels: NDArray[np.int64]) -> float:
    """0 where each value is a block of its own: that tells nothing of blocks."""
    names, counts = np.unique(labels, return_counts=True)
    if names.size == labels.size:
        return 0.0
    shares = np.array([upper[labels == name].mean() for name in names])
    total = upper.mean()
    return float(counts @ (shares - total) ** 2 / (upper.size * total * (1 - total)))


def dip(values: Iterable[float]) -> float:
    """The greatest distance of the empirical distribution to the nearest unimodal one.

    At least 1 / (2 n). The nearest one is convex up to its mode and concave from there; the interval that
    must hold the mode shrinks until the distance inside is no greater than outside (section 4 of the paper).
    """
    x, counts = np.unique(np.fromiter(values, np.float64), return_counts=True)
    above = counts.cumsum().astype(np.float64)
    below = above - counts
    low, high, widest = 0, x.size - 1, 1.0
    while True:
        part = slice(low, high + 1)
        least, most = _hull(x[part], below[part], 1), _hull(x[part], above[part], -1)
        convex = np.interp(x[part], x[part][least], below[part][least])
        concave = np.interp(x[part], x[part][most], above[part][most])
        place = int(np.argmax(concave - convex))
        if (concave - convex)[place] <= widest:
            break
        left = int(least[least <= place].max())
        right = int(most[most >= place].min())
        widest = max(
            widest,
            float((above[part] - convex)[: left + 1].max()),
            float((concave - below[part])[right:].max()),
        )
        if (low, high) == (low + left, low + right):
            break
        low, high = low + left, low + right
    return widest / (2 * float(above[-1]))


def _hull(x: _Floats, y: _Floats, side: int) -> NDArray[np.int64]:
    """Places of the corners of the greatest convex function below (side 1), or least concave above (-1)."""
    corners: list[int] = []
    across, up = x.tolist(), y.tolist()  # Python's own numbers: numpy's cost several times as much one by one
    for place, (at, height) in enumerate(zip(across, up, strict=True)):
        while len(corners) > 1:
            one, two = corners[-2:]
            turn = (across[two] - across[one]) * (height - up[one]) - (up[two] - up[one]) * (at - across[one])
            if side * turn > 0:
                break
            corners.pop()
        corners.append(place)
    return np.array(corners)

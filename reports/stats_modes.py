"""Whether values have two modes, where they are, and whether they only are two kinds of blocks.

The test is Hartigan and Hartigan, The Dip Test of Unimodality, Annals of Statistics 13 (1985). Its null is the
uniform distribution, the least favourable one: values with a peak reach a p-value of 0.05 far more seldom
than 5 times in 100, so a found mode can be believed.

Blocks that differ in level also make a histogram with two peaks, but say that the host changed, not that a
start goes two ways. So the test is made twice, on all values and on values less their block's median, with
the smaller p-value doubled; and of what is found it is told how much of it blocks explain.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MIN_FOR_MODES = 20
"""Fewer have no two peaks that could not be chance."""
MIN_IN_MODE = 4
"""Values of the smaller mode: fewer are outliers."""

OF_BLOCKS = 0.7
"""Share of the variance of "which mode" between blocks from which on the modes are kinds of blocks. Modes that
mix at random in blocks of four reach 0.25 on average."""

# Quantiles of sqrt(n) * dip of n uniform values.
_SIZES = ()
_TAILS = ()

_Floats: TypeAlias = NDArray[np.float64]


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
    """Places of the corners of the greatest convex function below (side 1), of the least concave above (-1)."""
    corners: list[int] = []
    for place in range(x.size):
        while len(corners) > 1:
            one, two = corners[-2:]
            turn = (x[two] - x[one]) * (y[place] - y[one]) - (y[two] - y[one]) * (x[place] - x[one])
            if side * turn > 0:
                break
            corners.pop()
        corners.append(place)
    return np.array(corners)

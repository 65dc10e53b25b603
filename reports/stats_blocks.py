"""What blocks say of a run: a trend over them, a first start that is slower, blocks that decide the figures.

All tests are of ranks: exact, or with chi-square for many values. None assumes a shape of the distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

MIN_FOR_TREND = 6
"""Blocks. Of five even a perfect order comes by chance 2 times in 120."""

_Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trend:
    """How block medians went."""

    p_value: float
    change: float
    """From the first block to the last, as a ratio less 1."""
    blocks: int


@dataclass(frozen=True, slots=True)
class Levels:
    """How blocks differ, in whatever order."""

    p_value: float
    share: float
    """Part of the variance of ranks that lies between blocks, beyond what chance puts there; at most 1."""
    spread: float
    """The greatest block median over the least, less 1."""
    blocks: int


@dataclass(frozen=True, slots=True)
class First:
    """The first value of each block against the others of the same block."""

    p_value: float
    excess: float
    """The first over the median of the others, less 1; the median over blocks."""
    blocks: int


def block_medians(
    values: Sequence[float], blocks: Sequence[int]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The blocks, ascending, and the median of each."""
    names = sorted(set(blocks))
    parts = _parts(values, blocks)
    return tuple(names), tuple(float(np.median(part)) for part in parts)


def trend(values: Sequence[float], blocks: Sequence[int]) -> Trend | None:
    """Whether block medians, which must be positive, rise or fall with the block's number.

    Kendall's tau with its exact two-sided p-value, and the Theil-Sen slope of the logarithms: Hollander,
    Wolfe and Chicken, Nonparametric Statistical Methods (2014), 8.1 and 9.3. None below
    :data:`MIN_FOR_TREND` blocks.
    """
    names, medians = block_medians(values, blocks)
    if len(names) < MIN_FOR_TREND:
        return None
    logs = np.log(medians)
    pairs = list(combinations(range(len(names)), 2))
    steps = np.array([(logs[late] - logs[early]) / (names[late] - names[early]) for early, late in pairs])
    score = int(np.sign(steps).sum())
    change = math.expm1(float(np.median(steps)) * (names[-1] - names[0]))
    return Trend(_kendall_p(score, len(names)), change, len(names))


def levels(values: Sequence[float], blocks: Sequence[int]) -> Levels | None:
    """Whether blocks differ: Kruskal and Wallis's test (same book, 6.1), and their part of the variance.

    That part is epsilon squared, (H - blocks + 1) / (n - blocks): Kelley, An unbiased correlation ratio
    measure, PNAS 21 (1935), on ranks. None for one block, and where each value is a block of its own.
    """
    parts = _parts(values, blocks)
    n = len(values)
    if len(parts) in {1, n}:
        return None
    ranks = _ranks(np.concatenate(parts))
    variance = float(ranks.var(ddof=1))
    if variance == 0:
        return None
    ends = np.cumsum([part.size for part in parts])[:-1]
    score = sum(part.size * (part.mean() - (n + 1) / 2) ** 2 for part in np.split(ranks, ends)) / variance
    _, medians = block_medians(values, blocks)
    return Levels(
        p_value=float(special.chdtrc(len(parts) - 1, score)),
        share=float(score - len(parts) + 1) / (n - len(parts)),
        spread=max(medians) / min(medians) - 1,
        blocks=len(parts),
    )


def first_of_block(values: Sequence[float], blocks: Sequence[int]) -> First | None:
    """Whether the first value of a block, in the order given, is greater than the others of its block.

    Its rank in the block is any one with equal chance if it is like the others; the sum of these ranks over
    blocks has an exact distribution (van Elteren, On the combination of independent two sample tests of
    Wilcoxon, Bulletin of the ISI 37 (1960)). One-sided; ties count as smaller. None where no block has two.
    """
    parts = [part for part in _parts(values, blocks) if part.size > 1]
    if not parts:
        return None
    ranks = [int((part[1:] < part[0]).sum()) for part in parts]
    chances = np.ones(1)
    for part in parts:
        chances = np.convolve(chances, np.full(part.size, 1 / part.size))
    excess = float(np.median([part[0] / np.median(part[1:]) - 1 for part in parts]))
    return First(min(1.0, float(chances[sum(ranks) :].sum())), excess, len(parts))


def _parts(values: Sequence[float], blocks: Sequence[int]) -> list[_Floats]:
    """The values of each block, in the order given."""
    data, labels = np.asarray(values, np.float64), np.asarray(blocks, np.int64)
    return [data[labels == name] for name in np.unique(labels)]


def _ranks(values: _Floats) -> _Floats:
    """From 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return np.asarray((ends - (counts - 1) / 2)[place])


def _kendall_p(score: int, n: int) -> float:
    """The chance of concordant less discordant pairs as far from 0 as ``score``, in an order by chance.

    Inserting the k-th value into an order of the others makes 0 … k-1 discordant pairs with equal chance.
    """
    chances = np.ones(1)
    for size in range(2, n + 1):
        chances = np.convolve(chances, np.full(size, 1 / size))
    scores = n * (n - 1) // 2 - 2 * np.arange(chances.size)
    return min(1.0, float(chances[np.abs(scores) >= abs(score)].sum()))

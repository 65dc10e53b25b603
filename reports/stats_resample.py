"""Quantiles of bootstrap resamples in two stages: blocks are drawn, then values within each drawn block.

Seeded with a constant: equal samples give equal resamples. Two ways lead to them.

**Few values a block**: every value is drawn and counted.

**Many**: nothing is drawn but the blocks, and from where in the drawn blocks the quantile comes. The k-th of
T values drawn from a distribution lies at a part of it that is Beta(k, T - k + 1) distributed, and the one
after it at a Beta(1, T - k) part of the rest (David and Nagaraja, Order Statistics (2003), 2.1 and 2.5). The
distribution is that of the drawn blocks together; as each of them gives as many values as it has, the part
scatters less than that, by the ratio of the variances of how many values lie at or below the quantile. For
one block this is the very same bootstrap. It takes milliseconds where drawing takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

MANY = 10
"""Values a block, on average, from which on they are not drawn one by one."""

RESAMPLES = 4000
"""The limits then move by under a tenth of the interval's width from one seed to another."""
MIN_RESAMPLES = 1000
"""By under a fifth."""
_DRAWS = 10_000_000
"""Values drawn for one figure, a quarter of a second's work: more than 2,500 values get fewer resamples."""
_CHUNK = 1_000_000
"""Values drawn at once: some 80 MB."""
_TABLE = 32_000_000
"""Entries of the table of a sample's values and groups: 128 MB."""
_SEED = 20_110
_PERMILLE = 1000

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grouped:
    """Values in ascending order, and which of them each group has."""

    values: Floats
    groups: tuple[int, ...]
    ranks: Ints
    """Positions in ``values``, group by group, ascending in each."""
    starts: Ints
    """Where in ``ranks`` each group begins."""
    sizes: Ints

    @property
    def crowded(self) -> bool:
        """Its groups have so many values that none need be drawn one by one."""
        values, groups = self.values.size, len(self.groups)
        return groups == 1 or (values >= MANY * groups and values * groups <= _TABLE)

    @property
    def width(self) -> int:
        """Numbers that one resample takes."""
        return len(self.groups) if self.crowded else self.values.size


def resampled(
    parts: Sequence[float], *samples: Grouped, resamples: int = RESAMPLES
) -> tuple[tuple[Floats, ...], ...]:
    """For each sample, for each part, that quantile of its resamples.

    The n-th resample of one goes with the n-th of another, and so do all parts of one; a part is the same
    whatever others are asked for. Samples of the same blocks are resampled by the same blocks: a block in
    which all was slow is then slow for both, and cancels where they are compared.
    """
    random = np.random.default_rng(_SEED)
    together = len({sample.groups for sample in samples}) == 1
    size = max(sample.width for sample in samples)
    resamples = min(resamples, max(MIN_RESAMPLES, _DRAWS // size))
    rows = max(1, min(resamples, _CHUNK // size))
    found: list[list[list[Floats]]] = [[[] for _ in parts] for _ in samples]
    for done in range(0, resamples, rows):
        shape = (min(rows, resamples - done), len(samples[0].groups))
        shared = random.integers(0, shape[1], shape)
        for number, (sample, quantiles) in enumerate(zip(samples, found, strict=True)):
            own = len(sample.groups)
            drawn = shared if together else random.integers(0, own, (shape[0], own))
            if sample.crowded:
                values = _by_order(parts, sample, drawn, (_SEED, done, number))
            else:
                values = _by_value(parts, sample, drawn, random)
            for quantile, of_rows in zip(quantiles, values, strict=True):
                quantile.append(of_rows)
    return tuple(tuple(map(np.concatenate, quantiles)) for quantiles in found)


def _by_value(
    parts: Sequence[float], sample: Grouped, drawn: Ints, random: np.random.Generator
) -> list[Floats]:
    """Those quantiles of each resample, a row of ``drawn``: as many values of each drawn group as it has."""
    sizes = sample.sizes[drawn]
    totals = sizes.sum(axis=1)
    group = np.repeat(drawn.ravel(), sizes.ravel())
    places = sample.starts[group] + (random.random(group.size) * sample.sizes[group]).astype(np.int64)
    # Sorting is not needed: how often each value was drawn, in ascending order, tells where it is.
    cells = np.repeat(np.arange(len(drawn)), totals) * sample.values.size + sample.ranks[places]
    counts = np.bincount(cells, minlength=len(drawn) * sample.values.size)
    reached = counts.reshape(len(drawn), -1).cumsum(axis=1)
    quantiles = []
    for part in parts:
        place = part * (totals - 1)
        lower, upper = (
            sample.values[(reached > whole[:, None]).argmax(axis=1)]
            for whole in (np.floor(place), np.ceil(place))
        )
        quantiles.append(np.asarray(lower + (upper - lower) * (place % 1)))
    return quantiles


def _by_order(parts: Sequence[float], sample: Grouped, drawn: Ints, seed: tuple[int, ...]) -> list[Floats]:
    """The same, by the distribution of order statistics."""
    found = _Drawn.of(sample, drawn)
    quantiles = []
    for part in parts:
        random = np.random.default_rng((*seed, round(_PERMILLE * part)))
        place = part * (found.totals - 1)
        whole = np.floor(place)
        lower = random.beta(whole + 1, found.totals - whole)
        upper = lower + (1 - lower) * random.beta(1, np.maximum(found.totals - whole - 1, 1))
        low, high = (sample.values[at] for at in found.places(whole, lower, upper))
        quantiles.append(np.asarray(low + (high - low) * (place - whole)))
    return quantiles


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Resamples of which it is known how often each group is in them; a row a resample."""

    times: Counts
    totals: Floats
    """Values in each."""
    sizes: Counts
    below: Counts
    """How many values of each group lie at or below each place in the values, a row a place."""

    @classmethod
    def of(cls, sample: Grouped, drawn: Ints) -> Self:
        rows, groups = drawn.shape
        cells = (np.arange(rows)[:, None] * groups + drawn).ravel()
        times = np.bincount(cells, minlength=rows * groups).reshape(rows, groups)
        below = np.zeros((sample.values.size, groups), np.float32)  # exact: fewer than 2^24 values
        below[sample.ranks, np.repeat(np.arange(groups), sample.sizes)] = 1
        np.cumsum(below, axis=0, out=below)
        counts = times.astype(np.float32), sample.sizes.astype(np.float32)
        return cls(counts[0], (times @ sample.sizes).astype(np.float64), counts[1], below)

    def places(self, whole: Floats, lower: Floats, upper: Floats) -> tuple[Ints, Ints]:
        """Where among the values the order statistics ``whole`` and the one after it lie.

        ``lower`` and ``upper`` are the parts they lie at in values drawn from all groups alike.
        """
        middle, after = (self.totals * (whole + more) / (self.totals + 1) for more in (1, 2))
        below = self.below[self._place(middle)]
        scatter = np.einsum("rg,rg->r", self.times, below * (1 - below / self.sizes))
        alike = middle * (1 - middle / self.totals)
        steadier = np.sqrt(np.minimum(1, scatter / alike)) if self.sizes.size > 1 else 1.0
        return (
            self._place(middle + (self.totals * lower - middle) * steadier),
            self._place(after + (self.totals * upper - after) * steadier),
        )

    def _place(self, targets: Floats) -> Ints:
        """For each resample the first place at or below which so many of its values lie; by bisection."""
        low, high = np.zeros(targets.size, np.int64), np.full(targets.size, len(self.below) - 1)
        for _ in range((len(self.below) - 1).bit_length()):
            middle = (low + high) // 2
            enough = np.einsum("rg,rg->r", self.times, self.below[middle]) >= targets
            high = np.where(enough, middle, high)
            low = np.where(enough, low, np.minimum(middle + 1, high))
        return high

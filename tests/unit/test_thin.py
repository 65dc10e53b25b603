"""Which of many values are drawn: few enough, the extremes among them, the same distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.reports.thin import note, spaced, thinned, thinned_by_block

VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=200)


@given(VALUES, st.integers(2, 50))
def test_kept_places_are_few_ascending_and_hold_the_least_and_the_greatest(
    values: list[float], most: int
) -> None:
    kept = thinned(values, most)

    assert len(kept) == min(len(values), most)
    assert kept == sorted(set(kept))
    shown = [values[at] for at in kept]
    assert (min(shown), max(shown)) == (min(values), max(values))


@given(VALUES, st.integers(2, 40), st.integers(1, 7))
def test_each_block_keeps_its_least_and_its_greatest(values: list[float], most: int, many: int) -> None:
    blocks = [place % many for place in range(len(values))]

    kept = thinned_by_block(values, blocks, most)

    assert len(kept) <= max(most, 2 * many)
    for block in set(blocks):
        own = [value for value, other in zip(values, blocks, strict=True) if other == block]
        shown = [values[at] for at in kept if blocks[at] == block]
        assert (min(shown), max(shown)) == (min(own), max(own))


def test_thinned_values_have_the_quartiles_of_all() -> None:
    values = np.random.default_rng(1).lognormal(size=20_000)

    shown = values[thinned(values.tolist(), 400)]

    for part in (0.25, 0.5, 0.75):
        assert np.quantile(shown, part) == pytest.approx(np.quantile(values, part), rel=0.02)


def test_ten_least_and_ten_greatest_of_a_hundred_kept_are_those_of_all() -> None:
    values = [float(number * 7919 % 10_007) for number in range(10_007)]

    shown = sorted(values[at] for at in thinned(values, 100, 10))

    assert shown[:10] == [float(number) for number in range(10)]
    assert shown[-10:] == [float(10_006 - number) for number in reversed(range(10))]


@given(st.integers(0, 1000), st.integers(1, 100))
def test_spaced_numbers_are_different_and_within_bounds(count: int, most: int) -> None:
    found = spaced(count, most)

    assert len(set(found)) == len(found) == min(count, most)
    assert all(0 <= number < count for number in found)


def test_picture_that_shows_every_point_says_nothing_of_thinning() -> None:
    assert note([400, 3], 400) == ""
    assert "at most 400 points are drawn, of up to 14,285" in note([12, 14_285], 400)

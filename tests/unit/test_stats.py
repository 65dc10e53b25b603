"""Statistics: known answers, and properties that hold for any sample."""

import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isobench.reports.stats import (
    MIN_FOR_INTERVAL,
    Estimate,
    Interval,
    distribution,
    median,
    ratio_of_medians,
    slope,
)

TIMES = st.floats(1e-6, 1e3, allow_nan=False)
SAMPLES = st.lists(TIMES, min_size=1, max_size=40)
BIG_SAMPLES = st.lists(TIMES, min_size=MIN_FOR_INTERVAL, max_size=40)
BYTES = st.integers(-(2**40), 2**40)
LEDGERS = st.lists(st.tuples(BYTES, BYTES, BYTES), min_size=8, max_size=8)
COUNTS = tuple((block, count) for block in (0, 1) for count in (1, 2, 4, 8))

quickly = settings(max_examples=40, deadline=None)


def near(value: float, other: float, scale: float = 1.0) -> bool:
    return math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-9 * scale)


def interval_of(estimate: Estimate) -> Interval:
    assert estimate.interval is not None
    return estimate.interval


def test_distribution_of_0_to_100_has_the_known_percentiles() -> None:
    found = distribution(range(101))

    assert (found.n, found.least, found.median.value, found.greatest) == (101, 0, 50, 100)
    assert (found.p90, found.p99) == (90, 99)


@pytest.mark.parametrize(("count", "p90", "p99"), [(9, False, False), (10, True, False), (100, True, True)])
def test_percentile_is_told_only_when_enough_values_carry_it(count: int, p90: bool, p99: bool) -> None:  # noqa: FBT001
    found = distribution(range(count))

    assert (found.p90 is not None, found.p99 is not None) == (p90, p99)


def test_median_of_four_values_has_no_interval_and_of_five_has_one() -> None:
    assert median([1, 2, 3, 4]).interval is None
    assert median([1, 2, 3, 4, 5]).interval == Interval(1, 5)


def test_median_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = sum(
        math.log(2) in interval_of(median(random.exponential(size=20))) for _ in range(200)
    )  # fixed seed: the count is always the same

    assert 180 <= hits <= 200


def test_slope_of_a_line_with_an_offset_in_each_group_is_exact() -> None:
    points = [(block, n, 100.0 * n + 1e6 * block) for block, n in COUNTS]

    found = slope(points)

    assert near(found.value, 100)
    assert near(interval_of(found).low, 100)


def test_slope_and_interval_agree_with_a_regression_worked_by_hand() -> None:
    # x = 1, 2, 3, 4 and y = 2, 4, 5, 8: slope 9.5/5, residual sum of squares 0.7, t(2) = 4.30265.
    found = slope([("a", x, y) for x, y in zip((1, 2, 3, 4), (2, 4, 5, 8), strict=True)])

    half = 4.302652729911275 * math.sqrt(0.7 / 2 / 5)
    assert near(found.value, 1.9)
    assert near(interval_of(found).low, 1.9 - half)
    assert near(interval_of(found).high, 1.9 + half)


def test_slope_of_two_points_has_no_interval() -> None:
    assert slope([("a", 1, 1), ("a", 2, 5)]) == Estimate(4, None)


def test_slope_over_one_x_is_refused() -> None:
    with pytest.raises(ValueError, match="two different x"):
        slope([("a", 1, 1), ("b", 2, 5)])


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf, 1.0]])
@pytest.mark.parametrize(
    "figure",
    [
        distribution,
        median,
        lambda values: ratio_of_medians(values, [1.0]),
        lambda values: ratio_of_medians([1.0], values),
        lambda values: slope([("a", value, value) for value in values]),
    ],
)
def test_nothing_and_what_is_no_number_are_refused(
    figure: Callable[[list[float]], object], bad: list[float]
) -> None:
    with pytest.raises(ValueError, match=r"no values|NaN or infinite"):
        figure(bad)


@pytest.mark.parametrize(("values", "floor"), [([0.0], [1.0]), ([1.0], [-1.0, 2.0, 3.0])])
def test_ratio_of_what_is_not_positive_is_refused(values: list[float], floor: list[float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ratio_of_medians(values, floor)


@quickly
@given(SAMPLES, st.randoms())
def test_distribution_does_not_depend_on_the_order(values: list[float], random: Random) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)

    assert distribution(shuffled) == distribution(values)


@quickly
@given(SAMPLES)
def test_distribution_is_ordered_from_least_to_greatest(values: list[float]) -> None:
    found = distribution(values)
    told = [found.least, found.median.value, found.p90, found.p99, found.greatest]

    present = [value for value in told if value is not None]
    assert present == sorted(present)


@quickly
@given(BIG_SAMPLES)
def test_interval_contains_its_median_and_stays_within_the_values(values: list[float]) -> None:
    found = median(values)

    assert found.value in interval_of(found)
    assert min(values) <= interval_of(found).low
    assert interval_of(found).high <= max(values)


@quickly
@given(BIG_SAMPLES, st.sampled_from([2.0, 0.25, 1024.0]), st.integers(-100, 100))
def test_median_and_interval_follow_scale_and_shift(values: list[float], scale: float, shift: int) -> None:
    plain, moved = median(values), median(scale * value + shift for value in values)

    size = abs(shift) + scale * max(values)
    assert near(moved.value, scale * plain.value + shift, size)
    assert near(interval_of(moved).low, scale * interval_of(plain).low + shift, size)
    assert near(interval_of(moved).high, scale * interval_of(plain).high + shift, size)


@quickly
@given(BIG_SAMPLES, BIG_SAMPLES)
def test_ratio_lies_in_its_interval_and_does_not_depend_on_the_unit(
    values: list[float], floor: list[float]
) -> None:
    found = ratio_of_medians(values, floor)

    assert found.value in interval_of(found)
    assert ratio_of_medians([v * 1024 for v in values], [v * 1024 for v in floor]) == found


@quickly
@given(LEDGERS)
def test_slopes_of_parts_add_up_to_the_slope_of_their_sum(parts: list[tuple[int, int, int]]) -> None:
    rows = list(zip(COUNTS, parts, strict=True))
    single = [slope((block, n, part[owner]) for (block, n), part in rows).value for owner in range(3)]
    total = slope((block, n, sum(part)) for (block, n), part in rows).value

    assert near(sum(single), total, 2**40)


@quickly
@given(st.lists(BYTES, min_size=8, max_size=8), st.integers(-(2**30), 2**30))
def test_slope_does_not_see_an_offset_of_a_group_and_contains_its_value(ys: list[int], offset: int) -> None:
    points = [(block, n, float(y)) for (block, n), y in zip(COUNTS, ys, strict=True)]
    found = slope(points)
    moved = slope((block, n, y + offset * block) for block, n, y in points)

    assert near(found.value, moved.value, 2**40)
    assert found.value in interval_of(found)

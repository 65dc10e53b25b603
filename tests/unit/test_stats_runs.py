import math
from collections.abc import Sequence
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from isobench.reports.stats import Estimate, Interval, ratio_of_medians
from isobench.reports.stats_runs import (
    difference_between_runs,
    difference_of_estimates,
    median_by_rank,
    ratio_between_runs,
    ratio_of_estimates,
    sen_slope,
)


def drawn(seed: int, blocks: int = 8, each: int = 10, between: float = 0.3) -> tuple[list[float], list[int]]:
    random = np.random.default_rng(seed)
    block = np.repeat(np.arange(blocks), each)
    values = np.exp(random.normal(0, between, blocks)[block] + random.normal(0, 0.05, block.size))
    return values.tolist(), block.tolist()


def width(found: Estimate) -> float:
    assert found.interval is not None
    return found.interval.high - found.interval.low


def test_blocks_of_two_runs_are_not_paired_though_they_have_the_same_numbers() -> None:
    values, blocks = drawn(1)
    # The very same values: paired by block every resample would give 1.
    assert width(ratio_of_medians(values, blocks, values, blocks)) < 0.1
    assert width(ratio_between_runs(values, blocks, values, blocks)) > 0.3
    assert width(difference_between_runs(values, blocks, values, blocks)) > 0.3


def test_ratio_and_difference_between_runs_are_of_their_medians() -> None:
    (values, blocks), (base, base_blocks) = drawn(1), drawn(2, blocks=5)
    ratio = ratio_between_runs(values, blocks, base, base_blocks)
    difference = difference_between_runs(values, blocks, base, base_blocks)
    assert ratio.value == pytest.approx(median(values) / median(base))
    assert difference.value == pytest.approx(median(values) - median(base))
    assert ratio.interval is not None
    assert ratio.value in ratio.interval
    assert difference.interval is not None
    assert difference.value in difference.interval


def test_too_few_values_have_a_difference_and_no_interval() -> None:
    assert difference_between_runs([1.0, 2.0], [0, 0], [1.0] * 9, [0] * 9) == Estimate(0.5, None)


@pytest.mark.parametrize("between", [0.0, 0.05])
def test_interval_between_runs_covers_the_true_ratio_as_often_as_it_says(between: float) -> None:
    held = 0
    for seed in range(150):
        (values, blocks), (base, base_blocks) = (
            drawn(1000 * side + seed, between=between) for side in (1, 2)
        )
        found = ratio_between_runs(values, blocks, base, base_blocks, 1000)
        assert found.interval is not None
        held += 1.0 in found.interval
    # 95 %, give or take what 150 trials leave open (99.9 % of a binomial), and no miracle either.
    assert held >= scipy_stats.binom.ppf(0.001, 150, 0.93)


_VALUE = st.floats(0.5, 2.0)
_PART = st.floats(0.01, 0.4)


@given(_VALUE, _PART, _VALUE, _PART)
def test_limits_made_of_two_intervals_hold_their_value(a: float, da: float, b: float, db: float) -> None:
    above = Estimate(a, Interval(a * (1 - da), a * (1 + da)))
    below = Estimate(b, Interval(b * (1 - db), b * (1 + db)))
    for found in (ratio_of_estimates(above, below), difference_of_estimates(above, below)):
        assert found.interval is not None
        assert found.interval.low < found.value < found.interval.high


def test_ratio_of_estimates_is_that_of_logarithms_where_both_are_exact() -> None:
    random = np.random.default_rng(5)
    one, other = random.normal(3.0, 0.05, 200_000), random.normal(2.0, 0.04, 200_000)
    low, high = np.percentile(one / other, [2.5, 97.5])
    found = ratio_of_estimates(
        Estimate(3.0, Interval(3.0 - 1.96 * 0.05, 3.0 + 1.96 * 0.05)),
        Estimate(2.0, Interval(2.0 - 1.96 * 0.04, 2.0 + 1.96 * 0.04)),
    )
    assert found.interval is not None
    assert found.interval.low == pytest.approx(low, abs=2e-3)
    assert found.interval.high == pytest.approx(high, abs=2e-3)


def test_difference_of_estimates_adds_distances_as_standard_errors() -> None:
    found = difference_of_estimates(Estimate(5.0, Interval(2.0, 8.0)), Estimate(1.0, Interval(-3.0, 5.0)))
    assert found == Estimate(4.0, Interval(-1.0, 9.0))


@pytest.mark.parametrize(
    ("above", "below"),
    [
        (Estimate(1.0, None), Estimate(1.0, Interval(0.9, 1.1))),
        (Estimate(1.0, Interval(-0.1, 2.0)), Estimate(1.0, Interval(0.9, 1.1))),
        (Estimate(1.0, Interval(0.9, 1.1)), Estimate(1.0, Interval(0.5, 2.5))),
    ],
)
def test_ratio_of_estimates_that_may_be_nothing_has_no_interval(above: Estimate, below: Estimate) -> None:
    assert ratio_of_estimates(above, below) == Estimate(1.0, None)


@pytest.mark.parametrize("n", [1, 5, 6, 7, 20, 21, 100, 999, 1000, 10_000])
def test_interval_by_rank_is_the_narrowest_that_covers_the_median(n: int) -> None:
    found = median_by_rank([float(value) for value in range(n)])
    assert found.value == (n - 1) / 2
    coverage = {place: 1 - 2 * float(scipy_stats.binom.cdf(place, n, 0.5)) for place in range(n // 2)}
    fit = [place for place, share in coverage.items() if share >= 0.95]
    assert found.interval == (Interval(float(max(fit)), float(n - 1 - max(fit))) if fit else None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_interval_by_rank_does_not_depend_on_order_and_lies_among_the_values(values: list[float]) -> None:
    found = median_by_rank(values)
    assert found == median_by_rank(sorted(values, reverse=True))
    if found.interval is not None:
        assert found.interval.low in values
        assert found.interval.low <= found.value <= found.interval.high


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_median_of_nothing_and_of_what_is_no_number(values: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="no values"):
        median_by_rank(values)


def test_slope_is_found_though_blocks_differ_and_a_reading_is_far_off() -> None:
    x = [1.0, 2.0, 4.0, 8.0] * 3
    blocks = [place // 4 for place in range(12)]
    y = [100.0 * block + 5.0 * at for block, at in zip(blocks, x, strict=True)]
    y[3] += 1000.0
    assert sen_slope(blocks, x, y) == pytest.approx(5.0)


def test_slope_of_readings_at_one_number_only_is_none() -> None:
    assert sen_slope([0, 0, 1], [2.0, 2.0, 4.0], [1.0, 2.0, 3.0]) is None

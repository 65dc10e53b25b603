"""What blocks say: against another implementation of the same tests, and worked by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from isobench.reports.stats_blocks import First, block_medians, first_of_block, levels, trend


def grid(blocks: int, values: int) -> list[int]:
    return [block for block in range(blocks) for _ in range(values)]


def test_block_medians_stand_in_the_order_of_the_blocks() -> None:
    assert block_medians([5, 1, 3, 2], [7, 2, 7, 2]) == ((2, 7), (1.5, 4))


def test_trend_has_the_p_value_of_kendalls_exact_test_and_the_slope_of_theil_and_sen() -> None:
    values = np.exp(np.random.default_rng(4).normal(0, 0.1, 9)) * (1 + 0.05 * np.arange(9))
    known = stats.kendalltau(np.arange(9), values, method="exact")
    slope = stats.theilslopes(np.log(values), np.arange(9)).slope

    found = trend(values.tolist(), range(9))

    assert found
    assert found.p_value == pytest.approx(known.pvalue)
    assert found.change == pytest.approx(math.expm1(8 * slope))
    assert found.blocks == 9


def test_trend_of_a_perfect_order_of_six_blocks_comes_by_chance_twice_in_720() -> None:
    found = trend([1, 2, 3, 4, 5, 6], range(6))

    assert found
    assert found.p_value == pytest.approx(2 / 720)


def test_five_blocks_have_no_trend() -> None:
    assert trend([1, 2, 3, 4, 5], range(5)) is None


def test_levels_have_the_p_value_of_kruskal_and_wallis_with_ties() -> None:
    random = np.random.default_rng(4)
    parts = [np.round(random.normal(size, 1, 8), 1) for size in (5, 6, 7)]
    known = stats.kruskal(*parts)

    found = levels(np.concatenate(parts).tolist(), grid(3, 8))

    assert found
    assert found.p_value == pytest.approx(known.pvalue)
    assert found.share == pytest.approx((known.statistic - 2) / (24 - 3))


@pytest.mark.parametrize(
    ("values", "blocks"), [([1, 2, 3], [0, 0, 0]), ([1, 2, 3], [0, 1, 2]), ([1, 1], [0, 1])]
)
def test_levels_of_one_block_and_of_single_values_are_not_told(
    values: list[float], blocks: list[int]
) -> None:
    assert levels(values, blocks) is None


def test_levels_of_equal_values_are_not_told() -> None:
    assert levels([1, 1, 1, 1], [0, 0, 1, 1]) is None


def test_first_that_is_greatest_in_five_blocks_of_four_comes_by_chance_once_in_1024() -> None:
    found = first_of_block([1.5, 1, 1, 1.1] * 5, grid(5, 4))

    assert found
    assert found.p_value == pytest.approx(4**-5)
    assert found.excess == pytest.approx(0.5)


def test_first_that_ties_counts_as_smaller() -> None:
    assert first_of_block([1, 1, 1, 1] * 5, grid(5, 4)) == First(1.0, 0.0, 5)


def test_first_of_blocks_of_one_value_is_not_told() -> None:
    assert first_of_block([1, 2, 3], [0, 1, 2]) is None


def test_first_that_is_like_the_others_reaches_the_level_no_more_often_than_it_says() -> None:
    random = np.random.default_rng(1)  # fixed seed: the count is always the same
    p_values = [
        found.p_value
        for _ in range(1000)
        if (found := first_of_block(random.random(30).tolist(), grid(10, 3)))
    ]

    assert sum(p_value < 0.05 for p_value in p_values) <= 65

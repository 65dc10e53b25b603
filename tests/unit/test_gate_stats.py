"""The gate's statistics: against enumeration, against other implementations, and against themselves."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from isobench.reports import gate_stats
from isobench.reports.gate_stats import (
    blocks_for,
    detectable_factor,
    hodges_lehmann,
    holm,
    median_variance,
    p_above,
    p_below,
    serial,
    spread,
    spread_by_pairs,
    walsh,
)

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=25)
COARSE = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=1, max_size=9)
"""With ties and zeros, in quarters: their sums are exact."""


def enumerated(d: list[float]) -> float:
    """P of a sum of positive ranks as great as that of d, over all signs."""
    ranks = stats.rankdata(np.abs(d))
    seen = sum(rank for rank, value in zip(ranks, d, strict=True) if value > 0)
    sums = [np.dot(ranks, signs) for signs in product((0, 1), repeat=len(d))]
    return float(np.mean(np.array(sums) >= seen - 1e-9))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=10, unique_by=lambda x: round(x, 6)), st.data())
def test_exact_p_without_ties_is_that_of_all_signs_enumerated(
    sizes: list[float], data: st.DataObject
) -> None:
    signs = data.draw(st.lists(st.sampled_from((-1, 1)), min_size=len(sizes), max_size=len(sizes)))
    d = [sign * size for sign, size in zip(signs, sizes, strict=True)]

    assert float(p_above(walsh(d), 0.0)) == pytest.approx(enumerated(d), rel=1e-12)


@given(COARSE, st.integers(-4, 4))
def test_test_with_ties_and_zeros_keeps_its_level_over_all_signs(d: list[float], quarter: int) -> None:
    # Under the hypothesis every sign of a distance from the limit is as likely as the other.
    limit = quarter / 4
    distances = np.abs(np.array(d) - limit)
    signs = np.array(list(product((-1, 1), repeat=len(d))))
    ps = p_above(walsh(limit + distances * signs), limit)

    for p in np.unique(ps):
        assert (ps <= p).mean() <= p + 1e-12


@pytest.mark.parametrize("n", [5, 12, 20, 40])
def test_p_is_that_of_scipys_exact_test_where_there_are_no_ties(n: int) -> None:
    d = np.random.default_rng(n).normal(0.2, 1, n)
    averages = walsh(d)

    for limit in (-0.3, 0.0, 0.2, 0.9):
        above = stats.wilcoxon(d - limit, alternative="greater", method="exact").pvalue
        below = stats.wilcoxon(d - limit, alternative="less", method="exact").pvalue
        assert float(p_above(averages, limit)) == pytest.approx(above)
        assert float(p_below(averages, limit)) == pytest.approx(below)


@given(VALUES)
def test_interval_excludes_a_value_exactly_when_the_test_there_rejects(d: list[float]) -> None:
    averages = walsh(d)
    interval = hodges_lehmann(d).interval
    assert interval is not None

    values = np.array([*averages, *(averages + 1e-3), averages[0] - 1, averages[-1] + 1, 0.0])
    every = np.broadcast_to(averages, (values.size, averages.size))
    rejected = np.minimum(p_above(every, values), p_below(every, values)) <= 0.025
    assert (rejected == ((values < interval.low) | (values > interval.high))).all()


@given(VALUES, st.floats(-1e6, 1e6))
def test_estimate_moves_with_the_values(d: list[float], by: float) -> None:
    moved = hodges_lehmann(np.array(d) + by)
    still = hodges_lehmann(d)

    assert moved.value == pytest.approx(still.value + by, rel=1e-9, abs=1e-6)
    assert moved.interval is not None
    assert still.interval is not None
    assert moved.interval.low == pytest.approx(still.interval.low + by, rel=1e-9, abs=1e-6)


@given(VALUES, st.floats(-100, 100))
def test_everything_is_mirrored_when_the_values_are(d: list[float], limit: float) -> None:
    there, back = hodges_lehmann(d), hodges_lehmann([-value for value in d])

    assert back.value == -there.value
    assert there.interval is not None
    assert back.interval is not None
    assert (back.interval.low, back.interval.high) == (-there.interval.high, -there.interval.low)
    mirrored = p_below(walsh([-value for value in d]), -limit)
    assert float(p_above(walsh(d), limit)) == float(mirrored)


@given(VALUES, st.floats(0, 100), st.floats(0, 100), st.data())
def test_p_falls_with_greater_values_and_rises_with_a_greater_limit(
    d: list[float], limit: float, more: float, data: st.DataObject
) -> None:
    risen = [value + data.draw(st.floats(0, 100)) for value in d]
    averages = walsh(d)

    assert float(p_above(walsh(risen), limit)) <= float(p_above(averages, limit))
    assert float(p_above(averages, limit + more)) >= float(p_above(averages, limit))


def test_estimate_is_the_median_of_all_pairwise_averages_worked_by_hand() -> None:
    # 1, 2, 6: averages 1, 1.5, 2, 3.5, 4, 6.
    assert hodges_lehmann([6.0, 1.0, 2.0]).value == 2.75
    assert hodges_lehmann([6.0, 1.0, 2.0]).interval is None


def test_five_values_carry_no_interval_and_six_are_told_from_end_to_end() -> None:
    assert hodges_lehmann([1, 2, 3, 4, 5]).interval is None
    six = hodges_lehmann([1, 2, 3, 4, 5, 6]).interval
    assert six is not None
    assert (six.low, six.high) == (1, 6)


@pytest.mark.parametrize(
    "d", [[], [1.0, math.nan], [1.0, math.inf], [-math.inf, 2.0]], ids=["none", "nan", "inf", "-inf"]
)
def test_no_values_and_values_that_are_no_numbers_are_errors(d: list[float]) -> None:
    for function in (walsh, hodges_lehmann, spread, serial):
        with pytest.raises(ValueError, match=r"no values|NaN or infinite"):
            function(d)


@settings(max_examples=30)  # theirs takes a tenth of a second
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels_and_rejects_nothing_that_the_plain_p_does_not(p: list[float]) -> None:
    adjusted = holm(p)

    assert adjusted == pytest.approx(multipletests(p, method="holm")[1])
    assert (adjusted >= p).all()


def test_holm_of_none_is_none_and_of_what_is_no_p_value_an_error() -> None:
    assert holm([]).size == 0
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="not between 0 and 1"):
            holm([0.5, wrong])


def test_spread_is_a_standard_deviation_that_one_wild_value_does_not_move() -> None:
    normal = stats.norm.ppf((np.arange(999) + 0.5) / 999)

    assert spread(normal) == pytest.approx(1, rel=0.01)
    assert spread([*normal, 1e9]) == pytest.approx(1, rel=0.01)


def test_spread_is_not_nothing_where_more_than_half_of_the_values_are_equal() -> None:
    assert spread([0, 0, 0, 0, 1]) == pytest.approx(1.2533 / 5)
    assert spread([3, 3, 3]) == 0


def test_spread_by_pairs_is_a_standard_deviation_that_a_few_wild_values_hardly_move() -> None:
    normal = stats.norm.ppf((np.arange(999) + 0.5) / 999)

    assert spread_by_pairs(normal) == pytest.approx(1, rel=0.01)
    assert spread_by_pairs([*normal, *[1e9] * 20]) == pytest.approx(1, rel=0.05)
    assert spread_by_pairs([7.0]) == 0


@pytest.mark.parametrize("count", [1, 3, 4, 5, 10, 31])
def test_variance_of_a_median_is_that_of_normal_values(count: int) -> None:
    values = np.random.default_rng(2).normal(size=(100_000, count))

    assert median_variance(count) == pytest.approx(float(np.median(values, axis=1).var()), rel=0.03)


def test_detectable_change_of_20_blocks_is_057_standard_deviations_beyond_the_limit() -> None:
    assert detectable_factor(20, alpha=0.05) == pytest.approx(0.57, abs=0.005)


@given(st.floats(0.05, 3), st.sampled_from((0.5, 0.8, 0.95)))
def test_blocks_for_are_the_fewest_that_detect_the_change(sigmas: float, power: float) -> None:
    blocks = blocks_for(sigmas, alpha=0.05, power=power)

    assert detectable_factor(blocks, alpha=0.05, power=power) <= sigmas * (1 + 1e-9)
    assert blocks == 1 or detectable_factor(blocks - 1, alpha=0.05, power=power) > sigmas


def test_serial_correlation_of_a_drift_is_seen_and_of_shuffled_values_is_not() -> None:
    drift = list(range(20))
    shuffled = np.random.default_rng(5).permutation(20).tolist()

    assert serial(drift) == pytest.approx((1, 0), abs=0.02)
    assert serial(shuffled)[1] > 0.05
    assert serial([1.0] * 20) == (0.0, 1.0)
    assert serial([1.0, 2.0]) == (0.0, 1.0)


def test_serial_correlation_rejects_as_often_as_it_says() -> None:
    random = np.random.default_rng(6)
    ps = np.array([serial(random.normal(size=20).tolist())[1] for _ in range(2000)])

    for level in (0.01, 0.05, 0.2):
        assert abs((ps < level).mean() - level) <= 3 * math.sqrt(level * (1 - level) / 2000) + 0.003


def test_null_distribution_of_many_blocks_is_normal_as_theory_has_it() -> None:
    n = 60
    tail = gate_stats._upper_tail(n * (n + 1) // 2)
    mean, sd = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)

    assert tail[0] == 1
    assert tail[int(mean + 1.645 * sd)] == pytest.approx(0.05, abs=0.002)

"""Statistics: known answers, and properties that hold for any sample."""

import math
from collections.abc import Callable, Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from isobench.reports import stats, stats_resample
from isobench.reports.stats import (
    MIN_FOR_INTERVAL,
    Estimate,
    Interval,
    distribution,
    ecdf,
    median,
    percentiles,
    ratio_of_medians,
)
from isobench.reports.stats_resample import Grouped

TIMES = st.floats(1e-6, 1e3, allow_nan=False)
SAMPLES = st.lists(TIMES, min_size=1, max_size=40)
BLOCKED = st.lists(st.tuples(TIMES, st.integers(0, 6)), min_size=MIN_FOR_INTERVAL, max_size=40)

quickly = settings(max_examples=40, deadline=None)


def near(value: float, other: float, scale: float = 1.0) -> bool:
    return math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-9 * scale)


def columns(rows: list[tuple[float, int]]) -> tuple[list[float], list[int]]:
    return [value for value, _ in rows], [block for _, block in rows]


def one(values: Iterable[float]) -> tuple[list[float], list[int]]:
    """The values, all of one block."""
    listed = list(values)
    return listed, [0] * len(listed)


def width(estimate: Estimate) -> float:
    return interval_of(estimate).high - interval_of(estimate).low


def interval_of(estimate: Estimate) -> Interval:
    assert estimate.interval is not None
    return estimate.interval


def test_distribution_of_0_to_100_has_the_known_percentiles() -> None:
    found = distribution(*one(range(101)))

    assert (found.n, found.least, found.median.value, found.greatest) == (101, 0, 50, 100)
    assert found.p90
    assert found.p99
    assert (found.p90.value, found.p99.value) == (90, 99)


@pytest.mark.parametrize(
    ("count", "told"),
    [(9, []), (10, [90]), (99, [90]), (100, [90, 99]), (999, [90, 99]), (1000, [90, 99, 99.9])],
)
def test_percentile_is_told_only_when_enough_values_carry_it(count: int, told: list[float]) -> None:
    found = distribution(*one(range(count)))

    present = {90: found.p90, 99: found.p99, 99.9: found.p999}
    assert [part for part, value in present.items() if value] == told


@pytest.mark.parametrize(("count", "carried"), [(34, False), (35, True)])
def test_interval_of_p90_needs_values_beyond_it(count: int, carried: bool) -> None:  # noqa: FBT001
    p90 = distribution(*one(range(count))).p90

    assert p90
    assert (p90.interval is not None) == carried


def test_p90_interval_covers_the_true_p90_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(200):  # fixed seed: the count is always the same
        p90 = distribution(*one(random.exponential(size=100))).p90
        assert p90
        hits += math.log(10) in interval_of(p90)

    assert 180 <= hits <= 200


def test_ecdf_has_each_different_value_with_the_share_at_or_below_it() -> None:
    assert ecdf([3, 1, 2, 2]) == ((1, 0.25), (2, 0.75), (3, 1))


def test_median_of_four_values_has_no_interval_and_of_five_has_one() -> None:
    assert median(*one([1, 2, 3, 4])).interval is None
    assert median(*one([1, 2, 3, 4, 5])).interval == Interval(1, 5)


def test_median_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = sum(
        math.log(2) in interval_of(median(*one(random.exponential(size=20)))) for _ in range(200)
    )  # fixed seed: the count is always the same

    assert 180 <= hits <= 200


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf, 1.0]])
@pytest.mark.parametrize(
    "figure",
    [
        lambda values: distribution(*one(values)),
        lambda values: median(*one(values)),
        lambda values: ratio_of_medians(*one(values), *one([1.0])),
        lambda values: ratio_of_medians(*one([1.0]), *one(values)),
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
        ratio_of_medians(*one(values), *one(floor))


def test_group_for_each_value_is_asked_for() -> None:
    with pytest.raises(ValueError, match="3 values, but groups for 2"):
        median([1, 2, 3], [0, 0])


@pytest.mark.parametrize("groups", [[3] * 21, list(range(21))], ids=["one", "each its own"])
def test_one_group_and_groups_of_one_are_the_plain_bootstrap(groups: list[int]) -> None:
    # The middle of 21 values drawn from 0 to 20 is at most k when 11 of them are: binomial, no chance in it.
    at_most = [float(binom.sf(10, 21, (k + 1) / 21)) for k in range(21)]
    low, high = (next(k for k in range(21) if at_most[k] > part) for part in (0.025, 0.975))

    assert median(range(21), groups).interval == Interval(low, high)


def test_interval_is_wider_when_groups_differ_strongly() -> None:
    groups = [block for block in range(5) for _ in range(4)]
    values = [block + number / 100 for block in range(5) for number in range(4)]

    assert width(median(values, groups)) > 1.5 * width(median(*one(values)))


def test_interval_covers_the_true_median_far_more_often_when_it_knows_the_blocks() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(5), 4)
    plain = staged = 0
    for _ in range(200):  # fixed seed: the counts are always the same
        values = 1 + random.normal(0, 0.2, 5)[groups] + random.normal(0, 0.1, 20)
        plain += 1 in interval_of(median(*one(values)))
        staged += 1 in interval_of(median(values, groups))

    assert plain < 160
    assert 170 < staged <= 200


def test_drift_that_hit_both_samples_alike_cancels_in_their_ratio() -> None:
    groups = [block for block in range(5) for _ in range(4)]
    floor = [1 + block + number / 100 for block in range(5) for number in range(4)]
    values = [2 * value for value in floor]

    together = ratio_of_medians(values, groups, floor, groups)
    apart = ratio_of_medians(values, groups, floor, [group + 5 for group in groups])

    assert together.value == apart.value == 2
    assert width(together) < width(apart) / 5


def test_many_values_get_fewer_resamples_and_the_same_interval_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(25), 8)
    values = random.normal(0, 0.2, 25)[groups] + random.normal(0, 0.1, 200)
    full = median(values, groups)
    monkeypatch.setattr(stats, "_KNOWN", {})
    monkeypatch.setattr(stats_resample, "_DRAWS", 1)
    monkeypatch.setattr(stats_resample, "_CHUNK", 1)

    few = median(values, groups)

    assert few != full
    assert abs(interval_of(few).low - interval_of(full).low) < width(full) / 5
    assert abs(interval_of(few).high - interval_of(full).high) < width(full) / 5


@pytest.mark.parametrize(("blocks", "values_each"), [(1, 12), (5, 10), (10, 100), (50, 40), (20, 500)])
@pytest.mark.parametrize("apart", [0.0, 0.3])
def test_order_statistics_give_the_intervals_that_drawing_every_value_gives(
    monkeypatch: pytest.MonkeyPatch, blocks: int, values_each: int, apart: float
) -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(blocks), values_each)
    values = np.exp(random.normal(0, apart, blocks)[groups] + random.normal(0, 0.1, groups.size))
    by_order = distribution(values, groups)
    monkeypatch.setattr(stats, "_KNOWN", {})
    monkeypatch.setattr(Grouped, "crowded", property(lambda _: False))

    by_value = distribution(values, groups)

    for name in ("median", "p90", "p99", "p999"):
        one_way, other = getattr(by_order, name), getattr(by_value, name)
        assert (one_way is None) == (other is None)
        if other and other.interval:
            assert one_way.value == other.value
            slack = 0.2 * width(other)
            assert interval_of(one_way).low == pytest.approx(other.interval.low, abs=slack)
            assert interval_of(one_way).high == pytest.approx(other.interval.high, abs=slack)


def test_median_is_the_same_whatever_else_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    values, groups = np.random.default_rng(1).lognormal(size=400), np.repeat(np.arange(10), 40)
    alone = median(values, groups)
    assert percentiles(values, groups).median == alone

    monkeypatch.setattr(stats, "_KNOWN", {})

    found = distribution(values, groups)
    assert found.median == alone
    assert found.p90
    assert percentiles(values, groups).p90 == Estimate(found.p90.value, None)


def test_samples_of_many_values_in_the_same_blocks_are_resampled_by_the_same_blocks() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(8), 50)
    floor = np.exp(random.normal(0, 0.5, 8)[groups] + random.normal(0, 0.01, 400))

    together = ratio_of_medians(2 * floor, groups, floor, groups)
    apart = ratio_of_medians(2 * floor, groups, floor, groups + 8)

    assert width(together) < width(apart) / 5


@quickly
@given(st.lists(st.tuples(TIMES, st.integers(0, 6)), min_size=1, max_size=40), st.randoms())
def test_distribution_does_not_depend_on_the_order(rows: list[tuple[float, int]], random: Random) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)

    assert distribution(*columns(shuffled)) == distribution(*columns(rows))


@quickly
@given(SAMPLES)
def test_distribution_is_ordered_from_least_to_greatest(values: list[float]) -> None:
    found = distribution(*one(values))
    told = [found.median, found.p90, found.p99, found.p999]

    present = [found.least, *(each.value for each in told if each), found.greatest]
    assert present == sorted(present)


@quickly
@given(BLOCKED)
def test_interval_contains_its_median_and_stays_within_the_values(rows: list[tuple[float, int]]) -> None:
    values, groups = columns(rows)
    found = median(values, groups)

    assert found.value in interval_of(found)
    assert min(values) <= interval_of(found).low
    assert interval_of(found).high <= max(values)


@quickly
@given(BLOCKED, st.sampled_from([2.0, 0.25, 1024.0]), st.integers(-100, 100))
def test_median_and_interval_follow_scale_and_shift(
    rows: list[tuple[float, int]], scale: float, shift: int
) -> None:
    values, groups = columns(rows)
    plain, moved = median(values, groups), median((scale * value + shift for value in values), groups)

    size = abs(shift) + scale * max(values)
    assert near(moved.value, scale * plain.value + shift, size)
    assert near(interval_of(moved).low, scale * interval_of(plain).low + shift, size)
    assert near(interval_of(moved).high, scale * interval_of(plain).high + shift, size)


@quickly
@given(BLOCKED, BLOCKED)
def test_ratio_lies_in_its_interval_and_depends_neither_on_the_unit_nor_on_the_order(
    rows: list[tuple[float, int]], floor: list[tuple[float, int]]
) -> None:
    found = ratio_of_medians(*columns(rows), *columns(floor))
    larger = [[(1024 * value, block) for value, block in reversed(side)] for side in (rows, floor)]

    assert found.value in interval_of(found)
    assert ratio_of_medians(*columns(larger[0]), *columns(larger[1])) == found

"""Robust lines of a ledger: known answers, parts that add up, and what a disturbed reading does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isobench.reports.stats import Estimate, Interval
from isobench.reports.stats_lines import Lines, slopes

COUNTS = (1, 2, 4, 8)
BYTES = st.integers(-(2**40), 2**40)

quickly = settings(max_examples=20, deadline=None)


def ledger(blocks: int) -> tuple[list[int], list[float]]:
    """Block and number of instances of each reading."""
    return [b for b in range(blocks) for _ in COUNTS], [float(n) for _ in range(blocks) for n in COUNTS]


def made(
    blocks: int, random: np.random.Generator, *, slope_spread: float = 0, disturbed: float = 0
) -> tuple[list[int], list[float], dict[str, list[float]]]:
    """A ledger of 1000 + 100 n with noise of 10 in each reading and in each block."""
    block, n = (np.array(column) for column in ledger(blocks))
    y = 1000 + 100 * n + random.normal(0, 10, blocks)[block] + random.normal(0, 10, n.size)
    y += random.normal(0, slope_spread, blocks)[block] * n
    hit = random.random(n.size) < disturbed
    y[hit] += random.choice([-1000, 1000], int(hit.sum()))
    return block.tolist(), n.tolist(), {"total": y.tolist()}


def interval_of(estimate: Estimate) -> Interval:
    assert estimate.interval is not None
    return estimate.interval


def covered(blocks: int, runs: int, **how: float) -> tuple[int, int]:
    """How often the intervals of slope and constant held the true value."""
    random = np.random.default_rng(1)
    lines = [slopes(*made(blocks, random, **how), "total").lines["total"] for _ in range(runs)]
    return (
        sum(100 in interval_of(line.slope) for line in lines),
        sum(1000 in interval_of(line.constant) for line in lines),
    )


def test_line_with_an_offset_in_each_block_is_exact() -> None:
    blocks, n = ledger(3)
    y = [100 * count + 1000 * (1 + block) for block, count in zip(blocks, n, strict=True)]

    line = slopes(blocks, n, {"total": y}, "total").lines["total"]

    assert line.slope.value == pytest.approx(100)
    assert line.constant.value == pytest.approx(2000)
    assert interval_of(line.slope).high == pytest.approx(100)
    assert interval_of(line.constant).low < 1000


def test_undisturbed_slope_is_that_of_least_squares() -> None:
    blocks, n, columns = made(5, np.random.default_rng(3))
    x, y = np.array(n).reshape(5, 4), np.array(columns["total"]).reshape(5, 4)
    dx, dy = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)

    found = slopes(blocks, n, columns, "total")

    assert found.outlying == ()
    assert found.lines["total"].slope.value == pytest.approx((dx * dy).sum() / (dx**2).sum(), abs=0.5)


def test_interval_of_blocks_that_only_differ_in_slope_is_students() -> None:
    blocks, n = ledger(3)
    slope_of = (90.0, 100.0, 110.0)  # mean 100, standard error 10 / sqrt(3), t(2) = 4.30265
    y = [slope_of[block] * count for block, count in zip(blocks, n, strict=True)]

    found = slopes(blocks, n, {"total": y}, "total")

    half = 4.302652729911275 * 10 / math.sqrt(3)
    slope = found.lines["total"].slope
    assert found.outlying == ()
    assert slope.value == pytest.approx(100, rel=0.01)
    assert interval_of(slope).high - slope.value == pytest.approx(half, rel=0.05)


def test_disturbed_reading_is_told_weighs_nothing_and_leaves_the_line_where_it_was() -> None:
    blocks, n, columns = made(5, np.random.default_rng(3))
    before = slopes(blocks, n, columns, "total").lines["total"]
    columns["total"][7] += 100_000  # the eighth reading: block 1, eight instances

    found = slopes(blocks, n, columns, "total")

    assert found.outlying == (7,)
    assert found.weights[7] < 1e-6
    assert found.lines["total"].slope.value == pytest.approx(before.slope.value, abs=2)
    assert found.lines["total"].constant.value == pytest.approx(before.constant.value, abs=10)


def test_block_that_begins_far_off_moves_the_constant_little() -> None:
    blocks, n, columns = made(6, np.random.default_rng(3))
    columns["total"][:4] = [value + 100_000 for value in columns["total"][:4]]

    line = slopes(blocks, n, columns, "total").lines["total"]

    assert line.slope.value == pytest.approx(100, abs=5)
    assert line.constant.value == pytest.approx(1000, abs=30)


def test_intervals_cover_the_truth_about_as_often_as_they_say_when_blocks_differ_in_slope() -> None:
    slope, constant = covered(5, 100, slope_spread=5)  # fixed seed: the counts are always the same

    assert 88 <= slope <= 100
    assert 88 <= constant <= 100


def test_intervals_cover_the_truth_about_as_often_as_they_say_when_one_reading_in_ten_is_disturbed() -> None:
    slope, constant = covered(5, 100, disturbed=0.1)

    assert 88 <= slope <= 100
    assert 88 <= constant <= 100


def test_undisturbed_readings_are_seldom_told_as_outlying() -> None:
    random = np.random.default_rng(1)

    assert sum(bool(slopes(*made(5, random), "total").outlying) for _ in range(200)) <= 4


def test_two_blocks_give_the_slope_an_interval_and_the_constant_none() -> None:
    line = slopes(*made(2, np.random.default_rng(3)), "total").lines["total"]

    assert 100 in interval_of(line.slope)
    assert line.constant.interval is None


def test_two_readings_give_no_interval() -> None:
    line = slopes([0, 0], [1, 2], {"total": [1, 5]}, "total").lines["total"]

    assert (line.slope, line.constant) == (Estimate(4, None), Estimate(-3, None))


@pytest.mark.parametrize(
    ("blocks", "n", "y", "said"),
    [
        ([], [], [], "no values"),
        ([0, 1], [1, 2], [1, 2], "two different x"),
        ([0, 0], [1, 2], [1, math.nan], "NaN or infinite"),
        ([0, 0], [1, 2], [1], "differ in length"),
    ],
)
def test_ledger_without_a_slope_is_refused(
    blocks: list[int], n: list[float], y: list[float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        slopes(blocks, n, {"total": y}, "total")


def both(found: Lines, name: str) -> tuple[float, float]:
    return found.lines[name].slope.value, found.lines[name].constant.value


@quickly
@given(st.lists(st.tuples(BYTES, BYTES, BYTES), min_size=12, max_size=12))
def test_lines_of_parts_add_up_to_the_line_of_the_total(rows: list[tuple[int, int, int]]) -> None:
    parts = {name: [float(row[place]) for row in rows] for place, name in enumerate("abc")}
    total = [float(sum(row)) for row in rows]

    found = slopes(*ledger(3), {"total": total, **parts}, "total")

    for place in (0, 1):
        summed = sum(both(found, part)[place] for part in "abc")
        assert math.isclose(summed, both(found, "total")[place], rel_tol=1e-9, abs_tol=2**12)


@quickly
@given(st.lists(BYTES, min_size=12, max_size=12), st.permutations(range(12)))
def test_lines_do_not_depend_on_the_order_of_the_readings(ys: list[int], order: list[int]) -> None:
    blocks, n = ledger(3)

    found = slopes(blocks, n, {"total": ys}, "total")
    again = slopes(
        [blocks[place] for place in order],
        [n[place] for place in order],
        {"total": [ys[place] for place in order]},
        "total",
    )

    assert again.lines == found.lines
    assert again.weights == tuple(found.weights[place] for place in order)

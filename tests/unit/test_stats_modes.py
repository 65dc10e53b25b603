"""The test for two modes: the dip against published figures, and blocks told from modes."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from isobench.reports.stats_modes import Modes, dip, dip_p_value, two_modes

PUBLISHED = {20: (0.4702, 0.5394), 100: (0.5113, 0.5902), 500: (0.5306, 0.6138), 1000: (0.5355, 0.6201)}
"""What sqrt(n) * dip of uniform values exceeds with probability 0.05 and 0.01: the table of M. Maechler's
package diptest for R, made of 1,000,001 samples."""

KNOWN = (
    ((0, 1, 9, 10), 2 / 9),
    ((0, 1, 2, 7, 8, 9), 0.17857142857142858),
    ((0.35, 0.82, 0.33, -1.3, 0.91, 0.45, -0.54, 0.58, 0.36, 0.29, 0.03, 0.55), 0.06628787878787884),
    ((-0.74, -0.16, -0.48, 0.6, 0.04, -0.29, 5.22, 5.74, 6.01, 5.72, 7.29, 7.01), 0.17264573991031387),
)
"""Values and their dip, as the C code of that package gives it."""


def grid(blocks: int, values: int) -> list[int]:
    return [block for block in range(blocks) for _ in range(values)]


def modes_of(values: NDArray[np.float64], groups: list[int]) -> Modes:
    found = two_modes(values.tolist(), groups)
    assert found
    return found


def test_dip_of_evenly_spaced_values_is_the_least_there_is() -> None:
    assert dip(range(50)) == pytest.approx(1 / 100)


def test_dip_of_two_far_points_is_a_quarter_of_what_lies_between() -> None:
    # Half of the values at 0 and half at 1, nearly: the nearest unimodal distribution is the uniform between.
    values = [*np.linspace(0, 1e-6, 500), *np.linspace(1, 1 + 1e-6, 500)]

    assert dip(values) == pytest.approx(1 / 4, abs=0.002)


@pytest.mark.parametrize(("values", "known"), KNOWN)
def test_dip_agrees_with_another_implementation(values: tuple[float, ...], known: float) -> None:
    assert dip(values) == pytest.approx(known)


def test_dip_of_values_with_one_peak_depends_on_neither_scale_nor_order() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=60)

    assert dip(1000 * values[::-1] + 7) == pytest.approx(dip(values))


@pytest.mark.parametrize(("n", "critical"), PUBLISHED.items())
def test_p_value_of_a_published_critical_dip_is_the_published_one(
    n: int, critical: tuple[float, ...]
) -> None:
    for value, tail in zip(critical, (0.05, 0.01), strict=True):
        assert dip_p_value(value / math.sqrt(n), n) == pytest.approx(tail, rel=0.05)


def test_p_value_of_any_number_of_values_lies_between_the_tables() -> None:
    told = [dip_p_value(0.56 / math.sqrt(n), n) for n in (20, 35, 50, 70, 100, 5000, 100_000)]

    assert told == sorted(told)
    assert told[-1] == told[-2]


def test_uniform_values_reach_the_level_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)  # fixed seed: the count is always the same
    hits = sum(dip_p_value(dip(random.random(50)), 50) < 0.05 for _ in range(1000))

    assert 35 <= hits <= 65


def test_two_modes_within_blocks_are_found_with_medians_and_share() -> None:
    random = np.random.default_rng(1)
    upper = random.random(100) < 0.4
    values = np.where(upper, 1.3, 1) * np.exp(random.normal(0, 0.03, 100))

    found = modes_of(values, grid(10, 10))

    assert found.p_value < 0.001
    assert not found.of_blocks
    assert found.low == pytest.approx(1, rel=0.02)
    assert found.high == pytest.approx(1.3, rel=0.02)
    assert found.upper == tuple(upper.tolist())
    assert found.share_high == upper.mean()


def test_modes_that_are_whole_blocks_are_of_blocks() -> None:
    random = np.random.default_rng(1)
    groups = grid(10, 10)
    values = np.array([1, 1.3] * 5)[groups] * np.exp(random.normal(0, 0.03, 100))

    found = modes_of(values, groups)

    assert found.p_value < 0.001
    assert found.of_blocks


def test_modes_under_a_level_that_changes_from_block_to_block_are_found_by_deviations() -> None:
    random = np.random.default_rng(1)
    groups = grid(5, 60)
    values = np.where(random.random(300) < 0.15, 1.3, 1) * np.exp(random.normal(0, 0.02, 300))

    found = modes_of(values * np.array([1, 1.1, 1.25, 1.4, 1.6])[groups], groups)

    assert found.p_value < 0.01
    assert not found.of_blocks


def test_lognormal_and_exponential_values_have_one_mode() -> None:
    random = np.random.default_rng(1)
    for values in (np.exp(random.normal(0, 0.3, 200)), 1 + random.exponential(0.3, 200)):
        assert modes_of(values, grid(10, 20)).p_value > 0.5


def test_ticks_of_a_clock_are_no_modes() -> None:
    values = np.asarray(np.round(np.exp(np.random.default_rng(1).normal(0, 0.1, 200)), 2), np.float64)

    assert modes_of(values, grid(10, 20)).p_value > 0.5


def test_too_few_values_and_equal_ones_have_no_modes() -> None:
    assert two_modes([1.0, 2.0] * 9, [0] * 18) is None
    assert two_modes([1.0] * 20, [0] * 20) is None


def test_modes_of_what_is_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        two_modes([-1.0, *[1.0] * 20], [0] * 21)

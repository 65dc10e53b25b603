"""The time left: guessed at first, then taken from what has been."""

import pytest

from isobench.forecast import Forecast


def test_guess_counts_until_a_cell_was_measured() -> None:
    forecast = Forecast({"a": 1.0, "b": 10.0}, ["a", "b", "a", "b"])

    assert forecast.left_s() == pytest.approx(22.0)


def test_what_a_cell_took_replaces_its_guess_and_no_other() -> None:
    forecast = Forecast({"a": 1.0, "b": 10.0}, ["a", "b", "a", "b", "a"])

    forecast.took("a", 2.0)
    forecast.took("a", 4.0)

    assert forecast.left_s() == pytest.approx(3.0 + 2 * 10.0)


def test_nothing_is_left_at_the_end() -> None:
    forecast = Forecast({"a": 1.0}, ["a"])

    forecast.took("a", 5.0)

    assert forecast.left_s() == 0.0

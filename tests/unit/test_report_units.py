"""Numbers and foreign text as people read them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.reports import units
from isobench.reports.stats import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0002131, "213 µs"),
        (0.00099951, "1.00 ms"),
        (0.022749, "22.7 ms"),
        (3.0512, "3.05 s"),
        (1234.5, "1,230 s"),
        (5e-8, "50.0 ns"),
        (-0.0123, "-12.3 ms"),
        (0, "0 ns"),
    ],
)
def test_seconds_have_three_digits_and_the_unit_that_suits_them(value: float, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(92 * 1024, "92.0 KiB"), (-1.5 * 1024**2, "-1.50 MiB"), (3.2 * 1024**3, "3.20 GiB"), (0, "0 B")],
)
def test_bytes_have_binary_units(value: float, text: str) -> None:
    assert units.nbytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0121, "+1.21 %"), (-0.4346, "-43.46 %"), (0.0, "0.00 %"), (-1e-9, "0.00 %")]
)
def test_errors_are_percentages_with_a_sign(value: float, text: str) -> None:
    assert units.percent(value) == text


@given(st.floats(1e-9, 1e4))
def test_seconds_said_are_the_seconds_given_to_three_digits(value: float) -> None:
    number, unit = units.seconds(value).split(" ")
    size = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]

    assert float(number.replace(",", "")) * size == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.00021, 0.000225, "210 to 225 µs"), (0.0009, 0.0012, "900 µs to 1.20 ms")],
)
def test_interval_says_a_shared_unit_once(low: float, high: float, text: str) -> None:
    assert units.interval(Interval(low, high), units.seconds) == text


def test_figure_that_is_missing_is_a_dash() -> None:
    assert units.interval(None, units.seconds) == units.optional(None, units.seconds) == units.NONE


@given(st.text())
def test_foreign_text_becomes_one_line_without_control_characters(text: str) -> None:
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", units.plain(text))


def test_text_without_control_characters_is_kept() -> None:
    assert units.plain("naïve <b> | 中文 😀") == "naïve <b> | 中文 😀"

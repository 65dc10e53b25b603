"""The search for the least limit that works."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from isobench.benchmarks.bisection import Bisection


def searched(
    works: Callable[[int, int], bool], most: int = 1 << 14, confirm: int = 3, budget: int = 40
) -> Bisection:
    """``works`` is asked for the limit and how many attempts went before."""
    search = Bisection(most, confirm, budget)
    while (limit := search.next()) is not None:
        assert 1 <= limit <= most
        search.add(limit, worked=works(limit, search.attempts))
    return search


@given(st.integers(1, 1 << 14))
def test_least_limit_that_works_is_found_and_confirmed(floor: int) -> None:
    found = searched(lambda limit, _: limit >= floor)
    assert (found.least, found.below) == (floor, floor - 1)
    assert found.successes[floor] == 3
    assert found.confirmed
    assert found.monotonic


@given(st.integers(1, 1 << 14))
def test_search_takes_few_attempts(floor: int) -> None:
    assert searched(lambda limit, _: limit >= floor).attempts <= 22


def test_limit_that_failed_once_is_no_answer_though_it_worked_before() -> None:
    at_80 = iter([True, False, True, True])
    found = searched(lambda limit, _: next(at_80) if limit == 80 else limit > 80)
    assert (found.least, found.below) == (81, 80)
    assert found.confirmed
    assert not found.monotonic


def test_success_far_below_a_failure_is_reported_and_is_no_answer() -> None:
    found = searched(lambda limit, attempt: limit >= 300 or attempt == 1)
    assert found.least == 300
    assert not found.monotonic
    assert min(found.successes) < 300


def test_search_out_of_attempts_says_how_far_it_came() -> None:
    found = searched(lambda limit, _: limit >= 1000, budget=8)
    assert found.attempts == 8
    assert found.least is not None
    assert found.below < 1000 <= found.least
    assert not found.confirmed


def test_nothing_that_works_ends_at_once() -> None:
    found = searched(lambda _limit, _attempt: False)
    assert (found.least, found.attempts, found.below) == (None, 1, 1 << 14)


def test_everything_that_works_is_the_least_step() -> None:
    found = searched(lambda _limit, _attempt: True)
    assert (found.least, found.below, found.confirmed) == (1, 0, True)


@given(st.integers(2, 1 << 14), st.randoms(use_true_random=False))
def test_outcomes_by_chance_end_and_never_answer_with_a_limit_that_failed(most: int, random: object) -> None:
    draw = getattr(random, "random")  # noqa: B009 - Hypothesis's Random has no type of its own
    found = searched(lambda limit, _: draw() < limit / most, most=most)
    assert found.attempts <= 40
    assert found.least is None or found.failures[found.least] == 0

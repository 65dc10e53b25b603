"""Attempts of several cells in turn: which comes when."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from isobench.measuring import in_rounds

STREAMS = st.lists(st.integers(0, 9).map(lambda length: list(range(length))), max_size=3)


def orders(sides: int, rounds: int) -> list[int]:
    return [at for at, _ in in_rounds([iter(range(rounds)) for _ in range(sides)])]


@given(STREAMS)
def test_everything_comes_once_and_each_stream_in_its_own_order(streams: list[list[int]]) -> None:
    found: list[list[int]] = [[] for _ in streams]
    for at, thing in in_rounds([iter(one) for one in streams]):
        found[at].append(thing)
    assert found == streams


@given(STREAMS)
def test_no_stream_is_more_than_a_round_ahead_of_one_that_goes_on(streams: list[list[int]]) -> None:
    taken = [0 for _ in streams]
    for at, _ in in_rounds([iter(one) for one in streams]):
        taken[at] += 1
        going = [n for n, one in zip(taken, streams, strict=True) if n < len(one)]
        assert not going or max(taken) - min(going) <= 1


def test_sides_are_as_often_first_second_and_last_and_begin_in_the_order_given() -> None:
    found = orders(3, 60)
    assert found[:3] == [0, 1, 2]
    for place in range(3):
        assert Counter(found[place::3]) == {0: 20, 1: 20, 2: 20}


def test_sides_come_as_often_right_after_each_other_within_rounds() -> None:
    found = orders(3, 60)
    rounds = [found[at : at + 3] for at in range(0, len(found), 3)]
    after = Counter(pair for one in rounds for pair in pairwise(one))
    assert set(after.values()) == {20}
    assert len(after) == 6


def test_one_alone_goes_through() -> None:
    assert orders(1, 5) == [0] * 5

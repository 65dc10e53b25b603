"""When starts are due, and the account of a window, over made-up events."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.benchmarks.arrivals import account, count_within, due, in_flight_max
from isobench.model import Event, Status
from isobench.starter import Load

MS = 1_000_000
RATES = st.floats(0.01, 100_000)


def start(invoke_ms: float, gone_ms: float, **more: object) -> Event:
    phases = {"ready": round((gone_ms - invoke_ms) * MS / 2), "exit": round((gone_ms - invoke_ms) * MS)}
    return Event(kind="attempt", invoke_ns=round(invoke_ms * MS), phases_ns=phases, **more)  # type: ignore[arg-type]


@given(rate=RATES, count=st.integers(1, 200))
def test_even_arrivals_are_a_period_apart_and_the_first_is_due_at_once(rate: float, count: int) -> None:
    found = due(rate, count, "even", "")
    assert len(found) == count
    assert found[0] == 0
    assert all(abs((after - before) - 1e9 / rate) <= 1 for before, after in pairwise(found))


@given(rate=RATES, count=st.integers(1, 200), seed=st.text())
def test_poisson_arrivals_ascend_and_are_the_same_for_the_same_seed(
    rate: float, count: int, seed: str
) -> None:
    found = due(rate, count, "poisson", seed)
    assert list(found) == sorted(found)
    assert found == due(rate, count, "poisson", seed)


def test_poisson_arrivals_of_other_seeds_differ_and_come_at_the_rate_asked_for() -> None:
    found = due(50.0, 5000, "poisson", "a")
    assert found != due(50.0, 5000, "poisson", "b")
    assert found[-1] / 1e9 == pytest.approx(100, rel=0.1)
    gaps = [after - before for before, after in pairwise(found)]
    # Exponential: the standard deviation is the mean.
    mean = sum(gaps) / len(gaps)
    assert (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 == pytest.approx(mean, rel=0.1)


@given(rate=RATES, window_s=st.floats(0.001, 100), most=st.integers(1, 1000))
def test_arrivals_of_a_window_fit_into_it(rate: float, window_s: float, most: int) -> None:
    count = count_within(rate, window_s, most)
    assert 1 <= count <= most
    assert count == 1 or (count - 1) / rate < window_s


def test_window_counts_what_was_over_by_its_end_and_tells_the_rest() -> None:
    events = [
        start(0, 40),
        start(10, 100, late=True),
        start(20, 101),
        start(30, 60, status=Status.FAILED),
        start(99, 160, late=True),
    ]
    load = Load(4, 0.1, due_ns=tuple(n * MS for n in range(9)))
    found = account(load, 0, events, [event.status is Status.OK for event in events])
    assert (found.begun, found.offered, found.missed, found.late) == (5, 9, 4, 2)
    assert (found.completed, found.failed) == (2, 1)
    assert found.rate == pytest.approx(20)
    assert found.in_flight_max == 4
    assert found.drain_s == pytest.approx(0.06)


def test_window_of_a_limited_number_ends_as_the_last_of_them_is_begun() -> None:
    events = [start(0, 10), start(10, 20), start(20, 30)]
    found = account(Load(1, 60.0, starts=3), 0, events, [True] * 3)
    assert (found.seconds, found.completed, found.rate) == (0.02, 2, 100)
    assert (found.offered, found.missed) == (3, 0)
    assert found.drain_s == pytest.approx(0.01)


def test_limited_number_that_was_not_reached_leaves_the_window_as_it_was_asked_for() -> None:
    found = account(Load(1, 2.0, starts=3), 0, [start(0, 10)], [True])
    assert (found.seconds, found.completed) == (2.0, 1)


def test_window_without_a_start_is_all_missed() -> None:
    found = account(Load(1, 1.0, due_ns=(0, MS)), 0, [], [])
    assert (found.begun, found.offered, found.missed, found.rate, found.in_flight_max) == (0, 2, 2, 0, 0)


SPANS = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 500)), max_size=30)


@given(SPANS)
def test_most_in_flight_is_that_of_the_busiest_moment(spans: list[tuple[int, int]]) -> None:
    events = [Event(kind="attempt", invoke_ns=at, phases_ns={"exit": took}) for at, took in spans]
    busiest = max((sum(a <= at < a + t for a, t in spans) for at, _ in spans), default=0)
    assert in_flight_max(events) == busiest


@given(
    spans=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 500), st.booleans()), max_size=30),
    unbegun=st.integers(0, 5),
)
def test_every_arrival_is_completed_failed_unfinished_or_missed(
    spans: list[tuple[int, int, bool]], unbegun: int
) -> None:
    events = [
        Event(kind="attempt", invoke_ns=at * MS, phases_ns={"exit": took * MS}) for at, took, _ in spans
    ]
    ok = [well for *_, well in spans]
    load = Load(9, 1.0, due_ns=tuple(range(len(spans) + unbegun)) or (0,))
    found = account(load, 0, events, ok)
    unfinished = sum(well and at + took > 1000 for at, took, well in spans)
    assert found.completed + found.failed + unfinished + found.missed == found.offered
    assert found.rate == found.completed

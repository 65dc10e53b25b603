"""Signals are held back except where they may break something off."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from isobench.interrupts import Interrupts


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """The signals that reach whoever handled them before, as the command line does."""
    numbers: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        numbers.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    yield numbers
    signal.signal(signal.SIGINT, before)


def test_signal_where_it_is_allowed_raises_at_once(heard: list[int]) -> None:
    interrupts = Interrupts()
    with interrupts.handled(), pytest.raises(KeyboardInterrupt), interrupts.allowed():
        interrupt()

    assert heard == [signal.SIGINT]
    assert interrupts.delivered


def test_signal_elsewhere_waits_for_the_next_place_where_it_is_allowed(heard: list[int]) -> None:
    interrupts = Interrupts()
    reached = []
    with interrupts.handled():
        interrupt()
        reached.append("after the signal")
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            reached.append("inside")

    assert reached == ["after the signal"]
    assert heard == [signal.SIGINT]


def test_second_signal_breaks_off_nothing_more(heard: list[int]) -> None:
    interrupts = Interrupts()
    cleaned = []

    def work() -> None:
        try:
            interrupt()
        finally:
            interrupt()
            cleaned.append("whole")

    with interrupts.handled(), pytest.raises(KeyboardInterrupt), interrupts.allowed():
        work()

    assert cleaned == ["whole"]
    assert heard == [signal.SIGINT, signal.SIGINT]


def test_interrupt_that_a_broken_clean_up_swallowed_comes_again(heard: list[int]) -> None:
    interrupts = Interrupts()

    def work() -> None:
        try:
            interrupt()
        finally:
            raise OSError("clean-up")

    with interrupts.handled():
        with pytest.raises(OSError, match="clean-up"), interrupts.allowed():
            work()
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            pass

    assert heard == [signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_that_would_kill_becomes_a_keyboard_interrupt(number: int) -> None:
    interrupts = Interrupts()
    with interrupts.handled(), pytest.raises(KeyboardInterrupt), interrupts.allowed():
        interrupt(number)

    assert signal.getsignal(number) is signal.SIG_DFL


def test_ignored_signal_stays_ignored() -> None:
    interrupts = Interrupts()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.handled(), interrupts.allowed():
            interrupt(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert not interrupts.delivered


def test_thread_that_cannot_take_signals_goes_without() -> None:
    done = []

    def work() -> None:
        interrupts = Interrupts()
        with interrupts.handled(), interrupts.allowed():
            done.append(True)

    in_a_thread(work)

    assert done == [True]


def in_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

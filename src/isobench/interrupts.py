"""Ctrl-C and ``kill`` while a run goes on: heard at once where it is safe, a moment later where it is not.

A KeyboardInterrupt in the middle of a journal line or of a clean-up would lose what it was to keep. So
signals interrupt only what is explicitly interruptible, the probing and the measuring; elsewhere they wait
for the next such place.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeAlias

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]


class Interrupts:
    """Holds signals back while its ``handled`` body runs, except within ``allowed``.

    One signal ends a run; when it is let through, it goes to the handler that was there before (which may
    want to know it for the exit code) and ends as a KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._waiting: int | None = None
        self._allowed = False
        self.delivered = False
        """Whether a signal has broken something off."""
        self._before: dict[int, _Handler] = {}

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Take over the signals, save those that are ignored (``nohup``). Only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        found = {number: signal.getsignal(number) for number in _SIGNALS}
        # None: a handler that is not Python's, which could not be put back.
        taken = {number: found[number] for number in found if found[number] not in {None, signal.SIG_IGN}}
        self._before = {number: handler for number, handler in taken.items() if callable(handler)}
        for number in taken:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in taken.items():
                signal.signal(number, handler)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Here a signal raises KeyboardInterrupt; one that came before does so at once."""
        self._allowed = True
        try:
            if self._waiting is not None:
                self._deliver(self._waiting, None)
            yield
        finally:
            self._allowed = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.delivered:  # the end is under way already; who was there before may say so
            with suppress(KeyboardInterrupt):
                self._before.get(number, signal.default_int_handler)(number, frame)
        elif self._allowed:
            self._deliver(number, frame)
        else:
            self._waiting = number

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        """Also for a second time: a clean-up that failed may have swallowed the first KeyboardInterrupt."""
        self._waiting = number
        if not self.delivered:
            self.delivered = True
            self._before.get(number, signal.default_int_handler)(number, frame)
        raise KeyboardInterrupt

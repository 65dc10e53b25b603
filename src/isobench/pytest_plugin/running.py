"""A run inside a test: wait until the host is free, run, and turn what went wrong into the end of a test."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import methodcaller
from pathlib import Path

import pytest

from isobench import engine
from isobench.errors import CellsFailedError, HostUnfitError, InternalError, IsobenchError, LockedError
from isobench.journal import ABRecord, CellState, StoredRun, load
from isobench.lab import this_host
from isobench.matrix import Matrix
from isobench.model import Cell, Sample, Status
from isobench.outcome import Outcome

# A test that ends here ends where it called us.
__tracebackhide__ = methodcaller("errisinstance", (pytest.fail.Exception, pytest.skip.Exception))

_LOG = logging.getLogger(__name__)
_POLL_S = 0.1

host = this_host
"""Gives the lab to measure in; tests of this plugin put another one here."""


LACKING = frozenset({Status.UNAVAILABLE, Status.UNSUPPORTED})
"""How a cell ends that cannot be measured here."""


def run(matrix: Matrix, folder: Path, *, wait_s: float) -> Outcome:
    """Run a matrix into a new folder, once nobody else measures on this host; raises as :func:`once_free`."""
    return once_free(lambda: engine.run(matrix, folder, _Quiet(), host()), wait_s)


def run_sides(matrix: Matrix, ab: ABRecord, folder: Path, *, wait_s: float) -> StoredRun:
    """The first stage of a run that compares; likewise. If one cell cannot be measured, none is."""
    observer = _AllOrNone(sum(len(cells) for _, _, cells in matrix.cells()))
    with suppress(_LackingError):
        once_free(lambda: engine.run(matrix, folder, observer, host(), ab=ab), wait_s)
    return load(folder)


def confirm(folder: Path, comparisons: tuple[str, ...], *, wait_s: float) -> Outcome:
    """The second stage of a run that compares; likewise."""
    return once_free(lambda: engine.confirm(folder, comparisons, _Quiet(), host()), wait_s)


def once_free(measure: Callable[[], Outcome], wait_s: float) -> Outcome:
    """Measure once nobody else does on this host.

    Raises :class:`isobench.errors.LockedError` when one and the same run has kept us waiting for ``wait_s``
    seconds; while the holder changes (other workers of pytest-xdist, one test after the other) things go on.
    KeyboardInterrupt for a signal: what was started is removed by then. Else what ``measure`` raises.
    """
    holder, since = "", time.monotonic()
    while True:
        try:
            outcome = measure()
        except LockedError as error:
            if str(error) != holder:
                holder, since = str(error), time.monotonic()
                _LOG.info("waiting: %s", holder)
            elif time.monotonic() - since >= wait_s:
                raise LockedError(
                    f"waited for {wait_s:g} s (isobench_wait_s): {error}", remedy=error.remedy
                ) from error
            time.sleep(_POLL_S)
        else:
            if outcome.status == "interrupted":
                raise KeyboardInterrupt
            return outcome


def lack(cell: str, state: CellState, *, baseline: str | None = None) -> IsobenchError:
    """What a test ends with whose cell cannot be measured here.

    ``baseline``: what it is compared with, which can be. Then it is not the host that lacks something: a
    skip would let a build pass that does not even start.
    """
    text = f"{cell}: {state.status}: {state.reason}"
    if baseline is None or state.status is not Status.UNAVAILABLE:
        return HostUnfitError(text, remedy=state.remedy)
    return CellsFailedError(f"{text}; its baseline, {baseline}, can be measured here", remedy=state.remedy)


@contextmanager
def endings(*, required: bool) -> Iterator[None]:
    """Skip the test for what this host lacks, unless it is ``required``; fail it for any other error of ours.

    A host that others keep busy lacks nothing. A defect of isobench passes, with its traceback.
    """
    try:
        yield
    except InternalError:
        raise
    except IsobenchError as error:
        text = f"{error}\nremedy: {error.remedy}" if error.remedy else str(error)
        if isinstance(error, HostUnfitError) and not isinstance(error, LockedError) and not required:
            raise pytest.skip.Exception(text) from None
        raise pytest.fail.Exception(text) from None


class _Quiet:
    """An observer who tells nobody: pytest has the terminal."""

    def planned(self, cells: Sequence[Cell], blocks: int, expected_s: float) -> None:
        pass

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        pass

    def cell_finished(self, cell: Cell, samples: Sequence[Sample]) -> None:
        pass

    def finished(self, outcome: Outcome) -> None:
        pass


class _LackingError(Exception):
    """Some of the cells cannot be measured."""


class _AllOrNone(_Quiet):
    """Ends a run before anything is measured, unless all of its cells will be; what they lack is noted."""

    def __init__(self, cells: int) -> None:
        self._cells = cells

    def planned(self, cells: Sequence[Cell], blocks: int, expected_s: float) -> None:
        if len(cells) < self._cells:
            raise _LackingError

"""What a test measures with: this host, its marker as the default of every call."""

from collections.abc import Callable
from math import inf, nan
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest

from isobench.errors import UsageError
from isobench.pytest_plugin.asked import Asked, Side, Wanted, asked_by, refuse_isolator
from isobench.pytest_plugin.results import CellResult, cell_result
from isobench.pytest_plugin.running import LACKING, endings, lack, run

if TYPE_CHECKING:
    from isobench.pytest_plugin.pair import PairResult

__tracebackhide__ = methodcaller("errisinstance", (pytest.fail.Exception, pytest.skip.Exception))


_DISABLED = "--benchmark-disable: the cell was started once, and nothing was measured"


class IsobenchLab:
    """This host, to measure cells on, for one test."""

    def __init__(self, item: pytest.Item, new_folder: Callable[[], Path]) -> None:
        self._item = item
        self._config = item.config
        self._new_folder = new_folder

    def measure(self, **wanted: Unpack[Wanted]) -> CellResult:
        """Measure one cell; the keywords are the marker's, which gives what is left out here.

        Skips the test, with reason and remedy, where this host or the isolator cannot have the cell; fails it
        there if it is ``required``. Fails it for what is wrong with the call. Waits while another run has
        the host, as long as ``isobench_wait_s`` says.
        """
        with endings(required=True):
            asked = asked_by(self._item, wanted)
            required = self._is_required(asked)
        with endings(required=required):
            if self._disabled():
                self._measured(asked.once()).check()
                pytest.skip(_DISABLED)
            result = self._measured(asked)
        self._item.user_properties.append(("isobench", repr(result)))
        return result

    def measure_pair(self, a: Side, b: Side, **wanted: Unpack[Wanted]) -> "PairResult":
        """Measure two isolators against each other as ``isobench ab`` does, and judge as ``isobench gate``.

        ``a`` is the baseline, ``b`` the candidate: each a kind, or the keys of an ``[[isolator]]`` table.
        Each block holds a, b and a once more as the control, in an order of its own; what the first stage
        suspects is measured again on as many fresh blocks. ``starts`` are those of a side and block.

        Skips and fails the test as :meth:`measure` does; a host too restless to tell is one that lacks
        something. A candidate that is not there, where its baseline is, fails the test.
        """
        from isobench.pytest_plugin.pair import measure_pair  # noqa: PLC0415 - statistics take their time

        with endings(required=True):
            refuse_isolator(wanted)
            asked = asked_by(self._item, wanted)
            required = self._is_required(asked)
        with endings(required=required):
            if self._disabled():
                one, other = asked.of(a).once(), asked.of(b).once()
                found = self._measured(one)
                found.check()
                self._measured(other, baseline=found.cell).check()
                pytest.skip(_DISABLED)
            result = measure_pair(asked, a, b, self._new_folder(), wait_s=self._wait_s())
        self._item.user_properties.append(("isobench", repr(result)))
        return result

    def _measured(self, asked: Asked, *, baseline: str | None = None) -> CellResult:
        folder = self._new_folder()
        outcome = run(asked.matrix(), folder, wait_s=self._wait_s())
        ((cell, state),) = outcome.cells.items()
        if state.status in LACKING:
            raise lack(cell, state, baseline=baseline)
        return cell_result(asked, cell, state, folder)

    def _is_required(self, asked: Asked) -> bool:
        if asked.required is not None:
            return asked.required
        try:
            return bool(self._config.getini("isobench_required"))
        except (pytest.UsageError, TypeError, ValueError) as error:  # as the version of pytest has it
            raise UsageError(f"isobench_required: {error}; allowed: true or false") from error

    def _wait_s(self) -> float:
        text = str(self._config.getini("isobench_wait_s"))
        try:
            seconds = float(text)
        except ValueError:
            seconds = nan
        if not 0 <= seconds < inf:
            raise UsageError(
                f'isobench_wait_s is "{text}"; allowed: seconds, 0 or more', remedy="isobench_wait_s = 600"
            )
        return seconds

    def _disabled(self) -> bool:
        """Whether pytest-benchmark was told to run things but not to time them."""
        option = self._config.getoption
        return bool(option("benchmark_disable", False)) and not option("benchmark_enable", False)

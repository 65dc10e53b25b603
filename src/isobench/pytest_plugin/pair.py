"""Two isolators against each other inside a test: blocks of both and of a control, two stages, a verdict."""

from dataclasses import dataclass, field, replace
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from isobench.errors import HostUnfitError, UsageError
from isobench.journal import StoredRun, cell_states, load
from isobench.model import Side as ABSide
from isobench.pytest_plugin.asked import Asked, Side, one_cell_each, table_of
from isobench.pytest_plugin.running import LACKING, confirm, lack, run_sides
from isobench.reports import gate_rows, units
from isobench.reports.gate import (
    GateReport,
    Judgement,
    Outcome,
    Stage,
    Verdict,
    candidates,
    changed,
    judge,
)
from isobench.reports.gate_policy import DEFAULT_POLICY
from isobench.reports.stats import Estimate, Interval
from isobench.sides import STANDARD_BLOCKS, Sides, two_sides

__tracebackhide__ = methodcaller("errisinstance", (pytest.fail.Exception, pytest.skip.Exception))

STARTS = 5
"""Of a side and block, where the test does not say."""


@dataclass(frozen=True, repr=False)
class PairResult:
    """What came of one figure of two isolators.

    Reading ``change``, ``interval``, ``p`` or ``detectable`` fails the test where the sides could not be
    compared; ``verdict`` and ``reason`` can always be read.
    """

    judgement: Judgement
    report: GateReport = field(compare=False)
    """All figures of the run, and what is to be said of the host."""
    folder: Path
    """The result folder, for ``isobench gate`` and ``isobench report``."""

    @property
    def verdict(self) -> Verdict:
        """``regression``, ``improvement``, ``equivalent``, ``inconclusive``, ``missing`` or ``error``."""
        return self.judgement.verdict

    @property
    def reason(self) -> str:
        """Why it is that verdict and no other."""
        return self.judgement.reason

    @property
    def change(self) -> float:
        """B / A - 1, so that 0.1 is 10 % more; of figures near 0 it is B - A in their unit."""
        return self._changed.value

    @property
    def interval(self) -> Interval | None:
        """Its 95 % interval, ``low`` and ``high``."""
        return self._changed.interval

    @property
    def p(self) -> float | None:
        """The p-value that decided."""
        self.check()
        return self.judgement.p

    @property
    def detectable(self) -> float:
        """The change these blocks would have found 4 times in 5."""
        return self._stage.detectable

    def check(self) -> None:
        """Fail the test where the sides could not be compared."""
        if self.judgement.stage is None:
            pytest.fail(repr(self))

    @property
    def _stage(self) -> Stage:
        if self.judgement.stage is None:
            pytest.fail(repr(self))
        return self.judgement.stage

    @property
    def _changed(self) -> Estimate:
        return changed(self._stage.theta, self.judgement.metric.scale)

    def __repr__(self) -> str:
        """One line: pytest shows it where an assertion fails."""
        row = gate_rows.row(self.judgement)
        sides = units.plain(f"{self.report.b} against {self.report.a}")
        return f"<{row.name}, {sides}: {row.verdict.value}, {units.plain(row.reason)}>"


def measure_pair(asked: Asked, a: Side, b: Side, folder: Path, *, wait_s: float) -> PairResult:
    """Measure and judge; with ``b`` the same as ``a``, something against itself.

    Raises :class:`isobench.errors.UsageError` for what is wrong with the call, HostUnfitError for sides that
    cannot be measured here and for a host too restless to tell, CellsFailedError for a candidate that is not
    there where its baseline is, else as :func:`.running.once_free`.
    """
    tables = _tables(a, b)
    matrix = one_cell_each(replace(asked, starts=None).tables(tables if a != b else tables[:1]))
    names = tables[0]["name"], tables[-1 if a != b else 0]["name"]
    blocks = STANDARD_BLOCKS if asked.blocks is None else asked.blocks
    starts = STARTS if asked.starts is None else asked.starts
    both, ab = two_sides(matrix, Sides(*names, blocks, starts))
    first = run_sides(both, ab, folder, wait_s=wait_s)
    _check_sides(first)
    confirm(folder, candidates(first, DEFAULT_POLICY), wait_s=wait_s)
    report = judge(load(folder), DEFAULT_POLICY)
    if report.outcome is Outcome.UNFIT:
        signs = "; ".join(f"{one.name} {one.found}, at most {one.limit}" for one in report.unfit)
        raise HostUnfitError(f"{gate_rows.headline(report)} {signs}", remedy="isobench doctor")
    return PairResult(_chosen(report, asked.metric), report, folder)


def _check_sides(run: StoredRun) -> None:
    """Raise for a side that cannot be measured here; A first: it tells if the host lacks something."""
    states = cell_states(run.samples)
    for cell, side in sorted({(line.cell, line.side) for line in run.samples}, key=lambda one: one[1]):
        if states[cell].status in LACKING:
            a = run.record.ab.a if run.record.ab and side is ABSide.B else None
            raise lack(cell, states[cell], baseline=a)


def _tables(a: Side, b: Side) -> list[dict[str, Any]]:
    """Both as ``[[isolator]]`` tables with a name, which is the kind where that tells them apart."""
    tables = [table_of(side) for side in (a, b)]
    alike = tables[0].get("kind") == tables[1].get("kind")
    ends = ("-a", "-b") if alike else ("", "")
    return [{"name": f"{table.get('kind')}{end}", **table} for table, end in zip(tables, ends, strict=True)]


def _chosen(report: GateReport, metric: str | None) -> Judgement:
    """The figure that was asked for, or else the only one there is."""
    found = {one.metric.name: one for one in report.judgements}
    if metric is None and len(found) == 1:
        return next(iter(found.values()))
    if metric in found:
        return found[metric]
    if not found:
        raise UsageError(
            "; ".join(f"{one.comparison} {one.metric}: {one.reason}" for one in report.unjudged)
            or "; ".join(report.faults)
        )
    wrong = "several figures are judged" if metric is None else f'"{metric}" is not judged'
    raise UsageError(f"{wrong}: {', '.join(found)}", remedy=f'name one: metric="{next(iter(found))}"')

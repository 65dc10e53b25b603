"""What a test gets: a measured cell, frozen, whose figures can only be read when every attempt came off."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from isobench.errors import UsageError
from isobench.host import comparable
from isobench.journal import CellState, RunRecord, read_run
from isobench.model import Sample, Status
from isobench.pytest_plugin.asked import Asked
from isobench.pytest_plugin.clock import BenchmarkFixture, inject
from isobench.reports import units
from isobench.reports.stats import Distribution, Interval, distribution
from isobench.sampling import NO_METRIC, RESIDUE


@dataclass(frozen=True, repr=False)
class CellResult:
    """One cell of one run. Its figures are in ``unit``: seconds for a start.

    Reading a figure fails the test when an attempt failed or timed out: a median over what was left would
    let a runtime pass that breaks one time in ten. ``status``, ``reason`` and ``values`` can always be read.
    """

    cell: str
    """``startup/runc/ready``."""
    metric: str
    unit: str
    status: Status
    """``ok``, ``failed`` or ``timeout``."""
    reason: str | None
    remedy: str | None
    values: tuple[float, ...]
    """Of the attempts that came off, without warm-ups, in the order they were made."""
    blocks: tuple[int, ...]
    """In which block each of them was made."""
    attempts: int
    """That were made, without warm-ups."""
    folder: Path
    """The result folder, for ``isobench report``; it goes the way of pytest's temporary directories."""
    record: RunRecord = field(compare=False)
    """What was run, where, with what."""

    @property
    def median(self) -> float:
        """The median."""
        return self._figures.median.value

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the median, ``low`` and ``high``; None below five values."""
        return self._figures.median.interval

    @property
    def p90(self) -> float | None:
        """The 90th percentile; None below ten values."""
        found = self._figures.p90
        return None if found is None else found.value

    @property
    def least(self) -> float:
        """The least value."""
        return self._figures.least

    @property
    def greatest(self) -> float:
        """The greatest value."""
        return self._figures.greatest

    def into(self, benchmark: BenchmarkFixture) -> None:
        """Give these very values to pytest-benchmark's fixture, as seconds of the clock that took them.

        Fails the test for a figure that is no time.
        """
        self.check()
        if self.unit != "second":
            pytest.fail(f"pytest-benchmark stores seconds; {self.metric} of {self.cell} is in {self.unit}")
        told = {
            "cell": self.cell,
            "metric": self.metric,
            "run_id": self.record.run_id,
            "seed": self.record.seed,
            "isobench_version": self.record.isobench_version,
            "blocks": list(self.blocks),
            "host": comparable(self.record.host),
        }
        inject(benchmark, self.values, told)

    def check(self) -> None:
        """Fail the test unless every attempt came off."""
        if self.status is not Status.OK:
            remedy = f"\nremedy: {self.remedy}" if self.remedy else ""
            pytest.fail(f"{self}{remedy}")

    @cached_property
    def _figures(self) -> Distribution:
        self.check()
        return distribution(self.values, self.blocks)

    def __repr__(self) -> str:
        """One line: pytest shows it where an assertion fails."""
        if self.status is not Status.OK:
            lost = self.attempts - len(self.values)
            reason = units.plain(self.reason or "no reason was recorded")
            return f"<{self.cell}: {self.status}, {lost} of {self.attempts} attempts: {reason}>"
        return (
            f"<{self.cell}: median {self._said(self.median)} ({units.interval(self.interval, self._said)}), "
            f"p90 {units.optional(self.p90, self._said)}, {len(self.values)} values>"
        )

    def _said(self, value: float) -> str:
        return units.quantity(value, self.unit)


def cell_result(asked: Asked, cell: str, state: CellState, folder: Path) -> CellResult:
    """The result of the run of one cell in a folder.

    Raises :class:`isobench.errors.UsageError` where its values are not figures of one kind.
    """
    record, samples = read_run(folder)
    attempts = [line for line in samples if line.metric != RESIDUE and not line.detail.get("warmup")]
    metric = _metric(asked, cell, attempts)
    own = [line for line in attempts if line.metric in {metric, NO_METRIC}]
    if len(counts := {line.detail.get("instances") for line in own}) > 1:
        raise UsageError(
            f"{cell}: its values are of different numbers of instances: {', '.join(map(str, counts))}",
            remedy='ask for one: params={"instances": [1]}',
        )
    figures = [(line.value, line.block) for line in own if line.value is not None]
    return CellResult(
        cell=cell,
        metric=metric,
        unit=next((line.unit for line in own if line.unit), ""),
        status=state.status,
        reason=state.reason,
        remedy=state.remedy,
        values=tuple(value for value, _ in figures),
        blocks=tuple(block for _, block in figures),
        attempts=len(own),
        folder=folder,
        record=record,
    )


def _metric(asked: Asked, cell: str, attempts: Sequence[Sample]) -> str:
    """The figure that was asked for, or else the only one there is."""
    found = list(dict.fromkeys(line.metric for line in attempts if line.metric != NO_METRIC))
    if asked.metric is None and len(found) <= 1:
        return next(iter(found), NO_METRIC)
    if asked.metric in found:
        return asked.metric
    wrong = "has several figures" if asked.metric is None else f'has no figure "{asked.metric}"'
    raise UsageError(f"{cell} {wrong}: {', '.join(found)}", remedy=f'name one: metric="{found[0]}"')

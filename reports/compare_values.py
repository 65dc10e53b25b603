"""The values a comparison of two runs is told with; made by :mod:`isobench.reports.compare`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from isobench.journal import CellState, RunRecord
from isobench.model import Scalar
from isobench.reports import figures
from isobench.reports.comparability import Comparability
from isobench.reports.stats import Estimate, Interval


class Verdict(StrEnum):
    """What can be said of two figures."""

    ABOVE = "above"
    BELOW = "below"
    SAME = "same"
    """Every value of both is one and the same."""
    UNTOLD = "cannot be told apart"
    FEW = "too few values"
    REFUSED = "not comparable"


@dataclass(frozen=True, slots=True)
class Side:
    """One run's figure."""

    value: float
    n: int
    blocks: int
    """In how many blocks of the run its values were taken; one cannot tell how blocks differ."""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one cell, in both runs."""

    cell: str
    """Its id, with the condition where it measures several things."""
    metric: str
    unit: str
    isolator: str
    benchmark: str
    workload: str
    params: Mapping[str, Scalar]
    base: Side
    candidate: Side
    relative: bool
    """``change`` is candidate / base; else candidate - base, in the unit."""
    change: Estimate | None
    """None: the figures are of different things."""
    verdict: Verdict
    reason: str | None = None
    """Why they are."""
    subject: bool = False
    """Its isolator is known to be another build, or to have other options."""
    control: bool = False
    """Its isolator is known to be the same in both runs, while another is not."""
    moved_alike: bool = False
    """Of a subject: not twice as much as the controls moved in this metric, so it need not be the change."""

    @property
    def changed(self) -> bool:
        """The figures can be told apart."""
        return self.verdict in {Verdict.ABOVE, Verdict.BELOW}

    @property
    def doubtful(self) -> bool:
        """It need not come from what was changed."""
        return self.control or self.moved_alike

    @property
    def word(self) -> str:
        """``slower``, ``cannot be told apart`` …"""
        above, below = figures.words(self.unit)
        return {Verdict.ABOVE: above, Verdict.BELOW: below, Verdict.SAME: "the same"}.get(
            self.verdict, self.verdict.value
        )

    @property
    def size(self) -> float:
        """How great the change is at least: of its interval the end nearest to none, as a share."""
        if self.change is None or self.change.interval is None:
            return 0.0
        low, high = (self.share(end) for end in (self.change.interval.low, self.change.interval.high))
        return 0.0 if low <= 0 <= high else min(abs(low), abs(high))

    def share(self, change: float) -> float:
        """A change as a share: ln of a ratio; a difference of ratios as it is, any other of what it is of."""
        if self.relative:
            return math.log(change) if change > 0 else -math.inf
        if self.unit == "ratio":
            return change
        whole = max(abs(self.base.value), abs(self.candidate.value))
        return change / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Only:
    """What only one of the runs has."""

    cell: str
    metric: str


@dataclass(frozen=True, slots=True)
class EndedOtherwise:
    """A cell that ended in one way in one run, and in another in the other."""

    cell: str
    base: CellState
    candidate: CellState


@dataclass(frozen=True, slots=True)
class Run:
    """What a comparison tells about one of its runs."""

    folder: Path
    record: RunRecord
    samples: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is told about two runs."""

    base: Run
    candidate: Run
    alike: Comparability
    rows: tuple[Row, ...]
    """Those whose figures can be told apart first, without doubts before with, the greatest change first."""
    only_base: tuple[Only, ...]
    only_candidate: tuple[Only, ...]
    ended_otherwise: tuple[EndedOtherwise, ...]
    drift: Mapping[tuple[str, str], Interval]
    """From the least to the greatest ratio of isolators that are the same in both runs, by benchmark and
    metric; where it is known which isolators those are, and there are several."""

    @property
    def changed(self) -> tuple[Row, ...]:
        """The rows whose figures can be told apart."""
        return tuple(row for row in self.rows if row.changed)

    @property
    def by_chance(self) -> int:
        """How many rows would be told apart if nothing had changed at all."""
        return round(
            0.05 * sum(row.change is not None and row.change.interval is not None for row in self.rows)
        )

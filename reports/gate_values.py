"""What the gate says of a run that compares two sides: plain values, made by :mod:`isobench.reports.gate`.

A run holds comparisons (``startup/ready``: the cells that differ in nothing but the side), and of each one
or more metrics are judged. A :class:`Judgement` is one comparison and one metric; a :class:`GateReport` is
all of them, with what is to be said of the host and of the run as a whole.

Signs are those of the metric: ``theta`` above 0 means that B has *more* of it than A. Whether that is worse
says :attr:`Metric.worse`; ``p_worse`` and ``p_better`` have taken it into account.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from isobench.model import Side
from isobench.reports.stats import Estimate


class Verdict(StrEnum):
    """What came of one metric of one comparison."""

    REGRESSION = "regression"
    """B is worse by more than the threshold: the screen said so, and fresh blocks said it again."""
    IMPROVEMENT = "improvement"
    """B is better by more than the threshold, found with the same rigour."""
    EQUIVALENT = "equivalent"
    """The whole confidence interval lies inside the threshold, on either side of no change."""
    INCONCLUSIVE = "inconclusive"
    """None of these could be shown; the reason says why, the detectable effect what could have been seen."""
    MISSING = "missing"
    """A was measured and B was not."""
    ERROR = "error"
    """It cannot be judged: values that are none, blocks that are not whole, no second stage."""


class Outcome(StrEnum):
    """What came of the whole run. The exit code follows from it, see :attr:`GateReport.exit_code`."""

    PASSED = "passed"
    """Something was judged, nothing got worse, nothing is missing."""
    INCONCLUSIVE = "inconclusive"
    """As passed, but of some metric it could not be shown."""
    REGRESSION = "regression"
    UNFIT = "unfit"
    """The host was too restless for any verdict to be believed."""
    INCOMPLETE = "incomplete"
    """Cells are missing or in error, or the run itself is no whole one."""


class Scale(StrEnum):
    """How two sides are compared."""

    RATIO = "ratio"
    """d = ln(B / A), for figures that are above 0 and vary in proportion to their size."""
    DIFFERENCE = "difference"
    """d = B - A in the metric's unit, for figures near 0."""


class Worse(StrEnum):
    """Which way is worse."""

    HIGHER = "higher"
    LOWER = "lower"


class Source(StrEnum):
    """Where a threshold came from."""

    DEFAULT = "default"
    """The metric's relative (or absolute) threshold by default."""
    FLOOR = "floor"
    """The metric's absolute floor: the change in its unit below which nobody cares, over the smaller side."""
    NOISE = "noise"
    """How far A/A comparisons of earlier runs on this host lay apart."""
    DETECT = "detect"
    """Half of the change the user asked to see."""
    FILE = "gate.toml"
    """The thresholds of gate.toml."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure that is judged, as one number a side and block."""

    name: str
    """Unique among the metrics of a benchmark, and what gate.toml calls it: ``ready``, ``memory_each``."""
    title: str
    """For people: ``time to ready``."""
    unit: str
    """Of a block's value, and of ``theta`` on the scale of differences: ``second``, ``byte``, ``ratio``, …"""
    scale: Scale
    worse: Worse
    reduced: str
    """How a block comes to one value, in words: ``median of the starts of a block``."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """δ: a change up to it is of no interest."""

    delta: float
    """On the scale of ratios the change as a ratio (0.05 is +5 %), else in the metric's unit. Above 0."""
    source: Source
    reason: str
    """A sentence: how it came about; for one of gate.toml the reason given there."""


@dataclass(frozen=True, slots=True)
class Control:
    """The baseline against itself: A′ against A in the very same blocks."""

    theta: Estimate
    p: float
    """The smaller of its two one-sided p-values, against the threshold of the comparison."""
    passed: bool
    """It did not reject, and its estimate lies inside the threshold."""
    outdone: bool
    """It did not reject, and B differs from A by more than the threshold and all that A seems to differ from
    itself by, at the same level: a change that stands although the control did not pass."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The statistics of one stage: its own blocks and no others."""

    number: Literal[1, 2]
    """1: the screen, over the blocks fixed before the run. 2: the confirmation, over as many fresh ones."""
    n: int
    """Blocks in which A, B and the control have a value."""
    planned: int
    """Blocks it was to have."""
    a: float
    """The median of A's block values, in the metric's unit."""
    b: float
    theta: Estimate
    """The Hodges-Lehmann estimate of d and its exact interval: ln(B / A), or B - A in the metric's unit."""
    p_worse: float
    """Exact signed-rank p of H0 "B is not worse by more than the threshold"."""
    p_better: float
    """The same of H0 "B is not better by more than the threshold"."""
    p_adjusted: float | None
    """In the second stage: Holm's p over all that were confirmed, of the direction the screen has found."""
    spread: float
    """Robust standard deviation of d, on its scale: 1.4826 times the median absolute deviation."""
    detectable: float
    """The change that this stage would have found 4 times in 5, as ``Threshold.delta`` is given; greater by
    what the control is off, where that did not pass."""
    control: Control


@dataclass(frozen=True, slots=True)
class Gap:
    """A block that is not whole: it enters no figure."""

    block: int
    side: Side
    reason: str
    """``no value``, or why the attempt failed, in the words of the journal: foreign text."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One metric of one comparison."""

    comparison: str
    """``startup/ready``, as :meth:`isobench.journal.ABRecord.comparison` names it."""
    benchmark: str
    metric: Metric
    verdict: Verdict
    reason: str
    """One sentence without a full stop: why it is that verdict and no other."""
    cells: Mapping[Side, str]
    """The cell of each side, for links to raw samples; a side that was not measured is absent."""
    threshold: Threshold | None = None
    """None where there was nothing to compare."""
    stage: Stage | None = None
    """The one that decided; None for missing and error."""
    screen: Stage | None = None
    """The first stage, where the second one decided."""
    needed_blocks: int | None = None
    """Of an inconclusive one: how many blocks a stage would need to see a change of twice the threshold, with
    the spread seen here; None where more blocks are no remedy."""
    gaps: tuple[Gap, ...] = ()

    @property
    def change(self) -> Estimate | None:
        """What B is to A: B / A - 1 on the scale of ratios, else B - A in the metric's unit; with its 95 %
        interval.
        """
        return None if self.stage is None else changed(self.stage.theta, self.metric.scale)

    @property
    def p(self) -> float | None:
        """The p-value that decided: of the nearer direction, adjusted for the others in the second stage."""
        if self.stage is None:
            return None
        if self.stage.p_adjusted is not None:
            return self.stage.p_adjusted
        return min(self.stage.p_worse, self.stage.p_better)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """What was measured and is not judged, or could be measured on neither side."""

    comparison: str
    metric: str
    """Empty: the whole comparison."""
    reason: str
    """One sentence without a full stop."""


@dataclass(frozen=True, slots=True)
class Check:
    """One sign of whether the host was quiet enough."""

    name: str
    """``load``, ``CPU pressure``, ``steal``, ``order of the sides``, …"""
    found: str
    """The figure with its unit, or why there is none."""
    limit: str
    """Up to where it is fit, with its unit."""
    passed: bool | None
    """None: this run has not recorded it, and it decides nothing."""


@dataclass(frozen=True, slots=True)
class GateReport:
    """Everything the gate says of one run."""

    run_id: str
    by: Literal["isolator", "workload"]
    """What the sides are."""
    a: str
    """The name of the baseline."""
    b: str
    """The name of the candidate."""
    blocks: int
    """Of the first stage, fixed before the run."""
    judgements: tuple[Judgement, ...]
    """By comparison and metric, in the order of the journal's benchmarks."""
    unjudged: tuple[Unjudged, ...] = ()
    checks: tuple[Check, ...] = ()
    """Of the host's fitness, all of them, whether passed or not."""
    faults: tuple[str, ...] = ()
    """What is wrong with the run as a whole, a sentence each: it was killed; nothing was measured."""
    warnings: tuple[str, ...] = ()
    """What is odd but bearable, a sentence each."""
    detect: float | None = None
    """The change as a ratio that the user asked to see."""
    resumable: bool = False
    """The run did not come to its end, or to its second stage: ``isobench resume`` goes on with it."""
    strict: bool = False
    """Inconclusive fails."""
    allow_missing: bool = False
    """What B lacks does not fail."""

    @property
    def unfit(self) -> tuple[Check, ...]:
        """The checks the host did not pass."""
        return tuple(check for check in self.checks if check.passed is False)

    def of(self, verdict: Verdict) -> tuple[Judgement, ...]:
        """All with that verdict."""
        return tuple(found for found in self.judgements if found.verdict is verdict)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many have each verdict; every verdict has an entry."""
        found = Counter(judgement.verdict for judgement in self.judgements)
        return {verdict: found[verdict] for verdict in Verdict}

    @property
    def outcome(self) -> Outcome:
        """The first that holds: the run is no whole one; the host is unfit; a regression; something is
        missing or in error; something is inconclusive; passed.

        Unfit comes before a regression: on a restless host that one is not to be believed either.
        """
        counts = self.counts
        lacking = counts[Verdict.ERROR] or (counts[Verdict.MISSING] and not self.allow_missing)
        order = (
            (Outcome.INCOMPLETE, bool(self.faults)),
            (Outcome.UNFIT, bool(self.unfit)),
            (Outcome.REGRESSION, counts[Verdict.REGRESSION] > 0),
            (Outcome.INCOMPLETE, bool(lacking)),
            (Outcome.INCONCLUSIVE, counts[Verdict.INCONCLUSIVE] > 0),
        )
        return next((outcome for outcome, holds in order if holds), Outcome.PASSED)

    @property
    def exit_code(self) -> int:
        """0 passed, or inconclusive unless strict · 1 regression · 3 unfit, or inconclusive and strict · 4
        incomplete.
        """
        codes = {
            Outcome.PASSED: 0,
            Outcome.INCONCLUSIVE: 3 if self.strict else 0,
            Outcome.REGRESSION: 1,
            Outcome.UNFIT: 3,
            Outcome.INCOMPLETE: 4,
        }
        return codes[self.outcome]

    @property
    def ok(self) -> bool:
        """Exit code 0."""
        return self.exit_code == 0


def changed(theta: Estimate, scale: Scale) -> Estimate:
    """From the scale of d to what people read: a ratio less 1, or the difference as it is."""
    if scale is Scale.DIFFERENCE:
        return theta
    found = theta.interval
    interval = None if found is None else type(found)(math.expm1(found.low), math.expm1(found.high))
    return Estimate(math.expm1(theta.value), interval)

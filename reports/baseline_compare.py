"""A run held against a stored baseline: what is slower or faster than it was; it warns and fails nothing."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from scipy import special, stats

from isobench.journal import StoredRun
from isobench.reports import gate_stats
from isobench.reports.baseline import Baseline, Figure, figures
from isobench.reports.comparability import Comparability, Kind, comparability
from isobench.reports.gate_metrics import Rule, judged
from isobench.reports.gate_pairs import comparisons
from isobench.reports.gate_policy import SOURCE, Policy, Subject, check_matches
from isobench.reports.gate_stage import on_scale
from isobench.reports.gate_threshold import threshold
from isobench.reports.gate_values import Metric, Scale, Threshold, Verdict, Worse, changed
from isobench.reports.gate_words import change, size, unfinished
from isobench.reports.stats import LEVEL, Estimate, Interval

DOUBLED = 2
"""Thresholds are so many times those of the gate: runs of two days differ by more than blocks of one. Those
of counts are not: a thing that is left behind is left behind on any day."""

MIN_BLOCKS = 5
"""Of either run. Of four against four the most extreme order of all comes by chance once in 70."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric of one cell."""

    cell: str
    metric: Metric
    verdict: Verdict
    """In the words of the gate; worse and better are warnings here."""
    reason: str
    was: float | None = None
    """The median of the baseline's block values, in the metric's unit."""
    now: float | None = None
    change: Estimate | None = None
    """What now is to was, as :attr:`isobench.reports.gate_values.Judgement.change`."""
    threshold: Threshold | None = None
    """Doubled, but for counts."""
    p: float | None = None
    """Of the nearer direction, adjusted for all entries (Holm)."""


@dataclass(frozen=True, slots=True)
class BaselineReport:
    """What became of a run since its baseline."""

    name: str
    promoted: str
    base_run_id: str
    run_id: str
    entries: tuple[Entry, ...]
    subjects: tuple[str, ...] = ()
    """What is of another build or has other options now, a sentence each: what a change may come from."""
    faults: tuple[str, ...] = ()
    """What is wrong with the run as a whole, a sentence each: it was killed; nothing was compared."""

    @property
    def warnings(self) -> tuple[Entry, ...]:
        """What got worse, what the baseline had and the run lacks, and what could not be compared."""
        bad = {Verdict.REGRESSION, Verdict.MISSING, Verdict.ERROR}
        return tuple(entry for entry in self.entries if entry.verdict in bad)


def against(run: StoredRun, baseline: Baseline, policy: Policy, source: str = SOURCE) -> BaselineReport:
    """Hold a run against a baseline of the same conditions: one by :func:`isobench.reports.baseline.find`.

    Raises :class:`isobench.errors.PolicyError` for a threshold that is about nothing in either; ``source``
    names its file.
    """
    check_matches(policy, _subjects(run, baseline), source)
    alike = comparability(baseline.record, run.record)
    now = {(one.cell, one.metric): one for one in figures(run)}
    found = [_entry(was, now.get((was.cell, was.metric)), alike, policy) for was in baseline.figures]
    entries = tuple(_adjusted([one for one in found if one], policy.gate.alpha))
    return BaselineReport(
        name=baseline.name,
        promoted=baseline.promoted,
        base_run_id=baseline.record.run_id,
        run_id=run.record.run_id,
        entries=entries,
        subjects=tuple(found.text for found in alike.of(Kind.SUBJECT)),
        faults=tuple(_faults(run, entries)),
    )


def _faults(run: StoredRun, entries: Sequence[Entry]) -> Iterator[str]:
    if broken_off := unfinished(run.record):
        yield broken_off
    if not entries:
        yield "Nothing was compared: the baseline has no metric that this isobench judges."


def _subjects(run: StoredRun, baseline: Baseline) -> Iterator[Subject]:
    """What a threshold may be about: what is kept, and in a run of two sides the candidate as well."""
    yield from map(_subject, baseline.figures)
    if run.record.ab is not None:
        yield from (comparison.subject for comparison in comparisons(run, run.record.ab))


def _subject(figure: Figure) -> Subject:
    isolator = figure.cell.split("/")[1]
    return Subject(figure.benchmark, frozenset({isolator}), frozenset({figure.workload}))


@dataclass(frozen=True, slots=True)
class _Tested:
    """What was compared, before it is known how many were."""

    cell: str
    metric: Metric
    was: float
    now: float
    change: Estimate
    threshold: Threshold
    p_worse: float
    p_better: float
    within: bool
    """The whole interval lies inside the threshold."""

    def entry(self, p: float, alpha: float) -> Entry:
        verdict = Verdict.EQUIVALENT if self.within else Verdict.INCONCLUSIVE
        if p < alpha:
            verdict = Verdict.REGRESSION if self.p_worse < self.p_better else Verdict.IMPROVEMENT
        moved, around = change(self.change.value, self.metric), size(self.threshold.delta, self.metric)
        reason = f"{moved} since then, of which {around} would be nothing"
        return Entry(
            self.cell, self.metric, verdict, reason, self.was, self.now, self.change, self.threshold, p
        )


def _entry(was: Figure, now: Figure | None, alike: Comparability, policy: Policy) -> Entry | _Tested | None:
    rule = next((one for one in judged(was.benchmark).rules if one.metric.name == was.metric), None)
    if rule is None:  # a metric that this isobench does not judge any more
        return None
    if refusal := alike.refusal(was.benchmark, was.workload):
        return Entry(was.cell, rule.metric, Verdict.ERROR, f"another thing is measured now: {refusal}")
    if now is None:
        return Entry(was.cell, rule.metric, Verdict.MISSING, "the baseline has it and this run has not")
    before, after = list(was.values.values()), list(now.values.values())
    fault = _fault(rule, before, after)
    if fault:
        return Entry(was.cell, rule.metric, Verdict.ERROR, fault)
    return _tested(was, rule, (before, after), policy)


def _fault(rule: Rule, before: Sequence[float], after: Sequence[float]) -> str | None:
    if min(len(before), len(after)) < MIN_BLOCKS:
        return f"{len(before)} blocks then and {len(after)} now; {MIN_BLOCKS} of each are the fewest"
    if not all(map(math.isfinite, (*before, *after))):
        return "a value is no number"
    if rule.metric.scale is Scale.RATIO and min(*before, *after) <= 0:
        return "a value is 0 or less, of which there is no ratio"
    return None


def _tested(
    was: Figure, rule: Rule, values: tuple[Sequence[float], Sequence[float]], policy: Policy
) -> _Tested:
    metric = rule.metric
    before, after = (np.log(one) if metric.scale is Scale.RATIO else np.array(one) for one in values)
    medians = (median(values[0]), median(values[1]))
    one = threshold(rule, medians, override=policy.override(_subject(was), metric.name))
    allowed = one if metric.unit == "count" else replace(one, delta=DOUBLED * one.delta)
    limit = on_scale(allowed.delta, metric.scale)
    theta = shift(before, after)
    above = float(stats.mannwhitneyu(after - limit, before, alternative="greater").pvalue)
    below = float(stats.mannwhitneyu(after + limit, before, alternative="less").pvalue)
    worse, better = (above, below) if metric.worse is Worse.HIGHER else (below, above)
    found = theta.interval
    within = found is not None and -limit < found.low and found.high < limit
    return _Tested(was.cell, metric, *medians, changed(theta, metric.scale), allowed, worse, better, within)


def shift(before: Sequence[float] | np.ndarray, after: Sequence[float] | np.ndarray) -> Estimate:
    """How far the second sample lies above the first: the median of all differences, and its 95 % interval.

    Hodges and Lehmann's estimate for two samples; the interval by Mann and Whitney's test turned round, with
    the normal approximation to its null distribution (Hollander, Wolfe and Chicken, Nonparametric Statistical
    Methods (2014), chapter 4).
    """
    apart = np.sort(np.subtract.outer(np.asarray(after), np.asarray(before)).ravel())
    n, m = len(before), len(after)
    half = float(special.ndtri((1 + LEVEL) / 2)) * math.sqrt(n * m * (n + m + 1) / 12)
    left_out = max(0, math.floor(n * m / 2 - half))
    interval = Interval(float(apart[left_out]), float(apart[n * m - 1 - left_out]))
    return Estimate(float(np.median(apart)), interval)


def _adjusted(found: Sequence[Entry | _Tested], alpha: float) -> Iterator[Entry]:
    """With verdicts that allow for how many there are."""
    tested = [min(one.p_worse, one.p_better) for one in found if isinstance(one, _Tested)]
    adjusted = iter(gate_stats.holm(tested).tolist())
    for one in found:
        yield one if isinstance(one, Entry) else one.entry(next(adjusted), alpha)

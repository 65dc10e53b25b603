"""The first stage of the gate: what can be judged, and what its screen finds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from isobench.errors import ResultsError
from isobench.journal import ABRecord, StoredRun
from isobench.model import Side
from isobench.reports import gate_stats
from isobench.reports.gate_metrics import Rule, judged
from isobench.reports.gate_pairs import Comparison, Pairs, comparisons, pairs
from isobench.reports.gate_policy import SOURCE, Policy, check_matches
from isobench.reports.gate_stage import fault, medians, stage
from isobench.reports.gate_threshold import is_noisy, threshold
from isobench.reports.gate_values import Stage, Threshold, Unjudged, Verdict


@dataclass(frozen=True, slots=True)
class Ended:
    """A metric of a comparison that cannot be compared."""

    comparison: Comparison
    rule: Rule
    verdict: Verdict
    reason: str
    pairs: Pairs | None = None


@dataclass(frozen=True, slots=True)
class Screened:
    """A metric of a comparison with its first stage."""

    comparison: Comparison
    rule: Rule
    pairs: Pairs
    threshold: Threshold
    stage: Stage
    found: Verdict | None
    """What the screen has found; None: nothing."""


Screening: TypeAlias = Ended | Screened | Unjudged


def ab_of(run: StoredRun) -> ABRecord:
    """What the run compares; raises :class:`isobench.errors.ResultsError` when that is nothing."""
    if run.record.ab is None:
        raise ResultsError(
            f"the run {run.record.run_id} compares nothing: it has no sides",
            remedy="isobench ab --a BASELINE --b CANDIDATE",
        )
    return run.record.ab


def screen(run: StoredRun, policy: Policy, source: str = SOURCE) -> tuple[Screening, ...]:
    """Everything that was measured, in the order of the report.

    Raises as :func:`isobench.reports.gate.judge`.
    """
    ab = ab_of(run)
    found = comparisons(run, ab)
    check_matches(policy, [comparison.subject for comparison in found], source)
    return tuple(one for comparison in found for one in _of_comparison(comparison, ab, policy))


def _of_comparison(comparison: Comparison, ab: ABRecord, policy: Policy) -> Iterator[Screening]:
    known = judged(comparison.benchmark)
    if known.why_not:
        yield Unjudged(comparison.name, "", known.why_not)
        return
    read = {rule.reads for rule in known.rules}
    for metric in sorted(set(comparison.metrics()) - read):
        why = known.not_judged.get(metric, "the gate does not know what it means")
        yield Unjudged(comparison.name, metric, why)
    rules = [rule for rule in known.rules if any(comparison.tried(side, rule) for side in Side)]
    if not rules:  # told once, by the metric the benchmark is about
        yield _without_a(comparison, known.rules[0], "", ab)
    for rule in rules:
        if not comparison.has(Side.A, rule):
            yield _without_a(comparison, rule, rule.metric.name, ab)
        elif not comparison.has(Side.B, rule):
            yield _without_b(comparison, rule, ab)
        else:
            yield _compared(comparison, rule, ab, policy)


def _without_b(comparison: Comparison, rule: Rule, ab: ABRecord) -> Ended:
    """Missing what B cannot have; what it failed at, or lost, is an error whatever may be missing."""
    if _has_no_cell(comparison, ab, Side.B):
        failed, reason = False, "B has no such cell"
    else:
        failed, reason = comparison.lack(Side.B, rule)
    verdict = Verdict.ERROR if failed else Verdict.MISSING
    return Ended(comparison, rule, verdict, f"A was measured and B was not: {reason}")


def _has_no_cell(comparison: Comparison, ab: ABRecord, side: Side) -> bool:
    return ab.planned is not None and side not in ab.planned.get(comparison.name, ())


def _without_a(comparison: Comparison, rule: Rule, metric: str, ab: ABRecord) -> Screening:
    """An error when A failed or was lost; else there is nothing that B could be held against."""
    if _has_no_cell(comparison, ab, Side.A):
        return Unjudged(comparison.name, metric, "A has no such cell")
    failed, reason = comparison.lack(Side.A, rule)
    text = f"A was not measured: {reason}"
    if failed:
        return Ended(comparison, rule, Verdict.ERROR, text)
    return Unjudged(comparison.name, metric, text)


def unreachable(alpha: float, blocks: int, candidates: int = 1) -> str:
    """Why so few blocks can show nothing, however large it is."""
    p, more = gate_stats.least_p(blocks), gate_stats.blocks_below(alpha / candidates)
    of = f" of {candidates} candidates at once" if candidates > 1 else ""
    return f"{blocks} blocks cannot show anything{of} at alpha = {alpha:g}: p is {p:.2g} at least; {more} can"


def lost(run: StoredRun) -> tuple[str, ...]:
    """The comparisons that were to be judged and of which there is not one line."""
    ab = ab_of(run)
    there = {comparison.name for comparison in comparisons(run, ab)}
    planned = (name for name in ab.planned or () if judged(name.partition("/")[0]).rules)
    return tuple(name for name in planned if name not in there)


def _compared(comparison: Comparison, rule: Rule, ab: ABRecord, policy: Policy) -> Screening:
    found = pairs(comparison, rule, range(ab.blocks))
    if wrong := fault(found, rule.metric):
        return Ended(comparison, rule, Verdict.ERROR, wrong, found)
    alpha, n = policy.gate.alpha, len(found.blocks)
    if gate_stats.least_p(n) >= alpha:
        return Ended(comparison, rule, Verdict.ERROR, unreachable(alpha, n), found)
    delta = threshold(
        rule,
        medians(found),
        override=policy.override(comparison.subject, rule.metric.name),
        detect=ab.detect,
        noise=ab.noise.get(comparison.name) if is_noisy(comparison.benchmark, rule) else None,
    )
    first = stage(1, found, rule, delta, alpha)
    worse = Verdict.REGRESSION if first.p_worse < alpha else None
    better = Verdict.IMPROVEMENT if first.p_better < alpha else None
    return Screened(comparison, rule, found, delta, first, worse or better)

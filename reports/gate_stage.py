"""The statistics of one stage of one metric: its pairs against a threshold."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

from isobench.reports import gate_stats
from isobench.reports.gate_metrics import Rule
from isobench.reports.gate_pairs import Pairs
from isobench.reports.gate_values import (
    Control,
    Metric,
    Scale,
    Source,
    Stage,
    Threshold,
    Verdict,
    Worse,
    changed,
)
from isobench.reports.gate_words import change, limits, size, stage_change

MOST_INCOMPLETE = 0.05
"""Part of the blocks that may lack a value."""

_FURTHEST = 100.0
"""Of ln(B / A): two things e^100 apart are not two measurements of one metric."""


def on_scale(delta: float, scale: Scale) -> float:
    """A change as people give it on the scale of d: of ratios a factor 1 + delta, either way."""
    return math.log1p(delta) if scale is Scale.RATIO else delta


def off_scale(size: float, scale: Scale) -> float:
    """The way back."""
    return math.expm1(size) if scale is Scale.RATIO else size


def differences(base: Sequence[float], other: Sequence[float], scale: Scale) -> list[float]:
    """The d of each block."""
    if scale is Scale.DIFFERENCE:
        return [float(b - a) for a, b in zip(base, other, strict=True)]
    return [math.log(b) - math.log(a) for a, b in zip(base, other, strict=True)]


def fault(pairs: Pairs, metric: Metric) -> str | None:
    """Why no statistics can be made of these pairs; None: they can."""
    if pairs.fault:
        return pairs.fault
    lacking = pairs.planned - len(pairs.blocks)
    if not pairs.blocks or lacking > MOST_INCOMPLETE * pairs.planned:
        first = f"; the first: {pairs.gaps[0].reason}" if pairs.gaps else ""
        return f"{lacking} of {pairs.planned} blocks are not whole, one in 20 may be{first}"
    for who, other in (("B", pairs.b), ("the control", pairs.control)):
        d = differences(pairs.a, other, metric.scale)
        # Finite values may be further apart than a float can say.
        if not all(math.isfinite(one) for one in d) or (
            metric.scale is Scale.RATIO and max(map(abs, d)) > _FURTHEST
        ):
            return f"A and {who} are too far apart to be compared"
    return None


def medians(pairs: Pairs) -> tuple[float, float]:
    """Of A and B."""
    return median(pairs.a), median(pairs.b)


def stage(number: Literal[1, 2], pairs: Pairs, rule: Rule, threshold: Threshold, alpha: float) -> Stage:
    """The statistics of pairs that have no :func:`fault`."""
    metric = rule.metric
    limit = on_scale(threshold.delta, metric.scale)
    d = differences(pairs.a, pairs.b, metric.scale)
    p_worse, p_better = _p_values(d, limit, metric.worse)
    spread = gate_stats.spread(d)
    within = gate_stats.detectable_factor(len(d), alpha=alpha) * spread
    a, b = medians(pairs)
    control = _control(pairs, d, metric, limit, alpha)
    beyond = limit if control.passed else limit + abs(control.theta.value)
    return Stage(
        number=number,
        n=len(d),
        planned=pairs.planned,
        a=a,
        b=b,
        theta=gate_stats.hodges_lehmann(d),
        p_worse=p_worse,
        p_better=p_better,
        p_adjusted=None,
        spread=spread,
        detectable=off_scale(beyond + within, metric.scale),
        control=control,
    )


def _p_values(d: Sequence[float], limit: float, worse: Worse) -> tuple[float, float]:
    """Of "not worse" and of "not better" than by the limit."""
    averages = gate_stats.walsh(d)
    above = float(gate_stats.p_above(averages, limit))
    below = float(gate_stats.p_below(averages, -limit))
    return (above, below) if worse is Worse.HIGHER else (below, above)


def _control(pairs: Pairs, d: Sequence[float], metric: Metric, limit: float, alpha: float) -> Control:
    """``d``: of B against A."""
    alike = differences(pairs.a, pairs.control, metric.scale)
    theta = gate_stats.hodges_lehmann(alike)
    p = min(_p_values(alike, limit, metric.worse))
    return Control(
        theta,
        p,
        passed=p >= alpha and abs(theta.value) <= limit,
        outdone=p >= alpha and min(_p_values(d, limit + abs(theta.value), metric.worse)) < alpha,
    )


def unchanged(
    found: Stage, metric: Metric, threshold: Threshold, alpha: float, detect: float | None
) -> tuple[Verdict, str, int | None]:
    """The verdict where no change was shown, why, and how many blocks would show twice the threshold.

    ``detect``: the change as a ratio the user asked to see.
    """
    limit = on_scale(threshold.delta, metric.scale)
    around = limits(threshold, metric)
    needed = _needed(found, metric, threshold, limit, alpha)
    if not found.control.passed:
        apart = change(changed(found.control.theta, metric.scale).value, metric)
        if found.control.p < alpha:
            return Verdict.INCONCLUSIVE, f"the baseline differs from itself by {apart}", None
        return Verdict.INCONCLUSIVE, f"the baseline differs from itself by {apart}, outside {around}", needed
    within = found.theta.interval
    if within and -limit < within.low and within.high < limit:
        if hidden := _hidden(threshold, metric, detect):
            return Verdict.INCONCLUSIVE, f"{stage_change(found, metric)}: {hidden}", None
        return Verdict.EQUIVALENT, f"{stage_change(found, metric)}, all of it inside {around}", None
    reason = (
        f"{stage_change(found, metric)} is neither inside {around} nor beyond it; "
        f"{found.n} blocks show a change of {size(found.detectable, metric)}"
    )
    return Verdict.INCONCLUSIVE, reason, needed


def _hidden(threshold: Threshold, metric: Metric, detect: float | None) -> str | None:
    """Why "nothing beyond the threshold" is no answer to who asked for less; None: it is one."""
    if detect is None or threshold.source is not Source.NOISE or threshold.delta < detect:
        return None
    noise, asked = size(threshold.delta, metric), size(detect, metric)
    return f"the noise of the host, {noise}, hides the {asked} asked for"


def _needed(found: Stage, metric: Metric, threshold: Threshold, limit: float, alpha: float) -> int | None:
    """None where the blocks there are would show it."""
    beyond = on_scale(2 * threshold.delta, metric.scale) - limit
    if found.spread == 0:
        return None
    blocks = gate_stats.blocks_for(beyond / found.spread, alpha=alpha)
    return blocks if blocks > found.n else None

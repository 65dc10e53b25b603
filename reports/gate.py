"""The regression gate: from a run that compares two sides to verdicts. docs/gate.md has the reasons.

::

    journal ─▶ gate_pairs: a number a side and block ─▶ gate_stage: statistics ─▶ gate_screen ─▶ verdicts here
                  gate_metrics ▲       gate.toml ─▶ gate_policy ─▶ gate_threshold ▲

Stage 1 screens every metric of every comparison at level alpha. What it finds, worse or better, is a
*candidate*, is measured on as many fresh blocks, and is judged on these alone, at level alpha over all
candidates together (Holm). So a finding has passed two tests on independent blocks; a candidate that fails
the second is no finding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from isobench.journal import ABRecord, StoredRun
from isobench.reports import gate_stats
from isobench.reports.gate_fitness import fitness
from isobench.reports.gate_pairs import pairs
from isobench.reports.gate_policy import SOURCE, Policy
from isobench.reports.gate_screen import Ended, Screened, ab_of, lost, screen, unreachable
from isobench.reports.gate_stage import fault, stage, unchanged
from isobench.reports.gate_values import (
    Check,
    Control,
    Gap,
    GateReport,
    Judgement,
    Metric,
    Outcome,
    Scale,
    Source,
    Stage,
    Threshold,
    Unjudged,
    Verdict,
    Worse,
    changed,
)
from isobench.reports.gate_words import differs_from_itself, stage_change, unfinished

__all__ = [
    "MIN_BLOCKS",
    "Check",
    "Control",
    "Gap",
    "GateReport",
    "Judgement",
    "Metric",
    "Outcome",
    "Scale",
    "Source",
    "Stage",
    "Threshold",
    "Unjudged",
    "Verdict",
    "Worse",
    "candidates",
    "changed",
    "judge",
]

MIN_BLOCKS = 12
"""Of a stage. Fewer see only changes of more than 0.7 standard deviations beyond the threshold."""


def judge(run: StoredRun, policy: Policy, source: str = SOURCE) -> GateReport:
    """The verdicts on a run that compares two sides; ``source`` names the file of the thresholds in messages.

    Raises :class:`isobench.errors.ResultsError` for a run that compares nothing, and
    :class:`isobench.errors.PolicyError` for a threshold that is about nothing in it.
    """
    ab, alpha = ab_of(run), policy.gate.alpha
    screening = screen(run, policy, source)
    screened = [one for one in screening if isinstance(one, Screened)]
    second = _confirmations(screened, ab, alpha)
    again = [one.of for one in second.values() if isinstance(one, _Confirmation)]
    judgements = tuple(
        _judgement(one, second, alpha, ab.detect) for one in screening if not isinstance(one, Unjudged)
    )
    return GateReport(
        run_id=run.record.run_id,
        by=ab.by,
        a=ab.a,
        b=ab.b,
        blocks=ab.blocks,
        judgements=judgements,
        unjudged=tuple(one for one in screening if isinstance(one, Unjudged)),
        checks=fitness(run.record, [*screened, *again]),
        faults=tuple(_faults(run, ab, judgements)),
        warnings=run.warnings,
        detect=ab.detect,
        resumable=ab.confirm is None or unfinished(run.record) is not None,
        strict=policy.gate.strict,
        allow_missing=policy.gate.allow_missing,
    )


def candidates(run: StoredRun, policy: Policy) -> tuple[str, ...]:
    """The comparisons a first stage wants to see again on fresh blocks; raises as :func:`judge`."""
    found = [one for one in screen(run, policy) if isinstance(one, Screened) and one.found]
    return tuple(dict.fromkeys(one.comparison.name for one in found))


@dataclass(frozen=True, slots=True)
class _Confirmation:
    """The second stage of a candidate."""

    of: Screened
    """With the fresh blocks in place of the first ones."""
    stage: Stage


def _confirmations(
    screened: Sequence[Screened], ab: ABRecord, alpha: float
) -> dict[tuple[str, str], _Confirmation | str]:
    """Of every candidate, by comparison and metric: its second stage, or why there is none."""
    wanted = [one for one in screened if one.found]
    if wanted and gate_stats.least_p(ab.blocks) * len(wanted) >= alpha:
        return dict.fromkeys(map(_key, wanted), unreachable(alpha, ab.blocks, len(wanted)))
    found = {_key(one): _measured_again(one, ab, alpha) for one in wanted}
    # What could not be measured again is of the family all the same: it was asked about.
    adjusted = gate_stats.holm([1.0 if isinstance(one, str) else _p(one) for one in found.values()])
    return {
        key: one if isinstance(one, str) else replace(one, stage=replace(one.stage, p_adjusted=p))
        for (key, one), p in zip(found.items(), adjusted.tolist(), strict=True)
    }


def _key(one: Screened | Ended) -> tuple[str, str]:
    return one.comparison.name, one.rule.metric.name


def _p(one: _Confirmation) -> float:
    """In the direction the screen has found."""
    return one.stage.p_worse if one.of.found is Verdict.REGRESSION else one.stage.p_better


def _measured_again(one: Screened, ab: ABRecord, alpha: float) -> _Confirmation | str:
    if ab.confirm is None:
        return "the screen found something, and the run ended before the second stage"
    if one.comparison.name not in ab.confirm:
        return (
            "the screen finds something by these thresholds, but the run did not measure it again: measure "
            "anew with them, isobench ab --policy"
        )
    fresh = pairs(one.comparison, one.rule, range(ab.blocks, 2 * ab.blocks))
    if wrong := fault(fresh, one.rule.metric):
        return f"second stage: {wrong}"
    # The threshold stays: nothing of it may be learnt from the blocks it is to judge.
    made = stage(2, fresh, one.rule, one.threshold, alpha)
    return _Confirmation(replace(one, pairs=fresh), made)


def _judgement(
    one: Screened | Ended,
    second: dict[tuple[str, str], _Confirmation | str],
    alpha: float,
    detect: float | None,
) -> Judgement:
    if isinstance(one, Ended):
        return _made(one, one.verdict, one.reason)
    again = second.get(_key(one))
    if again is None:
        verdict, reason, needed = unchanged(one.stage, one.rule.metric, one.threshold, alpha, detect)
        return _made(one, verdict, reason, stage=one.stage, needed_blocks=needed)
    if isinstance(again, str):
        return _made(one, Verdict.ERROR, again, screen=one.stage)
    made = again.stage
    confirmed = made.p_adjusted is not None and made.p_adjusted < alpha
    seen = f"{stage_change(made, one.rule.metric)} on fresh blocks, as the screen had found"
    if one.found and confirmed and made.control.passed:
        return _made(again.of, one.found, seen, stage=made, screen=one.stage)
    if one.found and confirmed and made.control.outdone:
        reason = f"{seen}; more than {differs_from_itself(made, one.rule.metric)} can explain"
        return _made(again.of, one.found, reason, stage=made, screen=one.stage)
    verdict, reason, needed = unchanged(made, one.rule.metric, one.threshold, alpha, detect)
    if confirmed:
        reason = f"{seen}, but {reason}, and that may be all of it"
    else:
        reason = f"the screen found something, fresh blocks did not confirm it: {reason}"
    return _made(again.of, verdict, reason, stage=made, screen=one.stage, needed_blocks=needed)


def _made(
    one: Screened | Ended,
    verdict: Verdict,
    reason: str,
    *,
    stage: Stage | None = None,
    screen: Stage | None = None,
    needed_blocks: int | None = None,
) -> Judgement:
    return Judgement(
        comparison=one.comparison.name,
        benchmark=one.comparison.benchmark,
        metric=one.rule.metric,
        verdict=verdict,
        reason=reason,
        cells=one.comparison.cells,
        threshold=one.threshold if isinstance(one, Screened) else None,
        stage=stage,
        screen=screen,
        needed_blocks=needed_blocks,
        gaps=() if one.pairs is None else one.pairs.gaps,
    )


def _faults(run: StoredRun, ab: ABRecord, judgements: Sequence[Judgement]) -> Iterator[str]:
    """What makes the run none that can be passed, whatever its cells say."""
    if broken_off := unfinished(run.record):
        yield broken_off
    elif absent := lost(run):
        yield f"The journal has no line of what was to be measured: {', '.join(absent)}."
    if run.miscounted:
        more = f"; and {len(run.miscounted) - 1} more" if len(run.miscounted) > 1 else ""
        yield f"The journal is not what was measured: {run.miscounted[0]}{more}."
    if ab.blocks < MIN_BLOCKS:
        yield f"The run was to have {ab.blocks} blocks, and the gate takes {MIN_BLOCKS} at least."
    # An error tells by itself why, say, its values cannot be compared.
    if not any(judgement.stage or judgement.verdict is Verdict.ERROR for judgement in judgements):
        yield "Nothing was compared: no metric was measured on both sides."

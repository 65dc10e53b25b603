"""What every face of a gate shows: the answer in a sentence, a row a judgement, what speaks against it.

Words that come from elsewhere (names, reasons of a journal) are in here as they are: each face escapes them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isobench.reports import units
from isobench.reports.gate_metrics import judged
from isobench.reports.gate_values import GateReport, Judgement, Metric, Outcome, Source, Verdict, changed
from isobench.reports.gate_words import change, detectable, limit_from, limits, stage_change
from isobench.reports.verdict import Caution

ORDER = (
    Verdict.REGRESSION,
    Verdict.ERROR,
    Verdict.MISSING,
    Verdict.INCONCLUSIVE,
    Verdict.IMPROVEMENT,
    Verdict.EQUIVALENT,
)
"""What matters most comes first."""

OF_ITSELF = frozenset({Verdict.EQUIVALENT})
"""Verdicts whose reason the figures of the row say already."""

_ADVICE: Mapping[Outcome, str] = {
    Outcome.REGRESSION: "isobench report DIR shows every start behind it.",
    Outcome.UNFIT: "Quieten the host and run it anew: isobench doctor.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One judgement as people read it; a dash where there is no figure."""

    name: str
    """``startup/ready``, ``memory/hold: peak memory of an instance``."""
    verdict: Verdict
    a: str
    b: str
    change: str
    interval: str
    limit: str
    """Of no interest up to here: ``±5.00 %``."""
    limit_from: str
    """``gate.toml: …``, where it is not the metric's own; else empty."""
    sees: str
    """The change that would have been found."""
    p: str
    blocks: str
    """``20``; ``20 + 20`` with a second stage, ``19 of 20`` where some are not whole."""
    control: str
    """How far the baseline was from itself; ``! `` before it where that is too far."""
    reason: str


def advice(report: GateReport) -> str | None:
    """What helps, a sentence."""
    if report.outcome is not Outcome.INCONCLUSIVE:
        return _ADVICE.get(report.outcome)
    open_ = report.of(Verdict.INCONCLUSIVE)
    if all(one.stage and not one.stage.control.passed and not one.needed_blocks for one in open_):
        return "More blocks are no remedy where the baseline differs from itself: isobench doctor."
    blocks = max((one.needed_blocks or 2 * report.blocks for one in open_), default=0)
    return f"More blocks see smaller changes: isobench ab --blocks {blocks}."


def rows(report: GateReport) -> tuple[Row, ...]:
    """All judgements, what matters most first."""
    found = sorted(report.judgements, key=lambda one: ORDER.index(one.verdict))
    return tuple(map(row, found))


def title(report: GateReport) -> str:
    """``isobench gate: regression``."""
    return f"isobench gate: {report.outcome.value}"


def headline(report: GateReport) -> str:
    """The answer, one sentence: ``1 of 12 figures got worse: startup/ready +12.30 % (…).``"""
    total = len(report.judgements)
    worse = report.of(Verdict.REGRESSION)
    if report.outcome is Outcome.INCOMPLETE:
        lacking = len(report.of(Verdict.MISSING)) + len(report.of(Verdict.ERROR))
        return f"{lacking} of {_figures(total)} could not be compared." if lacking else _NOT_WHOLE
    if report.outcome is Outcome.UNFIT:
        return "The host was too restless for its figures to be believed."
    if report.outcome is Outcome.REGRESSION:
        named = "; ".join(_change_of(one) for one in worse[:_NAMED])
        more = f"; and {len(worse) - _NAMED} more" if len(worse) > _NAMED else ""
        return f"{len(worse)} of {_figures(total)} got worse: {named}{more}."
    if report.outcome is Outcome.INCONCLUSIVE:
        open_ = len(report.of(Verdict.INCONCLUSIVE))
        return f"Nothing is known to have got worse; of {open_} of {_figures(total)} it could not be told."
    better = len(report.of(Verdict.IMPROVEMENT))
    return f"None of {_figures(total)} got worse" + (f", {better} got better." if better else ".")


def about(report: GateReport) -> str:
    """What was compared, and how: ``runc-new (B) against runc (A), 20 blocks; …``"""
    asked = (
        "" if report.detect is None else f", to see a change of {units.percent(report.detect).lstrip('+')}"
    )
    if any(one.threshold and one.threshold.source is Source.DETECT for one in report.judgements):
        asked += " with limits of half of it"
    return f"{report.b} (B) against {report.a} (A) in {report.blocks} blocks{asked}; run {report.run_id}"


def tally(report: GateReport) -> str:
    """``1 regression, 3 equivalent``; verdicts that nothing has are left out."""
    counts = report.counts
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in ORDER if counts[verdict])


def cautions(report: GateReport) -> tuple[Caution, ...]:
    """What speaks against believing it, or is odd."""
    return tuple(_cautions(report))


LEGEND = (
    "limit: changes up to it are of no interest. sees: the change these blocks would have found "
    "4 times in 5. control: the baseline against itself, in the same blocks."
)

_NAMED = 3
"""Figures that a sentence names."""
_NOT_WHOLE = "The run is not whole."


def _cautions(report: GateReport) -> Iterator[Caution]:
    for fault in report.faults:
        yield Caution(_NOT_WHOLE.rstrip("."), fault)
    if report.unfit:
        signs = "; ".join(f"{one.name} {one.found}, at most {one.limit}" for one in report.unfit)
        yield Caution("The host was not fit", f"{signs}.", remedy="isobench doctor")
    yield from _limits(report)
    for warning in report.warnings:
        yield Caution("The journal is damaged", warning, loud=False)
    if lines := [f"{_unjudged_name(one.comparison, one.metric)}: {one.reason}" for one in report.unjudged]:
        more = f"; and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
        yield Caution("Not judged", f"{'; '.join(lines[:_LISTED])}{more}.", loud=False)


_LISTED = 10


def _limits(report: GateReport) -> Iterator[Caution]:
    """Where limits come from that are none of the metrics' own; of those by --detect tells :func:`about`."""
    by: dict[tuple[Source, str], list[str]] = {}
    for one in report.judgements:
        if one.threshold is not None:
            source = one.threshold.source
            reason = _OF_NOISE if source is Source.NOISE else one.threshold.reason.rstrip(".")
            shown = f"{name(one)} {limits(one.threshold, one.metric)}"
            by.setdefault((source, reason), []).append(shown)
    for source, title in _LIMITS.items():
        told = [f"{_some(names)}: {reason}." for (of, reason), names in by.items() if of is source]
        for text in told[:_LISTED]:
            yield Caution(title, text, loud=False)
        if len(told) > _LISTED:
            yield Caution(title, f"And {len(told) - _LISTED} more.", loud=False)


_LIMITS = {Source.FILE: "Limit by gate.toml", Source.NOISE: "Limit by the noise of the host"}
_OF_NOISE = "things alike lay so far apart in earlier runs on this host"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _unjudged_name(comparison: str, metric: str) -> str:
    return f"{comparison} {metric}".rstrip()


def row(one: Judgement) -> Row:
    """One of them."""
    stage, metric = one.stage, one.metric
    known = one.change
    interval = None if known is None else known.interval
    return Row(
        name=name(one),
        verdict=one.verdict,
        a=units.NONE if stage is None else _value(stage.a, metric),
        b=units.NONE if stage is None else _value(stage.b, metric),
        change=units.NONE if known is None else change(known.value, metric),
        interval=units.interval(interval, lambda value: change(value, metric)),
        limit=units.NONE if one.threshold is None else limits(one.threshold, metric),
        limit_from="" if one.threshold is None else limit_from(one.threshold),
        sees=detectable(one),
        p=units.NONE if one.p is None else p_value(one.p),
        blocks=_blocks(one),
        control=_control(one),
        reason=one.reason,
    )


def name(one: Judgement) -> str:
    """The comparison and, where its benchmark has more than one figure, which of them."""
    only = len(judged(one.benchmark).rules) == 1
    return one.comparison if only else f"{one.comparison}: {one.metric.title}"


def p_value(p: float) -> str:
    """``0.031``, ``<0.001``."""
    return "<0.001" if p < _LEAST_P else f"{p:.3f}"


_LEAST_P = 0.001


def _change_of(one: Judgement) -> str:
    return name(one) if one.stage is None else f"{name(one)} {stage_change(one.stage, one.metric)}"


def _value(value: float, metric: Metric) -> str:
    return f"{value:g}" if metric.unit == "count" else units.quantity(value, metric.unit)


def _blocks(one: Judgement) -> str:
    stages = [stage for stage in (one.screen, one.stage) if stage is not None]
    if not stages:
        return units.NONE
    return " + ".join(
        str(stage.n) if stage.n == stage.planned else f"{stage.n} of {stage.planned}" for stage in stages
    )


def _control(one: Judgement) -> str:
    if one.stage is None:
        return units.NONE
    control = one.stage.control
    away = change(changed(control.theta, one.metric.scale).value, one.metric)
    return away if control.passed else f"! {away}"


def _figures(many: int) -> str:
    return f"{many:,} figure{'' if many == 1 else 's'}"

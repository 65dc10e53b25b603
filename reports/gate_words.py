"""Changes and thresholds as the gate says them; the same on every face."""

from isobench.journal import RunRecord
from isobench.reports import units
from isobench.reports.gate_values import Judgement, Metric, Scale, Source, Stage, Threshold, changed


def size(amount: float, metric: Metric) -> str:
    """How large a change is, without a sign: ``5.00 %``, ``256 KiB``, ``0.5``."""
    return change(abs(amount), metric).lstrip("+")


def change(amount: float, metric: Metric) -> str:
    """What B is to A: ``+12.30 %`` of a ratio less 1, ``-40.0 KiB`` of a difference; errors in points."""
    if metric.scale is Scale.RATIO:
        return units.percent(amount)
    sign = "+" if amount > 0 else ""
    if metric.unit == "ratio":
        return f"{100 * amount:+.2f} points"
    if metric.unit == "count":
        return f"{amount:+.3g}"
    return f"{sign}{units.quantity(amount, metric.unit)}"


def limits(threshold: Threshold, metric: Metric) -> str:
    """``±5.00 %``."""
    return f"±{size(threshold.delta, metric)}"


def limit_from(threshold: Threshold) -> str:
    """``gate.toml: known to be slow``; empty for the thresholds that a metric has of its own."""
    own = threshold.source in {Source.DEFAULT, Source.FLOOR}
    return "" if own else f"{threshold.source.value}: {threshold.reason}"


def stage_change(stage: Stage, metric: Metric) -> str:
    """``+12.30 % (+9.80 % to +14.90 %)``."""
    found = changed(stage.theta, metric.scale)
    if found.interval is None:
        return change(found.value, metric)
    low, high = (change(end, metric) for end in (found.interval.low, found.interval.high))
    return f"{change(found.value, metric)} ({low} to {high})"


def differs_from_itself(stage: Stage, metric: Metric) -> str:
    """``the +12.00 % by which the baseline differs from itself``."""
    apart = change(changed(stage.control.theta, metric.scale).value, metric)
    return f"the {apart} by which the baseline differs from itself"


def unfinished(record: RunRecord) -> str | None:
    """A sentence about a run that did not come to its end; None: it did."""
    if record.status == "running":
        return "The run was killed, or is going on: it ends with `isobench resume`."
    if record.status == "interrupted":
        return "The run was interrupted: it ends with `isobench resume`."
    return None


def detectable(judgement: Judgement) -> str:
    """The change that would have been found; a dash where nothing was compared."""
    if judgement.stage is None:
        return units.NONE
    return size(judgement.stage.detectable, judgement.metric)

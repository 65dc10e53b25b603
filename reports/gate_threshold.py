"""The threshold of one metric of one comparison: how much may change before anybody cares."""

from collections.abc import Iterator
from math import inf

from isobench.reports import units
from isobench.reports.gate_metrics import Rule, judged
from isobench.reports.gate_policy import ThresholdTable
from isobench.reports.gate_values import Scale, Source, Threshold


def is_noisy(benchmark: str, rule: Rule) -> bool:
    """Whether noise of earlier runs may raise a threshold: of the metric a benchmark is about, as a ratio."""
    return rule is judged(benchmark).primary and rule.metric.scale is Scale.RATIO


def threshold(
    rule: Rule,
    medians: tuple[float, float],
    *,
    override: ThresholdTable | None = None,
    detect: float | None = None,
    noise: float | None = None,
) -> Threshold:
    """The greatest of what is relative, what is absolute, and what the host does to two things alike.

    ``medians``: of both sides, above 0 where ratios are compared. What is relative is relative to the smaller
    of them, so that the sides can be swapped: with a floor of 0.5 ms neither is 1.4 ms worse than 1.0 ms nor
    1.0 ms better than 1.4 ms. ``detect``: the change as a ratio the user asked to see; half of it outranks
    the defaults, and ``override`` outranks both. ``noise``: see :class:`isobench.journal.ABRecord`; nothing
    outranks it, for below it A/A comparisons of this very host reject.
    """
    size = _Size(rule, max(0.0, min(medians)))
    return max(_limits(rule, size, override, detect, noise), key=lambda found: found.delta)


class _Size:
    """Ratios and amounts on the scale a metric is compared on."""

    def __init__(self, rule: Rule, base: float) -> None:
        self._ratio = rule.metric.scale is Scale.RATIO
        self._base = base

    def of_ratio(self, ratio: float) -> float:
        return ratio if self._ratio else ratio * self._base

    def of_amount(self, amount: float) -> float:
        return amount / self._base if self._ratio else amount


def _limits(
    rule: Rule, size: _Size, override: ThresholdTable | None, detect: float | None, noise: float | None
) -> Iterator[Threshold]:
    half = detect / 2 if detect and rule.relative is not None else inf
    asked = f"half of the {units.percent(detect or 0).lstrip('+')} asked for"
    if override and override.relative is not None:
        yield Threshold(size.of_ratio(override.relative), Source.FILE, override.reason)
    elif rule.relative is not None:
        lowered = half < rule.relative
        source, reason = (Source.DETECT, asked) if lowered else (Source.DEFAULT, f"{rule.why} by default")
        yield Threshold(size.of_ratio(min(half, rule.relative)), source, reason)
    if override and override.floor is not None:
        yield Threshold(size.of_amount(override.floor), Source.FILE, override.reason)
    else:
        yield _floor(rule, size, half, asked)
    if noise and rule.relative is not None:
        reason = f"A/A comparisons of earlier runs on this host lay {units.percent(noise)} apart"
        yield Threshold(size.of_ratio(noise), Source.NOISE, reason)


def _floor(rule: Rule, size: _Size, half: float, asked: str) -> Threshold:
    floor = size.of_amount(rule.floor)
    # Half of nothing is no threshold: where the smaller side has none of it, the amount stands.
    lowered = (size.of_ratio(half) if half < inf else inf) or inf
    if lowered < floor:
        return Threshold(lowered, Source.DETECT, asked)
    source = Source.FLOOR if rule.relative is not None else Source.DEFAULT
    return Threshold(floor, source, f"{rule.why} by default")

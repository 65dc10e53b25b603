"""Whether a host was quiet enough for its verdicts to be believed.

Blocks pair the sides in time, so that what disturbs both alike cancels, and each comparison has its control.
The limits here are for what that cannot save: a host so busy, so hot or so short of CPU that an instance
measures the others, and disturbances that hit whoever comes later or last from block to block.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isobench.journal import RunRecord
from isobench.reports import gate_stats
from isobench.reports.gate_screen import Screened
from isobench.reports.gate_stage import differences, off_scale, on_scale
from isobench.reports.gate_values import Check
from isobench.reports.gate_words import change
from isobench.reports.quiet import load, meanwhile

MOST_SERIAL = 0.3
"""Correlation of one block with the next. At 0.3 a p-value of 0.05 is really one of 0.11 (AR(1))."""

LEVEL = 0.01
"""Of the tests of order and of correlation, each over all comparisons together."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """What a test says of one comparison."""

    p: float
    found: str
    beyond: bool
    """Whether it is large enough to matter."""


def fitness(record: RunRecord, screened: Sequence[Screened]) -> tuple[Check, ...]:
    """All checks, whether passed or not."""
    return (
        load(record),
        *meanwhile(record),
        _settings(record),
        _order_of_sides(record, screened),
        _worst("block after block", f"a correlation of {MOST_SERIAL:g}", _serials(screened)),
    )


def _settings(record: RunRecord) -> Check:
    tuned = record.tuned
    changed = [one for one in tuned or () if one.end not in {None, one.during} and one.refused is None]
    found = ", ".join(f"{one.file} from {one.during} to {one.end}" for one in changed)
    known = None if tuned is None else not changed
    none = "none" if tuned is not None else "not watched without --tune"
    return Check("settings changed by others", found or none, "none", known)


def _order_of_sides(record: RunRecord, screened: Sequence[Screened]) -> Check:
    """Of the comparisons in which one side is later than another."""
    name, limit = "order of the sides", "the later of two alike within the threshold"
    in_turns = record.ab.in_turns if record.ab else ()
    signs = [_order(one) for one in screened if one.comparison.benchmark not in in_turns]
    if screened and not signs:
        return Check(name, "none is later: they took turns, start by start", limit, True)
    return _worst(name, limit, iter(signs))


def _order(one: Screened) -> _Sign:
    """How A and its control, which are alike, differ by which of them ran later."""
    scale, found = one.rule.metric.scale, one.pairs
    d = differences(found.a, found.control, scale)
    later = [-x if a_last else x for x, a_last in zip(d, found.a_last, strict=True)]
    limit = on_scale(one.threshold.delta, scale)
    averages = gate_stats.walsh(later)
    p = 2 * min(float(gate_stats.p_above(averages, limit)), float(gate_stats.p_below(averages, -limit)))
    theta = gate_stats.hodges_lehmann(later).value
    size = math.copysign(off_scale(abs(theta), scale), theta)
    return _Sign(min(1.0, p), f"{change(size, one.rule.metric)} in {_name(one)}", abs(theta) > limit)


def _serials(screened: Sequence[Screened]) -> Iterator[_Sign]:
    for one in screened:
        for who, other in (("B", one.pairs.b), ("the control", one.pairs.control)):
            r, p = gate_stats.serial(differences(one.pairs.a, other, one.rule.metric.scale))
            yield _Sign(p, f"{r:.2f} for {who} in {_name(one)}", r > MOST_SERIAL)


def _worst(name: str, limit: str, signs: Iterator[_Sign]) -> Check:
    found = list(signs)
    if not found:
        return Check(name, "nothing was compared", limit, None)
    adjusted = gate_stats.holm([sign.p for sign in found]).tolist()
    failed = [sign for sign, p in zip(found, adjusted, strict=True) if sign.beyond and p < LEVEL]
    least = min(failed or found, key=lambda sign: sign.p)
    return Check(name, f"at most {least.found}", limit, not failed)


def _name(one: Screened) -> str:
    return f"{one.comparison.name} ({one.rule.metric.name})"

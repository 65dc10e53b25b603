"""Whether a host was quiet enough for its verdicts to be believed.

Blocks pair the sides in time, so that what disturbs both alike cancels, and each comparison has its control.
The limits here are for what that cannot save: a host so busy, so hot or so short of CPU that an instance
measures the others, and disturbances that hit whoever comes later or last from block to block.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isobench.journal import RunRecord
from isobench.reports import gate_stats, units
from isobench.reports.gate_screen import Screened
from isobench.reports.gate_stage import differences, off_scale, on_scale
from isobench.reports.gate_values import Check
from isobench.reports.gate_words import change
from isobench.reports.summary import number

MOST_LOAD = 2.0
"""Processes that want to run, for each CPU, as the run begins: an instance then has a third of one."""
MOST_WAITED: Mapping[str, float] = {"cpu": 0.5, "memory": 0.1, "io": 0.5}
"""Part of the time in which something waited for it (PSI). Who waits for memory reclaims it, and pays for
what others took."""
MOST_STOLEN = 0.1
"""Part of the CPU time that a hypervisor gave to others."""
MOST_BY_OTHERS = 0.25
"""Part of the CPU time that was not the run's own: the other programs of the host, and interrupts."""
MOST_SERIAL = 0.3
"""Correlation of one block with the next. At 0.3 a p-value of 0.05 is really one of 0.11 (AR(1))."""

LEVEL = 0.01
"""Of the tests of order and of correlation, each over all comparisons together."""

_NOT_RECORDED = "not recorded"


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
        _load(record),
        *_waited(record),
        *_taken(record),
        _settings(record),
        _worst("order of the sides", "the later of two alike within the threshold", map(_order, screened)),
        _worst("block after block", f"a correlation of {MOST_SERIAL:g}", _serials(screened)),
    )


def _load(record: RunRecord) -> Check:
    load, cpus = _host(record, "load", "1min"), _host(record, "cpu", "usable")
    each = None if load is None or not cpus else load / cpus
    return _up_to("load as it began", each, MOST_LOAD, lambda value: f"{value:.2f} a CPU")


def _waited(record: RunRecord) -> Iterator[Check]:
    """Over the run where that is recorded, else as it began."""
    for name, most in MOST_WAITED.items():
        share = _per_second(record, f"waited_{name}_s")
        if share is None and (percent := _host(record, "pressure", f"{name}_10s_percent")) is not None:
            share = percent / 100
        yield _up_to(f"waiting for {name}", share, most, _of_time)


def _taken(record: RunRecord) -> Iterator[Check]:
    cpus = 1 if record.disturbance is None else record.disturbance.cpus
    for name, most in (("others_cpu_s", MOST_BY_OTHERS), ("steal_s", MOST_STOLEN)):
        share = _per_second(record, name)
        title = "CPU time of others" if name == "others_cpu_s" else "stolen by a hypervisor"
        yield _up_to(title, None if share is None else share / cpus, most, _of_cpu)
    heat = None if record.disturbance is None else record.disturbance.thermal_throttles
    yield _up_to("slowed down for heat", heat, 0.0, lambda value: f"{value:g} times")


def _per_second(record: RunRecord, counter: str) -> float | None:
    """How much a counter rose while the run was measured."""
    found = record.disturbance
    value = None if found is None or found.seconds <= 0 else getattr(found, counter)
    return None if found is None or value is None else float(value) / found.seconds


def _settings(record: RunRecord) -> Check:
    tuned = record.tuned
    changed = [one for one in tuned or () if one.end not in {None, one.during} and one.refused is None]
    found = ", ".join(f"{one.file} from {one.during} to {one.end}" for one in changed)
    known = None if tuned is None else not changed
    none = "none" if tuned is not None else "not watched without --tune"
    return Check("settings changed by others", found or none, "none", known)


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


def _up_to(name: str, value: float | None, most: float, form: units.Format) -> Check:
    if value is None:
        return Check(name, _NOT_RECORDED, form(most), None)
    return Check(name, form(value), form(most), value <= most)


def _of_time(value: float) -> str:
    return f"{100 * value:.1f} % of the time"


def _of_cpu(value: float) -> str:
    return f"{100 * value:.1f} % of the CPU time"


def _host(record: RunRecord, group: str, key: str) -> float | None:
    found = record.host.get(group)
    return number(found.get(key)) if isinstance(found, Mapping) else None


def _name(one: Screened) -> str:
    return f"{one.comparison.name} ({one.rule.metric.name})"

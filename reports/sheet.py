"""Facts as rows of text: the host, an isolator's options, and the raw samples of a cell."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isobench.journal import TunedSetting
from isobench.model import PHASES, Sample
from isobench.reports import units
from isobench.reports.summary import CellSummary


@dataclass(frozen=True, slots=True)
class Group:
    """Facts that belong together: (name, value)."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RawTable:
    """Every attempt of a cell, in the order they were made."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def host_groups(host: Mapping[str, Any], tuned: Sequence[TunedSetting] | None = None) -> tuple[Group, ...]:
    """A host: the facts that stand alone, what was tuned for the run, then each group; no blanks."""
    alone = {key: value for key, value in host.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in host.items() if isinstance(value, Mapping)}
    groups = (
        Group("Host", tuple(_facts(alone))),
        Group("Tuned for this run", tuple(dict.fromkeys((one.knob, _tuned(one)) for one in tuned or ()))),
        *(Group(_words(k), tuple(_facts(v))) for k, v in nested.items()),
    )
    return tuple(group for group in groups if group.facts)


def options_text(options: Mapping[str, Any]) -> str:
    """``accel = "auto", memory_mib = 128``, as a matrix says it; options left alone are left out."""
    given = {key: value for key, value in options.items() if value is not None}
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in given.items())


def raw_table(cell: CellSummary) -> RawTable:
    """Numbers as they were recorded, in base units: seconds, bytes, ratios."""
    phases = [phase for phase in PHASES if any(phase in sample.phases for sample in cell.samples)]
    details = list(dict.fromkeys(key for sample in cell.samples for key in sample.detail))
    words = any(sample.reason for sample in cell.samples)
    metric = next((sample for sample in cell.samples if sample.metric), cell.samples[0])
    value = f"{metric.metric} ({metric.unit})" if metric.metric else "value"
    several = len({sample.metric for sample in cell.samples if sample.metric}) > 1
    return RawTable(
        columns=(
            *("order", "block", "status"),
            *(("metric", "value") if several else (value,)),
            *(f"{phase} (s)" for phase in phases),
            *details,
            *(("reason",) if words else ()),
        ),
        rows=tuple(
            tuple(_row(sample, phases, details, words=words, several=several)) for sample in cell.samples
        ),
    )


def _row(
    sample: Sample, phases: Sequence[str], details: Sequence[str], *, words: bool, several: bool
) -> Iterator[str]:
    yield str(sample.order)
    yield str(sample.block)
    yield str(sample.status)
    if several:
        yield f"{sample.metric} ({sample.unit})" if sample.metric else units.NONE
    yield _seconds(sample.value) if sample.unit == "second" else _scalar(sample.value)
    for phase in phases:
        yield _seconds(sample.phases.get(phase))
    for key in details:
        yield _scalar(sample.detail.get(key))
    if words:
        yield sample.reason or units.NONE


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in found.items():
        if value is None:
            continue
        if key.endswith("_bytes") and isinstance(value, int | float):
            yield _words(key.removesuffix("_bytes")), units.nbytes(value)
        else:
            yield _words(key), f"{value:.4g}" if isinstance(value, float) else _scalar(value)


def _tuned(one: TunedSetting) -> str:
    if one.refused is not None:
        return f"stayed {one.before}: {one.refused}"
    since = "" if one.end in {None, one.during} else f"; somebody else set it to {one.end} meanwhile"
    return f"{one.during}, found as {one.before}{since}"


def _seconds(value: float | None) -> str:
    """To the nanosecond, which is what the clock gives."""
    return units.NONE if value is None else f"{value:.9f}"


def _scalar(value: object) -> str:
    match value:
        case None:
            return units.NONE
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.9g}"
        case _:
            return str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")

"""What a report says of each cell: its figures, pictures, outliers, failures, parameters and raw samples."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from isobench.model import Sample, Status
from isobench.reports import plate_parts, plate_spread, units
from isobench.reports.diagnose import OUTLIERS_LEVEL, far_out
from isobench.reports.diagnostics import Diagnostic, SampleId
from isobench.reports.load import CPU_SHARE_ERROR, FOOTPRINT, READY, counts
from isobench.reports.plate import Plate
from isobench.reports.plate_spread import Values
from isobench.reports.raw import RawTable, chosen, raw_table, rows_each
from isobench.reports.section import Column, Row, Table, estimated, number_of
from isobench.reports.sheet import param
from isobench.reports.spells import Spell
from isobench.reports.stats import Distribution, percentiles
from isobench.reports.summary import CellSummary, Isolator, Summary, held_back, number

_HOST = "host"
"""In place of an isolator's name where the host is the subject."""
_PICTURED = 3
"""Metrics of a cell that are pictured, the first of it; all are in its table."""
_LISTED = 12
"""Attempts that are listed one by one for one reason."""


@dataclass(frozen=True, slots=True)
class Note:
    """Attempts that stand out, and why."""

    title: str
    """``failed``, ``outliers``."""
    text: str
    rows: tuple[int, ...]
    """The first few of them, from 1."""
    count: int
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class CellPart:
    """All there is of one cell."""

    cell: CellSummary
    headline: str
    """``20 values, median 22.7 ms``."""
    facts: tuple[tuple[str, str], ...]
    figures: Table | None
    """A row a metric; None where no attempt counts."""
    plates: tuple[Plate, ...]
    notes: tuple[Note, ...]
    raw: RawTable


@dataclass(frozen=True, slots=True)
class CellGroup:
    """The cells of one isolator, or of the host itself."""

    name: str
    parts: tuple[CellPart, ...]


def cell_groups(summary: Summary, diagnostics: Sequence[Diagnostic]) -> tuple[CellGroup, ...]:
    """Every cell of a run, by isolator."""
    most = rows_each(summary.cells)
    told = _by_cell(diagnostics)
    isolators = {isolator.name: isolator for isolator in summary.isolators}
    groups: dict[str, list[CellPart]] = {}
    for cell in summary.cells:
        part = _part(cell, isolators[cell.isolator], told.get(cell.id, ()), most)
        groups.setdefault(cell.isolator, []).append(part)
    return tuple(CellGroup(name, tuple(parts)) for name, parts in groups.items())


def left_out(groups: Iterable[CellGroup]) -> int:
    """Samples that no raw table shows."""
    return sum(part.raw.of - len(part.raw.rows) for group in groups for part in group.parts)


def series_of(cell: CellSummary) -> tuple[Values, ...]:
    """The values that count, by metric; readings of memory by their number of instances too."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for sample in cell.samples:
        if counts(sample):
            found.setdefault((_metric(sample), sample.unit), []).append(sample)
    return tuple(
        Values(
            metric,
            unit,
            tuple(sample.value or 0.0 for sample in samples),
            tuple(sample.block for sample in samples),
        )
        for (metric, unit), samples in found.items()
    )


def _metric(sample: Sample) -> str:
    name = sample.metric.replace("_", " ")
    instances = number(sample.detail.get("instances")) if sample.metric == FOOTPRINT else None
    return name if instances is None else f"{name} of {instances:g}"


def _part(
    cell: CellSummary, isolator: Isolator, told: Sequence[tuple[Diagnostic, list[SampleId]]], most: int
) -> CellPart:
    series = series_of(cell)
    known = isolator.startup if isolator.startup and isolator.startup.cell is cell else None
    spreads = [
        (found, known.ready if known and found.metric == READY else percentiles(found.values, found.blocks))
        for found in series
    ]
    notes = (*_lost(cell), *_told(told), *(_outliers(cell, series) if not told else ()))
    wanted = {row - 1 for note in notes for row in note.rows}
    return CellPart(
        cell=cell,
        headline=_headline(cell, isolator, spreads),
        facts=tuple(_facts(cell)),
        figures=_figures(spreads),
        plates=tuple(_plates(cell, isolator, series)),
        notes=notes,
        raw=raw_table(cell, chosen(cell, most, wanted)),
    )


def _headline(cell: CellSummary, isolator: Isolator, spreads: Sequence[tuple[Values, Distribution]]) -> str:
    if not spreads:
        return f"no value: {cell.state.status.value}"
    lost = f", {cell.state.not_ok} attempts {cell.state.status.value}" if not cell.ok else ""
    if isolator.memory and isolator.memory.cell is cell:
        return f"{units.nbytes(isolator.memory.total.value)} for each further instance{lost}"
    found, spread = spreads[0]
    values = f"{spread.n:,} values, median" if spread.n > 1 else "one value,"
    named = f" {found.metric}" if len(spreads) > 1 else ""
    return f"{values}{named} {found.said(spread.median.value)}{lost}"


def _facts(cell: CellSummary) -> Iterator[tuple[str, str]]:
    samples, first = cell.samples, cell.samples[0]
    yield "benchmark", cell.benchmark
    yield "workload", cell.workload
    yield from (param(key, value) for key, value in first.params.items())
    yield "blocks", f"{len({sample.block for sample in samples})}"
    aside = {
        "values": sum(map(counts, samples)),
        "warm-ups": sum(bool(sample.detail.get("warmup")) for sample in samples),
        "decided by other load": sum(map(held_back, samples)),
        "without a value": cell.state.not_ok,
    }
    told = ", ".join(f"{many:,} {what}" for what, many in aside.items() if many)
    yield "attempts", f"{len(samples):,}: {told}"


def _figures(spreads: Sequence[tuple[Values, Distribution]]) -> Table | None:
    """Percentiles where so many values carry one."""
    told = [name for name in _PERCENTILES if any(getattr(spread, name) for _, spread in spreads)]
    columns = (
        *(Column("values"), Column("least"), Column("median", "95 % interval")),
        *(Column(_PERCENTILES[name]) for name in told),
        Column("greatest"),
    )
    rows = []
    for found, spread in spreads:
        form = _FORMS.get(found.unit) or partial(units.quantity, unit=found.unit)
        rows.append(
            Row(
                found.metric or "value",
                (
                    number_of(spread.n, "{:.0f}".format),
                    number_of(spread.least, form),
                    estimated(spread.median, form),
                    *(estimated(getattr(spread, name), form) for name in told),
                    number_of(spread.greatest, form),
                ),
            )
        )
    return Table("Figures", "metric", columns, tuple(rows)) if rows else None


_PERCENTILES: Mapping[str, str] = {"p90": "p90", "p99": "p99", "p999": "p99.9"}
_FORMS = {"second": units.seconds, "byte": units.nbytes, "ratio": units.percent}


def _plates(cell: CellSummary, isolator: Isolator, series: Sequence[Values]) -> Iterator[Plate]:
    """Of what is measured through an isolator; the host's own has pictures in its section."""
    if isolator.record is None and isolator.name == _HOST:
        return
    counted = [sample for sample in cell.samples if counts(sample)]
    if isolator.memory and isolator.memory.cell is cell:
        found = (plate_parts.readings(isolator.memory), plate_parts.ledger(counted))
        yield from filter(None, found)
        return
    several = len(series) > 1
    for values in [found for found in series if len(found.values) > 1][:_PICTURED]:
        yield from plate_spread.spread(values, values.metric if several else "")
    if any(sample.phases for sample in counted) and (drawn := plate_parts.phases(counted)):
        yield drawn
    spell = tuple(sample for sample in counted if sample.metric == CPU_SHARE_ERROR)
    if spell and (drawn := plate_parts.timeline(Spell(isolator, cell, spell))):
        yield drawn


def _lost(cell: CellSummary) -> Iterator[Note]:
    """Attempts that did not end ok, together where they ended alike."""
    alike: dict[tuple[Status, str | None, str | None], list[int]] = {}
    for row, sample in enumerate(cell.samples, start=1):
        if sample.status is not Status.OK:
            alike.setdefault((sample.status, sample.reason, sample.remedy), []).append(row)
    for (status, reason, remedy), rows in alike.items():
        text = reason or "no reason was recorded"
        yield Note(status.value, text, tuple(rows[:_LISTED]), len(rows), remedy)


def _told(told: Sequence[tuple[Diagnostic, list[SampleId]]]) -> Iterator[Note]:
    for found, samples in told:
        rows = tuple(sample.row for sample in samples)
        yield Note(found.title.lower(), found.text, rows[:_LISTED], len(rows))


def _outliers(cell: CellSummary, series: Sequence[Values]) -> Iterator[Note]:
    """Of metrics that no test of the whole run looks at: values far from the rest by the same rule."""
    for found in series:
        if min(found.values) <= 0 or found.metric.startswith(FOOTPRINT):
            continue
        far = far_out(found.values, OUTLIERS_LEVEL / len(found.values))
        outside = [value for value, is_far in zip(found.values, far, strict=True) if is_far]
        if outside:
            rows = [row for row, sample in enumerate(cell.samples, start=1) if _is_of(sample, found)]
            named = tuple(row for row, is_far in zip(rows, far, strict=True) if is_far)
            span = units.spread_of(min(outside), max(outside), found.said)
            text = f"{len(outside)} of {len(far)} values of {found.metric} lie far from the rest: {span}."
            yield Note("outliers", text, named[:_LISTED], len(named))


def _is_of(sample: Sample, found: Values) -> bool:
    return counts(sample) and (_metric(sample), sample.unit) == (found.metric, found.unit)


def _by_cell(
    diagnostics: Iterable[Diagnostic],
) -> Mapping[str, list[tuple[Diagnostic, list[SampleId]]]]:
    """What the samples say, by the cell they are of."""
    found: dict[str, list[tuple[Diagnostic, list[SampleId]]]] = {}
    for one in diagnostics:
        by_cell: dict[str, list[SampleId]] = {}
        for sample in one.samples:
            by_cell.setdefault(sample.cell, []).append(sample)
        for cell, samples in by_cell.items():
            found.setdefault(cell, []).append((one, samples))
    return found

"""Isolator by metric, over everything that was measured through an isolator: the table that a reader of the
page sorts, filters and holds against a row of his choice.

A figure is the median of the attempts that count, with its interval; what an instance takes of memory is the
slope over their number. A cell that gave no value says how it ended. What is measured of the host itself,
such as its primitives, is no isolator's and has a section of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log
from typing import TypeAlias

from isobench.model import Sample, Scalar
from isobench.reports import units
from isobench.reports.load import AGENTS_OWN, CPU_SHARE_ERROR, FOOTPRINT, READY, counts
from isobench.reports.rows import RESIDUE
from isobench.reports.stats import Estimate, median
from isobench.reports.summary import CellSummary, Isolator, Summary, number

_FIRST = ("startup", "memory", "throttling")
"""Benchmarks in the order of the page; the others follow as the run names them."""
_HOST = "host"
"""In place of an isolator's name where the host is the subject."""
_EXIT = "exit"
_NAMES = {
    ("startup", _EXIT): "to exit",
    ("memory", FOOTPRINT): "each instance",
    ("throttling", "cpu_share_error"): "limit error",
}
"""What is not said by the name of the metric alone."""
_ONE_WITNESS = {"round_trip"}
"""Many values of one instance: they say nothing about how instances differ."""
_WIDE = 10.0
"""From this ratio on between the greatest and the least figure of a column their places are marked."""
MARK_PX = 60


@dataclass(frozen=True, slots=True)
class Metric:
    """A column: one metric of the cells that differ in their isolator only."""

    benchmark: str
    workload: str
    params: tuple[tuple[str, Scalar], ...]
    name: str
    unit: str
    """As the journal says it."""

    @property
    def title(self) -> str:
        """``to exit``."""
        return _NAMES.get((self.benchmark, self.name), self.name.replace("_", " "))

    @property
    def compared(self) -> bool:
        """Its figures may be divided by one another: errors have no ratio."""
        return self.unit != "ratio"


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a figure and its interval lie between the least and the greatest of its column, on a logarithmic
    scale of :data:`MARK_PX`.
    """

    low: int
    at: int
    high: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What one isolator has in one column."""

    text: str
    small: str = ""
    """The interval."""
    exact: Estimate | None = None
    """In base units; None where there is no figure."""
    ratio: str = ""
    """To the row of reference."""
    cell: CellSummary | None = None
    """Whose samples it was made of."""
    partly: str = ""
    """How attempts of that cell ended that gave no value, beside those that did."""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A row."""

    isolator: Isolator
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The table; ``heads`` has a few words for each column that tell it from its neighbours."""

    columns: tuple[Metric, ...]
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    reference: str | None
    """The row that ratios are told to: bare, where the run has it."""


def overview(summary: Summary) -> Overview | None:
    """None where no isolator has a figure."""
    shown = [found for found in summary.isolators if found.record is not None or found.name != _HOST]
    names = {isolator.name for isolator in shown}
    cells = {(cell.isolator, _place(cell)): cell for cell in summary.cells if cell.isolator in names}
    table = {
        column: [_entry(isolator, cells.get((isolator.name, _of(column))), column) for isolator in shown]
        for column in _columns(summary, cells.values())
    }
    known = {column: entries for column, entries in table.items() if any(one.exact for one in entries)}
    kept = [at for at in range(len(shown)) if any(entries[at].exact for entries in known.values())]
    if not kept:
        return None
    floor = next((at for at in kept if shown[at].bare), None)
    known = {column: _compared(column, entries, floor) for column, entries in known.items()}
    return Overview(
        columns=tuple(known),
        heads=tuple(_head(column, tuple(known)) for column in known),
        lines=tuple(Line(shown[at], tuple(entries[at] for entries in known.values())) for at in kept),
        reference=None if floor is None else shown[floor].name,
    )


_Place: TypeAlias = tuple[str, str, tuple[tuple[str, Scalar], ...]]


def _place(cell: CellSummary) -> _Place:
    return cell.benchmark, cell.workload, tuple(sorted(cell.samples[0].params.items()))


def _of(column: Metric) -> _Place:
    return column.benchmark, column.workload, column.params


def _columns(summary: Summary, cells: Iterable[CellSummary]) -> Sequence[Metric]:
    """Benchmarks in their order, then workloads as they come, the agent's own first, then parameters."""
    order = {name: at for at, name in reversed([*enumerate((*_FIRST, *summary.record.benchmarks))])}
    found = list(dict.fromkeys(column for cell in cells for column in _metrics(cell)))
    named = [AGENTS_OWN, *(column.workload for column in found)]
    workloads = {name: at for at, name in reversed([*enumerate(named)])}

    def rank(column: Metric) -> tuple[int, str, int, list[tuple[str, float, str]]]:
        amounts = [(key, number(value) or 0.0, str(value)) for key, value in column.params]
        return order.get(column.benchmark, len(order)), column.benchmark, workloads[column.workload], amounts

    return sorted(found, key=rank)  # which leaves the metrics of a cell as they were measured


def _metrics(cell: CellSummary) -> Iterator[Metric]:
    found = dict.fromkeys(
        (sample.metric, sample.unit, _told_in_passing(cell.benchmark, sample))
        for sample in cell.samples
        if counts(sample) and sample.metric != RESIDUE
    )
    for name, unit, more in found:
        column = Metric(*_place(cell), name, unit)
        yield column
        if more:
            yield replace(column, name=_EXIT)


def _told_in_passing(benchmark: str, sample: Sample) -> bool:
    """The end of an instance, where a start is what was measured."""
    return benchmark == "startup" and sample.metric == READY and _EXIT in sample.phases


def _entry(isolator: Isolator, cell: CellSummary | None, column: Metric) -> Entry:
    if cell is None:
        return Entry(units.NONE)
    found = _estimate(isolator, cell, column)
    if found is None:
        return Entry(units.NONE if cell.ok else cell.state.status.value, cell=cell)
    form = partial(units.quantity, unit=column.unit)
    interval = found.interval
    told = interval and form(interval.low) != form(interval.high)
    return Entry(
        text=form(found.value),
        small=units.interval(interval, form) if told else "",
        exact=found,
        cell=cell,
        partly="" if cell.ok else f"{cell.state.not_ok} {cell.state.status.value}",
    )


def _estimate(isolator: Isolator, cell: CellSummary, column: Metric) -> Estimate | None:
    """What is known already is not made again."""
    startup, memory = isolator.startup, isolator.memory
    if startup and startup.cell is cell:
        found = startup.exit if column.name == _EXIT else startup.ready
        return found.median if found else None
    if (column.benchmark, column.name) == ("memory", FOOTPRINT):
        # Without a slope there is one number of instances only, and what came once is inside.
        return memory.total if memory and memory.cell is cell else None
    quota = next((quota for quota in isolator.quotas if quota.cell is cell), None)
    if quota and column.name == CPU_SHARE_ERROR:
        return quota.error.median
    known = [(value, sample.block) for value, sample in _values(cell, column) if value is not None]
    if not known:
        return None
    middle = median((value for value, _ in known), (block for _, block in known))
    return replace(middle, interval=None) if column.name in _ONE_WITNESS else middle


def _values(cell: CellSummary, column: Metric) -> Iterator[tuple[float | None, Sample]]:
    for sample in cell.samples:
        if not counts(sample):
            continue
        if sample.metric == column.name:
            yield sample.value, sample
        elif column.name == _EXIT and _told_in_passing(cell.benchmark, sample):
            yield sample.phases[_EXIT], sample


def _compared(column: Metric, entries: Sequence[Entry], floor: int | None) -> list[Entry]:
    """With what a figure is beside the others of its column: its ratio, and its mark."""
    values = [entry.exact.value for entry in entries if entry.exact]
    wide = column.compared and 0 < _WIDE * min(values) < max(values)
    below = entries[floor].exact if floor is not None and column.compared else None
    return [
        replace(
            entry,
            ratio=_ratio(entry.exact.value, below.value) if below else "",
            mark=_mark(entry.exact, min(values), max(values)) if wide else None,
        )
        if entry.exact
        else entry
        for entry in entries
    ]


def _ratio(value: float, below: float) -> str:
    return units.times(value / below) if min(value, below) > 0 else ""


def _mark(found: Estimate, least: float, greatest: float) -> Mark:
    def place(value: float) -> int:
        part = log(max(value, least) / least) / log(greatest / least)
        return round(MARK_PX * min(1.0, part))

    span = found.interval
    return Mark(
        place(span.low if span else found.value),
        place(found.value),
        place(span.high if span else found.value),
    )


def _head(column: Metric, columns: Sequence[Metric]) -> str:
    """Its workload and parameters as far as they differ within the benchmark."""
    same = [other for other in columns if other.benchmark == column.benchmark]
    words = [column.workload] if len({other.workload for other in same}) > 1 else []
    differ = {
        key for key, value in column.params if any(dict(other.params).get(key) != value for other in same)
    }
    return ", ".join([*words, *(_param(key, value) for key, value in column.params if key in differ)])


def _param(key: str, value: Scalar) -> str:
    amount = number(value)
    if key == "cpus" and amount is not None:
        return f"{units.cpus(amount)} CPUs"
    if key.endswith("_us") and amount is not None:
        return f"{key.removesuffix('_us').replace('_', ' ')} {units.seconds(amount / 1e6)}"
    return f"{key.replace('_', ' ')} {value if amount is None else format(amount, 'g')}"

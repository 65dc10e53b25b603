"""A run as columns of numbers, for pages about many runs: read fast, and small enough to be forgotten soon.

:func:`isobench.journal.load` makes a value of every line, with all it says. Who reads a thousand runs for one
median a cell needs neither. Here the fields that decide about a figure are taken from each line as it is
parsed; whatever looks unusual (a torn or foreign line, a newer version, a number that is none) is left to the
journal's own reader, which knows how to refuse it, with file and line.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pydantic_core import from_json

from isobench import journal
from isobench.journal import CellState, RunRecord
from isobench.model import SCHEMA_VERSION, Sample, Scalar, Status
from isobench.reports.conditions import CONDITIONS, condition, placed
from isobench.reports.load import FOOTPRINT, READY
from isobench.reports.summary import number

_Line: TypeAlias = Mapping[str, Any]


@dataclass(slots=True)
class Series:
    """The values of one metric of one cell that enter figures, in the order they were taken."""

    cell: str
    """Its id, with the condition where it measures several things: ``…/ratio=1:2/sibling=1``."""
    isolator: str
    benchmark: str
    workload: str
    metric: str
    unit: str
    params: Mapping[str, Scalar]
    values: list[float] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    """The block of each value."""
    instances: list[float] = field(default_factory=list)
    """Of a ledger of memory: at how many instances each was read, 0 where it is not told; else empty."""


@dataclass(frozen=True, slots=True)
class LightCell:
    """How one cell ended."""

    id: str
    isolator: str
    benchmark: str
    workload: str
    state: CellState


@dataclass(frozen=True, slots=True)
class LightRun:
    """One run."""

    folder: Path
    record: RunRecord
    cells: Mapping[str, LightCell]
    """By id, in the order of first appearance."""
    series: Mapping[tuple[str, str], Series]
    """By cell, as the series has it, and metric; those with a value that counts."""
    samples: int
    """Lines of the journal, those that do not count included."""
    warnings: tuple[str, ...] = ()


def scan(folder: Path) -> LightRun:
    """Read one result folder.

    Raises :class:`isobench.errors.ResultsError` as :func:`isobench.journal.load` does.
    """
    record = journal.read_record(folder)
    path = folder / journal.SAMPLES_FILE
    torn = None
    try:
        found = _Columns(_lines(path.read_bytes()))
    except (OSError, ValueError, LookupError, TypeError):
        samples, torn = journal.read_samples(path)
        found = _Columns(map(_line_of, samples))
    return LightRun(
        folder=folder,
        record=record,
        cells={name: cell.ended() for name, cell in found.cells.items()},
        series=found.series,
        samples=found.samples,
        warnings=() if torn is None else (torn,),
    )


def _lines(data: bytes) -> Iterator[_Line]:
    """Each line parsed; ValueError for what is no JSON, NaN, or a last line without its end."""
    *lines, tail = data.split(b"\n")
    if tail:
        raise ValueError("a last line without its end")
    for line in lines:
        yield from_json(line, allow_inf_nan=False)


_DECISIVE = itemgetter(
    "v",
    "cell",
    "isolator",
    "benchmark",
    "workload",
    "metric",
    "unit",
    "value",
    "block",
    "order",
    "status",
    "detail",
)
"""What the journal writes on each line and decides about figures; KeyError where a line lacks it."""

_PARTED = {metric for _, metric in CONDITIONS} - {FOOTPRINT}
"""Metrics of which one cell may have several series."""

_STATUSES = {status.value: status for status in Status}


class _End(NamedTuple):
    """What a line says about how its cell ended."""

    status: Status
    reason: str | None
    remedy: str | None


class _Cell:
    """What is known of a cell so far; in the end as :func:`isobench.journal.cell_states` has it."""

    __slots__ = ("broken", "id", "last", "line", "not_ok", "ok")

    def __init__(self, line: _Line) -> None:
        self.id, self.line = line["cell"], line
        self.ok = self.not_ok = 0
        self.last = _End(Status.OK, None, None)
        self.broken: dict[Status, _End] = {}

    def end(self, status: Status, line: _Line) -> None:
        self.not_ok += 1
        self.last = _End(status, line.get("reason"), line.get("remedy"))
        if status in {Status.FAILED, Status.TIMEOUT}:
            self.broken.setdefault(status, self.last)

    def ended(self) -> LightCell:
        decisive = self.broken.get(Status.FAILED) or self.broken.get(Status.TIMEOUT) or self.last
        state = CellState(decisive.status, self.ok, self.not_ok, decisive.reason, decisive.remedy)
        isolator, benchmark, workload = (self.line[key] for key in ("isolator", "benchmark", "workload"))
        return LightCell(self.id, isolator, benchmark, workload, state)


_ENDED_WELL = _End(Status.OK, None, None)


class _Columns:
    """What the lines of a journal come to.

    Raises ValueError, TypeError or LookupError for a line that the journal does not write so.
    """

    def __init__(self, lines: Iterable[_Line]) -> None:
        self.cells: dict[str, _Cell] = {}
        self.series: dict[tuple[str, str], Series] = {}
        self.samples = 0
        for line in lines:
            self._take(line)
        for series in self.series.values():
            if not all(map(math.isfinite, series.values)) or not {*map(type, series.blocks)} <= {int}:
                raise ValueError("a value that is infinite, or a block that is no number")

    def _take(self, line: _Line) -> None:
        version, name, _, benchmark, _, metric, _, value, block, _, status, detail = _DECISIVE(line)
        if version.__class__ is not int or version > SCHEMA_VERSION:
            raise ValueError("of another version")
        cell = self.cells.get(name)
        if cell is None:
            cell = self.cells[name] = _Cell(_named(line))
        self.samples += 1
        if status != "ok":
            cell.end(_STATUSES[status], line)
            return
        cell.ok += 1
        cell.last = _ENDED_WELL
        if not _counts(value, metric, detail):
            return
        # A ledger is one figure over all its numbers of instances: the slope.
        under = condition(benchmark, metric, detail) if metric in _PARTED else {}
        place = placed(name, under) if under else name
        series = self.series.get((place, metric))
        if series is None:
            series = self.series[place, metric] = _series(line, place, under)
        if metric == FOOTPRINT:
            series.instances.append(number(detail.get("instances")) or 0.0)
        series.values.append(value)
        series.blocks.append(block)


def _named(line: _Line) -> _Line:
    if not all(isinstance(line[key], str) for key in ("cell", "isolator", "benchmark", "workload")):
        raise TypeError("a name that is no text")
    return line


def _series(line: _Line, place: str, under: Mapping[str, Scalar]) -> Series:
    unit, metric = line["unit"], line["metric"]
    if not (isinstance(unit, str) and isinstance(metric, str)):
        raise TypeError("a unit or a metric that is no text")
    params = {**line["params"], **under}
    return Series(place, line["isolator"], line["benchmark"], line["workload"], metric, unit, params)


def _counts(value: Any, metric: str, detail: _Line) -> bool:  # noqa: ANN401 - to be found out
    """As :func:`isobench.reports.load.counts`, for a line that ended ok."""
    if value.__class__ is not float and value.__class__ is not int:
        if value is None:
            return False
        raise TypeError("a value that is no number")
    if detail and (detail.get("warmup") or detail.get("bound") is False):
        return False
    return metric != READY or value > 0


def _line_of(sample: Sample) -> _Line:
    """A sample of the journal's own reader, in the shape of a line."""
    return {name: getattr(sample, name) for name in Sample.__slots__}

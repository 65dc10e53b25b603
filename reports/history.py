"""What a lake answers about one cell: a figure of each run that measured it.

It is the median of the attempts that count; of readings of memory at several numbers of instances it is the
slope, as in a report. :mod:`isobench.reports.history_fleet` compares hosts by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from itertools import groupby
from typing import NoReturn

from isobench.errors import UsageError
from isobench.plugins import did_you_mean
from isobench.reports.lake_read import Reader

RATIO = "ratio"
"""The unit of figures that are ratios already, and may be 0 or negative."""
FINISHED = "finished"
_FOOTPRINT = "footprint"
"""Memory of all instances together, at several numbers of them."""

_PICK = """
CREATE OR REPLACE TEMP TABLE picked AS
SELECT host, hostname, run_id, started, run_status, fingerprint, isobench, cell, isolator, isolator_kind,
    metric, unit, block, "row", value, counts, status, reason, detail['instances'] AS instances,
    coalesce(host_facts->>'$.cpu.model', '') AS cpu, coalesce(host_facts->>'$.kernel', '') AS kernel
FROM samples
WHERE (cell = $cell OR ($to_bare AND isolator_kind = 'bare' AND side = 'A'
        AND cell = $benchmark || '/' || isolator || '/' || $rest))
    AND ($since::DATE IS NULL OR date >= $since)
    AND ($hosts::VARCHAR[] IS NULL OR list_contains($hosts, host))
"""
_METRICS = """
SELECT metric, any_value(unit), count(*) FILTER (counts) AS n FROM picked
WHERE cell = $cell AND metric <> '' GROUP BY metric ORDER BY n DESC, metric
"""
_REASON = "SELECT status || ': ' || reason FROM picked WHERE cell = $cell AND reason <> '' LIMIT 1"
_MEDIANS = """
SELECT host, run_id, cell, isolator_kind = 'bare', any_value(hostname), any_value(started),
    any_value(run_status), any_value(fingerprint), any_value(isobench), any_value(cpu), any_value(kernel),
    count(*) FILTER (counts AND metric = $metric), count(*) FILTER (status IN ('failed', 'timeout')),
    median(value) FILTER (counts AND metric = $metric)
FROM picked GROUP BY host, run_id, cell, isolator, isolator_kind
ORDER BY host, any_value(started), run_id, isolator <> 'bare', isolator
"""
_READINGS = """
SELECT host, run_id, cell, block, instances, arg_max(value, "row") FROM picked
WHERE counts AND metric = $metric AND instances IS NOT NULL
GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for."""

    cell: str
    metric: str | None = None
    """None: that with the most attempts."""
    host: str | None = None
    """The id or the name of a host; None: all."""
    since: date | None = None
    """The first day, UTC; None: from the first run on."""
    to_bare: bool = False
    """Each figure divided by that of the bare row of its run."""
    unfinished: bool = False
    """Runs too that have not come to their end."""


@dataclass(frozen=True, slots=True)
class RunFigure:
    """What one run of one host says."""

    host: str
    hostname: str
    run_id: str
    started: datetime
    """UTC."""
    status: str
    """``finished``, ``interrupted`` or ``running``, as run.json says."""
    fingerprint: str
    """Equal where the runs of a host may be compared as they are (:data:`isobench.host.COMPARABLE`)."""
    isobench: str
    """The version that measured."""
    cpu: str
    kernel: str
    n: int
    """Attempts that count."""
    lost: int
    """Attempts that failed or timed out."""
    value: float
    """In the unit of the metric, or how many times the bare row's figure it is."""
    change: float | None = None
    """To the run before on the same host, as a ratio less 1; None for the first, and for units of ratios."""


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of a cell, by host and time, and what is not among them."""

    question: Question
    metric: str = ""
    unit: str = ""
    runs: tuple[RunFigure, ...] = ()
    other_metrics: tuple[str, ...] = ()
    """What else the cell measures."""
    unfinished: int = 0
    """Runs left out as they have not come to their end."""
    without_figure: int = 0
    """Runs left out in which no attempt counts."""
    without_bare: int = 0
    """Runs left out as they have no bare row to be divided by."""

    @property
    def last(self) -> tuple[RunFigure, ...]:
        """The last run of each host."""
        return tuple(list(own)[-1] for _, own in groupby(self.runs, key=lambda run: run.host))

    @property
    def slope(self) -> bool:
        """A figure is what each further instance takes, and no median."""
        return self.metric == _FOOTPRINT

    @property
    def relative(self) -> bool:
        """Hosts differ by factors: the figures are positive and of no unit of ratios."""
        return self.unit != RATIO and all(run.value > 0 for run in self.runs)


def find(reader: Reader, question: Question) -> Found:
    """The figures that are asked for.

    Raises :class:`isobench.errors.UsageError` for a cell, a host or a metric that the lake has not got, and
    for a ratio to a bare row that makes no sense.
    """
    benchmark, _, rest = (*question.cell.split("/", 2), "", "")[:3]
    hosts = None if question.host is None else reader.hosts_named(question.host)
    asked = {"cell": question.cell, "benchmark": benchmark, "rest": rest, "to_bare": question.to_bare}
    reader.ask(_PICK, {**asked, "since": question.since, "hosts": hosts})
    metric, unit, others = _metric(reader, question)
    rows = [_Row(*row) for row in reader.ask(_MEDIANS, {"metric": metric})]
    if metric == _FOOTPRINT:
        rows = _with_slopes(reader, rows)
    return replace(_told(question, rows, unit), metric=metric, unit=unit, other_metrics=others)


@dataclass(frozen=True, slots=True)
class _Row:
    """As :data:`_MEDIANS` gives it."""

    host: str
    run_id: str
    cell: str
    bare: bool
    hostname: str
    started: datetime
    status: str
    fingerprint: str
    isobench: str
    cpu: str
    kernel: str
    n: int
    lost: int
    value: float | None


_SHARED = tuple({one.name for one in fields(RunFigure)} & {one.name for one in fields(_Row)})


def _metric(reader: Reader, question: Question) -> tuple[str, str, tuple[str, ...]]:
    """The metric, its unit, and the other metrics of the cell."""
    found = {name: unit for name, unit, _ in reader.ask(_METRICS, {"cell": question.cell})}
    if not found:
        _refuse_cell(reader, question)
    metric = question.metric or next(iter(found))
    if metric not in found:
        raise UsageError(
            f'{question.cell}: no metric "{metric}"{did_you_mean(metric, found)}; allowed: {", ".join(found)}'
        )
    if question.to_bare and found[metric] == RATIO:
        raise UsageError(
            f"{question.cell}: {metric} is a ratio already, and no part of what the bare row takes",
            remedy="leave out --to-bare",
        )
    return metric, found[metric], tuple(name for name in found if name != metric)


def _refuse_cell(reader: Reader, question: Question) -> NoReturn:
    """Say why there is nothing of a cell."""
    lake = reader.lake.place.name
    cell = {"cell": question.cell}
    cells = [name for (name,) in reader.ask("SELECT DISTINCT cell FROM samples ORDER BY cell")]
    if question.cell not in cells:
        raise UsageError(
            f'{lake}: no cell "{question.cell}" in the lake{did_you_mean(question.cell, cells)}',
            remedy='see which there are: isobench history sql "SELECT DISTINCT cell FROM samples"',
        )
    where = "".join(
        (
            f" on {question.host}" if question.host else "",
            f" since {question.since}" if question.since else "",
        )
    )
    why = reader.ask(_REASON, cell)
    raise UsageError(
        f"{lake}: {question.cell} was not measured{where}{''.join(f': {told}' for (told,) in why)}"
    )


def _with_slopes(reader: Reader, rows: Iterable[_Row]) -> list[_Row]:
    """The rows with what each further instance takes as their value."""
    from isobench.reports.stats_lines import slope  # noqa: PLC0415 - scipy, for memory only

    readings = reader.ask(_READINGS, {"metric": _FOOTPRINT})
    found = {}
    for run, own in groupby(readings, key=lambda row: row[:3]):
        points = list(own)
        found[run] = slope([p[3] for p in points], [p[4] for p in points], [p[5] for p in points])
    return [replace(row, value=found.get((row.host, row.run_id, row.cell))) for row in rows]


def _told(question: Question, rows: Sequence[_Row], unit: str) -> Found:
    """The figures among the rows, and how many runs are not among them for which reason."""
    own = [row for row in rows if row.cell == question.cell]
    ended = [row for row in own if question.unfinished or row.status == FINISHED]
    told = [row for row in ended if row.value is not None]
    whole = dict.fromkeys(((row.host, row.run_id) for row in own), 1.0)
    below = _bare(rows) if question.to_bare else whole
    runs = [run for row in told if (run := _figure(row, below.get((row.host, row.run_id))))]
    return Found(
        question,
        runs=tuple(_changes(runs, relative=unit != RATIO)),
        unfinished=len(own) - len(ended),
        without_figure=len(ended) - len(told),
        without_bare=len(told) - len(runs),
    )


def _bare(rows: Iterable[_Row]) -> Mapping[tuple[str, str], float]:
    """The figure of the bare row of each run that has one to divide by."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row.bare and row.value is not None and row.value > 0:
            found.setdefault((row.host, row.run_id), row.value)
    return found


def _figure(row: _Row, below: float | None) -> RunFigure | None:
    if row.value is None or below is None:
        return None
    return RunFigure(**{name: getattr(row, name) for name in _SHARED} | {"value": row.value / below})


def _changes(runs: Sequence[RunFigure], *, relative: bool) -> Iterator[RunFigure]:
    before: RunFigure | None = None
    for run in runs:
        comparable = relative and before and before.host == run.host and min(before.value, run.value) > 0
        yield replace(run, change=run.value / before.value - 1) if before and comparable else run
        before = run

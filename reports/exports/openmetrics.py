"""openmetrics: the text that Prometheus and what is like it read, one gauge a metric of a benchmark.

Gauges and nothing else: a run is over, so nothing in it is a counter, and a summary or a state set would shut
out the readers of the older Prometheus text (node_exporter's text files, the Pushgateway), who read this too.
No sample has a time stamp, which text files may not have; when the run was is a gauge. Which number of a
distribution a sample is stands in the label ``stat``: ``median`` (or ``slope``), ``low`` and ``high`` of its
95 % interval, ``min``, ``p90``, ``p99``, ``max``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from isobench.journal import RunRecord, StoredRun
from isobench.model import Scalar
from isobench.reports.exports.facts import run_facts
from isobench.reports.exports.figures import Figure, figures_of, of_values, values_behind
from isobench.reports.exports.series import (
    NO_PLACE,
    REST_OF_RECORD,
    Export,
    Omission,
    number,
    of_details,
    unique,
)
from isobench.reports.load import cells_of
from isobench.reports.summary import CellSummary
from isobench.reports.units import plain, utf8

_UNITS = {"second": "seconds", "byte": "bytes", "1/second": "per_second", "count": ""}
"""Base units in the plural, as names end in them; a number of things has none."""


@dataclass(slots=True)
class _Family:
    """One metric, with its samples as they are written."""

    name: str
    help: str
    unit: str = ""
    samples: list[str] = field(default_factory=list)

    def add(self, value: float, labels: Mapping[str, str]) -> None:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        self.samples.append(f"{self.name}{f'{{{told}}}' if told else ''} {value!r}\n")

    def text(self) -> str:
        unit = f"# UNIT {self.name} {self.unit}\n" if self.unit else ""
        help_line = f"# HELP {self.name} {_escaped(self.help)}\n"
        return f"# TYPE {self.name} gauge\n{unit}{help_line}{''.join(self.samples)}"


def export(run: StoredRun) -> Export:
    """The text, with the state of every cell."""
    figures = figures_of(run.samples)
    families = (*_of_run(run.record), *_of_cells(cells_of(run.samples)), *_of_figures(figures))
    text = "".join(family.text() for family in families if family.samples) + "# EOF\n"
    left_out = (*of_values(figures), *_reasons(run), *of_details(run.samples), REST_OF_RECORD)
    return Export(utf8(text).encode(), values_behind(figures), left_out)


def _reasons(run: StoredRun) -> tuple[Omission, ...]:
    n = sum(sample.reason is not None for sample in run.samples)
    return (Omission(f"the reasons of {number(n, 'attempt')}", NO_PLACE),) if n else ()


def _of_run(record: RunRecord) -> Iterator[_Family]:
    info = _Family("isobench_run_info", "The run these figures are of: always 1.")
    info.add(1, run_facts(record))
    yield info
    started = _Family("isobench_run_started_timestamp_seconds", "When the run began.", "seconds")
    try:
        moment = datetime.fromisoformat(record.started)
    except ValueError:
        return
    started.add((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), {})
    yield started


def _of_cells(cells: Iterable[CellSummary]) -> Iterator[_Family]:
    states = _Family("isobench_cell_state", "How a cell ended, in the label state: always 1.")
    attempts = _Family(
        "isobench_cell_attempts", "Attempts of a cell that gave a value (ok) and that did not."
    )
    for cell in sorted(cells, key=lambda cell: cell.id):
        first = cell.samples[0]
        labels = _labels(cell.id, cell.isolator, cell.benchmark, cell.workload, first.params)
        states.add(1, {**labels, "state": cell.state.status.value})
        attempts.add(cell.state.ok, {**labels, "result": "ok"})
        attempts.add(cell.state.not_ok, {**labels, "result": "not_ok"})
    yield from (states, attempts)


def _of_figures(figures: Sequence[Figure]) -> Iterator[_Family]:
    families: dict[tuple[str, str, str], _Family] = {}
    taken: set[str] = set()
    for figure in figures:
        key = figure.benchmark, figure.metric, figure.unit
        if key not in families:
            families[key] = _family(*key, taken)
        _add(families[key], figure)
    yield from (families[key] for key in sorted(families))


def _family(benchmark: str, metric: str, unit: str, taken: set[str]) -> _Family:
    ending = _UNITS.get(unit, _word(unit))
    name = unique("_".join(filter(None, ("isobench", _word(benchmark), _word(metric)))), taken)
    told = f"{plain(metric)} of the benchmark {plain(benchmark)}, in {plain(unit)}"
    return _Family(f"{name}_{ending}" if ending else name, told, ending)


def _add(family: _Family, figure: Figure) -> None:
    labels = _labels(figure.cell, figure.isolator, figure.benchmark, figure.workload, figure.params)
    interval = figure.estimate.interval
    ends = {} if interval is None else {"low": interval.low, "high": interval.high}
    told = {"median" if figure.spread else "slope": figure.estimate.value, **ends, **figure.spread}
    for stat, value in told.items():
        family.add(value, {**labels, "stat": stat})


def _labels(
    cell: str, isolator: str, benchmark: str, workload: str, params: Mapping[str, Scalar]
) -> dict[str, str]:
    own = {"cell": cell, "isolator": isolator, "benchmark": benchmark, "workload": workload}
    taken: set[str] = set()
    return {**own, **{unique(f"param_{_word(key)}", taken): str(params[key]) for key in sorted(params)}}


def _word(text: str) -> str:
    """What may be part of a name: lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

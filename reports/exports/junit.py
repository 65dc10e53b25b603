"""junit: the JUnit XML that CI systems show as test results: one suite a benchmark, one test case a cell.

A cell that failed is a failure, one that ran into the time limit an error; what this isolator or this host
cannot do is skipped. The figures of a cell are properties, and once more as text that a person reads.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from xml.etree import ElementTree as ET

from isobench.journal import RunRecord, StoredRun
from isobench.model import Status
from isobench.reports import units
from isobench.reports.exports.facts import run_facts, words
from isobench.reports.exports.figures import Figure, figures_of, of_values, values_behind
from isobench.reports.exports.series import REST_OF_RECORD, Export, number, of_details
from isobench.reports.load import cells_of
from isobench.reports.summary import CellSummary
from isobench.reports.xml_text import document, legal, properties

_ENDS = {
    Status.FAILED: "failure",
    Status.TIMEOUT: "error",
    Status.UNSUPPORTED: "skipped",
    Status.UNAVAILABLE: "skipped",
}


def export(run: StoredRun) -> Export:
    """The XML, with every cell of the run; times of a case are what its timed attempts took together."""
    figures = figures_of(run.samples)
    by_cell: dict[str, list[Figure]] = {}
    for figure in figures:
        by_cell.setdefault(figure.cell, []).append(figure)
    cells = sorted(cells_of(run.samples), key=lambda cell: (cell.benchmark, cell.id))
    root = ET.Element("testsuites", _tally(cells, name=f"isobench {run.record.run_id}"))
    for benchmark, own in groupby(cells, key=lambda cell: cell.benchmark):
        root.append(_suite(benchmark, list(own), by_cell, run.record))
    left_out = (*of_values(figures), *of_details(run.samples), REST_OF_RECORD)
    return Export(document(root).encode(), values_behind(figures), left_out)


def _suite(
    benchmark: str, cells: Sequence[CellSummary], figures: Mapping[str, Sequence[Figure]], record: RunRecord
) -> ET.Element:
    facts = run_facts(record)
    about = {"hostname": facts.get("hostname", ""), "timestamp": _timestamp(record.started)}
    suite = ET.Element("testsuite", _tally(cells, name=benchmark, **about))
    properties(suite, facts)
    for cell in cells:
        suite.append(_case(cell, figures.get(cell.id, ())))
    return suite


def _tally(cells: Sequence[CellSummary], **about: str) -> dict[str, str]:
    ends = [_ENDS.get(cell.state.status) for cell in cells]
    counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {
        **{key: legal(text) for key, text in about.items() if text},
        "tests": str(len(cells)),
        **{key: str(ends.count(end)) for key, end in counted.items()},
    }


def _case(cell: CellSummary, figures: Sequence[Figure]) -> ET.Element:
    seconds = sum(s.value for s in cell.samples if s.unit == "second" and s.value is not None)
    timed = {"time": f"{seconds:.9f}"} if seconds else {}
    name = "/".join(filter(None, (cell.workload, words(cell.samples[0].params))))
    about = {"name": name, "classname": f"{cell.benchmark}.{cell.isolator}"}
    case = ET.Element("testcase", {**{key: legal(text) for key, text in about.items()}, **timed})
    properties(case, dict(_told(figures)))
    if (end := _ENDS.get(cell.state.status)) is not None:
        case.append(_end(end, cell))
    if figures:
        ET.SubElement(case, "system-out").text = legal("".join(map(_line, figures)))
    return case


def _end(end: str, cell: CellSummary) -> ET.Element:
    state = cell.state
    total = state.ok + state.not_ok
    reason = state.reason or state.status.value
    message = f"{state.not_ok} of {total} attempts: {reason}" if state.ok else reason
    found = ET.Element(end, {"message": legal(message)})
    if end != "skipped":
        found.set("type", state.status.value)
    if state.remedy:
        found.text = legal(f"remedy: {state.remedy}")
    return found


def _told(figures: Iterable[Figure]) -> Iterable[tuple[str, str]]:
    for figure in figures:
        name, estimate = _name(figure), figure.estimate
        yield f"{name}:value", repr(estimate.value)
        if estimate.interval is not None:
            yield f"{name}:low", repr(estimate.interval.low)
            yield f"{name}:high", repr(estimate.interval.high)
        yield f"{name}:unit", figure.unit
        yield f"{name}:n", str(figure.n)


def _line(figure: Figure) -> str:
    estimate = figure.estimate
    form = partial(units.quantity, unit=figure.unit)
    between = f" ({units.interval(estimate.interval, form)})" if estimate.interval else ""
    return f"{_name(figure)}: {form(estimate.value)}{between}, {number(figure.n, 'value')}\n"


def _name(figure: Figure) -> str:
    """``footprint/instances=4``."""
    return units.plain(f"{figure.metric}{figure.place.removeprefix(figure.cell)}")


def _timestamp(started: str) -> str:
    """As the XML has it, without a zone (it is UTC); empty for what is no time."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z?", started)
    return found[1] if found else ""

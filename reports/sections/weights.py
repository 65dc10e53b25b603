"""Shares of siblings under contention against what their weights promise."""

from dataclasses import dataclass
from statistics import median

from isobench.model import Sample
from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import Column, Figure, Row, Section, Table, number_of
from isobench.reports.summary import CellSummary, Isolator, Summary, number

NAME = "weights"
_LEAD = (
    "Siblings that all burn CPU time, with weights set before the go-ahead. Promised is each one's weight"
    " as a part of all; got, its part of the CPU time they used together, by the accounts of their groups"
    " (medians of the blocks). Kept: no sibling strays by more than two hundredths of all from its "
    "promise. Undecided: it strays, and other work took more than a tenth of several CPUs. Settled: from "
    "then on no share strays by more than a tenth from what it is in the end."
)
_SLACK = 0.02
_USED = 0.9


@dataclass(frozen=True, slots=True)
class _Sibling:
    promised: float
    got: float


def section(summary: Summary) -> Section | None:
    """None for a run without it."""
    cells = [
        (isolator, cell)
        for isolator in summary.isolators
        for cell in summary.cells
        if cell.benchmark == NAME and cell.isolator == isolator.name and _siblings(cell)
    ]
    if not cells:
        return None
    columns = (
        Column("promise"),
        Column("promised", room=90),
        Column("got"),
        Column("settled", room=100),
        Column("in force", room=130),
    )
    rows = tuple(_row(isolator, cell) for isolator, cell in cells)
    return Section(
        NAME, "Weights under contention", _LEAD, (Table("", "siblings", columns, rows, brief=False),)
    )


def _siblings(cell: CellSummary) -> list[_Sibling]:
    """In their order."""
    samples = [one for one in cell.samples if counts(one) and one.metric == "share_error"]
    numbers = sorted({int(number(one.detail.get("sibling")) or 0) for one in samples})
    return [
        _Sibling(_middle(own, "promised"), _middle(own, "got"))
        for which in numbers
        if (own := [one for one in samples if number(one.detail.get("sibling")) == which])
    ]


def _middle(samples: list[Sample], key: str) -> float:
    return median(number(one.detail.get(key)) or 0.0 for one in samples)


def _row(isolator: Isolator, cell: CellSummary) -> Row:
    siblings = _siblings(cell)
    params = cell.samples[0].params
    where = "one CPU" if params.get("on") == "one" else "all CPUs"
    worst = max((one.got - one.promised for one in siblings), key=abs)
    kept = "kept" if abs(worst) <= _SLACK else "undecided, host busy" if _busy(cell) else "broken"
    settled = [one.value or 0.0 for one in cell.samples if counts(one) and one.metric == "settled"]
    figures = (
        Figure(f"{kept}, {100 * worst:+.2f} hundredths", "", cell),
        Figure(_shares([one.promised for one in siblings])),
        Figure(_shares([one.got for one in siblings])),
        number_of(median(settled) if settled else None, units.seconds),
        Figure(_in_force(cell)),
    )
    return Row(f"{isolator.name}, {params.get('ratio')} on {where}", figures, isolator)


def _busy(cell: CellSummary) -> bool:
    """Other work took more than a tenth of several CPUs: on which of them it sat bends the shares."""
    details = [one.detail for one in cell.samples if counts(one) and one.metric == "share_error"]
    cpus = number(details[0].get("cpus")) or 1
    return cpus > 1 and median(number(one.get("cpus_together")) or 0.0 for one in details) < _USED * cpus


def _shares(parts: list[float]) -> str:
    return " : ".join(f"{100 * part:.1f}" for part in parts)


def _in_force(cell: CellSummary) -> str:
    block = min(one.block for one in cell.samples)
    weights = [
        number(one.detail.get("weight_in_force"))
        for one in cell.samples
        if one.block == block and one.metric == "share_error"
    ]
    return " : ".join(f"{weight:.0f}" for weight in weights if weight is not None)

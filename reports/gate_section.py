"""The verdicts of the gate as a part of the report of one run."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from isobench.errors import UsageError
from isobench.journal import StoredRun
from isobench.model import Side
from isobench.reports import chart_gate, gate_rows, units
from isobench.reports.gate import judge
from isobench.reports.gate_policy import parse_policy
from isobench.reports.gate_values import GateReport, Judgement, Metric, Scale
from isobench.reports.gate_words import change
from isobench.reports.section import NO_FIGURE, Column, Figure, Plot, Row, Section, Table
from isobench.reports.stats import Estimate
from isobench.reports.summary import CellSummary, Summary
from isobench.reports.verdict import Caution

_LEAD = (
    "Each block of the run measured A, B and A once more as the control, next to one another and in an order "
    "of its own. What the blocks say together is judged by an exact rank test against a limit that was fixed "
    "before; a change that the first blocks show is measured on fresh ones, and only what these say again is "
    "a regression or an improvement."
)
_NOTE = (
    "Limit: a change up to it is of no interest. Sees: the change these blocks would have found 4 times in "
    "5. Control: the baseline against itself in the same blocks; with ! it lies outside the limit. The "
    "thresholds are those the run began with."
)
_CAPTION = (
    "The change from A to B with its 95 % interval, in multiples of its own limit: the band is the limit to "
    "either side. Hollow, below: the control. What lies beyond the axis stands at its edge."
)


@dataclass(frozen=True, slots=True)
class GatePart:
    """What the page shows of it."""

    answer: Caution
    """The verdict on the whole run."""
    cautions: tuple[Caution, ...]
    reasons: tuple[tuple[str, str], ...]
    """Name and reason of what the figures do not say by themselves."""
    section: Section


def gate_part(summary: Summary) -> GatePart | None:
    """None for a run that compares nothing."""
    ab = summary.record.ab
    if ab is None:
        return None
    samples = tuple(sample for cell in summary.cells for sample in cell.samples)
    try:
        policy = parse_policy(ab.policy, "run.json")
        report = judge(StoredRun(summary.record, samples, torn=summary.torn), policy)
    except UsageError as error:  # thresholds of another isobench: the rest of the page is of use all the same
        answer = Caution("There is no verdict on this run", f"{error}")
        return GatePart(answer, (), (), Section("gate", "Verdict", _LEAD, ()))
    cells = {cell.id: cell for cell in summary.cells}
    answer = Caution(
        _title(report), f"{gate_rows.headline(report)} {gate_rows.about(report)}.", loud=not report.ok
    )
    return GatePart(answer, gate_rows.cautions(report), _reasons(report), _section(report, cells))


def _title(report: GateReport) -> str:
    return f"{report.outcome.value.capitalize()}: {gate_rows.tally(report) or 'nothing was judged'}"


def _reasons(report: GateReport) -> tuple[tuple[str, str], ...]:
    rows = gate_rows.rows(report)
    return tuple((row.name, f"{row.reason}.") for row in rows if row.verdict not in gate_rows.OF_ITSELF)


def _section(report: GateReport, cells: dict[str, CellSummary]) -> Section:
    table = Table("", "figure", _COLUMNS, tuple(_rows(report, cells)), _NOTE)
    plots: tuple[Plot, ...] = ()
    if chart_gate.shown(report.judgements):
        draw = partial(chart_gate.intervals, report.judgements)
        plots = (Plot("gate", "Change of each figure against its limit", _CAPTION, draw, table),)
    return Section("gate", "Verdict", _LEAD, (table, _host(report)), plots)


_COLUMNS = (
    Column("verdict"),
    Column("A"),
    Column("B"),
    Column("B to A", "95 % interval"),
    Column("limit"),
    Column("sees"),
    Column("control"),
    Column("p"),
    Column("blocks"),
)


def _rows(report: GateReport, cells: dict[str, CellSummary]) -> Iterator[Row]:
    order = sorted(report.judgements, key=lambda one: gate_rows.ORDER.index(one.verdict))
    for one in order:
        row = gate_rows.row(one)
        yield Row(
            row.name,
            (
                Figure(row.verdict.value),
                _side(one, Side.A, row.a, cells),
                _side(one, Side.B, row.b, cells),
                _changed(one),
                Figure(row.limit),
                Figure(row.sees),
                Figure(row.control),
                Figure(row.p),
                Figure(row.blocks),
            ),
        )


def _side(one: Judgement, side: Side, text: str, cells: dict[str, CellSummary]) -> Figure:
    """A or B, with the way to its raw samples."""
    if one.stage is None:
        return NO_FIGURE
    value = one.stage.a if side is Side.A else one.stage.b
    cell = cells.get(one.cells.get(side, ""))
    return Figure(text, "", cell, Estimate(value, None), one.metric.unit)


def _changed(one: Judgement) -> Figure:
    found = one.change
    if found is None:
        return NO_FIGURE
    small = units.interval(found.interval, lambda value: change(value, one.metric))
    return Figure(change(found.value, one.metric), small, None, found, _unit(one.metric))


def _unit(metric: Metric) -> str:
    return "ratio" if metric.scale is Scale.RATIO else metric.unit


def _host(report: GateReport) -> Table:
    marks = {True: "fit", False: "unfit", None: "not told"}
    rows = tuple(
        Row(check.name, (Figure(marks[check.passed]), Figure(check.found), Figure(check.limit)))
        for check in report.checks
    )
    return Table(
        "Was the host quiet enough?", "sign", (Column("state"), Column("found"), Column("at most")), rows
    )

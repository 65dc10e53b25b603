"""What each kernel primitive of a container costs: alone, one after the other, and undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import NO_FIGURE, Column, Figure, Plot, Row, Section, Table, estimated
from isobench.reports.stats import Estimate, median
from isobench.reports.summary import CellSummary, Summary, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

NAME = "primitives"
_LEAD = (
    "The kernel's part of a start: each primitive a container runtime uses, made by a small C program in a "
    "process that is thrown away, with CLOCK_MONOTONIC read around the system calls; nothing is subtracted. "
    "Undone is the call that undoes it or, where there is none, the end of the process until it is reaped; a "
    "plain process and two readings of the clock stand first, for comparison. Drained is when the kernel had "
    "really let go of a namespace: when another could be made where only one is allowed."
)
_SEQUENCES = {
    "primitives/host/sequence": ("sequence", "In the order of a runtime"),
    "primitives/host/sequence_user": ("sequence-user", "The same in a user namespace"),
}
_UNDONE = "undone"
_FIRST = ("clock", "process", "exec")
_ACRONYMS = {word: word.upper() for word in ("uts", "ipc", "pid")}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a sequence."""

    name: str
    begin_s: float
    """When the step before had ended, median."""
    end: Estimate
    own: Estimate


def section(summary: Summary) -> Section | None:
    """None for a run without primitives."""
    cells = tuple(cell for cell in summary.cells if cell.benchmark == NAME)
    alone = _alone([cell for cell in cells if cell.id not in _SEQUENCES])
    sequences = [cell for cell in cells if cell.id in _SEQUENCES and steps(cell)]
    told = tuple(_sequence(cell) for cell in sequences)
    tables = (*((alone,) if alone else ()), *told)
    if not tables:
        return None
    return Section(NAME, "Kernel primitives", _LEAD, tables, tuple(map(_plot, sequences, told)))


def steps(cell: CellSummary) -> tuple[Step, ...]:
    """The steps of a sequence that were measured, in their order."""
    names = dict.fromkeys(s.metric for s in cell.samples if counts(s) and s.metric != _UNDONE)
    found: list[Step] = []
    for name in names:
        samples = [s for s in cell.samples if counts(s) and s.metric == name]
        blocks = [s.block for s in samples]
        end = median((s.value or 0.0 for s in samples), blocks)
        own = median((number(s.detail.get("step_s")) or 0.0 for s in samples), blocks)
        found.append(Step(name, found[-1].end.value if found else 0.0, end, own))
    return tuple(found)


def _alone(cells: Sequence[CellSummary]) -> Table | None:
    names = dict.fromkeys(_primitive(cell) for cell in cells)
    rows = tuple(
        row
        for name in sorted(names, key=_place)
        for row in _row(name, [cell for cell in cells if _primitive(cell) == name])
    )
    columns = (Column("alone"), Column("undone"), Column("drained"))
    return Table("Each primitive alone, medians", "primitive", columns, rows, brief=False) if rows else None


def _place(name: str) -> tuple[int, str]:
    """The base lines first, in their order, then the others by name."""
    return (_FIRST.index(name), "") if name in _FIRST else (len(_FIRST), name)


def _row(name: str, cells: Sequence[CellSummary]) -> Iterator[Row]:
    figures = tuple(_metric(cells, metric) for metric in ("alone", _UNDONE, "drained"))
    if any(figure is not NO_FIGURE for figure in figures):
        yield Row(_words(name), figures)


def _metric(cells: Sequence[CellSummary], metric: str) -> Figure:
    for cell in cells:
        samples = [s for s in cell.samples if counts(s) and s.metric == metric]
        if samples:
            found = median((s.value or 0.0 for s in samples), (s.block for s in samples))
            return estimated(found, units.seconds, cell)
    return NO_FIGURE


def _sequence(cell: CellSummary) -> Table:
    rows = [
        Row(_words(s.name), (estimated(s.own, units.seconds), estimated(s.end, units.seconds, cell)))
        for s in steps(cell)
    ]
    undone = _metric([cell], _UNDONE)
    rows.append(Row("undone, all of it", (undone, NO_FIGURE)))
    _, title = _SEQUENCES[cell.id]
    left_out = dict.fromkeys(str(s.detail["left_out"]) for s in cell.samples if "left_out" in s.detail)
    note = f"Left out, for this host refuses it: {_words('; '.join(left_out))}." if left_out else ""
    columns = (Column("this step"), Column("since the begin"))
    return Table(f"{title}, medians", "step", columns, tuple(rows), note, brief=False)


def _plot(cell: CellSummary, data: Table) -> Plot:
    key, title = _SEQUENCES[cell.id]

    def draw(width_px: int) -> Drawing:
        from isobench.reports.chart_primitives import stairs  # noqa: PLC0415 - matplotlib takes its time

        bars = [(_words(s.name), s.begin_s, s.end.value, s.own.value) for s in steps(cell)]
        return stairs(bars, width_px)

    caption = f"{title}: each step begins where the one before has ended (medians)."
    return Plot(f"{NAME}-{key}", f"{title}, time since the begin", caption, draw, data)


def _primitive(cell: CellSummary) -> str:
    return cell.samples[0].workload


def _words(name: str) -> str:
    return " ".join(_ACRONYMS.get(word, word) for word in name.split("_"))

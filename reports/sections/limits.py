"""Promises kept and broken: what each limit gave, how its overrun ended, and what a neighbour felt."""

from dataclasses import dataclass
from statistics import median

from isobench.model import Sample
from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import NO_FIGURE, Column, Figure, Row, Section, Table, number_of
from isobench.reports.summary import CellSummary, Isolator, Summary, held_back, number

NAME = "limits"
_LEAD = (
    "A workload pushes against one limit at a time, which was read back from its group first. Kept: of "
    "CPU time and writes it got what was asked for, to five per cent (median of the blocks); of processes"
    " exactly so many; of memory no more, and no less than nine tenths, as page tables and kernel stacks "
    "count too; and it never ran on another CPU. For the last three the worst block counts. Undecided: "
    "something else than the limit held the workload back. The neighbour outside does a little work each "
    "millisecond, timed from when it was due."
)


@dataclass(frozen=True, slots=True)
class _Promise:
    """How one limit is judged."""

    title: str
    low: float
    high: float
    worst: bool
    """By the block that strays the most, not by the median."""


_SHARE = 0.05
_PROMISES = {
    "cpu": _Promise("CPU time", -_SHARE, _SHARE, worst=False),
    "cpuset": _Promise("CPUs", 0.0, 0.0, worst=True),
    "memory": _Promise("memory", -0.1, 0.0, worst=True),
    "pids": _Promise("processes", 0.0, 0.0, worst=True),
    "io": _Promise("writes", -_SHARE, _SHARE, worst=False),
}
_ENDS = {
    "throttle": "made to wait",
    "confined": "never leaves its CPUs",
    "oom-kill": "killed by the kernel",
    "EAGAIN": "fork refused (EAGAIN)",
    "ENOMEM": "memory refused (ENOMEM)",
    "nothing": "nothing stops it",
}


def section(summary: Summary) -> Section | None:
    """None for a run without limits."""
    cells = {
        (cell.isolator, str(cell.samples[0].params.get("limit"))): cell
        for cell in summary.cells
        if cell.benchmark == NAME and any(counts(one) or held_back(one) for one in cell.samples)
    }
    if not cells:
        return None
    kinds = [kind for kind in _PROMISES if any(kind == of for _, of in cells)]
    shown = [one for one in summary.isolators if any(one.name == name for name, _ in cells)]
    promises = tuple(
        Row(one.name, tuple(_verdict(cells.get((one.name, kind)), kind) for kind in kinds), one)
        for one in shown
    )
    ends = tuple(
        _end(one, kind, cell)
        for one in shown
        for kind in kinds
        if (cell := cells.get((one.name, kind))) and _samples(cell)
    )
    tables = (
        Table(
            "Promises kept and broken",
            "isolator",
            tuple(Column(_PROMISES[kind].title) for kind in kinds),
            promises,
        ),
        Table(
            "Overruns, and the neighbour outside",
            "limit",
            (
                Column("asked"),
                Column("got"),
                Column("how it ends", room=90),
                Column("neighbour p99 before", room=110),
                Column("during", room=110),
            ),
            ends,
            brief=False,
        ),
    )
    return Section(NAME, "Limits: promises kept and broken", _LEAD, tables)


def _samples(cell: CellSummary) -> list[Sample]:
    return [sample for sample in cell.samples if counts(sample)]


def _verdict(cell: CellSummary | None, kind: str) -> Figure:
    if cell is None:
        return NO_FIGURE
    promise, samples = _PROMISES[kind], _samples(cell)
    if not samples:
        return Figure("undecided, host busy", "the limit was not what held it back", cell)
    errors = [sample.value or 0.0 for sample in samples]
    error = max(errors, key=abs) if promise.worst else median(errors)
    kept = promise.low <= error <= promise.high
    escaped = [str(one.detail.get("ran_outside")) for one in samples if one.detail.get("ran_outside")]
    if kind == "io" and error < promise.low:
        return Figure(f"undecided, {units.percent(error)}", "the disk itself may be no faster", cell)
    said = f"also on CPU {escaped[0]}" if escaped else units.percent(error)
    return Figure(f"{'kept' if kept and not escaped else 'broken'}, {said}", f"{len(samples)} blocks", cell)


def _end(isolator: Isolator, kind: str, cell: CellSummary) -> Row:
    samples = _samples(cell)
    last = samples[-1]
    ends = dict.fromkeys(str(sample.detail.get("ends")) for sample in samples)
    figures = (
        Figure(_amount(number(last.detail.get("asked")), last)),
        Figure(_amount(_middle(samples, "got"), last), "median", cell),
        Figure(", ".join(_ENDS.get(end, end) for end in ends)),
        number_of(_middle(samples, "outside_before_p99_s"), units.seconds),
        number_of(_middle(samples, "outside_during_p99_s"), units.seconds),
    )
    return Row(f"{isolator.name}, {_PROMISES[kind].title}", figures, isolator)


def _middle(samples: list[Sample], key: str) -> float | None:
    found = [value for sample in samples if (value := number(sample.detail.get(key))) is not None]
    return median(found) if found else None


def _amount(value: float | None, sample: Sample) -> str:
    if value is None:
        return units.NONE
    unit = str(sample.detail.get("amount_unit"))
    if unit == "byte":
        return units.nbytes(value)
    return f"{units.nbytes(value)}/s" if unit == "byte/s" else f"{value:.3g} {unit}"

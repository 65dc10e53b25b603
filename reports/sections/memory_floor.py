"""The least memory each workload still runs with, and how it fails with less."""

from isobench.model import Sample
from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import Column, Figure, Row, Section, Table, number_of
from isobench.reports.summary import CellSummary, Summary, number

NAME = "memory-floor"
_LEAD = (
    "The least limit of memory under which a workload still ran, found by bisection: of a container what is "
    "charged to its cgroup, kernel memory and the runtime's own init included, without swap; of a virtual "
    "machine the RAM of its guest. The answer worked as often as said, and failed with what is said to fail."
)
_NOTE = (
    "Unconfirmed: the starts were used up before it had worked often enough, or before one step less had "
    "failed. Not monotonic: a limit worked at times and failed at others."
)
_HOWS = {
    "oom-kill": "killed by the kernel",
    "no-memory": "refused a call for memory",
    "refused": "the runtime refused",
    "timeout": "hung",
    "ended": "ended",
}


def section(summary: Summary) -> Section | None:
    """None for a run without such a figure."""
    rows = tuple(
        row for cell in summary.cells if cell.benchmark == NAME and (row := _row(summary, cell)) is not None
    )
    if not rows:
        return None
    columns = (
        Column("smallest that runs"),
        Column("in doubt"),
        Column("worked", room=80),
        Column("fails with", room=80),
        Column("how", room=100),
    )
    table = Table("Smallest limit of memory", "isolator", columns, rows, _NOTE)
    return Section(NAME, "Smallest memory", _LEAD, (table,))


def _row(summary: Summary, cell: CellSummary) -> Row | None:
    """The greatest answer over the blocks: one that sufficed in each."""
    samples = [sample for sample in cell.samples if counts(sample)]
    if not samples:
        return None
    found = max(samples, key=lambda sample: sample.value or 0.0)
    least = min(sample.value or 0.0 for sample in samples)
    isolator = next((one for one in summary.isolators if one.name == cell.isolator), None)
    small = f"{units.nbytes(least)} in another block" if least != found.value else ""
    workload = found.workload
    name = cell.isolator if workload == "hold" else f"{cell.isolator}, {workload}"
    below = number(found.detail.get("below_bytes"))
    figures = (
        number_of(found.value or 0.0, units.nbytes, cell, small),
        Figure(_doubt(samples)),
        Figure(f"{number(found.detail.get('worked')) or 0:.0f} times"),
        number_of(below or None, units.nbytes),
        Figure(_HOWS.get(str(found.detail.get("below_how")), units.NONE)),
    )
    return Row(name, figures, isolator)


def _doubt(samples: list[Sample]) -> str:
    doubts = []
    if any(sample.detail.get("confirmed") is False for sample in samples):
        doubts.append("unconfirmed")
    if any(sample.detail.get("monotonic") is False for sample in samples):
        doubts.append("not monotonic")
    return ", ".join(doubts) or units.NONE

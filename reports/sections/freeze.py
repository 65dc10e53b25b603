"""How long freezing and thawing a group takes, over the number of its tasks."""

from isobench.model import Status
from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import NO_FIGURE, Column, Figure, Row, Section, Table, estimated
from isobench.reports.stats import median
from isobench.reports.summary import CellSummary, Isolator, Summary, number

NAME = "freeze"
_LEAD = (
    "Frozen: from just before the order until the kernel says that all tasks of the group stand still. "
    "Thawed: from just before the order until the first task, which runs without a pause, is seen to have"
    " gone on. The order is a write to the group's own file, or the isolator's own command. Both medians,"
    " on the host's clock; the state is looked at without a pause. While frozen, counters of all tasks "
    "must stand still; a freeze in which one moved is a failure."
)
_WAYS = {"file": "", "tool": ", by its tool"}


def section(summary: Summary) -> Section | None:
    """None for a run without it."""
    cells = {
        (cell.isolator, str(cell.samples[0].params.get("how")), _tasks(cell)): cell
        for cell in summary.cells
        if cell.benchmark == NAME and any(map(counts, cell.samples))
    }
    if not cells:
        return None
    numbers = sorted({tasks for _, _, tasks in cells})
    columns = tuple(Column(f"{tasks} task{'s' if tasks > 1 else ''}") for tasks in numbers)
    lines = [
        (isolator, how)
        for isolator in summary.isolators
        for how in _WAYS
        if any((isolator.name, how, tasks) in cells for tasks in numbers)
    ]

    def table(title: str, metric: str) -> Table:
        rows = (
            _row(isolator, how, metric, [cells.get((isolator.name, how, tasks)) for tasks in numbers])
            for isolator, how in lines
        )
        return Table(title, "isolator", columns, tuple(rows))

    tables = (table("Until all are frozen", "freeze"), table("Until the first goes on", "thaw"))
    return Section(NAME, "Freeze and thaw", _LEAD, tables, notes=_notes(tuple(cells.values())))


def _tasks(cell: CellSummary) -> int:
    return int(number(cell.samples[0].params.get("tasks")) or 0)


def _row(isolator: Isolator, how: str, metric: str, cells: list[CellSummary | None]) -> Row:
    return Row(f"{isolator.name}{_WAYS[how]}", tuple(_figure(cell, metric) for cell in cells), isolator)


def _figure(cell: CellSummary | None, metric: str) -> Figure:
    samples = [one for one in cell.samples if counts(one) and one.metric == metric] if cell else []
    if not samples:
        return NO_FIGURE
    found = median((one.value or 0.0 for one in samples), (one.block for one in samples))
    return estimated(found, units.seconds, cell)


def _notes(cells: tuple[CellSummary, ...]) -> tuple[str, ...]:
    """The promise: how often it was kept, and broken."""
    freezes = [one for cell in cells for one in cell.samples if one.metric == "freeze"]
    kept = [one for one in freezes if counts(one)]
    broken = [one for one in freezes if one.status is Status.FAILED and "went on" in (one.reason or "")]
    held = sum(number(one.detail.get("held_s")) or 0.0 for one in kept)
    coarsest = max((number(one.detail.get("resolution_s")) or 0.0 for one in kept), default=0.0)
    number_of = f"{len(kept)} of {len(kept) + len(broken)}"
    still = f"Frozen tasks stood still in {number_of} freezes, {units.seconds(held)} in all"
    return (f"{still}; two looks at the state were at most {units.seconds(coarsest)} apart.",)

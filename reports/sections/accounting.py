"""What the kernel's accounts of a group say against what its workload used."""

from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import NO_FIGURE, Column, Figure, Row, Section, Table, estimated
from isobench.reports.stats import median
from isobench.reports.summary import CellSummary, Summary

NAME = "accounting"
_LEAD = (
    "How much more (or less, with a minus) the kernel's account of the group shows than its workload used"
    " by its own account: CPU time by its own clock, bytes it touched, bytes it wrote past the page "
    "cache, processes it forked. Read just before it begins and while it still holds what it got. Memory "
    "holds page tables, kernel stacks and what the kernel charges in advance; anonymous is the workload's"
    " own. Medians."
)
_ACCOUNTS = {
    "cpu": "CPU time",
    "memory": "memory",
    "anonymous": "anonymous memory",
    "io": "writes",
    "pids": "processes",
}


def section(summary: Summary) -> Section | None:
    """None for a run without it."""
    cells = [cell for cell in summary.cells if cell.benchmark == NAME and any(map(counts, cell.samples))]
    if not cells:
        return None
    names = {str(sample.detail.get("account")) for cell in cells for sample in cell.samples}
    accounts = [name for name in _ACCOUNTS if name in names]
    rows = tuple(
        Row(isolator.name, tuple(_figure(own, account) for account in accounts), isolator)
        for isolator in summary.isolators
        if (own := [cell for cell in cells if cell.isolator == isolator.name])
    )
    table = Table("", "isolator", tuple(Column(_ACCOUNTS[name]) for name in accounts), rows)
    return Section(NAME, "Accounting against use", _LEAD, (table,))


def _figure(cells: list[CellSummary], account: str) -> Figure:
    for cell in cells:
        samples = [one for one in cell.samples if counts(one) and one.detail.get("account") == account]
        if samples:
            found = median((one.value or 0.0 for one in samples), (one.block for one in samples))
            return estimated(found, units.percent, cell)
    return NO_FIGURE

"""Starts with dropped caches beside the same starts with warm ones; the two are never mixed."""

from collections.abc import Iterator

from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import Column, Row, Section, Table, estimated, number_of
from isobench.reports.stats import Estimate, median
from isobench.reports.summary import CellSummary, Isolator, Summary

NAME = "cold"
_LEAD = (
    "Before each cold start the host wrote back what was dirty and dropped its page cache, dentries and "
    "inodes; that is not timed. What a start needs from the disk is read again: the isolator's tools, their "
    "libraries, the workload. Pages that a process has mapped are not dropped; the starter is executed from "
    "a copy, so that its own file, which is the workload's, is not mapped. Warm starts are those of the "
    "other tables."
)


def section(summary: Summary) -> Section | None:
    """None for a run without cold starts."""
    rows = tuple(_rows(summary))
    if not rows:
        return None
    columns = (Column("warm"), Column("cold"), Column("cold / warm"))
    return Section(NAME, "Cold starts", _LEAD, (Table("Median start", "isolator", columns, rows),))


def _rows(summary: Summary) -> Iterator[Row]:
    starts = [cell for cell in summary.cells if cell.benchmark == "startup" and cell.samples]
    for isolator in summary.isolators:
        own = [cell for cell in starts if cell.isolator == isolator.name]
        for cell in own:
            if cell.samples[0].params.get("caches") == "cold":
                warm = next((other for other in own if _is_warm_of(cell, other)), None)
                yield _row(isolator, cell, warm)


def _is_warm_of(cold: CellSummary, other: CellSummary) -> bool:
    sample = other.samples[0]
    return sample.workload == cold.samples[0].workload and "caches" not in sample.params


def _row(isolator: Isolator, cold: CellSummary, warm: CellSummary | None) -> Row:
    workload = cold.samples[0].workload
    name = isolator.name if workload == "ready" else f"{isolator.name}, {workload}"
    before, after = _median(warm), _median(cold)
    ratio = number_of(after.value / before.value if before and after else None, units.times)
    figures = (estimated(before, units.seconds, warm), estimated(after, units.seconds, cold), ratio)
    return Row(name, figures, isolator)


def _median(cell: CellSummary | None) -> Estimate | None:
    found = [sample for sample in cell.samples if counts(sample)] if cell else []
    if not found:
        return None
    return median((sample.value or 0.0 for sample in found), (sample.block for sample in found))

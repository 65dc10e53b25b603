"""What became of a run since its baseline, in the terminal."""

from rich.console import Console
from rich.table import Table

from isobench.reports import units
from isobench.reports.baseline_compare import BaselineReport, Entry
from isobench.reports.gate_values import Verdict
from isobench.reports.gate_words import change, size

_WORDS = {
    Verdict.REGRESSION: "worse",
    Verdict.IMPROVEMENT: "better",
    Verdict.EQUIVALENT: "as it was",
    Verdict.INCONCLUSIVE: "not to be told",
    Verdict.MISSING: "missing",
    Verdict.ERROR: "not compared",
}
_STYLES = {
    Verdict.REGRESSION: "yellow",
    Verdict.MISSING: "yellow",
    Verdict.ERROR: "yellow",
    Verdict.IMPROVEMENT: "green",
}


def render(report: BaselineReport, console: Console) -> None:
    """A row for each metric of each cell, and a sentence of what that comes to."""
    console.print(
        f"{report.run_id} against the baseline {report.name} ({report.base_run_id}, kept {report.promoted})",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("cell", overflow="fold")
    table.add_column("", overflow="fold")
    for title in ("was", "is", "change", "of no interest"):
        table.add_column(title, justify="right")
    for entry in report.entries:
        table.add_row(*(units.plain(text) for text in _row(entry)), style=_STYLES.get(entry.verdict, ""))
    console.print(table)
    for entry in report.entries:
        if entry.verdict in {Verdict.MISSING, Verdict.ERROR}:
            console.print(units.plain(f"{entry.cell} {entry.metric.name}: {entry.reason}"), soft_wrap=True)
    for subject in report.subjects:
        console.print(units.plain(f"another thing now: {subject}"), soft_wrap=True)
    for fault in report.faults:
        console.print(fault, soft_wrap=True)
    text = f"{_answer(report)}; runs that were not measured side by side prove nothing"
    console.print(text, soft_wrap=True)


def _answer(report: BaselineReport) -> str:
    count = len(report.warnings) + len(report.faults)
    return f"{count} warning{'s' if count > 1 else ''}: nothing fails by it" if count else "nothing got worse"


def _row(entry: Entry) -> tuple[str, ...]:
    def value(number: float | None) -> str:
        return units.NONE if number is None else units.quantity(number, entry.metric.unit)

    moved = units.NONE if entry.change is None else change(entry.change.value, entry.metric)
    limit = units.NONE if entry.threshold is None else f"±{size(entry.threshold.delta, entry.metric)}"
    name = f"{entry.cell} {entry.metric.name}"
    return name, _WORDS[entry.verdict], value(entry.was), value(entry.now), moved, limit

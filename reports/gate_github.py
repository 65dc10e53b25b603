"""The verdicts of the gate in GitHub Actions: annotations of a run, and the summary of a step.

Workflow commands: "Workflow commands for GitHub Actions" in GitHub's documentation, and the way
actions/toolkit escapes their data and properties.
"""

from collections.abc import Iterator
from pathlib import Path

from isobench.errors import OutputError
from isobench.reports import gate_rows, units
from isobench.reports.gate_text import as_markdown
from isobench.reports.gate_values import GateReport, Verdict

MOST = 10
"""GitHub shows so many errors, and as many warnings and notices, of one step."""

SUMMARY_LIMIT = 1_000_000
"""A step's summary may have 1 MiB."""


def annotations(report: GateReport) -> str:
    """A line for each thing to be seen in the overview of a job: errors for what fails the gate first."""
    by_level: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for level, title, text in _told(report):
        by_level[level].append(_command(level, title, text))
    lines: list[str] = []
    for level, commands in by_level.items():
        kept = commands if len(commands) <= MOST else commands[: MOST - 1]
        lines += kept
        if more := len(commands) - len(kept):
            lines.append(_command(level, "isobench gate", f"{more} more: see the summary of this step"))
    return "".join(f"{line}\n" for line in lines)


def append_summary(report: GateReport, file: Path) -> None:
    """Append the verdicts to the file that ``GITHUB_STEP_SUMMARY`` names.

    Raises :class:`isobench.errors.OutputError` when it cannot be written.
    """
    try:
        with file.open("a", encoding="utf-8") as summary:
            summary.write(as_markdown(report, limit=SUMMARY_LIMIT))
    except OSError as error:
        raise OutputError(f"{file}: the step's summary cannot be written: {error.strerror}") from error


def _told(report: GateReport) -> Iterator[tuple[str, str, str]]:
    """Level, title and text of each."""
    for caution in gate_rows.cautions(report):
        yield "error" if caution.loud else "notice", f"isobench gate: {caution.title}", _lines(caution.text)
    levels = _levels(report)
    for row in gate_rows.rows(report):
        if level := levels.get(row.verdict):
            figures = f"A {row.a}, B {row.b}; limit {row.limit}, sees {row.sees}; {row.blocks} blocks"
            yield level, f"isobench gate: {row.verdict.value}", _lines(f"{row.name}: {row.reason}", figures)


def _lines(*lines: str) -> str:
    """Lines of which none can break into another."""
    return "\n".join(map(units.plain, lines))


def _levels(report: GateReport) -> dict[Verdict, str]:
    return {
        Verdict.REGRESSION: "error",
        Verdict.ERROR: "error",
        Verdict.MISSING: "warning" if report.allow_missing else "error",
        Verdict.INCONCLUSIVE: "error" if report.strict else "warning",
        Verdict.IMPROVEMENT: "notice",
    }


def _command(level: str, title: str, text: str) -> str:
    return f"::{level} title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(units.plain(text)).replace(":", "%3A").replace(",", "%2C")

"""A run in a terminal, and as Markdown for a pull request or a README."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from isobench.model import Status
from isobench.reports import markdown, rows, verdict
from isobench.reports.claims import Claim, claims
from isobench.reports.diagnose import diagnose
from isobench.reports.diagnostics import Diagnostic, Severity
from isobench.reports.markdown import escaped
from isobench.reports.section import Table as SectionTable
from isobench.reports.sections import sections
from isobench.reports.summary import Isolator, Summary
from isobench.reports.terminal import figure, new_table, print_caution, print_folded, text

_STYLES = {
    Status.OK: "green",
    Status.UNSUPPORTED: "dim",
    Status.UNAVAILABLE: "yellow",
    Status.FAILED: "red",
    Status.TIMEOUT: "red",
}

_STATUS_WIDTH = 12
_NAMED = 3
"""Isolators that are named one by one; of more it is told how many."""


def render_summary(summary: Summary, console: Console, *, brief: bool = False) -> None:
    """Print a run: what it was, its tables, what to be wary of, and every cell that did not end ok.

    Columns are left out where the console is too narrow for them; the console decides about colours.
    ``brief`` leaves out the tables for those who dig, and says where they are.
    """
    console.print(text(f"{summary.record.run_id} on {rows.host(summary)}", "bold"))
    if summary.compared:
        console.print(_overview(summary, console.width))
        print_folded(rows.LEGEND, console, style="dim", indent=0)
    if summary.limits:
        console.print()
        console.print(_limits(summary))
    tables = [table for section in sections(summary) for table in section.tables]
    shown = [table for table in tables if table.brief or not (brief and summary.compared)]
    for table in shown:
        _print_table(table, console)
    if len(shown) < len(tables):
        more = f"{len(tables) - len(shown)} more tables: isobench report {summary.folder} --tables"
        console.print()
        print_folded(more, console, style="dim", indent=0)
    for caution in verdict.cautions(summary):
        print_caution(caution, console)
    _print_diagnostics(diagnose(summary), console)
    _print_gaps(rows.gaps(summary), console)


def as_markdown(summary: Summary) -> str:
    """The table isolator by metric, that of the CPU limits, and the claims, as GitHub shows them."""
    titles = ("isolator", *(column.title for column in rows.OVERVIEW))
    body = [(found.name, *(column.text(found) for column in rows.OVERVIEW)) for found in summary.compared]
    parts = [markdown.table(titles, body)] if body else []
    if summary.limits:
        limits = [
            (found.name, *(rows.error(found, limit) for limit in summary.limits))
            for found in summary.isolators
            if found.quotas
        ]
        parts.append(markdown.table(("limit error", *rows.limit_titles(summary)), limits))
    parts += [_markdown_section(table) for found in sections(summary) for table in found.tables]
    if told := claims(summary):
        parts.append("\n".join(map(_markdown_claim, told)))
    parts += [f"**{escaped(c.title)}.** {escaped(c.text)}" for c in verdict.cautions(summary) if c.loud]
    return "\n\n".join(parts) + "\n"


def _overview(summary: Summary, width: int) -> Table:
    columns = [column for column in rows.OVERVIEW if width >= column.room]
    table = new_table("isolator", *(column.title for column in columns))
    for isolator in summary.compared:
        table.add_row(_name(isolator), *(figure(column.text(isolator)) for column in columns))
    return table


def _print_table(table: SectionTable, console: Console) -> None:
    console.print()
    if table.title:
        console.print(text(table.title, "bold"))
    shown = [at for at, column in enumerate(table.columns) if console.width >= column.room]
    drawn = new_table(table.first, *(table.columns[at].title for at in shown))
    for row in table.rows:
        name = text(row.name, _style(row.isolator)) if row.isolator else text(row.name)
        drawn.add_row(name, *(figure(row.figures[at].text) for at in shown))
    console.print(drawn)
    if table.note:
        print_folded(table.note, console, style="dim", indent=0)


def _markdown_section(table: SectionTable) -> str:
    titles = (table.first, *(column.title for column in table.columns))
    lines = markdown.table(titles, [(row.name, *(f.text for f in row.figures)) for row in table.rows])
    return f"**{escaped(table.title)}**\n\n{lines}"


def _markdown_claim(claim: Claim) -> str:
    found = "; ".join(
        f"{one.of}: {one.figure.text}" + (f" ({one.figure.small})" if one.figure.small else "")
        for one in claim.witnesses
    )
    measured = f" Measured: {escaped(found)}." if found else ""
    return f"- {escaped(claim.words)} **{claim.outcome.value}**: {escaped(claim.reason)}{measured}"


def _limits(summary: Summary) -> Table:
    table = new_table("limit error", *rows.limit_titles(summary))
    for isolator in summary.isolators:
        if isolator.quotas:
            errors = (rows.error(isolator, limit) for limit in summary.limits)
            table.add_row(_name(isolator), *map(figure, errors))
    return table


def _name(isolator: Isolator) -> Text:
    return text(isolator.name, _style(isolator))


def _style(isolator: Isolator) -> str:
    return "dim" if isolator.bare else "yellow" if isolator.emulated else ""


def _print_diagnostics(found: Sequence[Diagnostic], console: Console) -> None:
    """A line each; the report has the advice and the samples."""
    if not found:
        return
    console.print()
    console.print(text("What the samples themselves say", "bold"))
    for one in found:
        who = (
            f"{len(one.isolators)} isolators" if len(one.isolators) > _NAMED else verdict.names(one.isolators)
        )
        style = "yellow" if one.severity is Severity.WARNING else ""
        print_folded(f"{who}: {one.title.lower()}. {one.text}", console, indent=2, style=style)


def _print_gaps(gaps: Sequence[rows.Gap], console: Console) -> None:
    if not gaps:
        return
    console.print()
    console.print(text("Cells that did not end ok", "bold"))
    for gap in gaps:
        line = text(f"{gap.status:<{_STATUS_WIDTH}}", _STYLES[gap.status])
        console.print(line + text(f"{verdict.names(gap.isolators)}: {gap.where}"))
        reason = f"{gap.attempts}: {gap.reason}" if gap.attempts else gap.reason
        print_folded(reason, console, indent=_STATUS_WIDTH)
        if gap.remedy:
            print_folded(f"mend: {gap.remedy}", console, indent=_STATUS_WIDTH)

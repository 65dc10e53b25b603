"""The verdicts of the gate in a terminal, and as Markdown for a pull request or the summary of a CI step."""

from collections.abc import Sequence

from rich.console import Console

from isobench.reports import gate_rows, markdown
from isobench.reports.compare_text import MARKDOWN_LIMIT
from isobench.reports.compare_words import short
from isobench.reports.gate_rows import OF_ITSELF, Row
from isobench.reports.gate_values import GateReport, Outcome, Verdict
from isobench.reports.terminal import figure, new_table, print_folded, text

STYLES = {
    Verdict.REGRESSION: "bold red",
    Verdict.ERROR: "red",
    Verdict.MISSING: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.IMPROVEMENT: "green",
    Verdict.EQUIVALENT: "green",
}
_OUTCOMES = {Outcome.PASSED: "bold green", Outcome.INCONCLUSIVE: "bold yellow"}

_ROOM_SIDES, _ROOM_INTERVAL, _ROOM_TEST = 100, 124, 150
"""The terminal's width below which columns are left out."""

_PARAGRAPH = 2000
_ROOM_FOR_COUNTS = 200
"""Characters in Markdown."""


def render(report: GateReport, console: Console) -> None:
    """Print the verdicts: the answer, a row each, and the reasons that the figures do not say."""
    style = _OUTCOMES.get(report.outcome, "bold red")
    print_folded(gate_rows.title(report), console, indent=0, style=style)
    print_folded(gate_rows.headline(report), console, indent=0)
    print_folded(gate_rows.about(report), console, indent=0, style="dim")
    for caution in gate_rows.cautions(report):
        console.print()
        console.print(text(caution.title, "bold red" if caution.loud else "bold"))
        print_folded(caution.text, console, indent=2)
        if caution.remedy:
            print_folded(f"mend: {caution.remedy}", console, indent=2)
    rows = gate_rows.rows(report)
    if rows:
        console.print()
        _print_table(rows, console)
        _print_reasons(rows, console)
        print_folded(gate_rows.LEGEND, console, indent=0, style="dim")
    if advice := gate_rows.advice(report):
        print_folded(advice, console, indent=0)


def _print_table(rows: Sequence[Row], console: Console) -> None:
    sides, interval, test = (console.width >= room for room in (_ROOM_SIDES, _ROOM_INTERVAL, _ROOM_TEST))
    titles = (
        "verdict",
        *(("A", "B") if sides else ()),
        "B to A",
        *(("95 % interval",) if interval else ()),
        "limit",
        "sees",
        *(("control", "p", "blocks") if test else ()),
    )
    table = new_table("figure", *titles)
    table.columns[1].justify = "left"
    table.columns[1].no_wrap = True
    for row in rows:
        cells = (
            *((row.a, row.b) if sides else ()),
            row.change,
            *((row.interval,) if interval else ()),
            row.limit,
            row.sees,
            *((row.control, row.p, row.blocks) if test else ()),
        )
        table.add_row(
            text(short(row.name)), text(row.verdict.value, STYLES[row.verdict]), *map(figure, cells)
        )
    console.print(table)


def _print_reasons(rows: Sequence[Row], console: Console) -> None:
    for row in rows:
        if row.verdict not in OF_ITSELF:
            console.print()
            print_folded(f"{short(row.name)}: {row.verdict.value}", console, indent=0, style="bold")
            print_folded(f"{row.reason}.", console, indent=2)
    console.print()


def as_markdown(report: GateReport, *, limit: int = MARKDOWN_LIMIT) -> str:
    """The same for a comment on a pull request, in at most ``limit`` characters: the last rows go first."""
    rows = gate_rows.rows(report)
    before = [
        f"### {markdown.escaped(gate_rows.title(report))}",
        f"**{_cut(gate_rows.headline(report))}**",
        _cut(gate_rows.about(report)),
        *(f"> **{_cut(one.title)}.** {_cut(one.text)}" for one in gate_rows.cautions(report) if one.loud),
    ]
    after = [
        *(f"{_cut(one.title)}. {_cut(one.text)}" for one in gate_rows.cautions(report) if not one.loud),
        _checks(report),
        f"<sub>{markdown.escaped(gate_rows.LEGEND)}</sub>",
    ]
    room = limit - sum(len(part) + 2 for part in (*before, *after)) - _ROOM_FOR_COUNTS
    table, kept = _table(rows, room * 2 // 3)
    reasons, told = _reasons(rows[:kept], room - len(table))
    wordy = sum(row.verdict not in OF_ITSELF for row in rows)
    left = [
        *([f"{len(rows) - kept} more rows do not fit here."] if kept < len(rows) else []),
        *([f"{wordy - told} more reasons do not fit here."] if told < wordy else []),
    ]
    parts = [*before, *([table] if kept else []), *([reasons] if told else []), *left, *after]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], room: int) -> tuple[str, int]:
    """A table of as many rows as fit, and how many those are."""
    titles = (
        "figure",
        "verdict",
        "A",
        "B",
        "B to A",
        "95 % interval",
        "limit",
        "sees",
        "control",
        "p",
        "blocks",
    )
    lines = [markdown.table(titles, (), names=2)]
    room -= len(lines[0])
    for row in rows:
        line = markdown.row(
            (
                short(row.name),
                row.verdict.value,
                row.a,
                row.b,
                row.change,
                row.interval,
                row.limit,
                row.sees,
                row.control,
                row.p,
                row.blocks,
            )
        )
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines), len(lines) - 1


def _reasons(rows: Sequence[Row], room: int) -> tuple[str, int]:
    lines: list[str] = []
    for row in rows:
        if row.verdict in OF_ITSELF:
            continue
        line = f"- **{markdown.escaped(short(row.name))}**: {_cut(row.reason)}."
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines), len(lines)


def _checks(report: GateReport) -> str:
    """The fitness of the host, folded away: it matters when it fails, and then it is said above."""
    marks = {True: "fit", False: "unfit", None: "not told"}
    body = [(one.name, marks[one.passed], short(one.found), one.limit) for one in report.checks]
    table = markdown.table(("sign", "", "found", "at most"), body, names=4)
    return f"<details><summary>The host</summary>\n\n{table}\n\n</details>"


def _cut(sentence: str) -> str:
    return markdown.escaped(short(sentence, _PARAGRAPH))

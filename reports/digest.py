"""A run in ten lines of a terminal: its verdict, its host, what to be wary of, where the rest is."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from isobench.reports import rows, units
from isobench.reports.claims import Outcome, claims
from isobench.reports.findings import findings
from isobench.reports.summary import Summary
from isobench.reports.terminal import text
from isobench.reports.verdict import cautions

_LABEL = 22
"""Columns of what stands before a line."""
_NARROW = 60
"""Below so many columns what follows stands on lines of its own."""


def render_digest(summary: Summary, console: Console) -> None:
    """Print it. Colours, and how wide a line is, are the console's."""
    for label, said, style in _lines(summary, console.width - _LABEL):
        _print(label, said, style, console)


def _lines(summary: Summary, width: int) -> Iterator[tuple[str, str, str]]:
    ok = f"{len(summary.cells) - len(summary.not_ok)} of {len(summary.cells)} cells ok"
    yield "run", f"{summary.record.run_id}, {summary.record.status}, {ok}", "bold"
    yield "host", re.sub(r" \([^)]*\)", "", rows.host(summary)), ""  # the release without its by-name
    if summary.record.ab is not None:
        # Its pictures are drawn with matplotlib, which takes its time.
        from isobench.reports.gate_section import gate_part  # noqa: PLC0415

        if gate := gate_part(summary):
            yield "verdict", gate.answer.title, "bold yellow" if gate.answer.loud else "bold"
    for one in findings(summary):
        yield _QUESTIONS.get(one.question, one.question.lower()), f"{one.answer}: {one.figure.text}", ""
    tally = Counter(claim.outcome for claim in claims(summary))
    if summary.measured and tally:
        yield "claims", ", ".join(f"{tally[one]} × {one.value}" for one in Outcome if tally[one]), ""
    if told := cautions(summary):
        loud = any(one.loud for one in told)
        yield "with care", _fitting([one.title for one in told], width), "yellow" if loud else ""
    yield "more", f"isobench report {summary.folder} --tables, or without it the page", "dim"


_QUESTIONS = {
    "Most exact CPU limit": "most exact CPU limit",
    "Virtual machine against shared kernel": "VM to shared kernel",
}


def _fitting(titles: Sequence[str], width: int) -> str:
    """As many as a line takes, the first in any case, and how many more there are."""
    said = [
        "; ".join((*titles[:shown], *([f"{len(titles) - shown} more"] if shown < len(titles) else [])))
        for shown in range(len(titles), 0, -1)
    ]
    return next((one for one in said if len(one) <= width), said[-1])


def _print(label: str, said: str, style: str, console: Console) -> None:
    beside = console.width >= _NARROW
    indent = _LABEL if beside else 2
    folded = text(units.short(said, 400), style).wrap(console, max(20, console.width - indent))
    if not beside:
        console.print(text(label, "dim"), soft_wrap=True)
    for number, line in enumerate(folded):
        line.rstrip()
        head = f"{label:<{_LABEL}}" if beside and number == 0 else " " * indent
        console.print(Text(head, "dim") + line, soft_wrap=True)

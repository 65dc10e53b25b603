"""A comparison of two runs in a terminal, as Markdown that fits a pull request, and as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from isobench.reports import compare_words as words
from isobench.reports import markdown
from isobench.reports.compare_values import Comparison, Only, Row, Run, Verdict
from isobench.reports.stats import Estimate
from isobench.reports.terminal import figure, new_table, print_caution, print_folded, text
from isobench.reports.verdict import Caution

MARKDOWN_LIMIT = 65_000
"""Characters: a comment on GitHub takes 65,536."""

_ROOM_INTERVAL, _ROOM_COUNTS = 110, 96
"""The terminal's width below which a column is left out."""

_LISTED = 10
"""Cells that are named where it is told which ones only one run has."""

_STYLES = {Verdict.ABOVE: "yellow", Verdict.BELOW: "cyan", Verdict.REFUSED: "red"}


def render(found: Comparison, console: Console, *, everything: bool = False) -> None:
    """Print a comparison: what differs, what changed, and what to be wary of."""
    for name, run in (("base", found.base), ("candidate", found.candidate)):
        print_folded(f"{name:<10} {words.run_line(run)}", console, indent=0)
    if found.alike.differences:
        _print_differences(found, console, everything=everything)
    cautions = words.cautions(found)
    _print_cautions([caution for caution in cautions if caution.loud], console)
    console.print()
    print_folded(words.headline(found), console, indent=0, style="bold")
    _print_rows(found.rows if everything else found.changed, console)
    if (rest := len(found.rows) - len(found.changed)) and not everything:
        print_folded(f"{_figures(rest)} more, not told apart: --all", console, indent=0, style="dim")
    for line in _others(found):
        console.print()
        print_folded(line, console, indent=0)
    _print_cautions([caution for caution in cautions if not caution.loud], console)
    console.print()
    print_folded(words.NO_GATE, console, indent=0, style="dim")


def as_markdown(found: Comparison, *, everything: bool = False, limit: int = MARKDOWN_LIMIT) -> str:
    """The same for a pull request, in at most ``limit`` characters: the greatest changes are kept."""
    rows = found.rows if everything else found.changed
    before, after = _before(found), _after(found, rows)
    room = limit - sum(len(part) + 2 for part in (*before, *after)) - _ROOM_FOR_COUNTS
    table, kept = _row_table(rows, room)
    left = []
    if more := len(rows) - kept:
        left.append(f"{_figures(more)} more, with smaller changes, do not fit here.")
    if rest := len(found.rows) - len(rows):
        left.append(f"{_figures(rest)} more cannot be told apart.")
    parts = [*before, *([table] if kept else []), *([" ".join(left)] if left else []), *after]
    return "\n\n".join(parts) + "\n"


def _before(found: Comparison) -> list[str]:
    return [
        f"**{markdown.escaped(words.headline(found))}**",
        *(f"> **{_cut(c.title)}.** {_cut(c.text)}" for c in words.cautions(found) if c.loud),
        _runs(found),
        *([_difference_table(found)] if found.alike.differences else []),
    ]


def _after(found: Comparison, rows: Sequence[Row]) -> list[str]:
    meaning = words.legend(rows)
    return [
        *([markdown.escaped(meaning)] if meaning else []),
        *(_cut(line) for line in _others(found)),
        *(f"{_cut(c.title)}. {_cut(c.text)}" for c in words.cautions(found) if not c.loud),
        f"<sub>{markdown.escaped(words.NO_GATE)}</sub>",
    ]


_ROOM_FOR_COUNTS = 400
_PARAGRAPH = 2000
"""Characters of a sentence in Markdown that foreign text may have made long."""


def as_json(found: Comparison) -> dict[str, Any]:
    """Everything, for programs to read; every figure unrounded."""
    return {
        "base": _run_json(found.base),
        "candidate": _run_json(found.candidate),
        "likeness": found.alike.likeness.value,
        "differences": [
            {**asdict(one), "kind": one.kind.value, "isolators": list(one.isolators)}
            for one in found.alike.differences
        ],
        "cells": [_row_json(row) for row in found.rows],
        "only_base": [asdict(one) for one in found.only_base],
        "only_candidate": [asdict(one) for one in found.only_candidate],
        "ended_otherwise": [
            {"cell": one.cell, "base": asdict(one.base), "candidate": asdict(one.candidate)}
            for one in found.ended_otherwise
        ],
        "moved_without_change": [
            {"benchmark": benchmark, "metric": metric, "low": moved.low, "high": moved.high}
            for (benchmark, metric), moved in found.drift.items()
        ],
    }


def _print_differences(found: Comparison, console: Console, *, everything: bool) -> None:
    console.print()
    console.print(text("What differs between the runs", "bold"))
    shown = words.differences(found)
    for key, kind, base, candidate in shown if everything else shown[:_LISTED]:
        print_folded(f"{key} ({kind}): {base} → {candidate}", console, indent=2)
    if len(shown) > _LISTED and not everything:
        print_folded(f"{len(shown) - _LISTED} more: --all", console, indent=2, style="dim")


def _print_cautions(cautions: Iterable[Caution], console: Console) -> None:
    for caution in cautions:
        print_caution(caution, console)


def _print_rows(rows: Sequence[Row], console: Console) -> None:
    if not rows:
        return
    wide, counted = console.width >= _ROOM_INTERVAL, console.width >= _ROOM_COUNTS
    optional = (*(("95 % interval",) if wide else ()), *(("n",) if counted else ()))
    table = new_table("cell", "", "base", "candidate", "change", *optional)
    table.columns[1].justify = "left"
    for row in rows:
        figures = (
            words.figure(row, row.base.value),
            words.figure(row, row.candidate.value),
            words.change(row),
            *((words.interval(row),) if wide else ()),
            *((words.counts(row),) if counted else ()),
        )
        table.add_row(text(words.label(row)), _verdict(row), *map(figure, figures))
    console.print(table)
    if meaning := words.legend(rows):
        print_folded(meaning, console, indent=0, style="dim")


def _verdict(row: Row) -> Text:
    style = "dim" if row.doubtful else _STYLES.get(row.verdict, "dim")
    return text(words.verdict(row), style)


def _figures(many: int) -> str:
    return f"{many:,} figure{'' if many == 1 else 's'}"


def _others(found: Comparison) -> Iterator[str]:
    """Sentences about what has no row."""
    for name, only in (("base", found.only_base), ("candidate", found.only_candidate)):
        if only:
            yield f"Only in the {name}: {_named(only)}"
    if found.ended_otherwise:
        ended = [f"{one.cell}: {words.ended(one)}" for one in found.ended_otherwise[:_LISTED]]
        more = len(found.ended_otherwise) - len(ended)
        yield f"Ended otherwise: {'; '.join(ended)}" + (f"; and {more:,} more" if more else "")


def _named(only: Sequence[Only]) -> str:
    named = [
        words.short(one.cell if one.metric in one.cell else f"{one.cell} {one.metric}")
        for one in only[:_LISTED]
    ]
    more = len(only) - len(named)
    return ", ".join(named) + (f" and {_figures(more)} more" if more else "")


def _cut(sentence: str) -> str:
    return markdown.escaped(words.short(sentence, _PARAGRAPH))


def _runs(found: Comparison) -> str:
    return "  \n".join(
        f"{name}: {markdown.escaped(words.run_line(run))}"
        for name, run in (("base", found.base), ("candidate", found.candidate))
    )


def _difference_table(found: Comparison) -> str:
    shown = words.differences(found)
    table = markdown.table(("differs", "about", "base", "candidate"), shown[:_LISTED], names=4)
    more = len(shown) - _LISTED
    return table + (f"\n\nand {more} more differences." if more > 0 else "")


def _row_table(rows: Iterable[Row], room: int) -> tuple[str, int]:
    """A table of as many rows as fit, and how many those are."""
    titles = ("cell", "verdict", "base", "candidate", "change", "95 % interval", "n")
    table = markdown.table(titles, (), names=2)
    lines = [table]
    left = room - len(table)
    for row in rows:
        line = markdown.row(
            (
                words.short(words.label(row)),
                words.verdict(row),
                words.figure(row, row.base.value),
                words.figure(row, row.candidate.value),
                words.change(row),
                words.interval(row),
                words.counts(row),
            )
        )
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    return "\n".join(lines), len(lines) - 1


def _run_json(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "folder": str(run.folder),
        "run_id": record.run_id,
        "started": record.started,
        "status": record.status,
        "hostname": record.host.get("hostname"),
        "samples": run.samples,
        "warnings": list(run.warnings),
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "cell": row.cell,
        "metric": row.metric,
        "unit": row.unit,
        "isolator": row.isolator,
        "benchmark": row.benchmark,
        "workload": row.workload,
        "params": dict(row.params),
        "base": asdict(row.base),
        "candidate": asdict(row.candidate),
        "change": None if row.change is None else _change_json(row.change, relative=row.relative),
        "verdict": row.word,
        "subject": row.subject,
        "moved_alike": row.moved_alike,
        "reason": row.reason,
    }


def _change_json(change: Estimate, *, relative: bool) -> dict[str, Any]:
    limits = {} if change.interval is None else asdict(change.interval)
    kind = "ratio" if relative else "difference"
    return {"kind": kind, "value": change.value, "low": limits.get("low"), "high": limits.get("high")}

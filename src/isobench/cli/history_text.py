"""What ``isobench history`` prints: answers of a lake as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isobench.cli.output import note, printable
from isobench.reports import terminal, units
from isobench.reports.history_fleet import MIN_FOR_OUTLIERS, OUTLYING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from rich.console import Console

    from isobench.reports.history import Found, RunFigure
    from isobench.reports.history_fleet import Outlier, Percentiles
    from isobench.reports.history_hosts import Contents, Host, HostRun
    from isobench.reports.lake_add import Added
    from isobench.reports.lake_compact import Compacted

_MIDDLE, _WIDE = 90, 110
"""Columns of the terminal from which on there is room for less needed columns of a table."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    text: bool = False
    """It holds words, which begin at the left; figures end at the right."""
    room: int = 0
    """The terminal's width below which it is left out."""


_OUTCOMES = {
    "added": "{} added",
    "grown": "{} longer than before",
    "known": "{} there already",
    "empty": "{} without an attempt",
    "refused": "{} refused",
}


def note_oddities(one: Added) -> None:
    """Say what was odd about a result folder, on standard error."""
    for warning in one.warnings:
        note(printable(f"warning: {warning}"))
    if one.reason is not None:
        note(printable(f"error: {one.reason}"))
    if one.remedy is not None:
        note(printable(f"remedy: {one.remedy}"))


def added(lake: str, outcomes: Mapping[str, int]) -> str:
    """``lake: 4 runs: 3 added, 1 there already``."""
    told = [text.format(f"{outcomes[name]:,}") for name, text in _OUTCOMES.items() if outcomes.get(name)]
    return printable(f"{lake}: {_counted(sum(outcomes.values()), 'run')}: {', '.join(told)}")


def compacted(day: Compacted) -> str:
    """``2026-11-27: 1,000 runs, 15.3 MiB became 3.0 MiB``."""
    before, now = units.nbytes(day.nbytes_before), units.nbytes(day.nbytes)
    return f"{day.date}: {_counted(day.runs, 'run')}, {before} became {now}"


def trend(found: Found, to: Console) -> None:
    """A line a run."""
    several = len({run.host for run in found.runs}) > 1
    marks = [_marks(run, before) for run, before in zip(found.runs, [None, *found.runs], strict=False)]
    columns = [
        *([Column("host", text=True)] if several else ()),
        Column("began (UTC)", text=True),
        Column("run", text=True, room=_WIDE if several else _MIDDLE),
        Column("n"),
        Column(_title(found)),
        Column("change"),
        *([Column("", text=True)] if any(marks) else ()),
    ]
    _head(found, to, "" if several or not found.runs else f" on {found.runs[0].host}")
    rows = [
        (
            *([run.host] if several else ()),
            _minute(run.started),
            run.run_id,
            str(run.n),
            _figure(found, run.value),
            units.optional(run.change, units.percent),
            mark,
        )
        for run, mark in zip(found.runs, marks, strict=True)
    ]
    _foot(found, to, columns, rows)


def fleet(found: Found, spread: Sequence[Percentiles], to: Console) -> None:
    """A line for all hosts, and one for each CPU and kernel."""
    columns = [
        Column("", text=True),
        Column("hosts"),
        Column("least", room=_MIDDLE),
        Column("p5"),
        Column("p50"),
        Column("p95"),
        Column("greatest", room=_MIDDLE),
    ]
    _head(found, to, ", last run of each host")
    rows = [
        (
            row.what,
            f"{row.hosts:,}",
            *(
                units.NONE if value is None else _figure(found, value)
                for value in (row.least, row.p5, row.p50, row.p95, row.greatest)
            ),
        )
        for row in spread
    ]
    _foot(found, to, columns, rows)


def outliers(found: Found, odd: Sequence[Outlier], to: Console) -> None:
    """A line a host that stands out."""
    columns = [
        Column("host", text=True),
        Column("began (UTC)", text=True, room=_WIDE),
        Column("n", room=_MIDDLE),
        Column(_title(found)),
        Column("to median"),
        Column("robust sd"),
        Column("among", text=True),
    ]
    _head(found, to, ", last run of each host")
    rows = [
        (
            one.run.host,
            _minute(one.run.started),
            str(one.run.n),
            _figure(found, one.run.value),
            units.times(one.apart) if found.relative else units.quantity(one.apart, found.unit),
            f"{one.score:+.1f}",
            one.among,
        )
        for one in odd
    ]
    _foot(found, to, columns, rows)
    total = len(found.last)
    told = f"{len(odd)} of {_counted(total, 'host')} beyond {OUTLYING} robust standard deviations."
    few = f"Fewer than {MIN_FOR_OUTLIERS} hosts do not tell which of them is the odd one."
    to.print(few if total < MIN_FOR_OUTLIERS else told, soft_wrap=True)


def hosts(found: Sequence[Host], to: Console) -> None:
    """A line a host."""
    columns = [
        Column("host", text=True),
        Column("runs"),
        Column("first", text=True, room=_MIDDLE),
        Column("last", text=True),
        Column("CPU", text=True),
        Column("kernel", text=True),
        Column("system", text=True, room=_WIDE),
    ]
    rows = [
        (
            one.host,
            str(one.runs),
            f"{one.first:%Y-%m-%d}",
            f"{one.last:%Y-%m-%d}",
            *(fact or units.NONE for fact in (one.cpu, one.kernel, one.os)),
        )
        for one in found
    ]
    _print(to, columns, rows)
    for one in found:
        if one.overlapping:
            runs = " and ".join(one.overlapping)
            note(
                printable(
                    f"warning: {one.host}: its runs {runs} went on at once in two boots: two machines have "
                    "this name and CPU, or a clock was off; give each machine a host name of its own"
                )
            )


def runs(found: Sequence[HostRun], to: Console) -> None:
    """A line a run of one host."""
    columns = [
        Column("run", text=True),
        Column("began (UTC)", text=True),
        Column("status", text=True),
        Column("cells"),
        Column("attempts"),
        Column("lost"),
        Column("isobench", text=True, room=_MIDDLE),
    ]
    rows = [
        (
            one.run_id,
            _minute(one.started),
            one.status,
            str(one.cells),
            f"{one.attempts:,}",
            f"{one.lost:,}",
            one.isobench,
        )
        for one in found
    ]
    _print(to, columns, rows)


def contents(lake: str, found: Contents, to: Console) -> None:
    """A line a day."""
    columns = [
        Column("day (UTC)", text=True),
        Column("runs"),
        Column("hosts"),
        Column("files of one run"),
        Column("size"),
    ]
    rows = [
        (
            str(day.date),
            f"{day.runs:,}",
            f"{day.hosts:,}",
            f"{day.own_files:,}",
            units.nbytes(day.nbytes),
        )
        for day in found.days
    ]
    _print(to, columns, rows)
    total = f"{_counted(found.runs, 'run')} of {_counted(found.hosts, 'host')}, {units.nbytes(found.nbytes)}"
    to.print(printable(f"{lake}: {total}"), soft_wrap=True)


def rows(columns: Sequence[str], found: Sequence[Sequence[Any]], to: Console) -> None:
    """Whatever a question of the user's gives."""
    numbers = [all(isinstance(row[at], int | float | None) for row in found) for at in range(len(columns))]
    _print(
        to,
        [Column(name, text=not number) for name, number in zip(columns, numbers, strict=True)],
        [[units.NONE if value is None else str(value) for value in row] for row in found],
    )


def _print(to: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table without the columns there is no room for; in a pipe without blanks at the ends of its lines."""
    shown = [at for at, column in enumerate(columns) if to.width >= column.room]
    made = terminal.new_table(*(columns[at].title for at in shown))
    for at, drawn in zip(shown, made.columns, strict=True):
        drawn.justify = "left" if columns[at].text else "right"
    for row in rows:
        made.add_row(*(terminal.figure(row[at]) for at in shown))
    if to.is_terminal:
        to.print(made)
        return
    with to.capture() as drawn_text:
        to.print(made)
    print("\n".join(line.rstrip() for line in drawn_text.get().splitlines()))


def _head(found: Found, to: Console, whose: str) -> None:
    question = found.question
    what = f"{question.cell}: {found.metric}{' to that of the bare row' if question.to_bare else ''}"
    to.print(terminal.text(f"{what}{whose}", "bold"), soft_wrap=True)


def _foot(found: Found, to: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """The table, and what is not in it."""
    if rows:
        _print(to, columns, rows)
    for line in _left_out(found):
        to.print(terminal.text(line, "dim"), soft_wrap=True)


def _left_out(found: Found) -> Iterator[str]:
    if not found.runs:
        yield "No run has a figure."
    if found.unfinished:
        yield f"Left out: {_counted(found.unfinished, 'unfinished run')} (--unfinished shows them)."
    if found.without_figure:
        yield f"Left out: {_counted(found.without_figure, 'run')} in which no attempt counts."
    if found.without_bare:
        yield f"Left out: {_counted(found.without_bare, 'run')} without a bare row of this kind."
    if found.other_metrics:
        yield f"Also measured: --metric {', '.join(found.other_metrics)}."


def _title(found: Found) -> str:
    return "× bare" if found.question.to_bare else "each further" if found.slope else "median"


def _figure(found: Found, value: float) -> str:
    return units.times(value) if found.question.to_bare else units.quantity(value, found.unit)


def _marks(run: RunFigure, before: RunFigure | None) -> str:
    """What to know of a run besides its figure; ``before`` is the run before, of whichever host."""
    marks = [run.status] if run.status != "finished" else []
    if run.lost:
        marks.append(f"{run.lost} lost")
    if before and before.host == run.host:
        if before.kernel != run.kernel:
            marks.append(f"kernel {run.kernel}")
        elif before.fingerprint != run.fingerprint:
            marks.append("settings changed")
        if before.isobench != run.isobench:
            marks.append(f"isobench {run.isobench}")
    return ", ".join(marks)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"

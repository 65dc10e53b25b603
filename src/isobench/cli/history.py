"""``isobench history``: the runs of many hosts in one lake, and what they say together."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isobench.cli import names, output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from isobench.reports.history import Found, Question
    from isobench.reports.lake_add import Added
    from isobench.reports.lake_read import Reader

_MANY_FILES = 2000
"""Runs with a file of their own, from which on a question takes more than a second."""

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Keep the runs of many hosts in one lake (Parquet files), and ask it.",
)

LakeName = Annotated[
    str,
    typer.Option(
        "--lake", metavar="LAKE", envvar="ISOBENCH_LAKE", help="The lake: a folder, or a URL for fsspec."
    ),
]
Cell = Annotated[
    str,
    typer.Argument(
        metavar="CELL",
        help="A cell, as in startup/runc/ready.",
        autocompletion=names.lake_cells,
        show_default=False,
    ),
]
Metric = Annotated[
    str | None,
    typer.Option("--metric", metavar="NAME", help="What of the cell; else what it has most values of."),
]
Host = Annotated[
    str | None, typer.Option("--host", metavar="HOST", help="Only this host, by its id or its host name.")
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="DAY", formats=["%Y-%m-%d"], help="Only runs from that day on (UTC)."),
]
ToBare = Annotated[bool, typer.Option("--to-bare", help="Divide by the bare row of the same run.")]
Unfinished = Annotated[bool, typer.Option("--unfinished", help="With runs that did not come to their end.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]


@app.command()
def add(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Result folders, or folders with such anywhere below.",
            autocompletion=names.result_folders,
            show_default=False,
        ),
    ],
    lake: LakeName = "lake",
    json: Json = False,
) -> None:
    """Add runs to the lake, each once.

    A run is known by its id; one that has grown since takes the place of what was there.
    """
    from isobench.cli import history_text
    from isobench.errors import ResultsError
    from isobench.reports.lake import open_or_begin
    from isobench.reports.lake_add import Outcome, find_runs
    from isobench.reports.lake_add import add as add_runs

    folders = find_runs(results)
    done = list(_watched(add_runs(open_or_begin(lake), folders), len(folders)))
    for one in done:
        history_text.note_oddities(one)
    if json:
        output.print_json({"lake": lake, "runs": [_added(one) for one in done]})
    else:
        print(history_text.added(lake, Counter(one.outcome for one in done)))
    refused = sum(one.outcome is Outcome.REFUSED for one in done)
    if refused:
        raise ResultsError(f"{lake}: {refused} of {len(done)} result folders were not added")


def _watched(runs: Iterator[Added], total: int) -> Iterable[Added]:
    """The same, with a bar on a terminal."""
    console = output.console(stderr=True)
    if not console.is_terminal:
        return runs
    from rich.progress import track

    return track(runs, description="adding runs", total=total, console=console, transient=True)


def _added(one: Added) -> dict[str, Any]:
    run = one.run
    place = {"host": run and run.host, "date": run and run.date, "run_id": run and run.run_id}
    return {
        "folder": str(one.folder),
        "outcome": one.outcome.value,
        **place,
        "reason": one.reason,
        "remedy": one.remedy,
        "warnings": list(one.warnings),
    }


@app.command()
def trend(
    cell: Cell,
    *,
    metric: Metric = None,
    host: Host = None,
    since: Since = None,
    to_bare: ToBare = False,
    unfinished: Unfinished = False,
    lake: LakeName = "lake",
    json: Json = False,
) -> None:
    """A cell over time: the median of each run."""
    from isobench.cli import history_text
    from isobench.reports.history import Question

    found = _found(lake, Question(cell, metric, host, _day(since), to_bare, unfinished))
    if json:
        output.print_json({**_about(found), "runs": [_plain(asdict(run)) for run in found.runs]})
    else:
        history_text.trend(found, output.console())


@app.command()
def fleet(
    cell: Cell,
    *,
    metric: Metric = None,
    since: Since = None,
    to_bare: ToBare = False,
    unfinished: Unfinished = False,
    lake: LakeName = "lake",
    json: Json = False,
) -> None:
    """A cell over all hosts: percentiles of their medians.

    Of each host its last run counts.
    """
    from isobench.cli import history_text
    from isobench.reports.history import Question
    from isobench.reports.history_fleet import percentiles

    found = _found(lake, Question(cell, metric, None, _day(since), to_bare, unfinished))
    rows = percentiles(found)
    if json:
        output.print_json({**_about(found), "rows": [asdict(row) for row in rows]})
    else:
        history_text.fleet(found, rows, output.console())


@app.command()
def outliers(
    cell: Cell,
    *,
    metric: Metric = None,
    since: Since = None,
    to_bare: ToBare = False,
    unfinished: Unfinished = False,
    lake: LakeName = "lake",
    json: Json = False,
) -> None:
    """Hosts that are far from the others.

    A host stands out where the median of its last run is more than 3.5 robust standard deviations from
    that of all hosts, or of those with its CPU and kernel (docs/history.md).
    """
    from isobench.cli import history_text
    from isobench.reports import history_fleet
    from isobench.reports.history import Question

    found = _found(lake, Question(cell, metric, None, _day(since), to_bare, unfinished))
    odd = history_fleet.outliers(found)
    if json:
        rows = [_plain(asdict(one)) for one in odd]
        output.print_json({**_about(found), "hosts": len(found.last), "outliers": rows})
    else:
        history_text.outliers(found, odd, output.console())


@app.command()
def hosts(since: Since = None, lake: LakeName = "lake", json: Json = False) -> None:
    """The hosts in the lake, and how many runs of each."""
    from isobench.cli import history_text
    from isobench.reports import history_hosts

    with _opened(lake) as reader:
        found = history_hosts.hosts(reader, _day(since))
    if json:
        output.print_json([_plain(asdict(host)) for host in found])
    else:
        history_text.hosts(found, output.console())


@app.command(name="list")
def list_(host: Host = None, since: Since = None, lake: LakeName = "lake", json: Json = False) -> None:
    """What is in the lake, day by day.

    With --host the runs of one host.
    """
    from isobench.cli import history_text
    from isobench.reports import history_hosts

    with _opened(lake) as reader:
        if host is not None:
            runs = history_hosts.runs_of(reader, host, _day(since))
            if json:
                output.print_json([_plain(asdict(run)) for run in runs])
            else:
                history_text.runs(runs, output.console())
            return
        found = history_hosts.contents(reader, _day(since))
    if json:
        output.print_json({**asdict(found), "days": [_plain(asdict(day)) for day in found.days]})
    else:
        history_text.contents(lake, found, output.console())


@app.command()
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT.", show_default=False)],
    lake: LakeName = "lake",
    json: Json = False,
) -> None:
    """A question of your own, in DuckDB's SQL.

    It is asked of the view `samples` (docs/history.md has its columns). What it makes of the figures is
    yours to answer for: `WHERE counts` keeps to the attempts that enter a report.
    """
    from isobench.cli import history_text
    from isobench.errors import UsageError

    with _opened(lake) as reader:
        columns, rows = reader.answer(query)
    if json:
        if twice := next((name for name in columns if columns.count(name) > 1), None):
            raise UsageError(f"two columns are called {twice}", remedy="name one of them: ... AS name")
        output.print_json([dict(zip(columns, map(_value, row), strict=True)) for row in rows])
    else:
        history_text.rows(columns, [[_value(value) for value in row] for row in rows], output.console())


@app.command()
def compact(lake: LakeName = "lake", json: Json = False) -> None:
    """Make one file of all runs of a day: faster questions."""
    from isobench.cli import history_text
    from isobench.reports import lake_compact
    from isobench.reports.lake import open_lake

    done = []
    for day in lake_compact.compact(open_lake(lake)):
        done.append(day)
        if not json:
            print(history_text.compacted(day), flush=True)
    if json:
        output.print_json([asdict(day) for day in done])
    elif not done:
        print("nothing to do: no run has a file of its own")


@contextmanager
def _opened(lake: str) -> Iterator[Reader]:
    from isobench.reports.lake import open_lake
    from isobench.reports.lake_read import reading

    with reading(open_lake(lake)) as reader:
        if len(reader.runs) > _MANY_FILES:
            output.note(
                f"{len(reader.runs):,} runs have a file each; questions are faster after: "
                f"isobench history compact --lake {lake}"
            )
        yield reader


def _found(lake: str, question: Question) -> Found:
    from isobench.reports.history import find

    with _opened(lake) as reader:
        return find(reader, question)


def _day(since: datetime | None) -> date | None:
    return None if since is None else since.date()


def _about(found: Found) -> dict[str, Any]:
    """What all answers about a cell begin with."""
    return {
        "cell": found.question.cell,
        "metric": found.metric,
        "unit": found.unit,
        "to_bare": found.question.to_bare,
        "other_metrics": list(found.other_metrics),
        "left_out": {
            "unfinished": found.unfinished,
            "without_figure": found.without_figure,
            "without_bare": found.without_bare,
        },
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:  # noqa: ANN401 - whatever SQL can give
    """A value as JSON has it; a time of a lake is UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(key): _value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    finite = not isinstance(value, float) or math.isfinite(value)
    known = value is None or isinstance(value, bool | int | float | str)
    return value if known and finite else str(value)

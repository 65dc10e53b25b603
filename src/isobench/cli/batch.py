"""``isobench batch``: what the playbooks in ansible/ call, on lab hosts and on the controller.

Hidden from the help of the program: people call the playbooks. Answers are JSON; what is told of hosts comes
on standard input, for there may be thousands of them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isobench.cli import output
from isobench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from isobench.book import Row
    from isobench.remote import Look

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="For the playbooks in ansible/ (docs/lab-hosts.md)."
)

Place = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the batch on this host.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the batch, with hosts.json.")]
MatrixFile = Annotated[Path, typer.Option("--matrix", metavar="FILE", help="What is measured.")]

_WIDTH = 110
"""Columns of a table that Ansible prints line by line."""


@app.command()
def look(place: Place) -> None:
    """How the run on this host stands."""
    from isobench import remote

    _print(remote.look(place))


@app.command()
def go(
    place: Place,
    *,
    tune: Annotated[bool, typer.Option("--tune", help="As for isobench run.")] = False,
    allow_drop_caches: Annotated[
        bool, typer.Option("--allow-drop-caches", help="As for isobench run.")
    ] = False,
) -> None:
    """Begin the run on this host, go on with it, or wait for who does."""
    from isobench import remote

    both = ("--allow-drop-caches",) if allow_drop_caches else ()
    _print(remote.go(place, (*both, "--tune") if tune else both, both))


@app.command()
def wait(
    place: Place,
    *,
    after: Annotated[int, typer.Option(metavar="N", help="The attempts there were before.")],
) -> None:
    """Wait for the end of an attempt."""
    from isobench import remote

    _print(remote.wait(place, after))


@app.command("open")
def open_(folder: Folder, *, matrix: MatrixFile) -> None:
    """Begin a batch or open it again, and say which hosts of those on standard input are to be done."""
    from isobench import batch

    book, _ = batch.open_batch(folder, matrix)
    hosts = _hosts()
    todo = batch.to_do(folder, hosts)
    complete = [host for host in hosts if host not in set(todo)]
    output.print_json(
        {"batch": book.batch, "matrix_sha256": book.matrix.sha256, "to_do": todo, "complete": complete}
    )


@app.command()
def plan(folder: Folder, *, matrix: MatrixFile) -> None:
    """Show what the hosts on standard input would measure, and how long; starts and writes nothing."""
    from isobench import batch
    from isobench.cli.progress import duration
    from isobench.matrix import read_matrix
    from isobench.plan import plan_lines

    lines = plan_lines(read_matrix(matrix))
    cells, turns = sum(line.cells for line in lines), sum(line.turns for line in lines)
    expected = duration(sum(line.expected_s for line in lines))
    rows = batch.plan(folder, _hosts())
    todo = [host for host, row in rows.items() if not row.complete]
    table = _table("host", "now", "cells", "turns", "expected")
    for host, row in rows.items():
        left = ("–", "–", "–") if row.complete else (str(cells), str(turns), expected)
        table.add_row(host, f"complete: {row.run_id}" if row.complete else "to do", *left)
    for line in _lines(table):
        print(line)
    each = f"{cells} cells" if cells != 1 else "1 cell"
    print(f"\n{len(todo)} of {len(rows)} hosts to do, each {each}, side by side: about {expected}.")
    print("Nothing was started, and no host was asked.")


@app.command()
def take(
    folder: Folder,
    host: Annotated[str, typer.Argument(metavar="HOST")],
    incoming: Annotated[Path, typer.Argument(metavar="INCOMING", help="The result folder as it came.")],
) -> None:
    """Check a result folder that was fetched against what its host told (on standard input), and keep it."""
    from isobench import batch
    from isobench.remote import parse_look

    output.print_json(asdict(batch.take(folder, host, incoming, parse_look(sys.stdin.read()))))


@app.command()
def close(folder: Folder) -> None:
    """Write down what became of the hosts; the notes of the play come on standard input."""
    from isobench import batch, fallen

    notes = fallen.notes(sys.stdin.read())
    book = batch.close(folder, notes, notes)
    asked = {host: book.hosts[host] for host in notes}
    output.print_json(
        {
            "lines": _lines(_summary(book.hosts)),
            "folders": [str(folder / one) for one in book.folders],
            "incomplete": sorted(host for host, row in asked.items() if not row.complete),
        }
    )


def _summary(rows: Mapping[str, Row]) -> Table:
    table = _table("host", "state", "cells ok", "run, or why not")
    for host, row in sorted(rows.items()):
        counted = sum(row.cells.values())
        lacks = [f"{one.isolator}: {one.reason}" for one in row.lacks]
        told = [*([row.run_id] if row.run_id else []), *([row.reason] if row.reason else []), *lacks]
        where = f" ({row.stage})" if row.stage and not row.complete else ""
        cells = f"{row.cells.get('ok', 0)} of {counted}" if counted else "–"
        table.add_row(host, f"{row.state}{where}", cells, "; ".join(told))
    return table


def _table(*titles: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title)
    return table


def _lines(table: Table) -> list[str]:
    """As text, for a reader that shows it later."""
    import io

    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=_WIDTH, highlight=False, markup=False, emoji=False).print(table)
    return [output.printable(line.rstrip()) for line in text.getvalue().splitlines()]


def _hosts() -> list[str]:
    try:
        hosts = json.loads(sys.stdin.read())
    except ValueError as error:
        raise UsageError(f"standard input: not a list of hosts in JSON: {error}") from error
    return [str(host) for host in hosts]


def _print(found: Look) -> None:
    value: dict[str, Any] = asdict(found)
    output.print_json(value)

"""``isobench list``: what can be named in a matrix, from this package and from others installed beside it."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isobench.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

    from isobench.plugins import Registry

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="What a matrix can name, one line each.")

WORKLOADS = {
    "ready": "says that it runs, and exits: what `startup` starts",
    "hold": "says that it runs, and waits: what `memory` keeps running",
    "spin": "burns CPU and records when it ran and when it was stopped: what `throttling` limits",
}
"""The agent's verbs that are measured. Its other verbs (start, touch, probe, init) serve the harness."""


@dataclass(frozen=True, slots=True)
class Row:
    """One name in a listing."""

    name: str
    description: str
    source: str
    """``built in``, or the installed package that offers it."""
    problem: str | None = None
    """Why it cannot be used: its package is broken, or two packages claim the name."""
    remedy: str | None = None


@app.command()
def isolators(json: Json = False) -> None:
    """Ways to isolate a workload: the kinds an [[isolator]] table can name."""
    from isobench.isolators.registry import REGISTRY

    _show(_rows(REGISTRY), json)


@app.command()
def benchmarks(json: Json = False) -> None:
    """What can be measured: the names for [run] benchmarks and for --benchmark."""
    from isobench.benchmarks.registry import REGISTRY

    _show(_rows(REGISTRY), json)


@app.command()
def workloads(json: Json = False) -> None:
    """What is started inside an isolator."""
    _show((Row(name, text, "built in") for name, text in WORKLOADS.items()), json)


def _rows(registry: Registry[Any]) -> Iterable[Row]:
    for entry in registry.entries():
        source = "built in" if entry.distribution == "isobench" else entry.distribution
        description = "" if entry.cls is None else summary(entry.cls, entry.name)
        yield Row(entry.name, description, source, entry.reason, entry.remedy)


def summary(cls: type, name: str) -> str:
    """The first paragraph of the docstring of a class's module, without the name it begins with.

    A built-in is a module of its own, which says what it is; of other packages the class has to say it.
    """
    module = inspect.getdoc(inspect.getmodule(cls)) or ""
    text = module.removeprefix(f"{name}: ") if module.startswith(f"{name}: ") else inspect.getdoc(cls) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "").rstrip(".")


def _show(rows: Iterable[Row], json: bool) -> None:
    if json:
        output.print_json([asdict(row) for row in rows])
        return
    from rich.text import Text

    output.columns(
        output.console(),
        [
            (Text(row.name, style="bold"), Text(row.source, style="dim"), _described(row, Text()))
            for row in rows
        ],
    )


def _described(row: Row, text: Text) -> Text:
    if row.problem is None:
        return text.append(output.printable(row.description))
    text.append(output.printable(f"cannot be used: {row.problem}"), style="red")
    return text.append(output.printable(f"\nremedy: {row.remedy}")) if row.remedy else text

"""``isobench list``: what can be named in a matrix, from this package and from others installed beside it."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isobench.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel
    from rich.text import Text

    from isobench.cli.options import Option
    from isobench.plugins import Registry

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="What a matrix can name, and the options of each."
)

WORKLOADS = {
    "ready": "says that it runs, and exits: what `startup` starts",
    "hold": "says that it runs, and waits: what `memory` keeps running",
    "echo": "says that it runs, and answers every byte: what `round-trip` asks",
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
    options: tuple[Option, ...] = ()
    """What its table in a matrix can hold: the options of an isolator, the parameters of a benchmark."""


@app.command()
def isolators(json: Json = False) -> None:
    """Ways to isolate a workload: the kinds an [[isolator]] table can name."""
    from isobench.isolators.registry import REGISTRY

    _show(_rows(REGISTRY, lambda cls: cls.Options), json, options="options")


@app.command()
def benchmarks(json: Json = False) -> None:
    """What can be measured: the names for [run] benchmarks and for --benchmark."""
    from isobench.benchmarks.registry import REGISTRY

    _show(_rows(REGISTRY, lambda cls: cls.Params), json, options="parameters")


@app.command()
def workloads(json: Json = False) -> None:
    """What is started inside an isolator."""
    _show((Row(name, text, "built in") for name, text in WORKLOADS.items()), json)


def _rows(registry: Registry[Any], model: Callable[[Any], type[BaseModel]]) -> Iterable[Row]:
    from isobench.cli.options import options_of

    for entry in registry.entries():
        source = "built in" if entry.distribution == "isobench" else entry.distribution
        description = "" if entry.cls is None else summary(entry.cls, entry.name)
        options = () if entry.cls is None else options_of(model(entry.cls))
        yield Row(entry.name, description, source, entry.reason, entry.remedy, options)


def summary(cls: type, name: str) -> str:
    """The first paragraph of the docstring of a class's module, without the name it begins with.

    A built-in is a module of its own, which says what it is; of other packages the class has to say it.
    """
    module = inspect.getdoc(inspect.getmodule(cls)) or ""
    text = module.removeprefix(f"{name}: ") if module.startswith(f"{name}: ") else inspect.getdoc(cls) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "").rstrip(".")


def _show(rows: Iterable[Row], json: bool, *, options: str = "") -> None:
    if json:
        output.print_json([asdict(row) for row in rows])
        return
    from rich.text import Text

    output.columns(
        output.console(),
        [
            (Text(row.name, style="bold"), Text(row.source, style="dim"), _described(row, Text(), options))
            for row in rows
        ],
    )


def _described(row: Row, text: Text, options: str) -> Text:
    if row.problem is None:
        text.append(output.printable(row.description))
        if not row.options:
            return text
        told = ", ".join(str(option) for option in row.options)
        return text.append(output.printable(f"\n{options}: {told}"), style="dim")
    text.append(output.printable(f"cannot be used: {row.problem}"), style="red")
    return text.append(output.printable(f"\nremedy: {row.remedy}")) if row.remedy else text

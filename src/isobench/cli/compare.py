"""``isobench compare``: what changed from one run to another, in a terminal or for a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isobench.cli import names, output
from isobench.errors import OutputError, UsageError

if TYPE_CHECKING:
    from isobench.reports.compare_values import Comparison


def compare(
    base: Annotated[
        Path,
        typer.Argument(
            metavar="BASE",
            help="Result folder of the run before.",
            autocompletion=names.result_folders,
            show_default=False,
        ),
    ],
    candidate: Annotated[
        Path,
        typer.Argument(
            metavar="CANDIDATE",
            help="Result folder of the run after.",
            autocompletion=names.result_folders,
            show_default=False,
        ),
    ],
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Show figures that cannot be told apart as well.")
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Only this metric, such as `ready`; may be repeated."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown that fits a comment on a pull request.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to this file: JSON if it ends so, else Markdown."
        ),
    ] = None,
) -> None:
    """Say what changed from one run to another. This is no gate: it always ends with 0."""
    if markdown and json:
        raise UsageError("--markdown and --json are two forms of one answer", remedy="name one of them")
    from isobench.reports.compare import chosen
    from isobench.reports.compare import compare as compared

    found = compared(base, candidate)
    if metric:
        found = chosen(found, metric)
    if file is not None:
        json = json or (not markdown and file.suffix == ".json")
        _write(file, _text(found, json=json, everything=everything))
        print(file)
    elif markdown or json:
        print(_text(found, json=json, everything=everything), end="")
    else:
        from isobench.reports.compare_text import render

        render(found, output.console(), everything=everything)


def _text(found: Comparison, *, json: bool, everything: bool) -> str:
    from isobench.reports import compare_text

    if json:
        return output.as_json(compare_text.as_json(found))
    return compare_text.as_markdown(found, everything=everything)


def _write(file: Path, text: str) -> None:
    from isobench.journal_writer import write_whole

    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise OutputError(
            f"{file}: the comparison cannot be written: {error.strerror}",
            remedy="name another file with --output",
        ) from error

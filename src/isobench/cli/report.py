"""``isobench report``: result folders to one HTML file, or to lines and tables in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from isobench.cli import names, output

REPORT_FILE = "report.html"
"""The name of a report where none is asked for, in the (first) result folder."""


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Result folder, as `isobench run` printed it; several, or one with several in it: a page "
            "that compares them.",
            autocompletion=names.result_folders,
            show_default=False,
        ),
    ],
    *,
    file: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The report; else a file in the first DIR."),
    ] = None,
    page: Annotated[
        Literal["compare", "hosts", "trend"] | None,
        typer.Option(
            "--as",
            help="The page over several runs; else by what they are of: two runs of one host, several hosts, "
            "or more runs of one host.",
            show_default=False,
        ),
    ] = None,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Print it in ten lines; no HTML unless --output is given."),
    ] = False,
    tables: Annotated[
        bool,
        typer.Option("--tables", help="Print all its tables; no HTML unless --output is given."),
    ] = False,
) -> None:
    """Make one self-contained HTML report from result folders; needs no root and no isolator."""
    if summary:
        print_digest(results)
    if tables:
        print_tables(results)
    if file is not None or not (summary or tables):
        from isobench.reports.pages import Page, write_page

        print(write_page(results, file, None if page is None else Page(page)))


def print_digest(results: list[Path]) -> None:
    """Each result folder in ten lines, on standard output."""
    from isobench.reports.digest import render_digest
    from isobench.reports.load import summarize

    console = output.console()
    for place, folder in enumerate(results):
        if place:
            console.print()
        render_digest(summarize(folder), console)


def print_tables(results: list[Path], *, brief: bool = False) -> None:
    """The tables of each result folder, on standard output; ``brief``: not those for who digs."""
    from isobench.reports.load import summarize
    from isobench.reports.table import render_summary

    console = output.console()
    for folder in results:
        render_summary(summarize(folder), console, brief=brief)


def write(results: list[Path], file: Path) -> Path:
    """Write the HTML report and return its path."""
    from isobench.reports.html import write_report

    write_report(results, file)
    return file

"""``isobench export``: a run in the format of another tool."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isobench.cli import names, output
from isobench.errors import OutputError, UsageError

if TYPE_CHECKING:
    from isobench.journal import StoredRun
    from isobench.reports.exports import Format
    from isobench.reports.exports.series import Export

_STDOUT = Path("-")


def export(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Result folder, as `isobench run` printed it.",
            autocompletion=names.result_folders,
            show_default=False,
        ),
    ],
    *,
    name: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="F",
            help="pyperf, pytest-benchmark, hyperfine, benchfmt, bmf, gha, junit, openmetrics, csv, parquet.",
            autocompletion=names.export_formats,
            show_default=False,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to; a folder: under its usual name. Else printed."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say as JSON what was written and what was left out; needs -o.")
    ] = False,
) -> None:
    """Write a run in the format of another tool; says what that format cannot hold."""
    from isobench.reports.exports import export as make
    from isobench.reports.exports import format_named

    path = _path(folder, name, format_named(name), file)
    if as_json and path is None:
        raise UsageError("--json tells about a file, and none is named", remedy=_with_file(folder, name, ""))
    from isobench.journal import load

    run = load(folder)
    done = make(run, name)
    if path is not None:
        _write(path, done.data)
    if as_json:
        print_account(run, name, path, done)
        return
    if path is None:
        sys.stdout.buffer.write(done.data)
    else:
        print(path)
    for warning in run.warnings:
        output.note(output.printable(f"warning: {warning}"))
    for omission in done.left_out:
        output.note(output.printable(f"left out: {omission}"))


def print_account(run: StoredRun, name: str, path: Path | None, done: Export) -> None:
    """What was written where, and what was left out."""
    output.print_json(
        {
            "format": name,
            "file": str(path),
            "run_id": run.record.run_id,
            "values": done.values,
            "left_out": [asdict(omission) for omission in done.left_out],
            "warnings": list(run.warnings),
        }
    )


def _path(folder: Path, name: str, form: Format, file: Path | None) -> Path | None:
    """Where the export goes; None is standard output, where only text may go."""
    if file is not None and file != _STDOUT:
        return file / form.file if file.is_dir() else file
    if form.text:
        return None
    raise UsageError(
        f"{name} is not text and cannot be printed: name a file",
        remedy=_with_file(folder, name, form.file),
    )


def _with_file(folder: Path, name: str, file: str) -> str:
    return f"isobench export {folder} --format {name} --output {file or 'FILE'}"


def _write(path: Path, data: bytes) -> None:
    from isobench.journal_writer import write_whole

    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(
            f"{path}: the export cannot be written: {error.strerror}",
            remedy="name another file with --output",
        ) from error

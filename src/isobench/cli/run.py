"""``isobench run`` and ``isobench resume``: measure, show the table, write the report, say how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isobench.cli import names, output
from isobench.cli.report import REPORT_FILE, print_tables, write
from isobench.errors import CellsFailedError, HostUnfitError, UsageError

if TYPE_CHECKING:
    from isobench.outcome import Outcome
    from isobench.plan import Matrix

Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for this run, new or empty; without it, a new one in results/."),
]
Tune = Annotated[
    bool,
    typer.Option(
        "--tune", help="Set what disturbs measurements, where that is safe, and put it back at the end."
    ),
]
Report = Annotated[
    bool, typer.Option("--report/--no-report", help="Write report.html into the folder of the results.")
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print how it ended as JSON in place of the table, for programs to read."),
]
DropCaches = Annotated[
    bool,
    typer.Option(
        "--allow-drop-caches",
        help="Cold starts may drop the page cache of this host, which slows down all that runs on it.",
    ),
]

_MAX_NAMED = 5
"""Failed cells named in the last line; the table and the report have them all, with their reasons."""


def run(
    matrix: Annotated[
        Path | None,
        typer.Argument(
            metavar="MATRIX.toml",
            help="What to measure; without it, all that is built in.",
            autocompletion=names.matrix_files,
            show_default=False,
        ),
    ] = None,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="The short form of the built-in matrix: about 2 minutes.")
    ] = False,
    isolator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this isolator of the matrix; may be repeated.",
            autocompletion=names.isolators,
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this benchmark of the matrix; may be repeated.",
            autocompletion=names.benchmarks,
        ),
    ] = None,
    out: Out = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="For the order of the cells; drawn and recorded if not given."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show what would be measured and how long it takes.")
    ] = False,
    allow_drop_caches: DropCaches = False,
    tune: Tune = False,
    report: Report = True,
    json: Json = False,
) -> None:
    """Measure every isolator of a matrix with every benchmark, and write a report.

    Every sample is on disk as soon as it is taken: after Ctrl-C, `isobench resume DIR` measures the rest.
    Exits with 4 when cells failed or timed out, and with 3 when this host could measure none.
    """
    from isobench import engine
    from isobench.cli import progress
    from isobench.lab import this_host

    chosen = _matrix(matrix, quick, isolator or [], benchmark or [])
    if seed is not None:
        chosen = replace(chosen, seed=seed)
    if plan:
        from isobench.cli import planning

        planning.show(chosen, json=json)
        return
    if own := [entry.name for entry in chosen.used_workloads()]:
        output.note(f"importing the root file system of {', '.join(own)}, unless it is in the cache")
    with _before_anything(), progress.shown(output.console(stderr=True)) as observer:
        lab = this_host(allow_drop_caches=allow_drop_caches)
        outcome = engine.run(chosen, out, observer, lab, tune=tune)
    _finish(outcome, report=report, json=json)


def resume(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="The folder of the run, as `isobench run` printed it.",
            autocompletion=names.result_folders,
        ),
    ],
    *,
    allow_drop_caches: DropCaches = False,
    report: Report = True,
    json: Json = False,
) -> None:
    """Measure what an interrupted run has not measured yet, and nothing else; then as `isobench run`.

    A run that began with `--tune` goes on with it.
    """
    from isobench import engine
    from isobench.cli import progress
    from isobench.journal import load
    from isobench.lab import this_host

    before = load(folder)
    ab = before.record.ab
    first = ab.blocks if ab and ab.confirm else 0  # the blocks of a first stage are none of the second
    done = frozenset(pair for pair in before.done if pair[1] >= first)
    lab = this_host(allow_drop_caches=allow_drop_caches)
    with _before_anything(), progress.shown(output.console(stderr=True), done) as observer:
        outcome = engine.resume(folder, observer, lab)
    if outcome.record.ab is not None and outcome.status != "interrupted":
        from isobench.cli import ab_run, verdicts

        if (judged := ab_run.finished(folder, lab)) is not None:
            verdicts.tell(judged, json=json)
        return
    _finish(outcome, report=report, json=json)


@contextmanager
def _before_anything() -> Iterator[None]:
    """Say what an early Ctrl-C means; once something is measured, the engine ends with an outcome instead."""
    try:
        yield
    except KeyboardInterrupt:
        output.note("interrupted before anything could be measured")
        raise


def _matrix(file: Path | None, quick: bool, isolators: list[str], benchmarks: list[str]) -> Matrix:
    from isobench.matrix import builtin_matrix, read_matrix
    from isobench.plan import narrow

    if file is not None and quick:
        raise UsageError(
            f"--quick is a matrix of its own and cannot go with {file}",
            remedy="leave one of them out; for a shorter run of your matrix, lower `blocks` in [run]",
        )
    matrix = builtin_matrix(quick=quick) if file is None else read_matrix(file)
    return narrow(matrix, isolators, benchmarks)


def _finish(outcome: Outcome, *, report: bool, json: bool) -> None:
    """Show the results, write the report, and raise what the exit code is to be made of."""
    if outcome.status == "interrupted":
        if json:
            output.print_json(as_json(outcome, None))
        output.note(f"interrupted; everything measured is kept in {outcome.folder}")
        output.note(f"to measure the rest: {outcome.resume_command}")
        return
    if outcome.status == "nothing to do":
        output.note(f"{outcome.folder}: this run is complete, nothing is left to measure")
    if not json:
        print_tables([outcome.folder], brief=True)
    page = write([outcome.folder], outcome.folder / REPORT_FILE) if report else None
    if json:
        output.print_json(as_json(outcome, page))
    else:
        print(f"\nresults: {outcome.folder}")
        if page:
            print(f"report:  {page}")
    _judge(outcome)


def as_json(outcome: Outcome, report: Path | None) -> dict[str, Any]:
    """How a run ended, as plain values; the keys are part of the interface."""
    record = outcome.record
    return {
        "run_id": record.run_id,
        "folder": str(outcome.folder),
        "report": None if report is None else str(report),
        "status": outcome.status,
        "seed": record.seed,
        "wall_s": round(record.wall_s, 3),
        "timed_s": round(record.timed_s, 3),
        "tuned": None if record.tuned is None else [asdict(setting) for setting in record.tuned],
        "cells": {name: asdict(state) for name, state in outcome.cells.items()},
        "turns_left": outcome.turns_left,
        "resume": outcome.resume_command,
    }


def _judge(outcome: Outcome) -> None:
    if outcome.exit_code == HostUnfitError.exit_code:
        raise HostUnfitError("not one cell could be measured on this host", remedy="isobench doctor")
    if outcome.exit_code != CellsFailedError.exit_code:
        return
    from isobench.model import Status

    bad = [name for name, state in outcome.cells.items() if state.status in {Status.FAILED, Status.TIMEOUT}]
    more = f" and {len(bad) - _MAX_NAMED} more" if len(bad) > _MAX_NAMED else ""
    raise CellsFailedError(
        f"{len(bad)} of {len(outcome.cells)} cells failed or timed out: {', '.join(bad[:_MAX_NAMED])}{more}",
        remedy=f"isobench report {outcome.folder} --tables",
    )

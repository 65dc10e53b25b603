"""``isobench baseline``: keep a run that passed its gate, and hold later runs of the same host against it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isobench.cli import names, output, verdicts

if TYPE_CHECKING:
    from isobench.journal import StoredRun
    from isobench.reports.baseline import Baseline
    from isobench.reports.baseline_compare import BaselineReport, Entry
    from isobench.reports.gate_policy import Policy

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Keep runs that passed their gate, to hold later runs of the same host against them.",
)


Store = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="The folder that keeps them.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")]
DEFAULT_STORE, DEFAULT_NAME = Path("baselines"), "main"
"""As :mod:`isobench.reports.baseline` has them, which is imported when it is needed."""


@app.command()
def promote(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="The folder of a run by `isobench ab` that passed its gate.",
            autocompletion=names.result_folders,
            show_default=False,
        ),
    ],
    *,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What to call it; one of that name is replaced.")
    ] = DEFAULT_NAME,
    store: Store = DEFAULT_STORE,
) -> None:
    """Keep the baseline side of a run that passed its gate, for this host and its present settings."""
    from isobench.journal import load
    from isobench.reports.baseline import promote as keep

    run = load(folder)
    policy = verdicts.policy(None, strict=False, allow_missing=False, recorded=run.record.ab)
    print(keep(run, policy, store, name))


@app.command("list")
def listing(*, store: Store = DEFAULT_STORE, json: Json = False) -> None:
    """What is kept, of which host and since when; a file that is no baseline is named beside."""
    from isobench.reports.baseline import stored

    kept = stored(store)
    found = tuple(kept.baselines.values())
    if json:
        output.print_json([_row(one) for one in found])
    elif found:
        _print_rows(found)
    elif not kept.faults:
        output.note(f"{store}: nothing is kept there")
    for fault in kept.faults.values():
        output.note(output.printable(str(fault)))


def hold(run: StoredRun, name: str, store: Path, policy: Policy, source: str, *, json: bool) -> None:
    """Say what became of a run since its baseline; it warns, and fails nothing.

    Raises :class:`isobench.errors.BaselineError` where there is none for the host of the run, and as
    :func:`isobench.reports.baseline_compare.against`.
    """
    from isobench.reports import baseline_text
    from isobench.reports.baseline import find
    from isobench.reports.baseline_compare import against

    report = against(run, find(store, name, run.record), policy, source)
    if json:
        output.print_json(as_json(report))
    else:
        baseline_text.render(report, output.console())


def as_json(report: BaselineReport) -> dict[str, Any]:
    """As plain values; the keys are part of the interface."""
    return {
        "baseline": report.name,
        "promoted": report.promoted,
        "base_run_id": report.base_run_id,
        "run_id": report.run_id,
        "subjects": list(report.subjects),
        "faults": list(report.faults),
        "warnings": len(report.warnings) + len(report.faults),
        "entries": [_entry(entry) for entry in report.entries],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    interval = entry.change.interval if entry.change else None
    return {
        "cell": entry.cell,
        "metric": entry.metric.name,
        "unit": entry.metric.unit,
        "verdict": entry.verdict.value,
        "reason": entry.reason,
        "was": entry.was,
        "now": entry.now,
        "change": entry.change.value if entry.change else None,
        "change_low": interval.low if interval else None,
        "change_high": interval.high if interval else None,
        "threshold": entry.threshold.delta if entry.threshold else None,
        "p": entry.p,
    }


def _row(one: Baseline) -> dict[str, Any]:
    return {
        "name": one.name,
        "promoted": one.promoted,
        "hostname": one.conditions.get("hostname"),
        "kernel": one.conditions.get("kernel"),
        "digest": one.digest,
        "run_id": one.record.run_id,
        "figures": len(one.figures),
    }


def _print_rows(found: tuple[Baseline, ...]) -> None:
    from rich.text import Text

    rows = [[Text(output.printable(str(value))) for value in _row(one).values()] for one in found]
    output.columns(output.console(), [[Text(title, "bold") for title in _row(found[0])], *rows])

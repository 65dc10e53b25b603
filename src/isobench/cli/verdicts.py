"""What `ab` and `gate` share: the options of a verdict, where it is told, and the exit code it comes to."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isobench.cli import names, output
from isobench.errors import (
    CellsFailedError,
    HostUnfitError,
    IsobenchError,
    OutputError,
    RegressionError,
    UsageError,
)

if TYPE_CHECKING:
    from isobench.journal import ABRecord
    from isobench.reports.gate import GateReport
    from isobench.reports.gate_policy import Policy

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="gate.toml",
        help="Thresholds other than the defaults, with a reason for each.",
        autocompletion=names.matrix_files,
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="What could not be shown fails as well, with 3.")]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="What only the baseline has fails nothing.")
]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write the verdict for a pull request.")
]
JUnit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the verdict as JUnit XML.")
]
GitHub = Annotated[
    bool,
    typer.Option("--github", help="Print annotations, and write the summary of a step of GitHub Actions."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print the verdict as JSON in place of the table, for programs to read."),
]


@dataclass(frozen=True, slots=True)
class Judged:
    """A run and the verdict on it."""

    folder: Path
    report: GateReport
    page: Path | None = None
    """The HTML report, where one was written."""


def policy(
    file: Path | None, *, strict: bool, allow_missing: bool, recorded: ABRecord | None = None
) -> Policy:
    """The thresholds of a file; else those a run was begun with; else the defaults."""
    from isobench.reports.gate_policy import DEFAULT_POLICY, parse_policy, read_policy

    if file is not None:
        found = read_policy(file)
    elif recorded is not None and recorded.policy:
        found = parse_policy(recorded.policy, "run.json")
    else:
        found = DEFAULT_POLICY
    return found.asked(strict=strict, allow_missing=allow_missing)


def check_places(*, markdown: Path | None, junit: Path | None, github: bool, json: bool) -> None:
    """See that a verdict can be told as it was asked for: nobody wants to learn that when all is measured.

    Raises OutputError and UsageError.
    """
    if json and github:
        raise UsageError(
            "--json and --github both print on standard output",
            remedy="isobench gate DIR --github afterwards",
        )
    for file in (markdown, junit):
        if file is None:
            continue
        if file.is_dir():
            raise OutputError(f"{file}: the verdict cannot be written: it is a folder")
        if not file.parent.is_dir():
            raise OutputError(
                f"{file}: the verdict cannot be written: there is no folder {file.parent}",
                remedy=f"mkdir -p {shlex.quote(str(file.parent))}",
            )
        if not os.access(file.parent, os.W_OK):
            raise OutputError(
                f"{file}: the verdict cannot be written: {file.parent} is not yours to write in"
            )


def tell(
    judged: Judged,
    *,
    markdown: Path | None = None,
    junit: Path | None = None,
    github: bool = False,
    json: bool = False,
) -> None:
    """Write and print a verdict, and raise what its exit code is made of."""
    from isobench.reports import gate_github, gate_json, gate_junit, gate_text

    report = judged.report
    if json:
        output.print_json({**gate_json.as_json(report), "folder": str(judged.folder)})
    else:
        gate_text.render(report, output.console())
        print(f"\nresults: {judged.folder}")
        if judged.page:
            print(f"report:  {judged.page}")
    if github:
        print(gate_github.annotations(report), end="")
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            gate_github.append_summary(report, Path(summary))
    if markdown is not None:
        _write(markdown, gate_text.as_markdown(report))
    if junit is not None:
        _write(junit, gate_junit.as_junit(report))
    if (error := _error(judged)) is not None:
        raise error


def _error(judged: Judged) -> IsobenchError | None:
    """What the exit code is made of, as one line."""
    from isobench.reports.gate import Outcome, Verdict

    report = judged.report
    if report.ok:
        return None
    named = ", ".join(f"{one.comparison} {one.metric.name}" for one in report.of(Verdict.REGRESSION))
    lacking = [
        *(fault.rstrip(".") for fault in report.faults),
        *(one.reason for v in (Verdict.ERROR, Verdict.MISSING) for one in report.of(v)),
    ]
    match report.outcome:
        case Outcome.REGRESSION:
            return RegressionError(f"{report.b} is worse than {report.a}: {named}")
        case Outcome.UNFIT:
            checks = "; ".join(f"{one.name} {one.found} (limit {one.limit})" for one in report.unfit)
            return HostUnfitError(
                f"the host was too restless for a verdict: {checks}", remedy="isobench doctor"
            )
        case Outcome.INCONCLUSIVE:
            return HostUnfitError("not everything could be shown, and --strict wants that")
        case _:
            return CellsFailedError(
                f"the comparison is not whole: {'; '.join(lacking[:3])}",
                remedy=f"isobench resume {judged.folder}"
                if report.resumable
                else f"isobench report {judged.folder} --tables",
            )


def _write(file: Path, text: str) -> None:
    from isobench.journal_writer import write_whole

    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise OutputError(f"{file}: the verdict cannot be written: {error.strerror}") from error

"""The command ``isobench``. Everything heavy is imported by the command that needs it.

``isobench --help`` is asked for by people and by shells that complete a word; it imports typer and the names
of the commands, nothing else.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from isobench import __version__
from isobench.cli import (
    ab,
    baseline,
    batch,
    clean,
    compare,
    doctor,
    exits,
    export,
    gate,
    history,
    listing,
    output,
    report,
    run,
)

app = typer.Typer(
    rich_markup_mode=None,  # its help takes twice the time
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all well · 1 a regression · 2 wrong call or file · 3 unfit host · "
    "4 failed or missing cells · 5 a defect of isobench · 130 interrupted.",
)
app.command(short_help="What can be measured here, and what is missing.")(doctor.doctor)
app.command(short_help="Measure, and write a report.")(run.run)
app.command(short_help="Finish an interrupted run.")(run.resume)
app.command(short_help="Make an HTML report from result folders.")(report.report)
app.command(short_help="Measure two sides, and say whether one is worse.")(ab.ab)
app.command(short_help="The verdict on a run of two sides.")(gate.gate)
app.command(short_help="What changed from one run to another.")(compare.compare)
app.command(short_help="Write a run in the format of another tool.")(export.export)
app.add_typer(history.app, name="history", short_help="Keep the runs of many hosts, and ask what they say.")
app.add_typer(baseline.app, name="baseline", short_help="Keep runs that passed, to hold later ones against.")
app.add_typer(listing.app, name="list", short_help="What a matrix can name.")
app.add_typer(batch.app, name="batch", hidden=True)
app.command(short_help="Remove what ended runs left behind.")(clean.clean)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"isobench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the commands that are run, and tracebacks (ISOBENCH_DEBUG=1)."),
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What each way of isolating a Linux workload costs, and whether it keeps its promises."""
    if debug:
        os.environ["ISOBENCH_DEBUG"] = "1"
    output.log_to_stderr(debug=exits.debugging())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` when none is given) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale without µ or → is no reason to fail
    return exits.guarded(lambda: typer.main.get_command(app).main(args=words, prog_name="isobench"))

"""``isobench ab``: two sides measured side by side, and a verdict on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isobench.cli import names, verdicts
from isobench.cli.run import Out, Tune
from isobench.errors import UsageError

if TYPE_CHECKING:
    from isobench.plan import Matrix


def ab(
    matrix: Annotated[
        Path | None,
        typer.Argument(
            metavar="MATRIX.toml",
            help="What the sides are and what is measured; without it, the isolators that are built in.",
            autocompletion=names.matrix_files,
            show_default=False,
        ),
    ] = None,
    *,
    a: Annotated[
        str,
        typer.Option(
            "--a",
            metavar="NAME",
            help="The baseline: an isolator or a workload of the matrix.",
            autocompletion=names.sides,
            show_default=False,
        ),
    ],
    b: Annotated[
        str,
        typer.Option(
            "--b",
            metavar="NAME",
            help="The candidate; the same name compares it with itself.",
            autocompletion=names.sides,
            show_default=False,
        ),
    ],
    detect: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="Plan so that a change of so much is seen, such as 10%; else twice the threshold.",
        ),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Blocks of A, B and A again; 20 if not given, more where --detect takes it.",
        ),
    ] = None,
    starts: Annotated[
        int | None,
        typer.Option(
            metavar="K", min=1, help="Starts a side and block; planned from earlier runs if not given."
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this benchmark of the matrix; may be repeated. Without a matrix: startup.",
            autocompletion=names.benchmarks,
        ),
    ] = None,
    out: Out = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="For the order of the sides; drawn and recorded if not given."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show the plan; with no history of this host, how it is made.")
    ] = False,
    tune: Tune = False,
    policy: verdicts.PolicyFile = None,
    strict: verdicts.Strict = False,
    allow_missing: verdicts.AllowMissing = False,
    markdown: verdicts.Markdown = None,
    junit: verdicts.JUnit = None,
    github: verdicts.GitHub = False,
    json: verdicts.Json = False,
) -> None:
    """Measure two sides in blocks of A, B and A again, and say whether B is worse.

    The sides are two isolators of the matrix (of one kind with other options, say) or two workloads. What the
    first stage suspects is measured again on fresh blocks before it counts. Exits with 1 for a regression,
    3 for a host too restless to tell, 4 when something is missing.
    """
    from isobench.cli import ab_run
    from isobench.sides import STANDARD_BLOCKS, Sides

    verdicts.check_places(markdown=markdown, junit=junit, github=github, json=json)
    wanted = ab_run.Wanted(
        matrix=_matrix(matrix, benchmark or [], seed),
        sides=Sides(a, b, STANDARD_BLOCKS if blocks is None else blocks, starts),
        blocks=blocks,
        detect=None if detect is None else ratio(detect),
        policy=verdicts.policy(policy, strict=strict, allow_missing=allow_missing),
        out=out,
        tune=tune,
        policy_file=policy,
    )
    if plan:
        ab_run.show_plan(wanted, json=json)
        return
    judged = ab_run.measured(wanted)
    if judged is not None:
        verdicts.tell(judged, markdown=markdown, junit=junit, github=github, json=json)


def ratio(text: str) -> float:
    """``10%`` or ``0.1`` as a ratio above 0. Raises UsageError."""
    number = text.strip().removesuffix("%")
    in_percent = number != text.strip()
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    # Eleven times is no regression but another program. A bare 10 is ten percent to most, and was ten times.
    if not 0 < value <= 1000 or (value >= 1 and not in_percent):  # noqa: PLR2004
        hint = f"--detect {value:g}%" if 1 <= value <= 1000 else None  # noqa: PLR2004
        raise UsageError(f"--detect: found {text}; allowed: a change such as 10% or 0.1", remedy=hint)
    return value / 100 if in_percent else value


def _matrix(file: Path | None, benchmarks: list[str], seed: int | None) -> Matrix:
    from isobench.matrix import builtin_matrix, read_matrix
    from isobench.plan import narrow

    matrix = builtin_matrix(quick=False) if file is None else read_matrix(file)
    matrix = narrow(matrix, (), benchmarks or (["startup"] if file is None else []))
    return matrix if seed is None else replace(matrix, seed=seed)

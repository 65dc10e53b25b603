"""``isobench doctor``: what can be measured on this host, what cannot, why, and the command that mends it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isobench.cli import names, output

if TYPE_CHECKING:
    from isobench.cli.health import Health
    from isobench.model import Readiness


def doctor(
    matrix: Annotated[
        Path | None,
        typer.Argument(
            metavar="MATRIX.toml",
            help="Try the isolators of this matrix; without it, all that are built in.",
            autocompletion=names.matrix_files,
            show_default=False,
        ),
    ] = None,
    *,
    isolator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Try this one only; may be repeated.", autocompletion=names.isolators
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")] = False,
) -> None:
    """Say what can be measured here, what cannot, why, and the command that mends it.

    Starts every isolator once, to be sure. No setting is changed; what it starts is removed again. Exits
    with 0 whatever it finds, and with 3 while a run is going on, which it would disturb.
    """
    from isobench.cli import doctor_text, health
    from isobench.matrix import builtin_matrix, narrow, read_matrix

    whole = builtin_matrix(quick=False) if matrix is None else read_matrix(matrix)
    part = narrow(whole, isolators=isolator or ())
    console = output.console(stderr=True)
    with console.status("looking at the host") as status:
        found = health.examine(part, lambda name: status.update(f"looking at {name}"))
    if json:
        output.print_json(as_json(found))
    else:
        doctor_text.show(found, output.console())


def as_json(health: Health) -> dict[str, Any]:
    """The findings as plain values; the keys are part of the interface."""
    return {
        "host": dict(health.host),
        "parts": [asdict(part) for part in health.parts],
        "isolators": [
            {
                "name": finding.name,
                "shown_as": finding.shown_as,
                "kind": finding.kind,
                **_verdict(finding.readiness),
                "benchmarks": {name: _verdict(verdict) for name, verdict in finding.benchmarks.items()},
            }
            for finding in health.isolators
        ],
        "knobs": [{**asdict(knob), "disturbs": knob.disturbs} for knob in health.knobs],
        "left_tuned": [{**asdict(one.change), "found": one.found} for one in health.left_tuned],
    }


def _verdict(readiness: Readiness) -> dict[str, str | None]:
    return {"status": readiness.status.value, "reason": readiness.reason, "remedy": readiness.remedy}

"""``isobench run --plan``: what a run would measure and how long that takes, without starting anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from isobench.cli import output
from isobench.cli.progress import duration

if TYPE_CHECKING:
    from isobench.plan import Matrix, PlanLine

_ROOM_BEFORE, _ROOM_EACH = 48, 14
"""Columns of the terminal that the table takes, and that each isolator's times take besides."""


def show(matrix: Matrix, *, json: bool) -> None:
    """Print the plan: the time each benchmark expects to take on a usual host, by isolator."""
    from isobench.plan import plan_lines

    lines = plan_lines(matrix)
    if json:
        output.print_json(as_json(matrix, lines))
    else:
        _print_table(matrix, lines)


def as_json(matrix: Matrix, lines: tuple[PlanLine, ...]) -> dict[str, Any]:
    """The plan as plain values; the keys are part of the interface."""
    return {
        "blocks": matrix.blocks,
        "expected_s": round(sum(line.expected_s for line in lines), 3),
        "lines": [{**asdict(line), "expected_s": round(line.expected_s, 3)} for line in lines],
    }


def _print_table(matrix: Matrix, lines: tuple[PlanLine, ...]) -> None:
    from rich.table import Table

    console = output.console()
    everyone = list(dict.fromkeys(line.isolator for line in lines))
    isolators = everyone if console.width >= _ROOM_BEFORE + _ROOM_EACH * len(everyone) else []
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("benchmark")
    for title in ("cells", "turns", "expected", *isolators):
        table.add_column(title, justify="right")
    for benchmark in dict.fromkeys(line.benchmark for line in lines):
        own = [line for line in lines if line.benchmark == benchmark]
        times = {line.isolator: duration(line.expected_s) for line in own}
        table.add_row(
            benchmark,
            str(sum(line.cells for line in own)),
            str(sum(line.turns for line in own)),
            duration(sum(line.expected_s for line in own)),
            *(times.get(isolator, "–") for isolator in isolators),
        )
    console.print(table)
    total = duration(sum(line.expected_s for line in lines))
    cells, turns = sum(line.cells for line in lines), sum(line.turns for line in lines)
    console.print(f"\n{cells} cells in {matrix.blocks} blocks, {turns} turns: about {total}.")
    console.print(
        "Nothing was started. What this host cannot run takes no time; `isobench doctor` says what that is.",
        soft_wrap=True,
    )

"""The plan of ``isobench ab`` as it is told: what can be seen, what is not known yet, how long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from isobench.cli import output
from isobench.cli.progress import duration
from isobench.model import Side
from isobench.reports import units
from isobench.reports.gate_metrics import judged
from isobench.reports.gate_values import Scale

if TYPE_CHECKING:
    from isobench.journal import ABRecord
    from isobench.plan import Matrix
    from isobench.reports.gate_plan import Plan, PlanLine
    from isobench.sides import Sides

_NAMED = 5
"""Comparisons that a sentence names."""


@dataclass(frozen=True, slots=True)
class ToTell:
    """A plan with what there is no history of."""

    sides: Sides
    made: Plan
    unknown: Mapping[str, float]
    """The comparisons nothing is known of, with the seconds that a stage of each is expected to take."""
    beside_s: float
    """Seconds that what is not judged takes: it is measured with the first stage."""
    detect: float | None
    """The change as a ratio that is to be seen."""

    @property
    def stage_s(self) -> float:
        """Seconds of what is judged in the first stage; a second one takes as long at most."""
        return self.made.stage_s + sum(self.unknown.values())


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds on a usual host, as the benchmarks guess them."""

    stages: Mapping[str, float]
    """Of a stage of each comparison that is judged, without what A cannot have by nature: there is nothing to
    be known of it."""
    beside_s: float
    """Of all else: what the instrument costs, and what the gate does not judge."""


def forecast(matrix: Matrix, ab: ABRecord) -> Forecast:
    """How long a comparison takes of which there is no history."""
    found: dict[str, float] = {}
    with_a: set[str] = set()
    beside_s = 0.0
    for isolator, table, cells in matrix.cells():
        benchmark, capabilities = table.create(), isolator.create().capabilities
        if benchmark.unsupported(capabilities):
            continue
        for cell in cells:
            side, name = ab.side(cell.isolator, cell.workload), ab.comparison(cell)
            cell_s = cell.blocks * benchmark.expected_s(cell, capabilities, table.params)
            if side is None or not judged(cell.benchmark).rules:
                beside_s += cell_s
                continue
            found[name] = found.get(name, 0.0) + cell_s
            if side is Side.A:
                with_a.add(name)
    return Forecast({name: seconds for name, seconds in found.items() if name in with_a}, beside_s)


def as_json(told: ToTell, pilot_s: float | None) -> dict[str, Any]:
    """The plan as plain values; the keys are part of the interface."""
    return {
        "blocks": told.made.blocks,
        "starts": told.made.starts,
        "stage_s": round(told.stage_s, 3),
        "beside_s": round(told.beside_s, 3),
        "pilot_s": None if pilot_s is None else round(pilot_s, 3),
        "comparisons": [
            {
                **asdict(line),
                "metric": line.metric.name,
                "unit": line.metric.unit,
                "scale": line.metric.scale.value,
                "threshold": line.threshold.delta,
                "threshold_from": line.threshold.source.value,
            }
            for line in told.made.lines
        ],
        "unknown": [
            {"comparison": name, "stage_s": round(seconds, 3)} for name, seconds in told.unknown.items()
        ],
    }


def tell(told: ToTell, pilot: str | None = None) -> None:
    """On standard error: it is no result. ``pilot``: what is said of one that would come first."""
    sides, made = told.sides, told.made
    starts = sides.starts or made.starts
    each = f" of {starts} starts a side" if starts else ""
    seen = f", to see a change of {100 * told.detect:g} %" if told.detect else ""
    console = output.console(stderr=True)
    console.print(f"{sides.a} (A) against {sides.b} (B): {sides.blocks} blocks{each}{seen}", soft_wrap=True)
    if made.lines or told.unknown:
        _print_table(told)
    for line in made.lines:
        if line.lack:
            what = f"{line.comparison} {line.metric.name}: a change of {_form(line)(line.wanted)}"
            output.note(f"{what} would not be seen: {line.lack}")
    if told.unknown:
        late = "what change can be seen there comes with the verdict only"
        output.note(pilot or f"{not_known(sides, told.unknown)}: {late}")
    first, again = duration(told.stage_s + told.beside_s), duration(told.stage_s)
    output.note(f"about {first}, and at most {again} more for what has to be seen twice; {_rests_on(told)}")


def not_known(sides: Sides, names: Iterable[str]) -> str:
    """Of which comparisons nothing is known, the beginning of a sentence."""
    found = list(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    where = f"{', '.join(found[:_NAMED])}{more}"
    return f"nothing is known yet of how far {sides.a} differs from itself on this host in {where}"


def _rests_on(told: ToTell) -> str:
    runs = max((line.runs for line in told.made.lines), default=0)
    sources = (
        *([f"planned from {runs} earlier run(s)"] if runs else []),
        *(["what is not known as its benchmark expects it"] if told.unknown else []),
    )
    return ", ".join(sources)


def _print_table(told: ToTell) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("comparison", overflow="fold")
    for title in ("A", "threshold", "seen 4 in 5", "seen 19 in 20", "one stage"):
        table.add_column(title, justify="right")
    for line in told.made.lines:
        form = _form(line)
        table.add_row(
            f"{line.comparison} {line.metric.name}",
            units.quantity(line.a, line.metric.unit),
            *(form(value) for value in (line.threshold.delta, line.detectable, line.sure)),
            duration(line.stage_s),
        )
    for name, seconds in told.unknown.items():
        table.add_row(name, *(units.NONE,) * 4, duration(seconds))
    output.console(stderr=True).print(table)


def _form(line: PlanLine) -> units.Format:
    if line.metric.scale is Scale.RATIO:
        return units.percent
    return lambda value: units.quantity(value, line.metric.unit)

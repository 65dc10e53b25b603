"""How long the user's own workloads take until they are ready, a table and a picture for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isobench.reports import thin, units
from isobench.reports.load import AGENTS_OWN, starts_of
from isobench.reports.section import NO_FIGURE, Column, Figure, Plot, Row, Section, Table, estimated
from isobench.reports.summary import Isolator, Startup, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_LEAD = (
    "From just before the start to the moment the host sees that the workload is ready, on the host's clock. "
    "What counts as ready is said for each; the workload is killed as soon as it is, unless its end is what "
    "counts. All isolators run the same root file system, each instance above it in a layer of its own, "
    "which it keeps over the starts of a block. Figures of two workloads are not to be compared with each "
    "other, nor with those of the agent's own."
)
_COLUMNS = (
    Column("ready p50", "95 % interval"),
    Column("p90", room=68),
    Column("least to most", room=100),
    Column("× bare"),
    Column("starts", room=80),
)
_WORDS = {
    "output": "its first output",
    "line": "the first line that matches {}",
    "port": "TCP port {} of its loopback device accepts",
    "exit": "it has ended with exit code 0",
}


def section(summary: Summary) -> Section | None:
    """None for a run that started the agent's own workload only."""
    names = dict.fromkeys(
        cell.workload
        for cell in summary.cells
        if cell.benchmark == "startup" and cell.workload != AGENTS_OWN and cell.samples
    )
    started = [(name, found) for name in names if (found := starts_of(summary, name)).isolators]
    if not started:
        return None
    tables = tuple(_table(name, found) for name, found in started)
    return Section(
        "workloads",
        "Workloads of your own",
        _LEAD,
        tables,
        tuple(
            _plot(number, *named, table)
            for number, (named, table) in enumerate(zip(started, tables, strict=True), start=1)
        ),
    )


def _table(name: str, found: Summary) -> Table:
    title = f"{name}: until {_condition(found.record.matrix, name)}"
    return Table(title, "isolator", _COLUMNS, tuple(_row(isolator) for isolator in found.isolators))


def _condition(matrix: Mapping[str, Any], name: str) -> str:
    """As run.json says it."""
    tables = matrix.get("workload", ())
    ready = next((table["ready"] for table in tables if table["name"] == name), {"output": True})
    (kind, value) = next(iter(ready.items()))
    return _WORDS[kind].format(value)


def _row(isolator: Isolator) -> Row:
    startup = isolator.startup
    if startup is None:
        return Row(isolator.name, (NO_FIGURE,) * len(_COLUMNS), isolator)
    return Row(isolator.name, _figures(startup), isolator)


def _figures(startup: Startup) -> tuple[Figure, ...]:
    ready = startup.ready
    return (
        estimated(ready.median, units.seconds, startup.cell),
        estimated(ready.p90, units.seconds),
        Figure(f"{units.seconds(min(startup.seconds))} to {units.seconds(max(startup.seconds))}"),
        estimated(startup.to_bare, units.times),
        Figure(str(len(startup.seconds))),
    )


def _plot(number: int, name: str, found: Summary, data: Table) -> Plot:
    def draw(width_px: int) -> Drawing:
        from isobench.reports.chart_startup import strips  # noqa: PLC0415 - matplotlib takes its time

        return strips(found, width_px)

    caption = (
        f"{name}: one point a start. The long bar is the median, the line through it its 95 % interval. "
        + thin.note(len(startup.seconds) for startup in found.startups)
    ).rstrip()
    return Plot(f"workload-{number}", f"Time until {name} is ready, logarithmic", caption, draw, data)

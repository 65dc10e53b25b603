"""How long after its end an instance is gone, and what it has left behind."""

from isobench.model import Sample
from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import NO_FIGURE, Column, Figure, Row, Section, Table, estimated
from isobench.reports.stats import median
from isobench.reports.summary import CellSummary, Isolator, Summary, number

NAME = "teardown"
_LEAD = (
    "From the moment an instance was told to end, or was killed, on the host's clock. Ended: the host has "
    "seen the end of its process; of LXC that is its monitor, which removes what it made before it ends. "
    "Cleaned: what we or the tool had still to remove is removed. Drained: the kernel has destroyed its "
    "network namespaces and freed its cgroups, which it does after all that, on its own time. Left behind is "
    "what an isolator had not removed by then, over all instances of a block; the run removed it afterwards."
)
_PARTS = ("exit", "cleaned", "drained")
_TITLES = {"exit": "Told to end", "kill": "Killed"}
_RESIDUE = "residue"
_COUNT = "_count"
_UNNAMED = "unnamed"


def section(summary: Summary) -> Section | None:
    """None for a run without ends."""
    cells = [
        (isolator, cell)
        for isolator in summary.isolators
        for cell in summary.cells
        if cell.benchmark == NAME and cell.isolator == isolator.name and any(map(counts, cell.samples))
    ]
    tables = tuple(
        _table(title, [(isolator, cell) for isolator, cell in cells if _how(cell) == how])
        for how, title in _TITLES.items()
        if any(_how(cell) == how for _, cell in cells)
    )
    if not tables:
        return None
    return Section(NAME, "Teardown and residue", _LEAD, tables, notes=tuple(filter(None, map(_note, cells))))


def _how(cell: CellSummary) -> str:
    return str(cell.samples[0].params.get("how"))


def _of(cell: CellSummary, metric: str) -> list[Sample]:
    return [sample for sample in cell.samples if sample.metric == metric and counts(sample)]


def _table(title: str, cells: list[tuple[Isolator, CellSummary]]) -> Table:
    columns = (
        Column("ended"),
        Column("cleaned"),
        Column("drained"),
        Column("left behind", room=70),
    )
    rows = tuple(
        Row(isolator.name, (*(_seconds(cell, part) for part in _PARTS), _left(cell)), isolator)
        for isolator, cell in cells
    )
    return Table(f"{title}, medians", "isolator", columns, rows)


def _seconds(cell: CellSummary, metric: str) -> Figure:
    samples = _of(cell, metric)
    if not samples:
        return NO_FIGURE
    found = median((sample.value or 0.0 for sample in samples), (sample.block for sample in samples))
    return estimated(found, units.seconds, cell)


def _left(cell: CellSummary) -> Figure:
    worst = _worst(cell)
    if worst is None:
        return NO_FIGURE
    after = f"of {number(worst.detail.get('instances')) or 0:.0f} instances" if worst.value else ""
    return Figure(_kinds(worst) or "nothing", after, cell)


def _worst(cell: CellSummary) -> Sample | None:
    """Of all blocks the one that left the most: a leak is none the less for being rare."""
    return max(_of(cell, _RESIDUE), key=lambda sample: sample.value or 0.0, default=None)


def _kinds(sample: Sample) -> str:
    found = {
        key.removesuffix(_COUNT).replace("_", " "): number(value) or 0.0
        for key, value in sample.detail.items()
        if key.endswith(_COUNT) and not key.startswith(_UNNAMED)
    }
    found["dying cgroup"] = number(sample.detail.get("lingering_groups")) or 0.0
    return ", ".join(f"{count:.0f} × {kind}" for kind, count in found.items() if count)


def _note(of: tuple[Isolator, CellSummary]) -> str:
    """What it was by name, and what appeared without the run's name."""
    isolator, cell = of
    worst = _worst(cell)
    if worst is None:
        return ""
    subject = f"{isolator.name}, {_TITLES[_how(cell)].lower()}"
    said = []
    if names := worst.detail.get("names"):
        each = " after the first instance already" if _once(worst) else ""
        said.append(f"left behind{each}: {names}.")
    if names := worst.detail.get(_UNNAMED):
        said.append(f"appeared meanwhile without the run's name, so perhaps somebody else's: {names}.")
    return f"{subject}: {' '.join(said)}" if said else ""


def _once(sample: Sample) -> bool:
    """All of it was there after the first of several instances: it does not grow."""
    first = number(sample.detail.get("after_the_first"))
    left = (sample.value or 0.0) - (number(sample.detail.get("lingering_groups")) or 0.0)
    return bool(first) and first == left and (number(sample.detail.get("instances")) or 0) > 1

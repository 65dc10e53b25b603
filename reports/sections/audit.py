"""What the instrument itself costs: the clock, the starter, the sampler, the channel to each workload."""

from collections.abc import Callable, Iterator

from isobench.model import Sample
from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import Column, Figure, Row, Section, Table, number_of
from isobench.reports.stats import Estimate, median, percentiles
from isobench.reports.summary import CellSummary, Summary, number

_LEAD = (
    "What stands between a figure and the truth: how finely the host's clock ticks and what reading it "
    "costs; by how much later the starter sees a first byte than a loop of vfork, exec and read that can do "
    "nothing else; what reading the host's memory does to starts that go on meanwhile (no start-up figure is "
    "taken while it is read); and how long one byte to a workload and its answer take, of which every time "
    "to ready holds one way."
)

_NOTE = (
    "Two sides are compared round by round: the median of their differences is not the difference of the "
    "medians beside it. An interval with 0 in it says that no effect was found."
)


def section(summary: Summary) -> Section | None:
    """None for a run without an audit."""
    tables = tuple(filter(None, (_instrument(summary), _channels(summary))))
    return Section("audit", "The instrument", _LEAD, tables) if tables else None


def _instrument(summary: Summary) -> Table | None:
    cells = {cell.id: cell for cell in summary.cells}
    rows = tuple(row for name, made in _ROWS.items() if name in cells for row in made(cells[name]))
    columns = (Column("median"), Column("95 % interval"), Column("detail", room=110))
    return Table("What the instrument adds", "audit", columns, rows, _NOTE) if rows else None


def _timer(cell: CellSummary) -> Iterator[Row]:
    samples = _counted(cell)
    if not samples:
        return
    found = median((sample.value or 0.0 for sample in samples), (sample.block for sample in samples))
    step = units.seconds(min(_detail(sample, "smallest_step_s") for sample in samples))
    gap = units.seconds(max(_detail(sample, "largest_step_s") for sample in samples))
    sources = ", ".join(dict.fromkeys(str(sample.detail.get("clock_source")) for sample in samples))
    said = f"{sources}; smallest step {step}, longest gap between two readings {gap}"
    yield Row("reading the clock", (*_estimated(found, units.seconds, cell), Figure(said)))


def _starter(cell: CellSummary) -> Iterator[Row]:
    yield from _compared(cell, "starter, later than a plain loop", units.seconds, ("plain_s", "starter_s"))


def _sampler(cell: CellSummary) -> Iterator[Row]:
    yield from _compared(cell, "start while memory is read", units.percent, ("off_s", "on_s"))


_ROWS: dict[str, Callable[[CellSummary], Iterator[Row]]] = {
    "audit/host/timer": _timer,
    "audit/host/starter": _starter,
    "audit/host/sampler": _sampler,
}
"""In the order of the table; the cells of a run come in one that its seed has shuffled."""


def _compared(cell: CellSummary, name: str, form: units.Format, sides: tuple[str, str]) -> Iterator[Row]:
    samples = _counted(cell)
    if not samples:
        return
    # Rounds alternate and follow each other closely; each stands for itself.
    found = median((sample.value or 0.0 for sample in samples), range(len(samples)))
    one, other = (
        units.seconds(median((_detail(sample, side) for sample in samples), range(len(samples))).value)
        for side in sides
    )
    yield Row(name, (*_estimated(found, form, cell), Figure(f"{other} against {one}")))


def _estimated(found: Estimate, form: units.Format, cell: CellSummary) -> tuple[Figure, Figure]:
    """The interval in a column of its own, for a terminal too: without it noise would look like an effect."""
    return number_of(found.value, form, cell), Figure(units.interval(found.interval, form))


def _channels(summary: Summary) -> Table | None:
    rows = []
    for cell in summary.cells:
        samples = _counted(cell) if cell.benchmark == "round-trip" else ()
        if not samples:
            continue
        isolator = next((found for found in summary.isolators if found.name == cell.isolator), None)
        found = percentiles((s.value or 0.0 for s in samples), (s.block for s in samples))
        # No interval: the round trips of one instance are one witness.
        middle = number_of(found.median.value, units.seconds, cell, f"of {found.n}")
        rows.append(Row(cell.isolator, (middle, Figure(units.spread(found, units.seconds))), isolator))
    title = "Round trip of one byte to the workload and back"
    return Table(title, "isolator", (Column("median"), Column("range")), tuple(rows)) if rows else None


def _counted(cell: CellSummary) -> tuple[Sample, ...]:
    return tuple(sample for sample in cell.samples if counts(sample))


def _detail(sample: Sample, key: str) -> float:
    return number(sample.detail.get(key)) or 0.0

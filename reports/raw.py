"""The raw samples of a cell as a table, and which of them a page has room for."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from isobench.model import PHASES, Sample, Status
from isobench.reports import units
from isobench.reports.sheet import scalar
from isobench.reports.summary import CellSummary
from isobench.reports.thin import spaced, thinned

ENTRIES = 160_000
"""Entries of all raw tables of a page together: some 6 MB."""
LEAST_ROWS = 20
"""Of a cell, however many there are."""
_LETTERS = 600
"""Of one entry: the timeline of a window has a few hundred."""


@dataclass(frozen=True, slots=True)
class RawTable:
    """Attempts of a cell, in the order they were made."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    """Which of the cell's samples each row is, from 1."""
    of: int
    """How many samples the cell has."""


def raw_table(cell: CellSummary, places: Sequence[int] | None = None) -> RawTable:
    """Numbers as they were recorded, in base units: seconds, bytes, ratios.

    ``places`` are the samples to show, ascending, from 0; None: all of them.
    """
    shown = range(len(cell.samples)) if places is None else places
    samples = [cell.samples[place] for place in shown]
    phases, details, words, several = _heads(cell)
    metric = next((sample for sample in cell.samples if sample.metric), cell.samples[0])
    value = f"{metric.metric} ({metric.unit})" if metric.metric else "value"
    return RawTable(
        columns=(
            *("order", "block", "status"),
            *(("metric", "value") if several else (value,)),
            *(f"{phase} (s)" for phase in phases),
            *details,
            *(("reason",) if words else ()),
        ),
        rows=tuple(tuple(_row(sample, phases, details, words=words, several=several)) for sample in samples),
        numbers=tuple(place + 1 for place in shown),
        of=len(cell.samples),
    )


def rows_each(cells: Iterable[CellSummary], entries: int = ENTRIES) -> int:
    """The most rows a cell may have such that all tables together have at most so many entries.

    At least :data:`LEAST_ROWS`. A cell with fewer samples leaves its room to the others.
    """
    tables = sorted((len(cell.samples), _width(cell)) for cell in cells)
    room, widths = entries, sum(width for _, width in tables)
    for samples, width in tables:
        if samples * widths > room:
            return max(LEAST_ROWS, room // widths)
        room -= samples * width
        widths -= width
    return max((samples for samples, _ in tables), default=LEAST_ROWS)


def chosen(cell: CellSummary, most: int, wanted: Iterable[int] = ()) -> list[int]:
    """The places of at most about so many samples of a cell, ascending: what a reader looks for first.

    All that are ``wanted`` (something links to them), then every attempt that did not end ok, the first and
    the last, the least and the greatest value; the rest of the room goes to others, evenly spaced by value.
    """
    samples = cell.samples
    if len(samples) <= most:
        return list(range(len(samples)))
    kept = {*wanted, 0, len(samples) - 1}
    lost = [place for place, sample in enumerate(samples) if sample.status is not Status.OK]
    kept |= {lost[at] for at in spaced(len(lost), max(1, most - len(kept)))}
    others = [
        (place, sample.value)
        for place, sample in enumerate(samples)
        if place not in kept and sample.value is not None
    ]
    room = max(2, most - len(kept))
    kept |= {others[at][0] for at in thinned([value for _, value in others], room)}
    return sorted(kept)


def _width(cell: CellSummary) -> int:
    phases, details, words, several = _heads(cell)
    return 4 + len(phases) + len(details) + words + several


def _heads(cell: CellSummary) -> tuple[list[str], list[str], bool, bool]:
    """Phases and details that any sample has; whether one has a reason; whether there are several metrics."""
    told, details = set[str](), dict[str, None]()
    words, metrics = False, set[str]()
    for sample in cell.samples:
        told.update(sample.phases)
        details.update(dict.fromkeys(sample.detail))
        words = words or bool(sample.reason)
        metrics.add(sample.metric)
    return [phase for phase in PHASES if phase in told], list(details), words, len(metrics - {""}) > 1


def _row(
    sample: Sample, phases: Sequence[str], details: Sequence[str], *, words: bool, several: bool
) -> Iterator[str]:
    yield str(sample.order)
    yield str(sample.block)
    yield str(sample.status)
    if several:
        yield f"{sample.metric} ({sample.unit})" if sample.metric else units.NONE
    yield _seconds(sample.value) if sample.unit == "second" else scalar(sample.value)
    for phase in phases:
        yield _seconds(sample.phases.get(phase))
    for key in details:
        yield units.short(scalar(sample.detail.get(key)), _LETTERS)
    if words:
        yield units.short(sample.reason or units.NONE, _LETTERS)


def _seconds(value: float | None) -> str:
    """To the nanosecond, which is what the clock gives."""
    return units.NONE if value is None else f"{value:.9f}"

"""From the files of a run to its :class:`Summary`: which attempts count, and what figures are made of them.

An attempt counts when it ended ok, was no warm-up, and what it measures is what decided it: a share of CPU
time that other load kept below its limit says nothing about the limit. The others are shown, but enter no
figure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from math import inf
from pathlib import Path
from statistics import median

from isobench import journal
from isobench.model import PHASES, Sample, Status
from isobench.reports.stats import Distribution, Estimate, distribution, percentiles, ratio_of_medians
from isobench.reports.stats_lines import slopes
from isobench.reports.summary import (
    KERNEL_LINES,
    MEMORY_LINES,
    CellSummary,
    Isolator,
    Memory,
    Peak,
    Quota,
    Startup,
    Summary,
    held_back,
    number,
)

READY, FOOTPRINT, PEAK, CPU_SHARE_ERROR = "ready", "footprint", "peak", "cpu_share_error"
"""The metrics a report knows; cells of others are listed with their values only."""

_TOTAL, _KERNEL = "total", "kernel"
"""Columns of a ledger that are sums of its lines."""

AGENTS_OWN = "ready"
"""The workload by whose starts isolators are compared; those of the user's are shown each by itself."""

_OTHER_STARTS = frozenset({"density", "startup-concurrency"})
"""Benchmarks whose starts are not those of one instance alone, and have a section of their own."""


def summarize(folder: Path) -> Summary:
    """Read one result folder.

    Raises :class:`isobench.errors.ResultsError` when it is missing, foreign, newer or damaged. A run in
    which nothing was measured is no error: its summary says so.
    """
    run = journal.load(folder)
    cells = cells_of(run.samples)
    isolators = tuple(sorted(_isolators(run.record, cells), key=_by_start))
    order = {isolator.name: place for place, isolator in enumerate(isolators)}
    return Summary(
        folder=folder,
        record=run.record,
        isolators=isolators,
        cells=tuple(sorted(cells, key=lambda cell: (order[cell.isolator], cell.id))),
        warnings=run.warnings,
        torn=run.torn,
        limits=tuple(sorted({(q.asked_cpus, q.period_us) for found in isolators for q in found.quotas})),
    )


def counts(sample: Sample) -> bool:
    """Whether this attempt enters the figures."""
    return (
        sample.status is Status.OK
        and sample.value is not None
        and not sample.detail.get("warmup")
        and not held_back(sample)
        # No clock of ours gives a start of no time; a script may.
        and (sample.metric != READY or sample.value > 0)
    )


def cells_of(samples: Iterable[Sample]) -> list[CellSummary]:
    """Every cell with its attempts, in the order of first appearance."""
    by_cell: dict[str, list[Sample]] = {}
    for sample in samples:
        by_cell.setdefault(sample.cell, []).append(sample)
    states = journal.cell_states(sample for lines in by_cell.values() for sample in lines)
    return [
        CellSummary(
            id=name,
            isolator=lines[0].isolator,
            benchmark=lines[0].benchmark,
            state=states[name],
            samples=tuple(lines),
        )
        for name, lines in by_cell.items()
    ]


def _isolators(record: journal.RunRecord, cells: list[CellSummary]) -> Iterator[Isolator]:
    records = {found.shown_as: found for found in record.isolators}
    names = dict.fromkeys((*records, *(cell.isolator for cell in cells)))
    floor = next((found.shown_as for found in record.isolators if found.kind == "bare"), None)
    bare = _startup_cell(cells, floor)
    for name in names:
        own = [cell for cell in cells if cell.isolator == name]
        starts = _startup_cell(own, name)
        yield Isolator(
            name=name,
            record=records.get(name),
            startup=_startup(starts, bare) if starts else None,
            memory=next((found for cell in own if (found := memory_of(cell))), None),
            quotas=tuple(sorted(_quotas(own), key=lambda quota: (quota.asked_cpus, quota.period_us))),
        )


def _by_start(isolator: Isolator) -> tuple[bool, float]:
    return not isolator.bare, isolator.startup.ready.median.value if isolator.startup else inf


def starts_of(summary: Summary, workload: str) -> Summary:
    """Only the isolators that have started that workload, with its starts in place of the agent's own."""
    floor = next((found.name for found in summary.isolators if found.bare), None)
    bare = _startup_cell(summary.cells, floor, workload)
    isolators = [
        replace(isolator, startup=_startup(cell, bare))
        for isolator in summary.isolators
        if (cell := _startup_cell(summary.cells, isolator.name, workload))
    ]
    return replace(summary, isolators=tuple(sorted(isolators, key=_by_start)))


def _startup_cell(
    cells: Iterable[CellSummary], isolator: str | None, workload: str = AGENTS_OWN
) -> CellSummary | None:
    """The cell of an isolator with the starts of a workload, if there is one that counts.

    Never one whose caches were cold: those have a section of their own.
    """
    own = (
        cell
        for cell in cells
        if cell.isolator == isolator
        and cell.workload == workload
        and cell.benchmark not in _OTHER_STARTS
        and "caches" not in cell.samples[0].params
    )
    return next((cell for cell in own if _counted(cell, READY)), None)


def _startup(cell: CellSummary, floor: CellSummary | None) -> Startup:
    samples = _counted(cell, READY)
    seconds, blocks = _columns(samples)
    return Startup(
        isolator=cell.isolator,
        cell=cell,
        seconds=seconds,
        blocks=blocks,
        rows=tuple(row for row, sample in enumerate(cell.samples, start=1) if _is_counted(sample, READY)),
        ready=distribution(seconds, blocks),
        to_bare=_to_bare(cell, floor),
        phases={
            phase: found
            for phase in PHASES[1:]
            if (found := _distribution((sample.block, sample.phases.get(phase)) for sample in samples))
        },
    )


def _to_bare(cell: CellSummary, floor: CellSummary | None) -> Estimate | None:
    """None without a floor, and for times of 0, which no clock of ours gives."""
    if floor is cell:
        return Estimate(1.0, None)
    if floor is None:
        return None
    seconds, blocks = _columns(_counted(cell, READY))
    below, floor_blocks = _columns(_counted(floor, READY))
    if min(*seconds, *below) <= 0:
        return None
    return ratio_of_medians(seconds, blocks, below, floor_blocks)


def memory_of(cell: CellSummary) -> Memory | None:
    """The lines through a cell's readings of memory; None where no block has two counts of instances."""
    steps = [(sample, count) for sample in _steps(cell) if (count := _instances(sample))]
    counts_seen = sorted({count for _, count in steps})
    if not any(len({x for _, x, _ in rows}) > 1 for rows in _by_block(_points(steps))):
        return None
    columns = _ledger([sample for sample, _ in steps])
    found = slopes([sample.block for sample, _ in steps], [count for _, count in steps], columns, _TOTAL)
    return Memory(
        isolator=cell.isolator,
        cell=cell,
        counts=tuple(counts_seen),
        blocks=len({sample.block for sample, _ in steps}),
        unsteady=sum(sample.detail.get("steady") is False for sample, _ in steps),
        outlying=tuple(_row(cell, steps[place][0]) for place in found.outlying),
        lines={name: line for name, line in found.lines.items() if name in MEMORY_LINES},
        of_total=found.lines[_TOTAL],
        of_kernel=found.lines.get(_KERNEL),
        peak=_peak(cell),
    )


def _points(steps: Iterable[tuple[Sample, int]]) -> list[tuple[int, int, float]]:
    return [(sample.block, count, sample.value or 0.0) for sample, count in steps]


def _ledger(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Its columns, without lines that were never told. Where a line is not told it is 0, and what
    there is of it unattributed.
    """
    told = {
        name: [_detail(sample, name) or 0.0 for sample in samples]
        for name in MEMORY_LINES
        if any(_detail(sample, name) is not None for sample in samples)
    }
    kernel = [told[name] for name in KERNEL_LINES if name in told]
    sums = {_KERNEL: [sum(row) for row in zip(*kernel, strict=True)]} if kernel else {}
    return {_TOTAL: [sample.value or 0.0 for sample in samples], **sums, **told}


def _peak(cell: CellSummary) -> Peak | None:
    samples = _counted(cell, PEAK)
    if not samples:
        return None
    charged = [found for sample in samples if (found := _detail(sample, "charged")) is not None]
    return Peak(
        resident=median(sample.value or 0.0 for sample in samples),
        charged=median(charged) if charged else None,
        bound=any(sample.detail.get("charged_is") == "at most" for sample in samples),
        cell=cell,
    )


def _steps(cell: CellSummary) -> list[Sample]:
    """Readings of memory; of a step measured again after an interruption the last: its block is whole."""
    last = {(sample.block, _instances(sample)): sample for sample in _counted(cell, FOOTPRINT)}
    return list(last.values())


def _row(cell: CellSummary, sample: Sample) -> int:
    return 1 + next(place for place, other in enumerate(cell.samples) if other is sample)


def _instances(sample: Sample) -> int | None:
    found = number(sample.detail.get("instances"))
    return None if found is None else int(found)


def _by_block(points: list[tuple[int, int, float]]) -> Iterator[list[tuple[int, int, float]]]:
    for _, rows in groupby(sorted(points), key=lambda row: row[0]):
        yield list(rows)


def _plainest(cell: CellSummary) -> tuple[float, float]:
    """Of several cells with one limit the one without burst, and of those with the fewest threads."""
    params = cell.samples[0].params
    return number(params.get("burst_us")) or 0.0, number(params.get("threads")) or 0.0


def _quotas(cells: Iterable[CellSummary]) -> Iterator[Quota]:
    """One for each limit; all cells of a limit are in a section of their own."""
    found: dict[tuple[float, int], Quota] = {}
    for quota in _all_quotas(sorted(cells, key=_plainest)):
        found.setdefault((quota.asked_cpus, quota.period_us), quota)
    yield from found.values()


def _all_quotas(cells: Iterable[CellSummary]) -> Iterator[Quota]:
    for cell in cells:
        samples = _counted(cell, CPU_SHARE_ERROR)
        host = _distribution((sample.block, _detail(sample, "achieved_host_cpus")) for sample in samples)
        asked, period = (number(cell.samples[0].params.get(key)) for key in ("cpus", "period_us"))
        if host is None or asked is None or period is None:
            continue
        stalls = [stall for sample in samples if (stall := _detail(sample, "longest_stall_s")) is not None]
        yield Quota(
            isolator=cell.isolator,
            cell=cell,
            asked_cpus=asked,
            period_us=int(period),
            host_cpus=host,
            inside_cpus=_distribution(
                (sample.block, _detail(sample, "achieved_inside_cpus")) for sample in samples
            ),
            error=distribution(*_columns(samples)),
            longest_stall_s=max(stalls, default=None),
        )


def _counted(cell: CellSummary, metric: str) -> list[Sample]:
    return [sample for sample in cell.samples if _is_counted(sample, metric)]


def _is_counted(sample: Sample, metric: str) -> bool:
    return sample.metric == metric and counts(sample)


def _columns(samples: Iterable[Sample]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The values, and the block of each."""
    known = [(sample.value, sample.block) for sample in samples if sample.value is not None]
    return tuple(value for value, _ in known), tuple(block for _, block in known)


def _detail(sample: Sample, key: str) -> float | None:
    return number(sample.detail.get(key))


def _distribution(points: Iterable[tuple[int, float | None]]) -> Distribution | None:
    """Of those that are known, from (block, value); with an interval of the median alone."""
    known = [(block, value) for block, value in points if value is not None]
    if not known:
        return None
    return percentiles((value for _, value in known), (block for block, _ in known))

"""The figures that claims are held against, and how two of them compare where intervals allow it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from isobench.reports.load import READY, counts
from isobench.reports.stats import Estimate, ratio_of_medians
from isobench.reports.summary import CellSummary, Isolator, Quota, Summary, number

_PARTS = {"bare", "chroot", "namespaces", "cgroups"}
"""Kinds that are parts of a container, and none by themselves."""

_Work: TypeAlias = Mapping[str, tuple[CellSummary, Sequence[tuple[float, int]]]]
"""By the parameters of a limit: its cell, and the work of each attempt with its block."""


def machines(summary: Summary) -> list[Isolator]:
    """Virtual machines with the help of hardware."""
    return [one for one in summary.isolators if one.own_kernel and not one.emulated]


def emulated(summary: Summary) -> list[Isolator]:
    """Those whose processor is imitated by software."""
    return [one for one in summary.isolators if one.emulated]


def containers(summary: Summary) -> list[Isolator]:
    """What a tool makes of the kernel's parts."""
    return [
        one
        for one in summary.isolators
        if one.record and one.record.shares_kernel and one.record.kind not in _PARTS
    ]


def of_kind(summary: Summary, kind: str) -> Isolator | None:
    """The first of that kind."""
    return next((one for one in summary.isolators if one.record and one.record.kind == kind), None)


def starts(isolators: Iterable[Isolator]) -> list[Isolator]:
    """Those with a start."""
    return [one for one in isolators if one.startup]


def memories(isolators: Iterable[Isolator]) -> list[Isolator]:
    """Those with a ledger of memory."""
    return [one for one in isolators if one.memory]


def ready(isolator: Isolator) -> Estimate | None:
    """The median start, in seconds."""
    return isolator.startup.ready.median if isolator.startup else None


def created(isolator: Isolator) -> Iterator[tuple[Estimate, CellSummary]]:
    """Until the isolation is made, of a tool that tells that from the rest of a start."""
    if isolator.startup and (found := isolator.startup.phases.get("created")):
        yield found.median, isolator.startup.cell


def half(isolator: Isolator) -> Quota | None:
    """Its limit of half a CPU."""
    return next((quota for quota in isolator.quotas if quota.asked_cpus == 0.5), None)  # noqa: PLR2004


def work_ratio(summary: Summary, isolator: Isolator, plain: Isolator) -> tuple[Estimate, CellSummary] | None:
    """Work for run time against that of another isolator, over the limits that both were held to."""
    own, base = _work(summary, isolator), _work(summary, plain)
    both = sorted(own.keys() & base.keys())
    if not both:
        return None
    return ratio_of_medians(*_rates(own, both), *_rates(base, both)), own[both[0]][0]


def beside(summary: Summary, isolator: Isolator) -> tuple[int, Estimate, CellSummary] | None:
    """The most instances beside which it was started, how many times as long that took, and where."""
    levels = {
        int(number(cell.samples[0].params.get("running")) or 0): cell
        for cell in summary.cells
        if cell.benchmark == "density" and cell.isolator == isolator.name and _seconds(cell)[0]
    }
    most = max(levels, default=0)
    if 0 not in levels or not most:
        return None
    return most, ratio_of_medians(*_seconds(levels[most]), *_seconds(levels[0])), levels[most]


def above(found: Estimate | None, limit: float) -> bool | None:
    """Whether it is at least so much. None: the limit lies in its interval, or there is none."""
    if found is None or found.interval is None:
        return None
    if found.interval.low >= limit:
        return True
    return False if found.interval.high < limit else None


def below(found: Estimate | None, limit: float) -> bool | None:
    """The contrary of :func:`above`."""
    told = above(found, limit)
    return None if told is None else not told


def within(found: Estimate, most: float) -> bool | None:
    """Whether it is no further from 0 than that. None: the interval does not tell, or there is none."""
    span = found.interval
    if span is None:
        return None
    if -most <= span.low and span.high <= most:
        return True
    return False if span.low > most or span.high < -most else None


def less(one: Estimate | None, other: Estimate | None) -> bool | None:
    """Whether one is below the other. None: their intervals overlap, or there is none."""
    if one is None or other is None or one.interval is None or other.interval is None:
        return None
    if one.interval.high < other.interval.low:
        return True
    return False if one.interval.low > other.interval.high else None


def _work(summary: Summary, isolator: Isolator) -> _Work:
    return {
        str(sorted(cell.samples[0].params.items())): (cell, told)
        for cell in summary.cells
        if cell.benchmark == "throttling" and cell.isolator == isolator.name
        if (told := list(_progress(cell)))
    }


def _progress(cell: CellSummary) -> Iterator[tuple[float, int]]:
    for sample in cell.samples:
        rate = number(sample.detail.get("progress_per_run_s"))
        if rate is not None and rate > 0 and counts(sample):
            yield rate, sample.block


def _rates(work: _Work, limits: Sequence[str]) -> tuple[list[float], list[int]]:
    rows = [row for limit in limits for row in work[limit][1]]
    return [rate for rate, _ in rows], [block for _, block in rows]


def _seconds(cell: CellSummary) -> tuple[list[float], list[int]]:
    own = [sample for sample in cell.samples if sample.metric == READY and counts(sample)]
    return [sample.value or 0.0 for sample in own], [sample.block for sample in own]

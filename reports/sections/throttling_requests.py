"""What a CPU limit adds to the latency of requests that on average are well within it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.section import NO_FIGURE, Column, Figure, Row, Section, Table, estimated, number_of
from isobench.reports.stats import Estimate, median
from isobench.reports.summary import CellSummary, Isolator, Summary, number

_LEAD = (
    "A server of one thread does 200 µs of work for each request; requests are due 1 ms apart on average, "
    "unevenly, at the same times in every run. A latency counts from when a request was due until its work "
    "was done, on the workload's own clock, so that a stall hits every request it should. Below each figure: "
    "how much more it is than without a limit. Burst lets unused quota be kept for a later period. "
    "Overloaded: the requests needed all the CPU time the limit gives, so that their queue only grew: the "
    "latencies then say nothing about stalls."
)
_METRICS = {"latency_p50": "p50", "latency_p99": "p99", "latency_p999": "p99.9"}


@dataclass(frozen=True, slots=True)
class Served:
    """One cell: an isolator under one limit, or under none."""

    isolator: Isolator
    cell: CellSummary

    @property
    def name(self) -> str:
        """``0.25 CPUs / 10 ms, burst 2.50 ms``; of none: ``no limit``."""
        params = self.cell.samples[0].params
        cpus, period_us, burst_us = (number(params.get(key)) for key in ("cpus", "period_us", "burst_us"))
        if cpus is None:
            return "no limit"
        burst = f", burst {units.seconds(burst_us / 1e6)}" if burst_us else ""
        return f"{units.cpus(cpus)} CPUs / {(period_us or 0) / 1000:g} ms{burst}"

    @property
    def limited(self) -> bool:
        """It has a limit."""
        return self.cell.samples[0].params.get("cpus") is not None

    def latency(self, metric: str) -> Estimate | None:
        """Its median over the readings."""
        found = [one for one in self.cell.samples if one.metric == metric and counts(one)]
        return median([one.value or 0.0 for one in found], [one.block for one in found]) if found else None

    @property
    def overloaded(self) -> Figure:
        """In how many readings the requests needed more than the limit gives."""
        found = [one for one in self.cell.samples if one.metric == "latency_p50" and counts(one)]
        over = sum(one.detail.get("overloaded") is True for one in found)
        return Figure(f"{over} of {len(found)}") if self.limited else NO_FIGURE

    @property
    def stopped(self) -> Figure:
        """In how many of the kernel's periods the quota ran out."""
        details = [one.detail for one in self.cell.samples if one.metric == "latency_p50" and counts(one)]
        stopped, periods = (
            sum(number(detail.get(key)) or 0 for detail in details)
            for key in ("nr_throttled", "kernel_periods")
        )
        return Figure(f"{stopped:.0f} of {periods:.0f}") if self.limited and periods else NO_FIGURE


def section(summary: Summary) -> Section | None:
    """None for a run without requests."""
    rows = tuple(_rows(summary))
    if not rows:
        return None
    heads = (
        *(Column(title) for title in _METRICS.values()),
        Column("stopped in", "periods"),
        Column("overloaded", "readings"),
    )
    table = Table("Latency of requests, medians of the blocks", "isolator and limit", heads, rows)
    return Section("throttling-requests", "Requests under a CPU limit", _LEAD, (table,))


def _rows(summary: Summary) -> Iterator[Row]:
    for isolator in summary.isolators:
        found = [
            Served(isolator, cell)
            for cell in summary.cells
            if cell.benchmark == "throttling"
            and cell.workload == "request"
            and cell.isolator == isolator.name
        ]
        free = next((one for one in found if not one.limited), None)
        for one in sorted(found, key=lambda one: (one.limited, one.name)):
            if one.latency("latency_p50"):
                figures = (_figure(one, free, metric) for metric in _METRICS)
                yield Row(f"{isolator.name}, {one.name}", (*figures, one.stopped, one.overloaded), isolator)


def _figure(one: Served, free: Served | None, metric: str) -> Figure:
    found = one.latency(metric)
    without = free.latency(metric) if free and one.limited else None
    if found is None or without is None:
        return estimated(found, units.seconds, one.cell)
    added = found.value - without.value
    sign = "+" if added >= 0 else "-"
    return number_of(found.value, units.seconds, one.cell, f"{sign}{units.seconds(abs(added))}")

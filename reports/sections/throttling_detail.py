"""How a CPU limit gives what it gives: use by period, overshoot, stalls; errors by quota and period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from isobench.reports import spell_tables, units
from isobench.reports.load import counts
from isobench.reports.section import (
    NO_FIGURE,
    Column,
    Figure,
    Plot,
    Row,
    Section,
    Table,
    estimated,
    number_of,
)
from isobench.reports.spells import Spell
from isobench.reports.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

NAME = "throttling"
_METRIC = "cpu_share_error"
_LEAD = (
    "The workload reads the clock without pause on every thread; two readings more than 10 µs apart are a "
    "stall. Use is its run time; overshoot is the most of it in any interval of one period, wherever it "
    "begins, above one quota. The interval from the go-ahead on counts for it, where the quota of the period "
    "in hand is unspent. Waiting is the kernel's throttled time, summed over CPUs: it may exceed wall time, "
    "and nothing was used meanwhile. Inside to host: the workload's own account against that of the group, "
    "over about the same periods."
)
_NOTE = (
    "Use by period: the 10th, 50th and 90th percentile of the periods, in quotas. Stalls include those that "
    "other load on the host has made; readings that other load decided are left out."
)
_PICTURED_CPUS, _PICTURED_US = 0.5, 100_000
"""The limit that is pictured where several have as many isolators."""


def section(summary: Summary) -> Section | None:
    """None for a run without readings that tell their stalls."""
    spells = tuple(_spells(summary))
    if not spells:
        return None
    plots: list[Plot] = []
    if len({spell.limit[1] for spell in spells}) > 1:
        caption = (
            "Median error by limit and period, one panel an isolator; in a cell of thread counts the worst."
        )
        label = "Error by quota and period"
        plots.append(_plot("throttling-errors", caption, _errors, spells, spell_tables.errors(spells, label)))
    pictured = _pictured(spells)
    what = f"{_words(pictured[0].limit)}: "
    plots.append(
        _plot(
            "throttling-timeline",
            what + "filled where a thread runs, over the first three periods of a window; a line a thread.",
            _timeline,
            pictured,
            spell_tables.timeline(pictured, "Run and stall over the first periods"),
        )
    )
    plots.append(
        _plot(
            "throttling-stalls",
            what + "stalls a second by their length; both axes are logarithmic.",
            _stalls,
            pictured,
            spell_tables.stalls(pictured, "Stalls by their length"),
        )
    )
    return Section(
        "throttling-detail", "CPU limits in detail", _LEAD, (_table(spells),), tuple(plots), (_NOTE,)
    )


def _spells(summary: Summary) -> Iterator[Spell]:
    for isolator in summary.isolators:
        for cell in summary.cells:
            if cell.benchmark != NAME or cell.isolator != isolator.name:
                continue
            samples = tuple(
                one
                for one in cell.samples
                if one.metric == _METRIC and counts(one) and "stall_bins" in one.detail
            )
            if samples:
                yield Spell(isolator, cell, samples)


def _pictured(spells: Sequence[Spell]) -> list[Spell]:
    """Of the limit that most isolators have readings of."""
    found = Counter(spell.limit for spell in spells)

    def rank(limit: tuple[float, int, int, int | None]) -> tuple[int, int, float, float, int]:
        cpus, period_us, burst_us, threads = limit
        return (
            -found[limit],
            burst_us,
            abs(cpus - _PICTURED_CPUS),
            abs(period_us - _PICTURED_US),
            threads or 0,
        )

    best = min(found, key=rank)
    return [spell for spell in spells if spell.limit == best]


def _words(limit: tuple[float, int, int, int | None]) -> str:
    cpus, period_us, burst_us, threads = limit
    burst = f", burst {units.seconds(burst_us / 1e6)}" if burst_us else ""
    of = "" if threads is None else f", {threads} thread{'s' if threads > 1 else ''}"
    return f"{units.cpus(cpus)} CPUs / {period_us / 1000:g} ms{burst}{of}"


def _plain(value: float) -> str:
    return f"{value:.2f}"


def _middle(spell: Spell, key: str, form: units.Format) -> Figure:
    found = spell.middle(key)
    return number_of(found, form)


def _worst(spell: Spell, key: str, form: units.Format) -> Figure:
    found = spell.values(key)
    return number_of(max(found, default=None), form)


def _use(spell: Spell) -> Figure:
    known = [
        found for rank in ("p10", "p50", "p90") if (found := spell.middle(f"period_use_{rank}")) is not None
    ]
    return Figure(", ".join(map(_plain, known))) if known else NO_FIGURE


def _stopped(spell: Spell) -> Figure:
    stopped, periods = sum(spell.values("nr_throttled")), sum(spell.values("kernel_periods"))
    return Figure(f"{stopped:.0f} of {periods:.0f}") if periods else NO_FIGURE


def _waiting(spell: Spell) -> Figure:
    waited, window = sum(spell.values("throttled_s")), sum(spell.values("window_s"))
    return number_of(waited / window if window else None, units.seconds)


_COLUMNS: tuple[tuple[Column, Callable[[Spell], Figure]], ...] = (
    (Column("error", "median"), lambda spell: estimated(spell.error, units.percent, spell.cell)),
    (Column("inside to host"), lambda spell: _middle(spell, "inside_to_host", units.percent)),
    (Column("use by period", "p10, p50, p90"), _use),
    (Column("overshoot", "worst"), lambda spell: _worst(spell, "overshoot", units.percent)),
    (Column("in any 10 ms", "CPUs, most"), lambda spell: _worst(spell, "most_in_10ms_cpus", _plain)),
    (Column("stall p99"), lambda spell: _middle(spell, "p99_stall_s", units.seconds)),
    (Column("stall longest"), lambda spell: _worst(spell, "longest_stall_s", units.seconds)),
    (Column("stopped in", "periods"), _stopped),
    (Column("waiting", "CPU time a second"), _waiting),
    (Column("stolen", "as the guest sees it"), lambda spell: _middle(spell, "guest_steal_s", units.seconds)),
)


def _table(spells: Sequence[Spell]) -> Table:
    shown = [column for column in _COLUMNS if any(column[1](spell) != NO_FIGURE for spell in spells)]
    rows = tuple(
        Row(
            f"{spell.isolator.name}, {_words(spell.limit)}",
            tuple(figure(spell) for _, figure in shown),
            spell.isolator,
        )
        for spell in spells
    )
    heads = tuple(head for head, _ in shown)
    return Table("Each limit", "isolator and limit", heads, rows, brief=False)


def _plot(
    key: str,
    caption: str,
    draw: Callable[[Sequence[Spell], int], Drawing],
    spells: Sequence[Spell],
    data: Table,
) -> Plot:
    return Plot(key, data.title, caption, lambda width_px: draw(spells, width_px), data)


def _errors(spells: Sequence[Spell], width_px: int) -> Drawing:
    from isobench.reports.chart_stalls import errors  # noqa: PLC0415 - a terminal draws nothing

    return errors(spells, width_px)


def _timeline(spells: Sequence[Spell], width_px: int) -> Drawing:
    from isobench.reports.chart_stalls import timeline  # noqa: PLC0415

    return timeline(spells, width_px)


def _stalls(spells: Sequence[Spell], width_px: int) -> Drawing:
    from isobench.reports.chart_stalls import stalls  # noqa: PLC0415

    return stalls(spells, width_px)

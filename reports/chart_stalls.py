"""CPU limits in detail: errors by quota and period, run and stall over time, stalls by their length."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from isobench.reports import svg, units
from isobench.reports.chart_kit import SMALL, Canvas, log_seconds, name_rows
from isobench.reports.spells import SHOWN_PERIODS, Spell, bin_begin, runs, worst

if TYPE_CHECKING:
    from isobench.reports.summary import Isolator

_OVER, _UNDER = svg.SERIES[1], svg.SERIES[0]
_PANEL_PX, _ROW_PX, _THREAD_PX, _STALLS_PX = 64, 24, 12, 64
_FULL = 0.1
"""An error of this much has the full colour."""
_FAINTEST = 0.06
_LEAST_RATE = 0.1
"""Stalls a second at the foot of a row."""


def errors(spells: Sequence[Spell], width_px: int) -> Figure:
    """A panel an isolator: periods by limits, each cell with its figure; over and under differ in colour."""
    isolators = list({spell.isolator.name: spell.isolator for spell in spells}.values())
    periods = sorted({spell.limit[1] for spell in spells})
    cpus = sorted({spell.limit[0] for spell in spells})
    panel = _PANEL_PX + _ROW_PX * len(periods)
    canvas = Canvas(width_px, len(isolators) * panel + 8)
    figure = canvas.figure()
    for place, isolator in enumerate(isolators):
        axes = canvas.axes(
            figure,
            left=62,
            right=10,
            top=place * panel + 24,
            bottom=canvas.height_px - (place + 1) * panel + 36,
        )
        own = worst([spell for spell in spells if spell.isolator is isolator])
        for (limit, period_us), error in own.items():
            _tile(axes, canvas, cpus.index(limit), periods.index(period_us), error)
        axes.set_xticks(range(len(cpus)), [units.cpus(one) for one in cpus])
        axes.set_yticks(range(len(periods)), [f"{one / 1000:g} ms" for one in periods])
        axes.set_xlim(-0.5, len(cpus) - 0.5)
        axes.set_ylim(len(periods) - 0.5, -0.5)
        axes.grid(visible=False)
        axes.tick_params(axis="both", length=0, labelcolor=svg.MUTED, labelsize=SMALL)
        axes.set_title(canvas.short(isolator), loc="left", fontsize=12, color=svg.INK)
        axes.set_xlabel("CPUs asked for", fontsize=SMALL)
    return figure


def _tile(axes: Axes, canvas: Canvas, x: int, y: int, error: float) -> None:
    strength = max(_FAINTEST, min(1.0, abs(error) / _FULL) * 0.7)
    colour = _OVER if error > 0 else _UNDER
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colour, alpha=strength, linewidth=0))
    text = units.percent(error).removesuffix(" %") if canvas.narrow else units.percent(error)
    size = 8 if canvas.narrow else SMALL
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color=svg.INK)


def timeline(spells: Sequence[Spell], width_px: int) -> Figure:
    """A row an isolator, in it a line a thread: filled where it runs; a rule where each period begins."""
    isolators = [spell.isolator for spell in spells]
    lines = [spell.timeline() for spell in spells]
    row = max(26, 8 + _THREAD_PX * max(len(one) for one in lines))
    canvas = Canvas(width_px, row * len(spells) + 60)
    figure = canvas.figure()
    axes = _rows(figure, canvas, isolators)
    period_s = spells[0].limit[1] / 1e6
    end = SHOWN_PERIODS * period_s
    for place, threads in enumerate(lines):
        height = 0.8 / len(threads)
        for number, thread in enumerate(sorted(threads)):
            low = place - 0.4 + number * height
            spans = [(a, b - a) for a, b in runs(threads[thread], end)]
            axes.broken_barh(spans, (low, height * 0.86), facecolors=svg.SERIES[0], linewidth=0)
    for number in range(1, SHOWN_PERIODS):
        axes.axvline(number * period_s, color=svg.MUTED, linestyle=":", linewidth=1)
    axes.set_xlim(0, end)
    axes.set_xticks([number * period_s for number in range(SHOWN_PERIODS + 1)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.seconds(value) if value else "0"))
    axes.tick_params(axis="x", labelsize=SMALL, labelcolor=svg.MUTED)
    axes.grid(visible=False)
    return figure


def stalls(spells: Sequence[Spell], width_px: int) -> Figure:
    """A row an isolator: bars over the length of a stall, as high as the logarithm of their number."""
    isolators = [spell.isolator for spell in spells]
    canvas = Canvas(width_px, _STALLS_PX * len(spells) + 60)
    figure = canvas.figure()
    axes = _rows(figure, canvas, isolators)
    bins = [spell.stall_bins() for spell in spells]
    ends = [bin_begin(place + more) for found in bins for place in found for more in (0, 1)]
    log_seconds(axes, ends, narrow=canvas.narrow)
    most = max((rate for found in bins for rate in found.values()), default=1.0)
    for row, found in enumerate(bins):
        foot = row + 0.42
        for place, rate in found.items():
            begin, end = bin_begin(place), bin_begin(place + 1)
            height = 0.84 * _height(rate, max(most, 1.0))
            shape = Rectangle((begin, foot - height), end - begin, height, color=svg.SERIES[0], linewidth=0)
            axes.add_patch(shape)
        axes.axhline(foot, color=svg.GRID, linewidth=1)
    axes.set_xlabel(f"length of a stall; the highest bar is {most:,.3g} a second", fontsize=SMALL)
    return figure


def _height(rate: float, most: float) -> float:
    return max(0.02, log10(max(rate, _LEAST_RATE) / _LEAST_RATE) / log10(most / _LEAST_RATE))


def _rows(figure: Figure, canvas: Canvas, isolators: Sequence[Isolator]) -> Axes:
    axes = canvas.axes(figure, left=canvas.label_room(isolators), right=30, top=10, bottom=46)
    name_rows(axes, canvas, isolators)
    return axes

"""How starts spread: the share that was ready by a time, and starts block by block."""

from collections.abc import Sequence
from math import ceil, exp, log
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from isobench.reports import svg, thin, units
from isobench.reports.chart_kit import SMALL, Canvas, Look, is_narrow, jitter, log_seconds
from isobench.reports.chart_startup import told
from isobench.reports.stats import ecdf
from isobench.reports.stats_blocks import block_medians
from isobench.reports.summary import Isolator, Summary

_DASHES = ("solid", (0, (6, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))
_MARKERS = ("", "o", "^", "s", "x", "D")
"""Four dashes without a marker, then the same four with one, and so on: told apart without their colours."""
_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)

_PANEL_PX = 116
_PANELS, _PANELS_NARROW = 4, 2
_IN_SIGHT = 0.02
"""Part of all starts that may lie beyond the axis; they are drawn at its edge as triangles."""
_LEAST_RANGE = 1.1
_TICKS = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
_NEAR = 0.15
_BLOCK_JITTER = 0.28

_BEYOND: Look = {"s": 28, "color": svg.SERIES[1], "clip_on": False}
_LOOKS: dict[str, Look] = {"o": {"s": 12, "color": svg.SERIES[0], "alpha": 0.55}, "^": _BEYOND, "v": _BEYOND}

Reach: TypeAlias = tuple[float, float]


def shares(summary: Summary, width_px: int) -> Figure:
    """The empirical distribution of the time to ready, a stepped line an isolator."""
    shown = [isolator for isolator in summary.isolators if isolator.startup]
    columns = 2 if is_narrow(width_px) else 4
    top = 14 + 20 * ceil(len(shown) / columns)
    canvas = Canvas(width_px, top + 290)
    figure = canvas.figure()
    axes = canvas.axes(figure, left=50, right=20, top=top, bottom=50)
    for place, isolator in enumerate(shown):
        _stairs(axes, canvas, place, isolator)
    log_seconds(axes, [value for found in summary.startups for value in found.seconds], narrow=canvas.narrow)
    axes.set_yticks(_SHARES, [f"{100 * share:.0f} %" for share in _SHARES])
    axes.set_ylim(-0.02, 1.03)
    axes.grid(visible=True, axis="y")
    axes.set_xlabel("time to ready; height: share of starts ready by then", fontsize=SMALL, wrap=True)
    figure.legend(loc="upper left", ncols=columns, fontsize=SMALL, handlelength=3.2, borderaxespad=0.2)
    return figure


def blocks(summary: Summary, width_px: int) -> Figure:
    """Every start by its block, against its isolator's own median, a panel an isolator."""
    shown = [isolator for isolator in summary.isolators if isolator.startup]
    columns = min(len(shown), _PANELS_NARROW if is_narrow(width_px) else _PANELS)
    rows = ceil(len(shown) / columns)
    canvas = Canvas(width_px, 46 + rows * (_PANEL_PX + 40))
    figure = canvas.figure()
    left, gap = 46, 10
    panel_px = (width_px - left - 12 - gap * (columns - 1)) / columns
    reach = _reach(shown)
    for place, isolator in enumerate(shown):
        row, column = divmod(place, columns)
        x, y = left + column * (panel_px + gap), 24 + row * (_PANEL_PX + 40)
        axes = canvas.axes(
            figure, left=x, right=width_px - x - panel_px, top=y, bottom=canvas.height_px - y - _PANEL_PX
        )
        _panel(axes, canvas, isolator, reach)
        axes.tick_params(labelleft=column == 0)
    figure.text(0.5, 14 / canvas.height_px, "block", ha="center", color=svg.MUTED, fontsize=SMALL)
    return figure


def _stairs(axes: Axes, canvas: Canvas, place: int, isolator: Isolator) -> None:
    if isolator.startup is None:
        return
    found = ecdf(isolator.startup.seconds)
    steps = [found[at] for at in thin.thinned([time for time, _ in found], thin.POINTS, thin.POINTS // 10)]
    marker = _MARKERS[place // len(_DASHES) % len(_MARKERS)]
    look: Look = {
        "color": svg.MUTED if isolator.bare else svg.SERIES[place % len(svg.SERIES)],
        "linestyle": _DASHES[place % len(_DASHES)],
        "linewidth": 2,
        "marker": marker,
        "markersize": 6,
        "markevery": max(1, len(steps) // 4),
    }
    times = [steps[0][0], *(time for time, _ in steps)]
    axes.plot(
        times,
        [0.0, *(share for _, share in steps)],
        drawstyle="steps-post",
        label=canvas.short(isolator),
        **look,
    )


def _panel(axes: Axes, canvas: Canvas, isolator: Isolator, reach: Reach) -> None:
    startup = isolator.startup
    if startup is None:
        return
    middle = startup.ready.median.value
    ratios = [value / middle for value in startup.seconds]
    shown = thin.thinned_by_block(ratios, startup.blocks, thin.POINTS)
    points = [
        (startup.blocks[at] + offset, *_place(ratios[at], reach), told(startup, at))
        for at, offset in zip(shown, jitter(len(shown), _BLOCK_JITTER), strict=True)
    ]
    for marker, look in _LOOKS.items():
        drawn = [(x, y, text) for x, shape, y, text in points if shape == marker]
        if drawn:
            xs, ys, texts = zip(*drawn, strict=True)
            svg.tell(axes.scatter(xs, ys, marker=marker, linewidths=0, **look), texts)
    names, medians = block_medians(ratios, startup.blocks)
    axes.plot(names, medians, color=svg.INK, linewidth=1.5, marker="_", markersize=8)
    axes.set_yscale("log")
    axes.set_ylim(*reach)
    axes.yaxis.set_major_locator(NullLocator())
    axes.set_yticks(_ticks(reach))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.times(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.grid(visible=True, axis="y")
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.set_xlim(min(names) - 0.6, max(names) + 0.6)
    axes.set_title(canvas.short(isolator), loc="left", fontsize=SMALL, color=svg.INK, pad=4)


def _reach(shown: Sequence[Isolator]) -> Reach:
    """How far below and above an isolator's median the axis goes, as ratios."""
    away = sorted(
        log(value / found.startup.ready.median.value)
        for found in shown
        if found.startup
        for value in found.startup.seconds
    )
    beyond = int(_IN_SIGHT * (len(away) - 1))
    low, high = exp(1.15 * min(0, away[beyond])), exp(1.15 * max(0, away[-1 - beyond]))
    return min(low, 1 / _LEAST_RANGE), max(high, _LEAST_RANGE)


def _ticks(reach: Reach) -> list[float]:
    """1, and on either side the furthest round ratio within reach."""
    low, high = (max(tick for tick in _TICKS if tick <= most) for most in (1 / reach[0], reach[1]))
    # Where one side reaches far further its label would stand on the other's.
    far = log(1 / low) < _NEAR * log(high), log(high) < _NEAR * log(1 / low)
    return [*([] if far[0] else [1 / low]), 1.0, *([] if far[1] else [high])]


def _place(ratio: float, reach: Reach) -> tuple[str, float]:
    """The marker of a start, and where it stands: at the edge when it lies beyond."""
    low, high = reach
    if ratio > high:
        return "^", high
    return ("v", low) if ratio < low else ("o", ratio)

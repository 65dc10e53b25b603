"""Start-up: every start as a point, the median with its interval, and the phases a start passes through."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isobench.reports import rows, svg, thin, units
from isobench.reports.chart_kit import (
    ROW_PX,
    SMALL,
    Canvas,
    Look,
    beside,
    is_narrow,
    jitter,
    log_seconds,
    name_rows,
)
from isobench.reports.summary import Isolator, Startup, Summary

_POINTS = {"bare": ("o", svg.MUTED), "shared": ("o", svg.SERIES[0]), "own": ("D", svg.SERIES[1])}
"""Marker and colour: the floor, isolators that share the host's kernel, virtual machines."""

PHASES = (
    ("created", "^", svg.SERIES[4]),
    ("spawned", "s", svg.SERIES[0]),
    ("kernel", "D", svg.SERIES[1]),
    ("first_instruction", "o", svg.SERIES[2]),
    ("ready", "|", svg.INK),
    ("exit", "x", svg.SERIES[3]),
    ("cleaned", "v", svg.SERIES[5]),
)
"""Name, marker and colour, in the order of a start; ``invoke`` is the zero, which no log axis has."""


def strips(summary: Summary, width_px: int) -> Figure:
    """Raw samples, thinned, median and interval of the time to ready, a row an isolator."""
    shown = [isolator for isolator in summary.isolators if isolator.startup]
    canvas = Canvas(width_px, 76 + ROW_PX * len(shown))
    figure = canvas.figure()
    right = 68 if canvas.narrow else 150
    axes = canvas.axes(figure, left=canvas.label_room(shown), right=right, top=26, bottom=50)
    for place, isolator in enumerate(shown):
        if isolator.startup:
            _strip(axes, place, isolator, isolator.startup)
    log_seconds(axes, [value for found in summary.startups for value in found.seconds], narrow=canvas.narrow)
    name_rows(axes, canvas, shown)
    axes.set_xlabel("time to ready", fontsize=SMALL)
    beside(axes, 66, "median", [_text("ready", isolator) for isolator in shown])
    if not canvas.narrow:
        beside(axes, 142, "× bare", [_text("bare", isolator) for isolator in shown])
    return figure


def phases(summary: Summary, width_px: int) -> Figure:
    """The median of each phase that an isolator tells apart, a row an isolator."""
    shown = [isolator for isolator in summary.isolators if isolator.startup]
    seen = [phase for phase in PHASES if any(_medians(found).get(phase[0]) for found in summary.startups)]
    top = 76 if is_narrow(width_px) else 34
    canvas = Canvas(width_px, top + 50 + ROW_PX * len(shown))
    figure = canvas.figure()
    axes = canvas.axes(figure, left=canvas.label_room(shown), right=20, top=top, bottom=50)
    for place, isolator in enumerate(shown):
        if isolator.startup:
            _phase_row(axes, place, isolator.name, _medians(isolator.startup))
    times = [value for found in summary.startups for value in _medians(found).values()]
    log_seconds(axes, times, narrow=canvas.narrow)
    name_rows(axes, canvas, shown)
    axes.set_xlabel("time since the start began, median", fontsize=SMALL)
    _legend(figure, canvas, seen)
    return figure


def _strip(axes: Axes, place: int, isolator: Isolator, startup: Startup) -> None:
    marker, colour = _POINTS["bare" if isolator.bare else "own" if isolator.own_kernel else "shared"]
    shown = thin.thinned(startup.seconds, thin.POINTS)
    seconds = [startup.seconds[at] for at in shown]
    offsets = [place + offset for offset in jitter(len(seconds), 0.24)]
    drawn = axes.scatter(seconds, offsets, s=18, marker=marker, color=colour, alpha=0.5, linewidths=0)
    svg.tell(drawn, [told(startup, at) for at in shown])
    median = startup.ready.median
    if median.interval:
        axes.plot([median.interval.low, median.interval.high], [place, place], color=svg.INK, linewidth=2)
    axes.plot([median.value] * 2, [place - 0.3, place + 0.3], color=svg.INK, linewidth=2.5)


def tells_phases(summary: Summary) -> bool:
    """Whether there is a phase to draw: an isolator of another package may tell none."""
    return any(_medians(found) for found in summary.startups)


def told(startup: Startup, at: int) -> str:
    """What is said of a start that is drawn as a point."""
    seconds, block, row = startup.seconds[at], startup.blocks[at], startup.rows[at]
    return f"{startup.isolator}: {units.seconds(seconds)}, block {block}, sample {row}"


def _phase_row(axes: Axes, place: int, name: str, medians: dict[str, float]) -> None:
    if not medians:
        return
    axes.plot([min(medians.values()), max(medians.values())], [place, place], color=svg.GRID, linewidth=3)
    for phase, marker, colour in PHASES:
        if phase in medians:
            (drawn,) = axes.plot(medians[phase], place, color=colour, **_mark(marker))
            svg.tell(drawn, [f"{name}, {phase.replace('_', ' ')}: {units.seconds(medians[phase])}"])


def _mark(marker: str) -> Look:
    size = {"|": 16.0, "x": 7.0}.get(marker, 7.5)
    return {"marker": marker, "markersize": size, "markeredgewidth": 2.5 if marker in "|x" else 0.0}


def _medians(startup: Startup) -> dict[str, float]:
    """Of the phases a log axis can show."""
    medians = {name: found.median.value for name, found in startup.phases.items()}
    drawn = {name for name, _, _ in PHASES}
    return {name: value for name, value in medians.items() if name in drawn and value > 0}


def _legend(figure: Figure, canvas: Canvas, seen: Sequence[tuple[str, str, str]]) -> None:
    handles = [
        Line2D([], [], linestyle="none", color=colour, label=name.replace("_", " "), **_mark(marker))
        for name, marker, colour in seen
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        ncols=3 if canvas.narrow else len(seen),
        fontsize=SMALL,
        handletextpad=0.1,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def _text(key: str, isolator: Isolator) -> str:
    return next(column.text(isolator) for column in rows.OVERVIEW if column.key == key)

"""CPU limits: the time achieved against the time asked for, and the error, which the first hardly shows."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from isobench.reports import svg, units
from isobench.reports.chart_kit import SMALL, Canvas, Look, is_narrow
from isobench.reports.rows import limit_titles, quota
from isobench.reports.summary import Isolator, Summary

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PANEL_PX = 300
_LEFT_PX = 78


def shares(summary: Summary, width_px: int) -> Figure:
    """Both panels, side by side where there is room."""
    shown = [isolator for isolator in summary.isolators if isolator.quotas]
    columns = 2 if is_narrow(width_px) else 5
    top = 14 + 22 * -(-(len(shown) + 1) // columns)
    canvas = Canvas(width_px, top + (2 if is_narrow(width_px) else 1) * _PANEL_PX)
    figure = canvas.figure()
    first, second = _panels(figure, canvas, top)
    _achieved(first, canvas, shown)
    _errors(second, summary, shown)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper left", ncols=columns, fontsize=SMALL, handletextpad=0.3, borderaxespad=0.2
    )
    return figure


def _panels(figure: Figure, canvas: Canvas, top: int) -> tuple[Axes, Axes]:
    if canvas.narrow:
        middle = canvas.height_px - top - _PANEL_PX
        return (
            canvas.axes(figure, left=_LEFT_PX, right=12, top=top, bottom=middle + 52),
            canvas.axes(figure, left=_LEFT_PX, right=12, top=top + _PANEL_PX + 10, bottom=52),
        )
    half = canvas.width_px // 2
    return (
        canvas.axes(figure, left=_LEFT_PX, right=half + 20, top=top, bottom=52),
        canvas.axes(figure, left=half + _LEFT_PX, right=12, top=top, bottom=52),
    )


def _achieved(axes: Axes, canvas: Canvas, isolators: Sequence[Isolator]) -> None:
    greatest = max(found.asked_cpus for isolator in isolators for found in isolator.quotas)
    axes.plot([0, greatest], [0, greatest], color=svg.MUTED, linestyle="--", linewidth=1.5, label="as asked")
    for number, isolator in enumerate(isolators):
        asked = [found.asked_cpus for found in isolator.quotas]
        got = [found.host_cpus.median.value for found in isolator.quotas]
        (drawn,) = axes.plot(asked, got, label=canvas.short(isolator), **_mark(number))
        svg.tell(
            drawn,
            [f"{isolator.name}: {b:.3f} of {units.cpus(a)} CPUs" for a, b in zip(asked, got, strict=True)],
        )
    axes.set_xlabel("CPUs asked for", fontsize=SMALL)
    axes.set_ylabel("CPUs achieved", fontsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _square_up(axes)


def _errors(axes: Axes, summary: Summary, isolators: Sequence[Isolator]) -> None:
    """Medians side by side at each limit, with a line from the least to the greatest error."""
    axes.axhline(0, color=svg.MUTED, linestyle="--", linewidth=1.5)
    for number, isolator in enumerate(isolators):
        aside = (number - (len(isolators) - 1) / 2) * 0.6 / len(isolators)
        for place, limit in enumerate(summary.limits):
            if found := quota(isolator, limit):
                error = found.error
                spread = [error.least, error.greatest]
                axes.plot([place + aside] * 2, spread, color=_colour(number), linewidth=1.5)
                (drawn,) = axes.plot(place + aside, error.median.value, **_mark(number))
                text = f"{isolator.name}, {units.cpus(limit[0])} CPUs: {units.percent(error.median.value)}"
                svg.tell(drawn, [text])
    axes.set_xticks(range(len(summary.limits)), [title.partition(" ")[0] for title in limit_titles(summary)])
    axes.set_xlim(-0.5, len(summary.limits) - 0.5)
    axes.set_xlabel("CPUs asked for", fontsize=SMALL)
    axes.set_ylabel("error", fontsize=SMALL)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+g} %" if value else "0"))
    _square_up(axes)


def _square_up(axes: Axes) -> None:
    axes.grid(visible=True, axis="y")
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="both", length=0, pad=8, labelcolor=svg.MUTED)


def _colour(number: int) -> str:
    return svg.SERIES[number % len(svg.SERIES)]


def _mark(number: int) -> Look:
    # From the ninth isolator on the same shapes come hollow.
    hollow = number >= len(_MARKERS)
    return {
        "linestyle": "none",
        "marker": _MARKERS[number % len(_MARKERS)],
        "markersize": 7.5,
        "markeredgewidth": 1.5 if hollow else 0.0,
        "fillstyle": "none" if hollow else "full",
        "color": _colour(number),
    }

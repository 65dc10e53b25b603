"""The verdicts of the gate: changes with their intervals, in multiples of their own limits, a row each."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from isobench.reports import gate_rows, svg
from isobench.reports.chart_kit import ROW_PX, SMALL, Canvas, Look, beside, is_narrow, two_ends
from isobench.reports.gate_stage import on_scale
from isobench.reports.gate_values import Judgement, Verdict
from isobench.reports.stats import Estimate

MOST = 30
"""Rows; those that matter most."""

_LOOKS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.REGRESSION: ("D", svg.SERIES[1]),
    Verdict.INCONCLUSIVE: ("s", svg.SERIES[4]),
    Verdict.IMPROVEMENT: ("^", svg.SERIES[2]),
    Verdict.EQUIVALENT: ("o", svg.SERIES[0]),
}
"""Marker and colour."""

_LEAST_REACH, _MOST_REACH = 2.0, 6.0
"""Multiples of the limit the axis reaches at least, and at most: what lies beyond is drawn at its edge."""
_LETTERS, _LETTERS_NARROW = 34, 15
_LETTER_PX = 7
_BELOW = 0.27
"""The control stands so much of a row below."""


def shown(judgements: Sequence[Judgement]) -> tuple[Judgement, ...]:
    """Those that have something to draw, what matters most first."""
    found = [one for one in judgements if one.stage is not None and one.threshold is not None]
    return tuple(sorted(found, key=lambda one: gate_rows.ORDER.index(one.verdict))[:MOST])


def intervals(judgements: Sequence[Judgement], width_px: int) -> Figure:
    """Estimate and interval of each, the control below it, and the limits as a band."""
    drawn = shown(judgements)
    seen = [verdict for verdict in _LOOKS if any(one.verdict is verdict for one in drawn)]
    columns = 2 if is_narrow(width_px) else 5
    legend_rows = math.ceil((len(seen) + 1) / columns)
    top = 16 + 20 * legend_rows
    canvas = Canvas(width_px, top + 56 + ROW_PX * len(drawn))
    most = _LETTERS_NARROW if canvas.narrow else _LETTERS
    names = [two_ends(gate_rows.name(one), most) for one in drawn]
    figure = canvas.figure()
    left = 16 + _LETTER_PX * max(map(len, names))
    axes = canvas.axes(figure, left=left, right=84, top=top, bottom=56)
    reach = _reach(drawn)
    axes.axvspan(-1, 1, color=svg.GRID, alpha=0.45, linewidth=0)
    axes.axvline(0, color=svg.MUTED, linewidth=1)
    for place, one in enumerate(drawn):
        _row(axes, place, one, reach)
    axes.set_yticks(range(len(drawn)), names)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlim(-reach * 1.04, reach * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(4 if canvas.narrow else 8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}×" if value else "0"))
    label = "change, times its limit" if canvas.narrow else "change from A to B, in multiples of its limit"
    axes.set_xlabel(label, fontsize=SMALL)
    beside(axes, 80, "B to A", [gate_rows.row(one).change for one in drawn])
    figure.legend(
        handles=[*(_key(verdict) for verdict in seen), _control_key()],
        loc="upper left",
        ncols=columns,
        fontsize=SMALL,
        borderaxespad=0.2,
        handletextpad=0.3,
    )
    return figure


def _row(axes: Axes, place: int, one: Judgement, reach: float) -> None:
    scaled, control = _scaled(one), _control(one)
    marker, colour = _LOOKS.get(one.verdict, ("x", svg.MUTED))
    if scaled is None or control is None:
        return
    span = scaled.interval
    if span is not None:
        axes.plot([_at(span.low, reach), _at(span.high, reach)], [place, place], color=colour, linewidth=2.5)
    look: Look = {"color": colour, "markersize": 7, "clip_on": False, "zorder": 3}
    beyond = abs(scaled.value) > reach
    shape = (">" if scaled.value > 0 else "<") if beyond else marker
    axes.plot([_at(scaled.value, reach)], [place], marker=shape, linestyle="", **look)
    axes.plot([_at(control, reach)], [place + _BELOW], **_CONTROL)


_CONTROL: Look = {
    "marker": "o",
    "markersize": 5,
    "markerfacecolor": "none",
    "markeredgecolor": svg.MUTED,
    "linestyle": "",
    "clip_on": False,
}


def _scaled(one: Judgement) -> Estimate | None:
    """The estimate as a multiple of the limit, on the scale of the test: a band of ±1 is the limit."""
    if one.stage is None or one.threshold is None:
        return None
    limit = on_scale(one.threshold.delta, one.metric.scale)
    theta, span = one.stage.theta, one.stage.theta.interval
    interval = None if span is None else type(span)(span.low / limit, span.high / limit)
    return Estimate(theta.value / limit, interval)


def _control(one: Judgement) -> float | None:
    if one.stage is None or one.threshold is None:
        return None
    return one.stage.control.theta.value / on_scale(one.threshold.delta, one.metric.scale)


def _reach(drawn: Sequence[Judgement]) -> float:
    furthest = max(
        (
            abs(end)
            for one in drawn
            if (found := _scaled(one)) is not None
            for end in (
                found.value,
                *((found.interval.low, found.interval.high) if found.interval else ()),
            )
        ),
        default=0.0,
    )
    return min(max(1.1 * furthest, _LEAST_REACH), _MOST_REACH)


def _at(value: float, reach: float) -> float:
    return min(max(value, -reach), reach)


def _key(verdict: Verdict) -> Line2D:
    marker, colour = _LOOKS[verdict]
    return Line2D([], [], color=colour, marker=marker, markersize=7, linestyle="", label=verdict.value)


def _control_key() -> Line2D:
    return Line2D([], [], label="control", **_CONTROL)

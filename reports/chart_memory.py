"""Memory of each further instance, stacked by owner. Virtual machines stand apart, as they dwarf the rest."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from isobench.reports import svg, units
from isobench.reports.chart_kit import ROW_PX, SMALL, Canvas, beside, is_narrow, name_rows
from isobench.reports.summary import Isolator, Memory, Summary

_OWNERS = (
    ("workload", svg.SERIES[0], ""),
    ("guest RAM", svg.SERIES[4], "xx"),
    ("helpers and daemons", svg.SERIES[1], "//"),
    ("kernel", svg.SERIES[2], ".."),
    ("unattributed", svg.SERIES[7], "--"),
)
_PANEL_PX = 54
_TOP_PX, _TOP_NARROW_PX = 54, 112


def stacks(summary: Summary, width_px: int) -> Figure:
    """One panel for isolators that share the host's kernel and one for virtual machines."""
    shown = [isolator for isolator in summary.isolators if isolator.memory]
    panels = [
        panel for own in (False, True) if (panel := [found for found in shown if found.own_kernel is own])
    ]
    top = _TOP_NARROW_PX if is_narrow(width_px) else _TOP_PX
    canvas = Canvas(width_px, top + sum(_PANEL_PX + ROW_PX * len(panel) for panel in panels))
    figure = canvas.figure()
    for panel in panels:
        height = ROW_PX * len(panel)
        left, bottom = canvas.label_room(shown), canvas.height_px - top - height
        axes = canvas.axes(figure, left=left, right=76, top=top, bottom=bottom)
        _panel(axes, canvas, panel)
        top += height + _PANEL_PX
    _legend(figure, canvas)
    return figure


def _panel(axes: Axes, canvas: Canvas, isolators: Sequence[Isolator]) -> None:
    for place, isolator in enumerate(isolators):
        if isolator.memory:
            _stack(axes, place, isolator.memory)
    name_rows(axes, canvas, isolators)
    axes.axvline(0, color=svg.MUTED, linewidth=1)
    _byte_axis(axes, most=3 if canvas.narrow else 6)
    kind = "virtual machines" if isolators[0].own_kernel else "sharing the host's kernel"
    axes.set_xlabel(kind, fontsize=SMALL)
    beside(axes, 74, "", [units.nbytes(found.memory.total.value) for found in isolators if found.memory])


def _byte_axis(axes: Axes, most: int) -> None:
    """Ticks at round numbers of the unit that suits the longest bar."""
    low, high = axes.get_xlim()
    size, unit = units.byte_unit(max(abs(low), abs(high)))
    ticks = MaxNLocator(most).tick_values(low / size, high / size)
    axes.set_xticks([tick * size for tick in ticks], [f"{tick:g} {unit}" for tick in ticks])
    axes.set_xlim(low, high)
    axes.tick_params(axis="x", length=0, pad=8)


def _stack(axes: Axes, place: int, memory: Memory) -> None:
    """Positive parts to the right of zero and negative ones to the left, each after the one before."""
    ends = {True: 0.0, False: 0.0}
    for part, (owner, colour, hatch) in zip(_parts(memory), _OWNERS, strict=True):
        if part == 0:
            continue
        side = part > 0
        (bar,) = axes.barh(
            place, part, left=ends[side], height=0.56, color=colour, hatch=hatch, edgecolor=svg.PAPER
        )
        svg.tell(bar, [f"{memory.isolator}, {owner}: {units.nbytes(part)}"])
        ends[side] += part
    total = memory.total
    if total.interval:
        axes.plot([total.interval.low, total.interval.high], [place, place], color=svg.INK, linewidth=2)
    axes.plot(total.value, place, marker="|", markersize=15, markeredgewidth=2.5, color=svg.INK)


def _parts(memory: Memory) -> tuple[float, ...]:
    """In the order of the owners; 0 for what is not there or cannot be told."""

    def each(name: str) -> float:
        found = memory.each(name)
        return found.value if found else 0.0

    return (
        each("workload_pss"),
        each("guest_ram_pss"),
        each("helpers_pss") + each("daemons_change"),
        memory.of_kernel.slope.value if memory.of_kernel else 0.0,
        each("unattributed"),
    )


def _legend(figure: Figure, canvas: Canvas) -> None:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=svg.PAPER, label=name)
        for name, colour, hatch in _OWNERS
    ]
    handles.append(
        Line2D(
            [], [], color=svg.INK, linewidth=2, marker="|", markersize=12, label="total with 95 % interval"
        )
    )
    figure.legend(
        handles=handles, loc="upper left", ncols=1 if canvas.narrow else 3, fontsize=SMALL, borderaxespad=0.2
    )

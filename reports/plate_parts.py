"""Plates of what a cell is made of: the phases of a start, the ledger of memory, run and stall."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median

from markupsafe import Markup

from isobench.model import PHASES, Sample
from isobench.reports import units
from isobench.reports.load import FOOTPRINT, counts
from isobench.reports.plate import HEIGHT, LEFT, RIGHT, Plate, Scale, box, dots, label, line, picture, scale
from isobench.reports.spells import SHOWN_PERIODS, Spell, runs
from isobench.reports.summary import KERNEL_LINES, Memory, number

OWNERS: Mapping[str, tuple[str, ...]] = {
    "workload": ("workload_pss",),
    "guest RAM": ("guest_ram_pss",),
    "helpers and daemons": ("helpers_pss", "daemons_change"),
    "kernel": KERNEL_LINES,
    "unattributed": ("unattributed",),
}
"""Who holds memory, and which lines of the ledger are theirs; as in the figure of all isolators."""

_NAMED_PX = 13
"""A part that is narrower has no number in it."""
_FOOT, _NAMES_Y = HEIGHT - 22, HEIGHT - 7
_BAR = (44.0, 84.0)
_LOOKS = 8
"""Colours of the style sheet; numbers tell parts apart without them."""


def phases(samples: Sequence[Sample]) -> Plate | None:
    """Medians of the phases as parts of one bar, each from the end of the one before; None without any."""
    told = [name for name in PHASES[1:] if any(name in sample.phases for sample in samples)]
    ends = {name: median(one.phases[name] for one in samples if name in one.phases) for name in told}
    steps = sorted((end, name) for name, end in ends.items() if end > 0)
    if not steps:
        return None
    across = Scale(0, steps[-1][0], LEFT, RIGHT)
    parts: list[Markup] = []
    said = []
    for place, ((begin, _), (end, name)) in enumerate(pairwise([(0.0, ""), *steps])):
        parts += _segment(place, across(begin), across(end), _BAR)
        said.append(f"{place + 1} {name.replace('_', ' ')} {units.seconds(end)}")
    parts += [line([(LEFT, _FOOT), (RIGHT, _FOOT)], "grid"), label("0", (LEFT, _NAMES_Y))]
    parts.append(label(units.seconds(steps[-1][0]), (RIGHT, _NAMES_Y), "end"))
    keyed = "; ".join(said)
    return Plate("Phases", picture("Phases", keyed, parts), f"Since the start began, medians: {keyed}.")


def ledger(samples: Sequence[Sample]) -> Plate | None:
    """Who holds the memory of 1, 2, 4 … instances; None where no reading tells."""
    held = _held(samples)
    if not held:
        return None
    ends = [side for parts in held.values() for side in _sides(parts)]
    across = scale([0.0, *ends], LEFT + 26, RIGHT)
    height = min(22.0, (_FOOT - 12) / len(held))
    parts: list[Markup] = [line([(across(0), 6), (across(0), _FOOT)], "grid")]
    for row, (instances, owned) in enumerate(held.items()):
        top = 8 + row * height
        parts.append(label(f"{instances}", (LEFT + 20, top + height / 2 + 2), "end"))
        parts += _bar(owned, across, (top, top + height - 4))
    parts += [line([(across.begin, _FOOT), (RIGHT, _FOOT)], "grid")]
    parts += [label(units.nbytes(max(ends)), (across(max(ends)), _NAMES_Y), "end")]
    most, owned = max(held.items())
    keyed = "; ".join(
        f"{at} {name} {units.nbytes(part)}"
        for at, (name, part) in enumerate(zip(OWNERS, owned, strict=True), start=1)
        if part
    )
    title = f"of {_instances(most)}"
    caption = f"A bar for each number of instances; {title}: {keyed}."
    return Plate("Ledger", picture(f"Ledger {title}", keyed, parts), caption)


def readings(memory: Memory) -> Plate:
    """Each reading over its number of instances, with the line through them."""
    points = [
        (count, sample.value)
        for sample in memory.cell.samples
        if sample.metric == FOOTPRINT
        and counts(sample)
        and sample.value is not None
        and (count := number(sample.detail.get("instances")))
    ]
    slope, constant = memory.total.value, memory.of_total.constant.value
    least, most = min(memory.counts), max(memory.counts)
    ends = [(count, constant + slope * count) for count in (least, most)]
    values = [value for _, value in (*points, *ends)]
    across, up = scale([0, *memory.counts], 62, RIGHT), scale([0.0, *values], _FOOT, 12)
    parts = [
        line([(62, _FOOT), (RIGHT, _FOOT)], "grid"),
        dots((across(count), up(value)) for count, value in points),
        line([(across(count), up(value)) for count, value in ends], "curve"),
        label(units.nbytes(max(values)), (56, up(max(values)) + 4), "end"),
        label("0", (56, up(0) + 4), "end"),
        label(_instances(most), (across(most), _NAMES_Y), "end"),
    ]
    said = f"{units.nbytes(slope)} for each further instance, {units.nbytes(constant)} once"
    return Plate("Readings", picture("Readings by instances", said, parts), f"Memory by instances: {said}.")


def timeline(spell: Spell) -> Plate | None:
    """Where each thread runs over the first periods; None where the readings do not tell."""
    threads = spell.timeline()
    period_s = spell.limit[1] / 1e6
    if not period_s or not any("timeline_us" in sample.detail for sample in spell.samples):
        return None
    end = SHOWN_PERIODS * period_s
    across = Scale(0, end, LEFT, RIGHT)
    height = min(56.0, (_FOOT - 12) / len(threads))
    parts = [line([(LEFT, _FOOT), (RIGHT, _FOOT)], "grid")]
    ran = 0.0
    for row, thread in enumerate(sorted(threads)):
        top = 10 + row * height
        for begin, until in runs(threads[thread], end):
            ran += until - begin
            parts.append(box((across(begin), top), (across(until), top + height - 4), "part s1"))
    for place in range(SHOWN_PERIODS + 1):
        at = across(place * period_s)
        parts.append(line([(at, 6), (at, _FOOT)], "grid"))
    parts += [label("0", (LEFT, _NAMES_Y)), label(units.seconds(end), (RIGHT, _NAMES_Y), "end")]
    said = f"it runs {100 * ran / end / len(threads):.0f} % of the first {SHOWN_PERIODS} periods"
    caption = f"Filled where a thread runs; upright rules where a period begins: {said}."
    return Plate("Run and stall", picture("Run and stall", said, parts), caption)


def _segment(place: int, begin: float, end: float, rows: tuple[float, float]) -> Iterator[Markup]:
    """A part of a bar, with its number in it where there is room."""
    yield box((begin, rows[0]), (end, rows[1]), f"part s{place % _LOOKS + 1}")
    if end - begin >= _NAMED_PX and rows[1] - rows[0] >= _NAMED_PX:
        yield label(str(place + 1), ((begin + end) / 2, sum(rows) / 2 + 4), "mid on")


def _bar(owned: Sequence[float], across: Scale, rows: tuple[float, float]) -> Iterator[Markup]:
    """Parts above zero to the right of it and those below to the left, each after the one before."""
    ends = {True: 0.0, False: 0.0}
    for place, part in enumerate(owned):
        if part:
            begin = ends[part > 0]
            ends[part > 0] = begin + part
            left, right = sorted((across(begin), across(begin + part)))
            yield from _segment(place, left, right, rows)


def _sides(parts: Sequence[float]) -> tuple[float, float]:
    """How far a bar of these parts reaches below and above zero."""
    return sum(part for part in parts if part < 0), sum(part for part in parts if part > 0)


def _instances(count: int) -> str:
    return f"{count} instance{'s' if count > 1 else ''}"


def _held(samples: Sequence[Sample]) -> dict[int, tuple[float, ...]]:
    """By number of instances, ascending: medians of what each owner holds."""
    by_count: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.metric == FOOTPRINT and (count := number(sample.detail.get("instances"))):
            by_count.setdefault(int(count), []).append(sample)
    return {
        count: tuple(median(_sum(one, lines) for one in found) for lines in OWNERS.values())
        for count, found in sorted(by_count.items())
    }


def _sum(sample: Sample, lines: Sequence[str]) -> float:
    return sum(number(sample.detail.get(name)) or 0.0 for name in lines)

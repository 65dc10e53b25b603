"""The pictures of run and stall as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isobench.reports import units
from isobench.reports.section import Column, Figure, Row, Table, number_of
from isobench.reports.spells import SHOWN_PERIODS, Spell, bin_begin, runs, worst


def errors(spells: Sequence[Spell], title: str) -> Table:
    """The median error by CPUs, a row an isolator and period."""
    cpus = sorted({spell.limit[0] for spell in spells})
    columns = tuple(Column(f"{units.cpus(one)} CPUs") for one in cpus)
    return Table(title, "Isolator and period", columns, tuple(_error_rows(spells, cpus)))


def _error_rows(spells: Sequence[Spell], cpus: Sequence[float]) -> Iterator[Row]:
    for isolator in {spell.isolator.name: spell.isolator for spell in spells}.values():
        found = worst([spell for spell in spells if spell.isolator is isolator])
        for period_us in sorted({period for _, period in found}):
            figures = tuple(number_of(found.get((one, period_us)), units.percent) for one in cpus)
            yield Row(f"{isolator.name}, {period_us / 1000:g} ms", figures, isolator)


def timeline(spells: Sequence[Spell], title: str) -> Table:
    """How long each thread ran in each of the first periods."""
    columns = tuple(Column(f"runs in period {number + 1}") for number in range(SHOWN_PERIODS))
    rows = tuple(
        Row(f"{spell.isolator.name}, thread {thread + 1}", _in_periods(spell, stalls), spell.isolator)
        for spell in spells
        for thread, stalls in sorted(spell.timeline().items())
    )
    return Table(title, "Isolator and thread", columns, rows)


def _in_periods(spell: Spell, stalls: Sequence[tuple[float, float]]) -> tuple[Figure, ...]:
    period_s = spell.limit[1] / 1e6
    ran = runs(stalls, SHOWN_PERIODS * period_s)
    return tuple(
        number_of(_within(ran, number * period_s, (number + 1) * period_s), units.seconds)
        for number in range(SHOWN_PERIODS)
    )


def _within(spans: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    return sum(max(0.0, min(until, end) - max(since, begin)) for since, until in spans)


def stalls(spells: Sequence[Spell], title: str) -> Table:
    """How many stalls of a length there were a second, a row a length."""
    bins = [spell.stall_bins() for spell in spells]
    rows = tuple(
        Row(
            f"{units.seconds(bin_begin(place))} to {units.seconds(bin_begin(place + 1))}",
            tuple(number_of(found.get(place), units.a_second) for found in bins),
        )
        for place in sorted({place for found in bins for place in found})
    )
    return Table(title, "Length", tuple(Column(spell.isolator.name) for spell in spells), rows)

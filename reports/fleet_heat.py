"""Heat maps of a fleet, host by isolator, thinned to what can be read: a thousand rows are no picture."""

from collections.abc import Iterable, Mapping, Sequence
from math import log

import numpy as np

from isobench.reports.brief import Measure
from isobench.reports.fleet_values import Field, Heat, HeatRow, Normal, Place

ROWS = 60
"""A heat map has about so many: the extremes of every column, and of each build hosts from one end to the
other in even steps."""
COLUMNS = 16
MAPS = 12

SHADES = (0.05, 0.15, 0.4)
"""From which distance on a field is shaded, more and most: |ln| of its ratio to the median of its column.
Where a column has values at or below 0, the difference: of errors as it is, else in parts of the greatest."""

_Columns = Mapping[Place, Mapping[str, float]]


def heats(figures: Normal, build_of: Mapping[str, int]) -> tuple[Heat, ...]:
    """A map for each measure, in the order they were met, those that are normalised first."""
    measures: dict[Measure, list[Place]] = {}
    for place in figures:
        measures.setdefault(place.measure, []).append(place)
    ordered = sorted(measures, key=lambda measure: all(p.kind == "figure" for p in measures[measure]))
    return tuple(_heat(measure, measures[measure], figures, build_of) for measure in ordered[:MAPS])


def _heat(measure: Measure, places: Sequence[Place], figures: Normal, build_of: Mapping[str, int]) -> Heat:
    widest = sorted(places, key=lambda place: -len(figures[place]))[:COLUMNS]
    middles = {place: float(np.median(list(figures[place].values()))) for place in widest}
    shown = sorted(widest, key=lambda place: (place.kind != "floor", middles[place], place.isolator))
    columns = {place: figures[place] for place in shown}
    shades = {place: _Shades(columns[place].values(), measure.unit) for place in shown}
    hosts = dict.fromkeys(host for column in columns.values() for host in column)
    level = {host: _level(host, columns, shades) for host in hosts}
    rows = [
        HeatRow(host, build_of[host], tuple(_field(host, place, columns, shades) for place in shown))
        for host in thinned(columns, build_of, level)
    ]
    return Heat(measure, tuple(shown), tuple(rows), len(hosts), len(places) - len(shown))


class _Shades:
    """How far values of one column are from its median."""

    def __init__(self, values: Iterable[float], unit: str) -> None:
        found = np.array(list(values))
        self._middle = float(np.median(found))
        self._ratios = bool((found > 0).all())
        self._whole = 1.0 if unit == "ratio" else float(np.abs(found).max()) or 1.0

    def distance(self, value: float) -> float:
        return log(value / self._middle) if self._ratios else (value - self._middle) / self._whole

    def shade(self, value: float) -> int:
        distance = self.distance(value)
        step = sum(abs(distance) >= limit for limit in SHADES)
        return step if distance > 0 else -step


def _field(host: str, place: Place, columns: _Columns, shades: Mapping[Place, _Shades]) -> Field | None:
    value = columns[place].get(host)
    return None if value is None else Field(value, shades[place].shade(value))


def _level(host: str, columns: _Columns, shades: Mapping[Place, _Shades]) -> float:
    """Where a host stands between the least and the greatest figures: the median of its distances."""
    found = [
        shades[place].distance(column[host])
        for place, column in columns.items()
        if host in column and place.kind != "floor"
    ]
    return float(np.median(found)) if found else 0.0


def thinned(
    columns: _Columns, build_of: Mapping[str, int], level: Mapping[str, float], limit: int = ROWS
) -> list[str]:
    """At most about ``limit`` hosts, by build and level: all of them where they are no more than that.

    The hosts with the least and the greatest value of each column are always among them.
    """
    by_build: dict[int, list[str]] = {}
    for host in sorted(level, key=lambda host: (build_of[host], level[host], host)):
        by_build.setdefault(build_of[host], []).append(host)
    if len(level) <= limit:
        return [host for hosts in by_build.values() for host in hosts]
    kept = {
        extreme(column, key=lambda host: (column[host], host))
        for column in columns.values()
        for extreme in (min, max)
    }
    for hosts in by_build.values():
        share = max(2, round(limit * len(hosts) / len(level)))
        kept.update(hosts[place] for place in _even(len(hosts), share))
        if len(kept) > limit + 2 * len(columns):
            break
    return [host for hosts in by_build.values() for host in hosts if host in kept]


def _even(total: int, wanted: int) -> list[int]:
    """So many places from the first to the last, in even steps."""
    if total <= wanted:
        return list(range(total))
    return [round(place * (total - 1) / (wanted - 1)) for place in range(wanted)]

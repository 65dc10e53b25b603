"""Many hosts as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isobench import __version__
from isobench.reports import fleet_words as words
from isobench.reports import page_shell
from isobench.reports.brief import Measure
from isobench.reports.fleet_heat import SHADES
from isobench.reports.fleet_values import Fleet, Host, Place, Spread
from isobench.reports.strips import Scale, scale

_TROUBLES = 1000
_ALL_HOSTS = 2000
_ALL_COLUMNS = 40
_SPREADS = 400
_BUILDS = 40
_KEYS = 12
"""Of tables that a fleet can make as long as it likes: the page says how much more there is."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Where the hosts lie, in pixels: all of them, eight in ten, and the median."""

    least: float
    tenth: float
    median: float
    ninetieth: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Line:
    """One cell over all hosts."""

    spread: Spread
    strip: Strip


@dataclass(frozen=True, slots=True)
class Part:
    """All isolators under one measure."""

    key: str
    measure: Measure
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Everything:
    """The table of all hosts, for those who save it."""

    places: tuple[Place, ...]
    rows: tuple[tuple[Host, tuple[float | None, ...]], ...]
    places_left_out: int
    hosts_left_out: int


def page(fleet: Fleet) -> str:
    """The whole document. Equal runs give equal bytes."""
    parts = _parts(fleet.spreads[:_SPREADS])
    values: dict[str, Any] = {
        "version": __version__,
        "fleet": fleet,
        "words": words,
        "cautions": words.cautions(fleet),
        "parts": parts,
        "spreads_left_out": len(fleet.spreads) - _SPREADS,
        "shades": SHADES,
        "builds": fleet.groups.groups[:_BUILDS],
        "builds_left_out": len(fleet.groups.groups) - _BUILDS,
        "keys": fleet.groups.keys[:_KEYS],
        "keys_left_out": fleet.groups.keys[_KEYS:],
        "troubled": fleet.troubled[:_TROUBLES],
        "troubled_left_out": len(fleet.troubled) - _TROUBLES,
        "everything": _everything(fleet),
    }
    return page_shell.render("hosts.html.j2", {}, values)


def _parts(spreads: Sequence[Spread]) -> list[Part]:
    by_measure: dict[Measure, list[Spread]] = {}
    for spread in spreads:
        by_measure.setdefault(spread.place.measure, []).append(spread)
    return [
        Part(f"measure-{number}", measure, tuple(_lines(found)))
        for number, (measure, found) in enumerate(by_measure.items(), start=1)
    ]


def _lines(spreads: Sequence[Spread]) -> list[Line]:
    """The floor first, in its own unit and on its own scale; then by median, on one scale."""
    ordered = sorted(spreads, key=lambda one: (one.place.kind != "floor", one.median.value))
    shared = scale(
        value for one in ordered if one.place.kind != "floor" for value in (one.least[0], one.greatest[0])
    )
    return [Line(one, _strip(one, _own(one) if one.place.kind == "floor" else shared)) for one in ordered]


def _own(spread: Spread) -> Scale:
    return scale((spread.least[0], spread.greatest[0]))


def _strip(spread: Spread, on: Scale) -> Strip:
    values = spread.least[0], spread.tenth, spread.median.value, spread.ninetieth, spread.greatest[0]
    return Strip(*map(on.place, values))


def _everything(fleet: Fleet) -> Everything:
    places = list(fleet.figures)
    shown = places[:_ALL_COLUMNS]
    rows = tuple((host, _row(host.name, shown, fleet.figures)) for host in fleet.hosts[:_ALL_HOSTS])
    return Everything(tuple(shown), rows, len(places) - len(shown), len(fleet.hosts) - len(rows))


def _row(
    host: str, places: Sequence[Place], figures: Mapping[Place, Mapping[str, float]]
) -> tuple[float | None, ...]:
    return tuple(figures[place].get(host) for place in places)

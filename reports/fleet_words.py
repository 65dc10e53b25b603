"""What a page about many hosts says in words."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from isobench.reports import places, units
from isobench.reports.compare_words import short
from isobench.reports.fleet_values import Fleet, Heat, Host, Place, Spread, State
from isobench.reports.verdict import Caution

_NAMED = 6

_SAID = {
    State.PARTLY: "have cells that failed, timed out or could not be measured",
    State.NO_BARE: "have no bare row, so that nothing of theirs is a ratio to it",
    State.UNFINISHED: "did not finish their run",
    State.EMPTY: "measured nothing",
    State.UNREAD: "gave no run that can be read",
}


def figure(place: Place, value: float) -> str:
    """``1.25×`` of a ratio, else the figure in its unit."""
    return units.times(value) if place.kind == "ratio" else units.quantity(value, place.measure.unit)


def interval(spread: Spread) -> str:
    """Of the median over hosts; empty where there is none, or none that is wider than the digits shown."""
    found = spread.median.interval
    if found is None or figure(spread.place, found.low) == figure(spread.place, found.high):
        return ""
    return units.interval(found, lambda value: figure(spread.place, value))


def column(place: Place) -> str:
    """``bare itself``, ``runc``."""
    return f"{place.isolator} itself" if place.kind == "floor" else place.isolator


def unit(place: Place) -> str:
    """What its numbers are in, for those who save them."""
    return "× bare" if place.kind == "ratio" else place.measure.unit


def heat_lead(heat: Heat) -> str:
    """What a heat map shows, and how it was thinned."""
    ratios = any(place.kind == "ratio" for place in heat.places)
    what = "times the host's own bare row, which stands beside in its unit" if ratios else "as measured"
    parts = [f"Medians of {heat.hosts:,} hosts, {what}."]
    if len(heat.rows) < heat.hosts:
        parts.append(
            f"{len(heat.rows)} are shown: those with the least and the greatest figure of every column, and "
            "of each build some from the lowest to the highest figures in even steps. The others are in the "
            "table of all hosts."
        )
    if heat.places_left_out:
        parts.append(f"{heat.places_left_out} more isolators are left out, those that fewest hosts have.")
    return " ".join(parts)


def cautions(fleet: Fleet) -> tuple[Caution, ...]:
    """What stands against reading the hosts as one."""
    return tuple(_cautions(fleet))


def _cautions(fleet: Fleet) -> Iterator[Caution]:
    if troubled := fleet.troubled:
        counts = [(state, [h for h in troubled if h.state is state]) for state in _SAID]
        said = "; ".join(f"{_hosts(hosts)} {_SAID[state]}" for state, hosts in counts if hosts)
        yield Caution(f"{_hosts(troubled)} of {len(fleet.hosts):,} are not as they should be", f"{said}.")
    if len(fleet.groups.groups) > 1:
        yield Caution(
            f"These hosts are of {len(fleet.groups.groups):,} builds",
            "Hosts of one build can stand in for each other. Between builds compare ratios to bare only, and "
            "those with care: a processor or a kernel need not slow everything by the same factor.",
            loud=False,
        )
    if fleet.renamed:
        names = some(list(fleet.renamed))
        yield Caution(
            "Several hosts go by one name",
            f"{names}: the runs under that name are of machines with other hardware. Here they have numbers "
            "behind their names.",
        )
    if fleet.twice:
        yield Caution("Some folders hold the same run", f"It counts once: {pairs(fleet.twice)}.", loud=False)
    if fleet.older:
        yield Caution(
            f"{fleet.older:,} older runs are not on this page",
            "Of each host the newest run is shown.",
            loud=False,
            remedy="isobench report --as trend DIR…",
        )
    for host in fleet.hosts:
        if host.brief is not None and host.brief.warnings:
            warning = places.within(host.brief.warnings[0], host.folder)
            yield Caution(f"The journal of {host.name} is damaged", warning, loud=False)


def _hosts(hosts: Sequence[Host]) -> str:
    if len(hosts) == 1:
        return f"1 host ({short(hosts[0].name, 60)})"
    return f"{len(hosts):,} hosts"


def some(names: Sequence[str], limit: int = 60) -> str:
    """The first few, and how many more."""
    shown = ", ".join(short(name, limit) for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def pairs(twice: Sequence[tuple[Path, Path]]) -> str:
    """Which folders hold the same run."""
    return some([_pair(places.name(first), places.name(again)) for first, again in twice], 400)


def _pair(first: str, again: str) -> str:
    return f"{first}, found twice" if first == again else f"{first} and {again}"


def reason(host: Host) -> str:
    """Why it is not as it should be, without where its folder lies."""
    return places.within(host.reason, host.folder)


def folder(host: Host) -> str:
    """The name of its folder."""
    return places.name(host.folder)

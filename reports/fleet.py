"""Many hosts side by side: the same cell on each of them, set against the host's own bare row.

A host that starts everything in half the time has by no means cheaper isolation: what the floor itself takes
there says how fast the host is, and the ratio to it what isolation costs. Only hosts of one build (kernel,
processor, settings, tools: :func:`isobench.reports.comparability.build`) can stand in for each other. So they
are grouped, and a host is called far off only among its like.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from isobench.reports.brief import Brief, Unread, read, refuse_nothing
from isobench.reports.fleet_heat import heats
from isobench.reports.fleet_values import Fleet, Group, Groups, Host, Normal, Outlier, Place, Spread, State
from isobench.reports.origins import Origin, once
from isobench.reports.stats_runs import median_by_rank

_RATIO_UNITS = frozenset({"second", "byte", "1/second"})
"""Units of figures above 0, of which a ratio to bare means something."""

_FIRST_FACTS = ("cpu.model", "kernel", "os", "machine")
"""What people know builds by."""

_FAR = 3.5
"""Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): the modified z-score beyond which a value
is far from the others."""
_MAD = 0.6745
_LIKE = 8
"""Hosts of one build that it takes to say which of them is far off."""
_OUTLIERS = 50

_UNFINISHED = {"running": "its run was killed", "interrupted": "its run was interrupted"}


def fleet(origins: Sequence[Origin]) -> Fleet:
    """Read the runs of many hosts, one at a time.

    Raises UsageError when not one of them can be read.
    """
    kept, twice = once(origins)
    newest, older = _newest(kept)
    found = [read(one) for one in newest]
    refuse_nothing(found)
    names, renamed = _names(newest)
    briefs = {name: one for name, one in zip(names, found, strict=True) if isinstance(one, Brief)}
    groups, build_of = _groups(briefs)
    hosts = tuple(_host(name, one, build_of.get(name)) for name, one in zip(names, found, strict=True))
    figures = _normal(briefs)
    outliers = sorted(_outliers(figures, build_of), key=lambda one: (-one.distance, one.host))
    return Fleet(
        hosts=hosts,
        groups=groups,
        figures=figures,
        spreads=tuple(_spreads(figures)),
        heats=heats(figures, build_of),
        outliers=tuple(outliers[:_OUTLIERS]),
        outliers_found=len(outliers),
        samples=sum(one.samples for one in briefs.values()),
        runs=len(briefs),
        older=older,
        twice=tuple(twice),
        renamed=renamed,
        first=min((one.started for one in briefs.values()), default=""),
        last=max((one.started for one in briefs.values()), default=""),
    )


def _newest(origins: Iterable[Origin]) -> tuple[list[Origin], int]:
    """Of each host the newest run, in order of the first, and how many others there are.

    Hosts of one name that differ in hardware are two; so are folders that tell no name.
    """
    by_host: dict[tuple[str, ...], Origin] = {}
    total = 0
    for one in origins:
        total += 1
        key = (one.name, *one.hardware) if one.name is not None else ("", str(one.folder))
        before = by_host.get(key)
        if before is None or one.started > before.started:
            by_host[key] = one
    return list(by_host.values()), total - len(by_host)


def _names(origins: Sequence[Origin]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """A name for each that no other has, and which names were claimed by several."""
    wanted = [one.name or one.folder.parent.name or "(no name)" for one in origins]
    claimed = Counter(wanted)
    given: Counter[str] = Counter()
    names: list[str] = []
    renamed: dict[str, tuple[str, ...]] = {}
    for name in wanted:
        given[name] += 1
        own = name if claimed[name] == 1 else f"{name} ({given[name]})"
        names.append(own)
        if claimed[name] > 1:
            renamed[name] = (*renamed.get(name, ()), own)
    return names, renamed


def _host(name: str, found: Brief | Unread, group: int | None) -> Host:
    if isinstance(found, Unread):
        return Host(name, found.folder, State.UNREAD, found.reason, None, None)
    state, reason = _state(found)
    return Host(name, found.folder, state, reason, group, found)


def _state(brief: Brief) -> tuple[State, str]:
    troubles = brief.trouble_text
    if not brief.figures:
        return State.EMPTY, troubles or "nothing was measured"
    if brief.status != "finished":
        return State.UNFINISHED, _UNFINISHED.get(brief.status, brief.status)
    if not any(isolator == brief.bare for _, isolator in brief.figures):
        return State.NO_BARE, troubles or "the floor was not measured, so there is no ratio to it"
    return (State.PARTLY, troubles) if troubles else (State.OK, "")


def _groups(briefs: Mapping[str, Brief]) -> tuple[Groups, dict[str, int]]:
    """The builds, and the number of each host's."""
    build_of = {name: tuple(sorted(one.build.items())) for name, one in briefs.items()}
    hosts = Counter(build_of.values())
    ordered = sorted(hosts, key=lambda build: (-hosts[build], build))
    number = {build: place for place, build in enumerate(ordered, start=1)}
    facts = [dict(build) for build in ordered]
    keys = _differing(facts)
    groups = tuple(
        Group(number[build], hosts[build], tuple(fact.get(key, "not told") for key in keys))
        for build, fact in zip(ordered, facts, strict=True)
    )
    return Groups(keys, groups), {name: number[build] for name, build in build_of.items()}


def _differing(facts: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """What people know builds by and all that differs, in that order."""
    values: dict[str, set[str | None]] = {}
    for key in dict.fromkeys(key for fact in facts for key in fact):
        values[key] = {fact.get(key) for fact in facts}
    first = [key for key in _FIRST_FACTS if key in values]
    return (*first, *(key for key, found in values.items() if len(found) > 1 and key not in _FIRST_FACTS))


def _normal(briefs: Mapping[str, Brief]) -> Normal:
    """The figures of all hosts; where a measure has a bare row above 0 anywhere, as times the host's own.

    A host without that row has no such figure then: it would stand among ratios and be none.
    """
    floors = {
        (name, measure): figure.value
        for name, one in briefs.items()
        for (measure, isolator), figure in one.figures.items()
        if isolator == one.bare and measure.unit in _RATIO_UNITS and figure.value > 0
    }
    measures = {measure for _, measure in floors}
    found: dict[Place, dict[str, float]] = {}
    for name, one in briefs.items():
        for (measure, isolator), figure in one.figures.items():
            floor = floors.get((name, measure))
            if measure not in measures:
                found.setdefault(Place(measure, isolator, "figure"), {})[name] = figure.value
            elif isolator == one.bare:
                found.setdefault(Place(measure, isolator, "floor"), {})[name] = figure.value
            elif floor is not None:
                found.setdefault(Place(measure, isolator, "ratio"), {})[name] = figure.value / floor
    return found


def _spreads(figures: Normal) -> Iterator[Spread]:
    for place, by_host in figures.items():
        values = list(by_host.values())
        tenth, ninetieth = np.quantile(values, [0.1, 0.9])
        least, greatest = (extreme(by_host.items(), key=_value) for extreme in (min, max))
        yield Spread(
            place=place,
            hosts=len(values),
            median=median_by_rank(values),
            tenth=float(tenth),
            ninetieth=float(ninetieth),
            least=(least[1], least[0]),
            greatest=(greatest[1], greatest[0]),
        )


def _value(item: tuple[str, float]) -> float:
    return item[1]


def _outliers(figures: Normal, build_of: Mapping[str, int]) -> Iterator[Outlier]:
    """Hosts whose figure is far from those of their own build."""
    for place, by_host in figures.items():
        alike: dict[int, list[str]] = {}
        for name in by_host:
            alike.setdefault(build_of[name], []).append(name)
        for group, names in alike.items():
            if len(names) >= _LIKE:
                yield from _far_off(place, group, {name: by_host[name] for name in names})


def _far_off(place: Place, group: int, by_host: Mapping[str, float]) -> Iterator[Outlier]:
    values = np.array(list(by_host.values()))
    positive = bool((values > 0).all())
    scale = np.log(values) if positive else values
    middle = np.median(scale)
    spread = np.median(np.abs(scale - middle))
    if spread == 0:
        return
    distances = _MAD * np.abs(scale - middle) / spread
    for name, value, distance in zip(by_host, values.tolist(), distances.tolist(), strict=True):
        if distance > _FAR:
            yield Outlier(name, group, place, value, float(np.median(values)), distance)

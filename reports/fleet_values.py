"""The values a page about many hosts is told with; made by :mod:`isobench.reports.fleet`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from isobench.reports.brief import Brief, Measure
from isobench.reports.stats import Estimate


class State(StrEnum):
    """What became of a host."""

    OK = "ok"
    PARTLY = "partly"
    """Some of its cells failed, timed out or could not be measured."""
    NO_BARE = "no bare row"
    """There is nothing its figures could be set against."""
    UNFINISHED = "not finished"
    """Its run was interrupted or killed: the figures are of what was measured until then."""
    EMPTY = "no figure"
    """Nothing was measured."""
    UNREAD = "no run"
    """It gave no run that can be read."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host, with the newest of its runs."""

    name: str
    """Unique on the page."""
    folder: Path
    state: State
    reason: str
    """Why it is not ok; empty when it is."""
    group: int | None
    """Its build, from 1; None without a run."""
    brief: Brief | None


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts of one build: what moves figures is the same on all of them."""

    number: int
    hosts: int
    facts: tuple[str, ...]
    """Its values of :attr:`Groups.keys`."""


@dataclass(frozen=True, slots=True)
class Groups:
    """All builds, the most frequent first."""

    keys: tuple[str, ...]
    """The facts in which they differ."""
    groups: tuple[Group, ...]


class Place(NamedTuple):
    """A column: one isolator under one measure."""

    measure: Measure
    isolator: str
    kind: Literal["ratio", "floor", "figure"]
    """Its values are times the host's own bare row; they are that row itself, in the unit of the measure; or
    they are figures in that unit, of a measure that has no bare row or no ratio."""


Normal: TypeAlias = Mapping[Place, Mapping[str, float]]
"""The values of a column by host."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One cell over all hosts that have it."""

    place: Place
    hosts: int
    median: Estimate
    tenth: float
    """A tenth of the hosts are below."""
    ninetieth: float
    least: tuple[float, str]
    """With the host it was found on."""
    greatest: tuple[float, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One host under one isolator in a heat map."""

    value: float
    shade: int
    """How far it is from the median host of its column: from -3, far below, to 3, far above."""


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One host in a heat map."""

    host: str
    group: int
    fields: tuple[Field | None, ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """Host by isolator, for one measure."""

    measure: Measure
    places: tuple[Place, ...]
    """Its columns: the floor first."""
    rows: tuple[HeatRow, ...]
    """By build, then from the least to the greatest figures."""
    hosts: int
    """How many have figures; more than there are rows where it was thinned."""
    places_left_out: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """A figure of one host that is far from those of the others."""

    host: str
    group: int
    place: Place
    value: float
    median: float
    """Of the hosts of its build."""
    distance: float
    """In robust standard deviations, of logarithms where all are above 0."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that is told about many hosts."""

    hosts: tuple[Host, ...]
    groups: Groups
    figures: Normal
    spreads: tuple[Spread, ...]
    heats: tuple[Heat, ...]
    outliers: tuple[Outlier, ...]
    outliers_found: int
    """How many there are; the furthest are in ``outliers``."""
    samples: int
    runs: int
    older: int
    """Runs that are not on the page as their hosts have newer ones."""
    twice: tuple[tuple[Path, Path], ...]
    """Folders that hold the same run."""
    renamed: Mapping[str, tuple[str, ...]]
    """A name that several hosts go by → the names they have here."""
    first: str
    last: str
    """When the earliest and the latest run began."""

    @property
    def ok(self) -> tuple[Host, ...]:
        """Hosts without a trouble."""
        return tuple(host for host in self.hosts if host.state is State.OK)

    @property
    def troubled(self) -> tuple[Host, ...]:
        """The others."""
        return tuple(host for host in self.hosts if host.state is not State.OK)

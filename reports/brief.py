"""A run in brief: a figure for each cell and metric, and what its host is; small enough to keep thousands.

Reading is one run at a time: a whole run is in memory only until its brief is made.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from isobench.errors import ResultsError, UsageError
from isobench.model import Status
from isobench.reports import figures
from isobench.reports.comparability import build, told
from isobench.reports.light import LightRun, Series, scan
from isobench.reports.origins import Origin
from isobench.reports.stats import Estimate, Interval


class Measure(NamedTuple):
    """What is measured, whatever isolates it."""

    benchmark: str
    workload: str
    params: str
    """``cpus=0.5, period_us=100000``."""
    metric: str
    unit: str

    @property
    def title(self) -> str:
        """``startup ready``, ``throttling spin cpus=0.5: cpu_share_error``."""
        what = " ".join(filter(None, (self.benchmark, self.workload, self.params)))
        return what if self.metric == self.workload else f"{what}: {self.metric}"


class Figure(NamedTuple):
    """What one cell of one run comes to."""

    value: float
    n: int
    interval: Interval | None = None

    @property
    def estimate(self) -> Estimate:
        """The value with its interval."""
        return Estimate(self.value, self.interval)


Figures: TypeAlias = Mapping[tuple[Measure, str], Figure]
"""By measure and isolator."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Cells of a run that did not end ok, for one reason."""

    status: Status
    cells: int
    reason: str


@dataclass(frozen=True, slots=True)
class Brief:
    """One run."""

    folder: Path
    run_id: str
    started: str
    status: str
    hostname: str
    build: Mapping[str, str]
    """What hosts that can stand in for each other have in common, as text."""
    bare: str | None
    """The isolator that is the floor, as shown."""
    figures: Figures
    troubles: tuple[Trouble, ...]
    """Without what is unsupported by nature."""
    samples: int
    warnings: tuple[str, ...]

    @property
    def trouble_text(self) -> str:
        """``2 cells failed: lxc-start exited with 1``; empty without troubles."""
        return "; ".join(
            f"{one.cells} cell{'' if one.cells == 1 else 's'} {one.status.value}: {one.reason}"
            for one in self.troubles
        )


@dataclass(frozen=True, slots=True)
class Unread:
    """A folder, or a host, that gave no run."""

    folder: Path
    hostname: str | None
    reason: str


def read(origin: Origin) -> Brief | Unread:
    """A run in brief, its figures without intervals.

    One that cannot be read is no error here: among a thousand hosts one always has a damaged disk.
    """
    if origin.lack is not None:
        return Unread(origin.folder, origin.name, origin.lack)
    try:
        return brief(scan(origin.folder))
    except ResultsError as error:
        return Unread(origin.folder, origin.name, str(error))


def brief(run: LightRun, resamples: int | None = None) -> Brief:
    """A run that was read, in brief; with ``resamples`` figures have intervals."""
    record = run.record
    return Brief(
        folder=run.folder,
        run_id=record.run_id,
        started=record.started,
        status=record.status,
        hostname=str(record.host.get("hostname") or "(no name)"),
        build={_same(key): _same(told(value)) for key, value in build(record).items()},
        bare=next((found.shown_as for found in record.isolators if found.kind == "bare"), None),
        figures={
            (measure(series), _same(series.isolator)): _figure(series, resamples)
            for series in run.series.values()
        },
        troubles=tuple(_troubles(run)),
        samples=run.samples,
        warnings=run.warnings,
    )


@cache
def _same(text: str) -> str:
    """One object for equal texts: a thousand hosts say the same."""
    return text


def measure(series: Series) -> Measure:
    """What a series is a measure of."""
    params = ", ".join(f"{key}={value}" for key, value in sorted(series.params.items()))
    return _measure(series.benchmark, series.workload, params, series.metric, series.unit)


@cache
def _measure(*parts: str) -> Measure:
    return Measure(*parts)


def _figure(series: Series, resamples: int | None) -> Figure:
    if resamples is None:
        return Figure(figures.quick(series), len(series.values))
    found = figures.estimate(series, resamples)
    return Figure(found.value, len(series.values), found.interval)


def _troubles(run: LightRun) -> Iterator[Trouble]:
    alike: dict[tuple[Status, str], int] = {}
    for cell in run.cells.values():
        if cell.state.status not in {Status.OK, Status.UNSUPPORTED}:
            key = cell.state.status, cell.state.reason or "no reason was recorded"
            alike[key] = alike.get(key, 0) + 1
    for (status, reason), cells in alike.items():
        yield Trouble(status, cells, reason)


def refuse_nothing(found: Iterable[Brief | Unread]) -> None:
    """Raise UsageError unless at least one run could be read."""
    everything = list(found)
    unread = [one for one in everything if isinstance(one, Unread)]
    if unread and len(unread) == len(everything):
        first = unread[0].reason
        raise UsageError(
            first
            if len(unread) == 1
            else f"none of {len(unread)} folders holds a run that can be read: {first}",
            remedy="name the folders that `isobench run` printed at its end, or a folder they are in",
        )

"""A run in brief: a figure for each cell and metric, and what its host is; small enough to keep thousands.

Reading is one run at a time: a whole run is in memory only until its brief is made.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pydantic_core import from_json

from isobench.errors import ResultsError, UsageError
from isobench.journal import RUN_FILE
from isobench.model import Status
from isobench.reports import figures
from isobench.reports.comparability import build, told
from isobench.reports.light import LightRun, Series, scan
from isobench.reports.stats import Interval

FAILURE_FILE = "failure.json"
"""In place of a run, in the folder of a host that gave none: ``hostname``, ``reason`` and, if known, when it
``started``, as run.json has it. Whoever sends runs to many hosts writes it, so that one that did not answer
is a row with its reason."""

_LAST = "9999"
"""When something began of which that is not told: nothing is newer."""

_DEPTH = 2
"""How far below a folder that is no run itself runs are looked for: ``results/<host>/<run>``."""

_HARDWARE = ("machine", "cpu.model", "cpu.count", "memory_bytes")
"""Facts that no reboot and no upgrade changes: hosts of one name that differ in them are two."""


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
    """A folder that gave no run."""

    folder: Path
    hostname: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Peek:
    """What is known of a folder before its run is read."""

    folder: Path
    hostname: str | None = None
    run_id: str | None = None
    started: str = ""
    hardware: tuple[str, ...] = ()


def find(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The folders with runs: those named, and those below a named one that is none itself, in its order."""
    return tuple(folder for path in paths for folder in (_below(path, _DEPTH) or (path,)))


def _below(path: Path, depth: int) -> list[Path]:
    try:
        if any((path / name).is_file() for name in (RUN_FILE, FAILURE_FILE)):
            return [path]
        inside = sorted(entry for entry in path.iterdir() if entry.is_dir()) if depth else []
    except OSError:  # reading it will say what is the matter
        return []
    return [folder for entry in inside for folder in _below(entry, depth - 1)]


def peek(folder: Path) -> Peek:
    """A look at run.json without judging it; of a folder without a readable one nothing is known."""
    run, failure = (_object(folder / name) for name in (RUN_FILE, FAILURE_FILE))
    if run is not None:
        host = run.get("host")
        facts = host if isinstance(host, dict) else {}
        return Peek(
            folder,
            _text(facts.get("hostname")),
            _text(run.get("run_id")),
            _text(run.get("started")) or "",
            tuple(told(_fact(facts, key)) for key in _HARDWARE),
        )
    if failure is not None:
        return Peek(folder, _text(failure.get("hostname")), None, _text(failure.get("started")) or _LAST)
    return Peek(folder)


def _object(path: Path) -> dict[str, Any] | None:
    try:
        data = from_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def read(folder: Path, resamples: int | None = None) -> Brief | Unread:
    """The run of one folder in brief; with ``resamples`` figures have intervals.

    A folder that cannot be read is no error here: among a thousand hosts one always has a damaged disk.
    """
    try:
        return brief(scan(folder), resamples)
    except ResultsError as error:
        return unread(folder, error)


def unread(folder: Path, error: ResultsError) -> Unread:
    """What is told of a folder that gave no run."""
    return Unread(folder, peek(folder).hostname or folder.parent.name, _failure(folder) or str(error))


def _failure(folder: Path) -> str | None:
    """What the one who sent the run says became of it."""
    return _text((_object(folder / FAILURE_FILE) or {}).get("reason"))


def brief(run: LightRun, resamples: int | None = None) -> Brief:
    """A run that was read, in brief."""
    record = run.record
    return Brief(
        folder=run.folder,
        run_id=record.run_id,
        started=record.started,
        status=record.status,
        hostname=_text(record.host.get("hostname")) or "(no name)",
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


def _fact(host: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - as run.json has it
    group, _, name = key.partition(".")
    found = host.get(group)
    return found.get(name) if name and isinstance(found, Mapping) else found


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


def once(peeks: Iterable[Peek]) -> tuple[list[Peek], list[tuple[Path, Path]]]:
    """Each run once, and the pairs of folders that hold the same: the first one counts."""
    kept: list[Peek] = []
    twice: list[tuple[Path, Path]] = []
    seen: dict[str, Path] = {}
    for one in peeks:
        if one.run_id is not None and one.run_id in seen:
            twice.append((seen[one.run_id], one.folder))
            continue
        if one.run_id is not None:
            seen[one.run_id] = one.folder
        kept.append(one)
    return kept, twice


def refuse_nothing(found: Iterable[Brief | Unread]) -> None:
    """Raise UsageError unless at least one run could be read."""
    everything = list(found)
    unread = [one for one in everything if isinstance(one, Unread)]
    if unread and len(unread) == len(everything):
        first = unread[0]
        raise UsageError(
            f"none of {len(unread)} folders holds a run that can be read; {first.folder}: {first.reason}",
            remedy="name the folders that `isobench run` printed at its end, or a folder they are in",
        )

"""Adding runs to a lake: each once, in any order, as often as one likes.

A run is known again by its id. The same result folder is left alone; one that has grown since (its run was
resumed) takes the place of what was there; a run that differs, or of another host, under the same id is
refused and both are named. Nothing of a folder is changed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from isobench import journal
from isobench.errors import ResultsError
from isobench.reports import lake_file
from isobench.reports.lake import DayFile, Lake, RunFile, moment, run_file

_HASH_CHARS = 32
_AHEAD = timedelta(days=1)
"""A run that began later than that from now has a clock that is off."""


class Outcome(StrEnum):
    """What came of one result folder."""

    ADDED = "added"
    GROWN = "grown"
    """The lake had a shorter form of it, which was replaced."""
    KNOWN = "known"
    """The lake has it already, in this form or in a longer one."""
    EMPTY = "empty"
    """Nothing was measured in it yet."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Added:
    """One result folder and what came of it."""

    folder: Path
    outcome: Outcome
    run: RunFile | None = None
    """None where it was refused."""
    reason: str | None = None
    """Why it was refused."""
    remedy: str | None = None
    warnings: tuple[str, ...] = ()
    """What was odd but bearable, a sentence each."""


def find_runs(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The result folders among the given ones and below them, each once.

    Raises :class:`isobench.errors.ResultsError` for a path without any.
    """
    found: dict[Path, None] = {}
    for path in paths:
        below = [Path(folder) for folder, _, names in os.walk(path) if journal.RUN_FILE in names]
        if not below:
            journal.read_record(path)  # says what is wrong with it
        found |= dict.fromkeys(sorted(below))
    return tuple(found)


def add(lake: Lake, folders: Iterable[Path]) -> Iterator[Added]:
    """Add each result folder and tell what came of it; one that is refused does not stop the others.

    Raises :class:`isobench.errors.OutputError` when the lake cannot be written; what was told before is in it
    all the same.
    """
    with lake.place.held():
        known = _Known(lake)
        for folder in folders:
            try:
                yield _add(known, folder)
            except ResultsError as error:
                yield Added(folder, Outcome.REFUSED, None, str(error), error.remedy)


def _add(known: _Known, folder: Path) -> Added:
    record = journal.read_record(folder)
    run = run_file(record, folder)
    source = _checksum(folder)
    before = known.find(run)
    if before is not None and before.run == run and before.source == source:
        return Added(folder, Outcome.KNOWN, run)
    stored = journal.load(folder)
    if not stored.samples:
        return Added(folder, Outcome.EMPTY, run, warnings=stored.warnings)
    table = lake_file.as_table(stored, source)
    outcome = (
        Outcome.ADDED if before is None else _judge(known.lake, before, run, lake_file.told(table), folder)
    )
    if outcome is not Outcome.KNOWN:
        known.lake.place.write(run.name, lake_file.as_bytes(table))
        known.note(run, source)
    return Added(folder, outcome, run, warnings=(*stored.warnings, *_odd_times(record, folder)))


@dataclass(frozen=True, slots=True)
class _Before:
    """A run that the lake has."""

    run: RunFile
    file: str
    source: str | None
    """None: its file cannot be read."""


class _Known:
    """What the lake has, read as far as it is asked for."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._runs = {run.run_id: RunFile(run.host, run.date, run.run_id) for run in lake.runs()}
        self._sources: dict[str, str] = {}
        self._days = {day.date for day in lake.days()}
        self._of_day: dict[str, dict[str, tuple[str, str]]] = {}

    def find(self, wanted: RunFile) -> _Before | None:
        """The run of that id, whichever host's it is."""
        if (run := self._runs.get(wanted.run_id)) is not None:
            source = self._sources.get(run.run_id) or lake_file.source_of(self.lake, run)
            return _Before(run, run.name, source)
        if wanted.date not in self._days:
            return None
        day = DayFile(wanted.date)
        if wanted.date not in self._of_day:
            self._of_day[wanted.date] = lake_file.sources_of(self.lake, day)
        if (found := self._of_day[wanted.date].get(wanted.run_id)) is None:
            return None
        host, source = found
        return _Before(RunFile(host, wanted.date, wanted.run_id), day.name, source)

    def note(self, run: RunFile, source: str) -> None:
        """A run that was written just now."""
        self._runs[run.run_id] = run
        self._sources[run.run_id] = source


def _judge(
    lake: Lake, before: _Before, run: RunFile, told: tuple[list[dict[str, object]], bool], folder: Path
) -> Outcome:
    """Whether a run that is not just as the lake has it under its id is that run at another time."""
    if before.run != run:
        raise _claimed_twice(lake, before, run, folder)
    if before.source is None:
        return Outcome.ADDED  # its file was torn; this mends it
    (old, old_ended), (new, new_ended) = lake_file.attempts(lake, run, before.file), told
    shared = min(len(old), len(new))
    if old[:shared] != new[:shared]:
        raise _claimed_twice(lake, before, run, folder)
    return Outcome.GROWN if (len(new), new_ended) > (len(old), old_ended) else Outcome.KNOWN


def _claimed_twice(lake: Lake, before: _Before, run: RunFile, folder: Path) -> ResultsError:
    where = f"{lake.place.name}/{before.file}"
    return ResultsError(
        f"{folder}: two runs claim the id {run.run_id}: this one, of {run.host} on {run.date}, and the one "
        f"in the lake, of {before.run.host} on {before.run.date} ({where}); this one was not added",
        remedy=f"if both are runs of their own, give this one another run_id in {folder / journal.RUN_FILE}; "
        f"if the lake has the wrong one: rm {shlex.quote(where)}",
    )


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (journal.RUN_FILE, journal.SAMPLES_FILE):
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise ResultsError(f"{folder / name}: cannot be read: {error.strerror}") from error
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:_HASH_CHARS]


def _odd_times(record: journal.RunRecord, folder: Path) -> Iterator[str]:
    started, finished = moment(record.started), moment(record.finished)
    if started and started > datetime.now(UTC) + _AHEAD:
        yield f"{folder}: its run began at {record.started}, which is yet to come: a clock is off"
    if started and finished and finished < started:
        yield f"{folder}: its run ended at {record.finished} and began at {record.started}: a clock is off"

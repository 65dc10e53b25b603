"""Runs a matrix: probes, then measures block by block into the journal, and goes on where a run broke off.

Nothing that happens in a cell ends the run: it becomes a line with a status and a reason. A run ends early
only for a signal, for results that cannot be written, and for a defect of the engine itself; whatever was
measured until then is in the journal, and :func:`resume` goes on from there.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import randbelow
from typing import Literal

from isobench import roster, sampling, tuning
from isobench.disturbance import Disturbance
from isobench.errors import InternalError, OutputError
from isobench.forecast import Forecast
from isobench.interrupts import Interrupts
from isobench.journal import ABRecord, RunRecord, StoredRun, cell_states, load
from isobench.journal_writer import Journal, claim, new_run_id, now_utc
from isobench.lab import Lab
from isobench.lock import host_lock
from isobench.matrix import Matrix, parse_matrix
from isobench.measuring import Measuring
from isobench.model import Side
from isobench.outcome import Observer, Outcome
from isobench.provenance import check_same, check_same_workloads, new_record
from isobench.resting import Rests
from isobench.schedule import Turn
from isobench.sides import schedule_of, taking_turns
from isobench.workloads import make_ready

__all__ = ["Observer", "Outcome", "confirm", "resume", "run"]

RESULTS = Path("results")
"""Where runs go that are not told where to go, each into a folder of its own."""

_SEEDS = 2**32


def run(
    matrix: Matrix,
    out: Path | None,
    observer: Observer,
    lab: Lab,
    *,
    tune: bool = False,
    ab: ABRecord | None = None,
) -> Outcome:
    """Run a matrix into ``out``, a folder that is new or empty; None: one of its own below ``results/``.

    ``tune``: the safe knobs of the host are set for the run, and put back at its end. ``ab``: it compares two
    sides, of which the matrix is made (:func:`isobench.sides.two_sides`).

    Raises :class:`isobench.errors.LockedError`, :class:`~isobench.errors.OutputError`,
    :class:`~isobench.errors.AgentMissingError`, :class:`~isobench.errors.ImageError` for a workload's root
    file system that cannot be used; KeyboardInterrupt while nothing is measured yet. Later a signal ends in
    an Outcome.
    """
    stopwatch = _Stopwatch(0.0)
    seed = randbelow(_SEEDS) if matrix.seed is None else matrix.seed
    matrix = replace(matrix, seed=seed)
    run_id = new_run_id()
    folder = RESULTS / run_id if out is None else out
    interrupts = Interrupts()
    with (
        host_lock(lab.lock),
        interrupts.handled(),
        claimed(folder),
        tuning.settings(lab.root, tune=tune) as tuned,
        lab.open_site() as site,
    ):
        with interrupts.allowed():
            workloads = make_ready(matrix.used_workloads(), site.cache)
            members = roster.assemble(matrix, site, lab.check)
            record = new_record(matrix, members, lab, site, run_id=run_id, seed=seed, workloads=workloads)
            record = replace(
                record, tuned=None if tuned is None else tuned.settings, ab=_as_shown(ab, members)
            )
        jobs = roster.jobs(matrix, members, site, record.ab)
        record = replace(record, ab=_as_planned(record.ab, jobs.values()))
        with Journal.create(folder, record) as journal:
            rests = Rests(lab.rest(site))
            measuring = Measuring(
                journal, site, matrix.timeout_s, lab.strays, interrupts, rests=rests, workloads=workloads
            )
            disturbance = Disturbance(lab.root)
            return _Run(
                StoredRun(record, ()),
                jobs,
                measuring,
                observer,
                stopwatch,
                tuned=tuned,
                disturbance=disturbance,
            ).go()


def resume(out: Path, observer: Observer, lab: Lab) -> Outcome:
    """Measure what a run has not measured yet, in the order it would have been.

    A (cell, block) that was measured to its end is never measured again, whatever came of it; one that was
    broken off is measured anew as a whole, and its lines stay. A run goes on tuned if it began so.

    Raises, besides what :func:`run` does, :class:`isobench.errors.ResultsError` for a folder that is not a
    run of ours, and :class:`isobench.errors.UsageError` when the host or a tool is not the same any more.
    """
    interrupts = Interrupts()
    with host_lock(lab.lock), interrupts.handled():
        stored = load(out)
        if stored.record.status == "finished":
            return _nothing_to_do(out, stored, observer)
        stopwatch = _Stopwatch(stored.record.wall_s)
        matrix = parse_matrix(stored.record.matrix, str(out))
        before = stored.record.tuned
        with (
            tuning.settings(lab.root, tune=before is not None, before=before or ()) as tuned,
            lab.open_site() as site,
        ):
            check_same(out, stored.record, lab, site)
            with interrupts.allowed():
                workloads = make_ready(matrix.used_workloads(), site.cache)
                check_same_workloads(out, stored.record, workloads)
                members = roster.reassemble(matrix, stored.record.isolators, site, lab.check)
            journal, stored = Journal.reopen(out)
            with journal:
                rests = Rests(lab.rest(site), stored.record.rests)
                measuring = Measuring(
                    journal, site, matrix.timeout_s, lab.strays, interrupts, rests=rests, workloads=workloads
                )
                jobs = roster.jobs(matrix, members, site, stored.record.ab)
                disturbance = Disturbance(lab.root, stored.record.disturbance)
                return _Run(
                    stored, jobs, measuring, observer, stopwatch, tuned=tuned, disturbance=disturbance
                ).go()


def confirm(out: Path, comparisons: tuple[str, ...], observer: Observer, lab: Lab) -> Outcome:
    """The second stage of a run that compares: these comparisons on as many fresh blocks; none: it is over.

    Recorded before anything is measured, so that a run that is broken off goes on with it. Raises as
    :func:`resume`.
    """
    with host_lock(lab.lock):
        journal, stored = Journal.reopen(out)
        if stored.record.ab is None:
            raise InternalError(f"{out}: a second stage of a run that compares nothing")
        with journal:
            ab = replace(stored.record.ab, confirm=comparisons)
            status = "running" if comparisons else stored.record.status
            record = replace(stored.record, ab=ab, status=status)
            journal.write_record(record)
    if not comparisons:
        return Outcome(out, "finished", record, cell_states(stored.samples), 0)
    return resume(out, observer, lab)


def _as_shown(ab: ABRecord | None, members: Sequence[roster.Member]) -> ABRecord | None:
    """With the names that isolators have in the cells."""
    if ab is None or ab.by != "isolator":
        return ab
    shown = {member.entry.name: member.shown_as for member in members}
    return replace(ab, a=shown[ab.a], b=shown[ab.b], control=shown[ab.control])


def _as_planned(ab: ABRecord | None, jobs: Iterable[roster.Job]) -> ABRecord | None:
    """With what is to be measured of each comparison: what is lost of it later is noticed."""
    if ab is None:
        return None
    planned: dict[str, list[Side]] = {}
    for cell in (job.cell for job in jobs):
        if side := ab.side(cell.isolator, cell.workload):
            planned.setdefault(ab.comparison(cell), []).append(side)
    return replace(ab, planned={name: tuple(sides) for name, sides in planned.items()})


class _Stopwatch:
    """Seconds of a run, without its pauses."""

    def __init__(self, before_s: float) -> None:
        self._zero = time.monotonic() - before_s

    def read_s(self) -> float:
        return time.monotonic() - self._zero


class _Run:
    """A run whose journal is open, from its first turn to come to its end."""

    def __init__(
        self,
        stored: StoredRun,
        jobs: Mapping[str, roster.Job],
        measuring: Measuring,
        observer: Observer,
        stopwatch: _Stopwatch,
        *,
        tuned: tuning.Tuned | None,
        disturbance: Disturbance,
    ) -> None:
        self._stored = stored
        self._disturbance = disturbance
        self._tuned = tuned
        self._jobs = jobs
        self._measuring = measuring
        self._observer = observer
        self._stopwatch = stopwatch
        self._blocks = tuple(tuple(self._to_do(turns)) for turns in self._schedule())
        self._turns_left = sum(map(len, self._blocks))

    def go(self) -> Outcome:
        """Measure what is to be measured; a signal ends it early and in order."""
        try:
            self._write("running")
            self._note_lacks()
            self._measure()
        except KeyboardInterrupt:
            return self._end("interrupted")
        except BaseException:
            with suppress(OutputError):
                self._write("interrupted")
            raise
        return self._end("finished")

    def _schedule(self) -> tuple[tuple[Turn, ...], ...]:
        # Cells that cannot be measured have their place in the order too, lest it hang on what a host has.
        cells = [job.cell for job in self._jobs.values()]
        return schedule_of(self._stored.record.ab, cells, self._stored.record.seed)

    def _to_do(self, turns: Iterable[Turn]) -> Iterator[Turn]:
        for turn in turns:
            done = (turn.cell.id, turn.block) in self._stored.done
            if not done and self._jobs[turn.cell.id].lack is None:
                yield turn

    def _note_lacks(self) -> None:
        """One line for each cell that cannot be measured, with reason and remedy; not again in a resume."""
        known = cell_states(self._stored.samples)
        first = {turn.cell.id: turn for turns in self._schedule()[:1] for turn in turns}
        for name, job in self._jobs.items():
            before = known.get(name)
            if job.lack is not None and before is None:
                self._measuring.note(sampling.of_lack(first[name], job.lack))
            elif job.lack is not None and before is not None and before.ok:
                self._measuring.note(sampling.of_loss(first[name], job.lack))
        self._measuring.journal.sync()

    def _measure(self) -> None:
        expected_s = {name: job.expected_s() for name, job in self._jobs.items() if job.lack is None}
        forecast = Forecast(expected_s, (turn.cell.id for turns in self._blocks for turn in turns))
        cells = {turn.cell.id: turn.cell for turns in self._blocks for turn in turns}
        self._observer.planned(tuple(cells.values()), sum(map(bool, self._blocks)), forecast.left_s())
        for turns in filter(None, self._blocks):
            for group in taking_turns(self._stored.record.ab, turns):
                for turn in group:
                    self._observer.cell_started(turn.cell, turn.block, turn.order, forecast.left_s())
                begun = time.monotonic()
                found = self._measuring.measure(group, self._jobs)
                each_s = (time.monotonic() - begun) / len(group)
                for turn, samples in zip(group, found, strict=True):
                    self._turns_left -= 1
                    forecast.took(turn.cell.id, each_s)
                    self._observer.cell_finished(turn.cell, samples)
            self._measuring.journal.sync()
            self._write("running")

    def _write(self, status: Literal["running", "interrupted", "finished"]) -> RunRecord:
        """Replace run.json by how things stand."""
        record = replace(
            self._stored.record,
            status=status,
            finished=None if status == "running" else now_utc(),
            wall_s=self._stopwatch.read_s(),
            timed_s=self._stored.record.timed_s + self._measuring.timed_s,
            tuned=None if self._tuned is None else self._tuned.now(),
            rests=self._measuring.rests.record,
            disturbance=self._disturbance.record(),
        )
        self._measuring.journal.write_record(record)
        return record

    def _end(self, status: Literal["interrupted", "finished"]) -> Outcome:
        self._measuring.journal.sync()
        outcome = Outcome(
            folder=self._measuring.journal.folder,
            status=status,
            record=self._write(status),
            cells=cell_states((*self._stored.samples, *self._measuring.samples)),
            turns_left=self._turns_left,
        )
        self._observer.finished(outcome)
        return outcome


def _nothing_to_do(out: Path, stored: StoredRun, observer: Observer) -> Outcome:
    outcome = Outcome(out, "nothing to do", stored.record, cell_states(stored.samples), 0)
    observer.finished(outcome)
    return outcome


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """A folder for the results; removed again if the run never came to write into it."""
    existed = os.path.lexists(folder)  # says False where it cannot look: claim() tells why
    claim(folder)
    try:
        yield
    finally:
        if not existed:
            with suppress(OSError):  # not empty: the usual case
                folder.rmdir()

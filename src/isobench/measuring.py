"""Measuring one cell in one block: what the benchmark says goes into the journal at once, errors too."""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import cycle, permutations
from typing import TypeVar

from isobench import sampling
from isobench.benchmarks.contract import Context
from isobench.interrupts import Interrupts
from isobench.isolators.contract import Site
from isobench.journal_writer import Journal
from isobench.model import Reading, Sample
from isobench.resting import Rests
from isobench.roster import Job
from isobench.schedule import Turn
from isobench.workloads import Workload

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Measuring:
    """Measures turns on one site into one journal."""

    def __init__(
        self,
        journal: Journal,
        site: Site,
        timeout_s: float,
        strays: Callable[[Site], Sequence[object]],
        interrupts: Interrupts,
        *,
        rests: Rests,
        workloads: Mapping[str, Workload],
    ) -> None:
        self.samples: list[Sample] = []
        """Everything written to the journal, of broken-off turns too."""
        self.timed_s = 0.0
        """Seconds inside timed sections."""
        self.journal = journal
        self.rests = rests
        """The waits before the turns."""
        self._site = site
        self._timeout_s = timeout_s
        self._strays = strays
        self._interrupts = interrupts
        self._workloads = {name: workload.bundle for name, workload in workloads.items()}
        # What probing has left behind is no cell's fault.
        self._known_strays = {str(stray) for stray in strays(site)}

    def note(self, sample: Sample) -> None:
        """Write one line."""
        self.journal.append(sample)
        self.samples.append(sample)

    def measure(self, turns: Sequence[Turn], jobs: Mapping[str, Job]) -> tuple[tuple[Sample, ...], ...]:
        """Measure turns to their end, an attempt of each in turn, and note that they are done.

        Returns the samples of each. ``jobs`` are found by the name of the cell. Raises KeyboardInterrupt
        when a signal broke them off, and :class:`isobench.errors.OutputError`. What the isolators have
        prepared is gone in either case: the benchmarks are closed before this returns.
        """
        with self._interrupts.allowed():
            self.rests.take()
        found: tuple[list[Sample], ...] = tuple([] for _ in turns)
        with ExitStack() as stack:
            attempts = [
                stack.enter_context(closing(self._attempts(turn, jobs[turn.cell.id]))) for turn in turns
            ]
            for at, line in in_rounds(attempts):
                self.note(line)
                found[at].append(line)
        strays = self._new_strays()
        for turn, samples in zip(turns, found, strict=True):
            silent = () if samples else (sampling.of_silence(turn),)
            # Whose they are cannot be told where several took turns.
            for line in (*silent, *(sampling.of_residue(turn, stray) for stray in strays)):
                self.note(line)
                samples.append(line)
            self.journal.pair_done(turn.cell.id, turn.block)
        return tuple(map(tuple, found))

    def _attempts(self, turn: Turn, job: Job) -> Generator[Sample, None, None]:
        readings = self._readings(turn, job)
        try:
            while True:
                try:
                    reading = self._next(readings)
                except Exception as error:  # a cell that breaks is a line of the journal, not the run's end
                    if self._interrupts.delivered:  # its clean-up broke on the way out
                        raise KeyboardInterrupt from error
                    _LOG.debug("%s, block %d", turn.cell.id, turn.block, exc_info=True)
                    yield sampling.of_error(turn, error)
                    return
                if reading is None:
                    return
                self.timed_s += reading.timed_s
                yield sampling.of_reading(turn, reading)
        finally:
            self._close(readings, turn)

    @staticmethod
    def _close(readings: Generator[Reading, None, None], turn: Turn) -> None:
        """End a benchmark that was left early: its own trouble must not take the place of why it was left."""
        try:
            readings.close()
        except Exception:  # noqa: BLE001 - another package's benchmark may raise anything
            _LOG.exception("%s, block %d: its clean-up broke", turn.cell.id, turn.block)

    def _readings(self, turn: Turn, job: Job) -> Generator[Reading, None, None]:
        context = Context(job.site, job.params, turn.block, self._timeout_s, self._workloads)
        yield from job.benchmark.measure(job.cell, job.isolator, context)

    def _next(self, readings: Iterator[Reading]) -> Reading | None:
        with self._interrupts.allowed():
            return next(readings, None)

    def _new_strays(self) -> tuple[str, ...]:
        """What has been left behind since the last look; of the rest the cell in hand is innocent."""
        found = {str(stray): None for stray in self._strays(self._site)}
        fresh = tuple(stray for stray in found if stray not in self._known_strays)
        self._known_strays.update(fresh)
        return fresh


def in_rounds(streams: Sequence[Iterator[T]]) -> Iterator[tuple[int, T]]:
    """The next thing of each stream in every round, with the stream's index, until all are over.

    Rounds go through all orders, over and over: each stream is as often first, second and last, and within
    rounds as often right after each of the others (a design balanced for what one leaves to the next:
    Williams, Australian Journal of Scientific Research A 2 (1949), 149-168).
    """
    over: set[int] = set()
    for order in cycle(permutations(range(len(streams)))):
        for at in order:
            if at in over:
                continue
            try:
                yield at, next(streams[at])
            except StopIteration:
                over.add(at)
        if len(over) == len(streams):
            return

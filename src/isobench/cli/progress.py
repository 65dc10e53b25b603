"""How a run is shown while it goes on: a bar on a terminal, plain lines elsewhere; on standard error.

Nothing of this may run while something is timed: there is no refresh thread, and all drawing happens in the
calls of the engine, which come between the timed sections. So the bar stands still while a cell is measured.

Showing must not end a run either: a terminal that was closed is no reason to lose what is being measured.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from isobench.cli.output import printable
from isobench.model import Cell, Sample, Status
from isobench.outcome import Observer, Outcome
from isobench.reports.units import quantity

Done = frozenset[tuple[str, int]]
"""The (cell id, block) measured before, in a run that is resumed."""

_LINE_EVERY_S = 1.0
"""Plain lines about cells that are fine come no faster than this; a log is for reading."""

_BAR_CHARS = 20
_MARGIN_CHARS = 9
"""Three gaps between the columns, and room for the ``^C^C`` that a terminal writes at the end of the line:
were it folded, the bar could not be wiped off."""


@contextmanager
def shown(console: Console, done: Done = frozenset()) -> Iterator[Observer]:
    """An observer that shows a run on that console; the terminal is as before when the body ends."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(console, done)
        return
    bar = Bar(console, done)
    try:
        yield bar
    finally:
        bar.close()


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``2 h 5 min``: as exact as a forecast deserves."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def told(samples: Sequence[Sample]) -> str:
    """What came of a cell in one block: the median of each metric, or the first thing that went wrong."""
    wrong = next((sample for sample in samples if sample.status is not Status.OK), None)
    if wrong is not None:
        return printable(f"{wrong.status}: {wrong.reason}")
    values: dict[tuple[str, str], list[float]] = {}
    for sample in samples:
        if sample.value is not None:
            values.setdefault((sample.metric, sample.unit), []).append(sample.value)
    return ", ".join(
        f"{metric} {quantity(statistics.median(found), unit)}" for (metric, unit), found in values.items()
    )


def plan(cells: Sequence[Cell], blocks: int, expected_s: float) -> str:
    """One line about what is to come."""
    isolators = len({cell.isolator for cell in cells})
    return (
        f"{_count(len(cells), 'cell')} of {_count(isolators, 'isolator')} in {_count(blocks, 'block')}, "
        f"about {duration(expected_s)}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _turns(cells: Sequence[Cell], done: Done) -> int:
    """How often a cell is still to be measured, over all cells and blocks."""
    before = Counter(cell for cell, _ in done)
    return sum(cell.blocks - before[cell.id] for cell in cells)


class Lines:
    """Plain lines, for logs and pipes: the plan, then how cells came out, one line each."""

    def __init__(self, console: Console, done: Done, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._done = done
        self._now = now
        self._turn = 0
        self._turns = 0
        self._left_s = 0.0
        self._silent_until = 0.0
        self._print("trying every isolator once")

    def planned(self, cells: Sequence[Cell], blocks: int, expected_s: float) -> None:
        self._turns = _turns(cells, self._done)
        self._print(plan(cells, blocks, expected_s))

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        self._left_s = left_s

    def cell_finished(self, cell: Cell, samples: Sequence[Sample]) -> None:
        self._turn += 1
        fine = all(sample.status is Status.OK for sample in samples)
        if fine and self._now() < self._silent_until and self._turn < self._turns:
            return
        self._silent_until = self._now() + _LINE_EVERY_S
        self._print(f"{self._turn}/{self._turns} {cell.id}: {told(samples)}")

    def finished(self, outcome: Outcome) -> None:
        """The command says how it ended."""

    def _print(self, line: str) -> None:
        with suppress(OSError):
            self._console.print(line, soft_wrap=True)
            self._console.file.flush()


class Bar:
    """A bar with the cell in hand and the time left; what goes wrong stays on the screen above it."""

    def __init__(self, console: Console, done: Done, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._done = done
        self._now = now
        self._begun = 0.0
        self._turn = 0
        self._turns = 0
        self._progress = Progress(
            BarColumn(bar_width=_BAR_CHARS),
            TextColumn("{task.fields[place]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", style="bold"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("trying every isolator once", total=None, place="", left="")
        with suppress(OSError):
            self._progress.start()
            self._progress.refresh()

    def planned(self, cells: Sequence[Cell], blocks: int, expected_s: float) -> None:
        self._turns = _turns(cells, self._done)
        self._begun = self._now()
        self._above(Text(plan(cells, blocks, expected_s)))

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        self._turn += 1
        passed = self._now() - self._begun
        # By time, not by cells: a cell of a virtual machine takes a hundred times as long as the bare one.
        place = f"{self._turn}/{self._turns}"
        left = f"{duration(left_s)} left"
        room = max(1, self._console.width - _BAR_CHARS - len(place) - len(left) - _MARGIN_CHARS)
        with suppress(OSError):
            self._progress.update(
                self._task,
                description=cell.id if len(cell.id) <= room else f"{cell.id[: room - 1]}…",
                completed=passed,
                total=max(passed + left_s, 0.001),
                place=place,
                left=left,
            )
            self._progress.refresh()

    def cell_finished(self, cell: Cell, samples: Sequence[Sample]) -> None:
        if any(sample.status is not Status.OK for sample in samples):
            self._above(Text(f"{cell.id}: ", style="yellow") + told(samples))

    def finished(self, outcome: Outcome) -> None:
        """The command says how it ended."""

    def close(self) -> None:
        """Take the bar off the screen."""
        with suppress(OSError):
            self._progress.stop()

    def _above(self, line: Text) -> None:
        with suppress(OSError):
            self._progress.console.print(line)
            self._progress.refresh()

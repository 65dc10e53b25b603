"""What a run tells: its course, to an observer, and its end."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from isobench.journal import CellState, RunRecord
from isobench.model import Cell, Sample, Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    folder: Path
    status: Literal["finished", "interrupted", "nothing to do"]
    record: RunRecord
    cells: Mapping[str, CellState]
    """How each cell ended, by its id; those never reached are not in it."""
    turns_left: int
    """How many (cell, block) are still to be measured."""

    @property
    def resume_command(self) -> str | None:
        """What finishes an interrupted run."""
        if self.status != "interrupted":
            return None
        return shlex.join(("isobench", "resume", str(self.folder)))

    @property
    def exit_code(self) -> int:
        """4 when cells failed, timed out or are missing; 3 when this host could measure none; else 0.

        A cell that is unavailable or unsupported fails no run: what a host lacks is known before.
        """
        ends = {state.status for state in self.cells.values()}
        if self.turns_left or ends & {Status.FAILED, Status.TIMEOUT}:
            return 4
        return 0 if Status.OK in ends else 3


class Observer(Protocol):
    """Whoever shows how a run goes on. Called between the timed sections, never within one."""

    def planned(self, cells: Sequence[Cell], blocks: int, expected_s: float) -> None:
        """The probing is over; these cells will be measured."""

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        """A cell is about to be measured; the whole run has about ``left_s`` seconds to go."""

    def cell_finished(self, cell: Cell, samples: Sequence[Sample]) -> None:
        """What came of it, in one block."""

    def finished(self, outcome: Outcome) -> None:
        """The run has ended, early or not."""

"""A matrix of two sides: A, B, and A once more as control, of every cell that is compared.

docs/gate.md says what becomes of what such a run measures.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol, TypeVar

from isobench.benchmarks.registry import AUDITS
from isobench.errors import UsageError
from isobench.journal import AGAIN, CONTROL, ABRecord
from isobench.model import Cell
from isobench.plan import BenchmarkEntry, Matrix
from isobench.plugins import did_you_mean
from isobench.schedule import Turn, schedule

MIN_BLOCKS = 12
"""Of a comparison. With fewer, an exact test of ranks can hardly be sure of anything after a correction."""
STANDARD_BLOCKS = 20
"""Of a comparison that nothing else is asked of."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_EntryT = TypeVar("_EntryT", bound=_Named)


@dataclass(frozen=True, slots=True)
class Sides:
    """What ``isobench ab`` was asked to compare."""

    a: str
    b: str
    """The same as ``a``: a comparison of something with itself."""
    blocks: int
    starts: int | None = None
    """Starts a side and block, where the benchmark has such; None: as the matrix has it."""


def two_sides(matrix: Matrix, sides: Sides) -> tuple[Matrix, ABRecord]:
    """The matrix in which A, B and the control are all there is, and the record of it.

    The names are those of isolators, or else of the user's workloads.

    Raises :class:`isobench.errors.UsageError` for a name that is neither, and for too few blocks.
    """
    if sides.blocks < MIN_BLOCKS:
        raise UsageError(
            f"{sides.blocks} blocks are too few for a comparison; allowed: {MIN_BLOCKS} at least",
            remedy=f"--blocks {MIN_BLOCKS}",
        )
    isolators = [entry.name for entry in matrix.isolators]
    workloads = [entry.name for entry in matrix.workloads]
    by_isolator = sides.a in isolators and sides.b in isolators
    if not by_isolator and not (sides.a in workloads and sides.b in workloads):
        raise _no_sides(sides, isolators, workloads)
    _check_free(sides, workloads if not by_isolator else isolators)
    record = ABRecord(
        by="isolator" if by_isolator else "workload",
        a=sides.a,
        b=sides.b if sides.b != sides.a else f"{sides.a}{AGAIN}",
        control=f"{sides.a}{CONTROL}",
        blocks=sides.blocks,
        starts=sides.starts,
        in_turns=tuple(entry.name for entry in matrix.benchmarks if entry.create().in_turns),
    )
    names = (record.a, record.b, record.control)
    benchmarks = tuple(_repeated(entry, sides, names, record) for entry in matrix.benchmarks)
    chosen = replace(matrix, benchmarks=benchmarks, blocks=sides.blocks)
    if by_isolator:
        return replace(chosen, isolators=_tripled(matrix.isolators, record)), record
    return replace(chosen, workloads=_tripled(matrix.workloads, record)), record


def schedule_of(record: ABRecord | None, cells: Sequence[Cell], seed: int) -> tuple[tuple[Turn, ...], ...]:
    """The blocks of a run: of one that compares, its sides side by side, and what is measured once more.

    The second stage stands behind the first, with an order of its own.
    """
    if record is None:
        return schedule(cells, seed)

    def together(cell: Cell) -> str:
        return _comparison(record, cell) or cell.id

    first = schedule(cells, seed, together=together)
    again = [cell for cell in cells if together(cell) in (record.confirm or ())]
    return (*first, *schedule(again, seed + 1, together=together, after=first))


def taking_turns(record: ABRecord | None, block: Iterable[Turn]) -> Iterator[tuple[Turn, ...]]:
    """The turns of a block in their order, those together that are measured an attempt of each in turn."""

    def together(turn: Turn) -> str:
        compared = record and turn.cell.benchmark in record.in_turns and _comparison(record, turn.cell)
        return compared or turn.cell.id

    for _, turns in groupby(block, together):
        yield tuple(turns)


def _comparison(record: ABRecord, cell: Cell) -> str | None:
    """The name of the one it is a side of."""
    return record.comparison(cell) if record.side(cell.isolator, cell.workload) else None


def _tripled(entries: Sequence[_EntryT], record: ABRecord) -> tuple[_EntryT, ...]:
    by_name = {entry.name: entry for entry in entries}
    a = by_name[record.a]
    return (
        a,
        by_name.get(record.b) or replace(a, name=record.b),  # type: ignore[type-var]  # all are dataclasses
        replace(a, name=record.control),  # type: ignore[type-var]
    )


def _repeated(
    entry: BenchmarkEntry, sides: Sides, names: tuple[str, ...], record: ABRecord
) -> BenchmarkEntry:
    """The benchmark with so many starts in each of the blocks; of workloads, those that are the sides.

    What the instrument costs is no side's, and is measured as often as in any run.
    """
    if entry.name in AUDITS:
        return entry
    params = entry.create().repeated(entry.params, sides.starts, sides.blocks)
    if record.by == "workload" and hasattr(params, "workloads"):
        params = params.model_copy(update={"workloads": names})
    return replace(entry, params=params)


def _check_free(sides: Sides, names: Sequence[str]) -> None:
    """The names that A gets once more must be nobody else's."""
    for name in (f"{sides.a}{CONTROL}", f"{sides.a}{AGAIN}"):
        if name in names:
            raise UsageError(
                f'"{name}" in this matrix has the name that "{sides.a}" gets where it is measured once more',
                remedy=f'another name for "{name}"',
            )


def _no_sides(sides: Sides, isolators: Sequence[str], workloads: Sequence[str]) -> UsageError:
    known = (*isolators, *workloads)
    for name in (sides.a, sides.b):
        if name not in known:
            return UsageError(
                f'no isolator or workload "{name}" in this matrix{did_you_mean(name, known)}; '
                f"allowed: {', '.join(known)}"
            )
    return UsageError(
        f'"{sides.a}" and "{sides.b}" cannot be compared: one is an isolator of this matrix, the other a '
        "workload"
    )

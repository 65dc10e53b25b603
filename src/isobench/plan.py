"""What a run measures: the value that a matrix.toml, the built-in matrix and run.json all turn into.

:mod:`isobench.matrix` reads and checks the file.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from isobench.benchmarks.contract import HOST, Benchmark, Params
from isobench.benchmarks.registry import AUDITS
from isobench.benchmarks.registry import REGISTRY as BENCHMARKS
from isobench.errors import UsageError
from isobench.isolators.contract import Isolator, Options
from isobench.isolators.registry import REGISTRY as ISOLATORS
from isobench.model import Cell
from isobench.plugins import did_you_mean
from isobench.workloads import WorkloadEntry


@dataclass(frozen=True, slots=True)
class IsolatorEntry:
    """One ``[[isolator]]`` table. Two entries of one kind with other options are two isolators."""

    name: str
    kind: str
    options: Options
    agent: str | None = None
    """Path of a build of the agent of its own; None: that of the run."""

    def create(self) -> Isolator[Any]:
        """The isolator it describes."""
        return ISOLATORS.load(self.kind)(self.name, self.options)


THE_HOST = IsolatorEntry(HOST, "bare", Options())
"""Stands where an isolator would, for benchmarks whose subject is the host."""


@dataclass(frozen=True, slots=True)
class BenchmarkEntry:
    """One benchmark and the parameters of its table."""

    name: str
    params: Params

    def create(self) -> Benchmark[Any]:
        """The benchmark it describes."""
        return BENCHMARKS.load(self.name)()


@dataclass(frozen=True, slots=True)
class Matrix:
    """A checked matrix."""

    isolators: tuple[IsolatorEntry, ...]
    benchmarks: tuple[BenchmarkEntry, ...]
    blocks: int
    timeout_s: float
    """Seconds after which one start is given up."""
    seed: int | None = None
    """None: the run draws one and records it."""
    workloads: tuple[WorkloadEntry, ...] = ()
    """The user's own."""

    def to_dict(self) -> dict[str, Any]:
        """The matrix in the shape of matrix.toml, defaults filled in; the way back is ``parse_matrix``."""
        run: dict[str, Any] = {
            "blocks": self.blocks,
            "timeout_s": self.timeout_s,
            "benchmarks": [benchmark.name for benchmark in self.benchmarks],
            "audit": any(benchmark.name in AUDITS for benchmark in self.benchmarks),
        }
        if self.seed is not None:
            run["seed"] = self.seed
        isolators = [
            {
                "kind": entry.kind,
                "name": entry.name,
                **({"agent": entry.agent} if entry.agent else {}),
                **_plain(entry.options),
            }
            for entry in self.isolators
        ]
        tables = {benchmark.name: _plain(benchmark.params) for benchmark in self.benchmarks}
        own = {"workload": [entry.to_dict() for entry in self.workloads]} if self.workloads else {}
        return {"run": run, "isolator": isolators, **own, **tables}

    def used_workloads(self) -> tuple[WorkloadEntry, ...]:
        """Those of the user's own that a cell is about."""
        named = {cell.workload for _, _, cells in self.cells() for cell in cells}
        return tuple(entry for entry in self.workloads if entry.name in named)

    def cells(self) -> Iterator[tuple[IsolatorEntry, BenchmarkEntry, tuple[Cell, ...]]]:
        """Every isolator, and last the host, with its benchmarks and their cells, measurable here or not.

        Where an isolator cannot have the benchmark at all, the cells are what would have been measured.
        """
        for isolator in (*self.isolators, THE_HOST):
            capabilities = isolator.create().capabilities
            for benchmark in self.benchmarks:
                if (benchmark.create().subject == "host") != (isolator is THE_HOST):
                    continue
                params = benchmark.params
                blocks = min(self.blocks, params.blocks or self.blocks)
                cells = benchmark.create().cells(isolator.name, capabilities, params, blocks)
                yield isolator, benchmark, cells


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What one isolator (or the host) has before it in one benchmark."""

    isolator: str
    benchmark: str
    cells: int
    turns: int
    """Cells times the blocks each of them is measured in."""
    expected_s: float
    """As the benchmark guesses it for a usual host."""


def plan_lines(matrix: Matrix) -> tuple[PlanLine, ...]:
    """What a run of the matrix would do where everything can be measured; what never can be is left out."""
    return tuple(
        PlanLine(
            isolator.name,
            table.name,
            len(cells),
            sum(cell.blocks for cell in cells),
            sum(cell.blocks * benchmark.expected_s(cell, capabilities, table.params) for cell in cells),
        )
        for isolator, table, cells in matrix.cells()
        if cells
        and not (benchmark := table.create()).unsupported(capabilities := isolator.create().capabilities)
    )


def narrow(matrix: Matrix, isolators: Sequence[str] = (), benchmarks: Sequence[str] = ()) -> Matrix:
    """The part of a matrix with these isolators and benchmarks, by name; none given: all of them.

    What the instrument costs stays in it wherever something is measured.

    Raises :class:`isobench.errors.UsageError` for a name that is not in the matrix.
    """
    _check_names("isolator", isolators, [entry.name for entry in matrix.isolators])
    _check_names("benchmark", benchmarks, [entry.name for entry in matrix.benchmarks])
    kept = set(benchmarks or (entry.name for entry in matrix.benchmarks))
    if any(entry.name in kept and entry.create().audited for entry in matrix.benchmarks):
        kept.update(AUDITS)
    return replace(
        matrix,
        isolators=tuple(entry for entry in matrix.isolators if not isolators or entry.name in isolators),
        benchmarks=tuple(entry for entry in matrix.benchmarks if entry.name in kept),
    )


def _check_names(sort: str, asked: Sequence[str], allowed: Sequence[str]) -> None:
    for name in asked:
        if name not in allowed:
            hint = did_you_mean(name, allowed)
            raise UsageError(f'no {sort} "{name}" in this matrix{hint}; allowed: {", ".join(allowed)}')


def _plain(model: Options | Params) -> dict[str, Any]:
    """A table as TOML could hold it: no null, and paths and enumerations as strings."""
    return dict(json.loads(model.model_dump_json(exclude_none=True)))

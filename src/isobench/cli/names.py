"""Completion of names and paths; asked by the shell, never by a command.

A completion that fails would print a traceback into the line being typed, so what cannot be found out is
just not offered.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isobench.errors import IsobenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from isobench.matrix import Matrix


def isolators(context: typer.Context, incomplete: str) -> list[str]:
    """The isolators of the matrix on the command line, or of the built-in one."""
    from isobench.isolators.registry import DEFAULT

    matrix = _matrix(context)
    names = DEFAULT if matrix is None else [entry.name for entry in matrix.isolators]
    return _beginning(incomplete, names)


def benchmarks(context: typer.Context, incomplete: str) -> list[str]:
    """The benchmarks of the matrix on the command line, or of the built-in one."""
    from isobench.benchmarks.registry import DEFAULT

    matrix = _matrix(context)
    names = DEFAULT if matrix is None else [entry.name for entry in matrix.benchmarks]
    return _beginning(incomplete, names)


def export_formats(incomplete: str) -> list[str]:
    """The formats of ``isobench export``."""
    from isobench.reports.exports import FORMATS

    return _beginning(incomplete, FORMATS)


def sides(context: typer.Context, incomplete: str) -> list[str]:
    """What a comparison can be about: the isolators of the matrix, and its workloads."""
    matrix = _matrix(context)
    workloads = [] if matrix is None else [entry.name for entry in matrix.workloads]
    return [*isolators(context, incomplete), *_beginning(incomplete, workloads)]


def matrix_files(incomplete: str) -> list[str]:
    """TOML files, and folders on the way to them."""
    return _paths(incomplete, lambda path: path.suffix == ".toml" and path.is_file())


def result_folders(incomplete: str) -> list[str]:
    """Folders with a run in them, and folders on the way to them."""
    return _paths(incomplete, lambda path: (path / "run.json").is_file())


def lake_cells(context: typer.Context, incomplete: str) -> list[str]:
    """The cells of the newest runs in the lake on the command line."""
    from isobench.reports.lake import open_lake
    from isobench.reports.lake_read import newest_cells

    with suppress(IsobenchError):
        return _beginning(incomplete, newest_cells(open_lake(context.params.get("lake") or "lake")))
    return []


def baselines(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the baselines in the store on the command line, or in the usual one."""
    store = Path(context.params.get("store") or "baselines")
    found: set[str] = set()
    with suppress(OSError):
        found = {path.stem.partition("-")[2] for path in store.glob("*-*.json")}  # <digest>-<name>.json
    return _beginning(incomplete, sorted(found))


def _matrix(context: typer.Context) -> Matrix | None:
    # While completing, arguments are not yet told apart: they are the words that are no options.
    given = next((word for word in context.args if word.endswith(".toml")), None)
    if given is None:
        return None
    from isobench.matrix import read_matrix

    with suppress(IsobenchError):
        return read_matrix(Path(given))
    return None


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    head, _, tail = incomplete.rpartition("/")
    folder = f"{head}/" if "/" in incomplete else ""
    offered = []
    with suppress(OSError):
        for path in sorted(Path(folder or ".").iterdir()):
            if not path.name.startswith(tail) or (path.name.startswith(".") and not tail):
                continue
            if wanted(path):
                offered.append(f"{folder}{path.name}")
            elif path.is_dir():
                offered.append(f"{folder}{path.name}/")
    return offered

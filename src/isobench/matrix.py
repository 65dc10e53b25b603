"""Reading and checking matrix.toml, and the matrix that stands in where there is no file."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from isobench.benchmarks.contract import HOST, Params
from isobench.benchmarks.registry import AUDITS
from isobench.benchmarks.registry import DEFAULT as DEFAULT_BENCHMARKS
from isobench.benchmarks.registry import REGISTRY as BENCHMARKS
from isobench.errors import MatrixError, UsageError
from isobench.isolators.registry import DEFAULT as DEFAULT_ISOLATORS
from isobench.isolators.registry import REGISTRY as ISOLATORS
from isobench.mistakes import Mistakes, parse_toml, show
from isobench.plan import BenchmarkEntry, IsolatorEntry, Matrix, narrow
from isobench.plugins import Registry
from isobench.workloads import WorkloadEntry, fit_for_a_path, read_entry

__all__ = [
    "BenchmarkEntry",
    "IsolatorEntry",
    "Matrix",
    "builtin_matrix",
    "narrow",
    "parse_matrix",
    "read_matrix",
]

T = TypeVar("T")

_OWN_TABLES = ("run", "isolator", "workload")

FULL: Mapping[str, Any] = {
    "run": {"blocks": 10},
    "startup": {"starts": 100, "starts_vm": 20},
    "memory": {"blocks": 5},
    # One search is a dozen starts, and confirms its answer itself.
    "memory-floor": {"blocks": 1},
    "throttling": {"blocks": 5},
    # A window of two seconds for each slow cell; one of 20 s for each of a virtual machine.
    "startup-concurrency": {"blocks": 3},
    # A second and a half for each limit.
    "limits": {"blocks": 3},
    "accounting": {"blocks": 5},
    "freeze": {"blocks": 5},
    "weights": {"blocks": 3},
}
"""The built-in matrix: enough starts for a 99th percentile, enough blocks for an honest interval of all."""

QUICK: Mapping[str, Any] = {
    # The others take minutes with emulated guests: isobench run --plan
    "run": {"blocks": 5, "benchmarks": ["startup", "memory", "throttling", "teardown", "primitives"]},
    # Eight emulated guests would take a third of the whole.
    "memory": {"blocks": 2, "instances_vm": [1, 2, 4]},
    "throttling": {"blocks": 2},
    "teardown": {"blocks": 1, "how": ["kill"], "instances": 5, "instances_vm": 1},
    "primitives": {"blocks": 1},
}
"""Its short form, for a first look: under three minutes with a guest under software emulation."""


class RunTable(BaseModel):
    """The table ``[run]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blocks: int = Field(default=10, ge=1, le=10_000)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    timeout_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    benchmarks: tuple[str, ...] = Field(default=DEFAULT_BENCHMARKS, min_length=1)
    audit: bool = True
    """Measure what the instrument itself costs as well, in every run that measures something."""


def _fit_for_a_path(name: str) -> str:
    """It becomes part of the names of cells, directories and cgroups."""
    fit_for_a_path(name)
    if name == HOST:
        raise ValueError(f"{HOST} stands for the host itself in the names of cells")
    return name


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


class IsolatorHead(BaseModel):
    """The keys of an ``[[isolator]]`` table that every kind has."""

    model_config = ConfigDict(frozen=True)

    kind: str
    name: Annotated[str, AfterValidator(_fit_for_a_path)] | None = None
    """Default: the kind."""
    agent: Annotated[str, AfterValidator(_absolute)] | None = None
    """Another build of the agent, which starts this isolator's instances and is in their root file system."""


def builtin_matrix(*, quick: bool) -> Matrix:
    """All built-in isolators with all built-in benchmarks; what this host lacks is said when it is run."""
    return parse_matrix(QUICK if quick else FULL, "the built-in matrix")


def read_matrix(path: Path) -> Matrix:
    """The matrix in a file.

    Raises :class:`isobench.errors.MatrixError` with one line a mistake.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MatrixError(f"{path}: the matrix cannot be read: {error.strerror}") from error
    return parse_matrix(parse_toml(text, str(path)), str(path), path.parent)


def parse_matrix(tables: Mapping[str, Any], source: str, folder: Path = Path()) -> Matrix:
    """The matrix in tables of the shape of matrix.toml.

    ``source`` names them in messages; from ``folder`` the root file systems of workloads are looked for.
    """
    mistakes = Mistakes(source)
    table = tables.get("run", {})
    run = mistakes.checked("[run]", RunTable, table) or _what_can_be_used(table)
    isolators = _isolators(mistakes, tables.get("isolator"))
    workloads = _workloads(mistakes, tables.get("workload"), folder)
    given = dict(_benchmark_tables(mistakes, tables))
    asked = tuple(_benchmark_names(mistakes, run.benchmarks))
    if run.audit and any(BENCHMARKS.load(name).audited for name in asked):
        asked = tuple(dict.fromkeys((*AUDITS, *asked)))
    # Tables of benchmarks that are not asked for are checked too: a mistake there is a mistake.
    params = {name: _params(mistakes, name, given.get(name, {})) for name in dict.fromkeys((*asked, *given))}
    mistakes.raise_if_any()
    benchmarks = tuple(BenchmarkEntry(name, found) for name in asked if (found := params[name]))
    matrix = Matrix(isolators, benchmarks, run.blocks, run.timeout_s, run.seed, workloads)
    _check_workloads(mistakes, matrix)
    mistakes.raise_if_any()
    _check_cells(mistakes, matrix)
    mistakes.raise_if_any()
    return matrix


def _what_can_be_used(table: object) -> RunTable:
    """A wrong [run] with its benchmarks, if they can be read, so that their mistakes are told as well."""
    if not isinstance(table, Mapping):
        return RunTable()
    try:
        return RunTable.model_validate({"benchmarks": table["benchmarks"]})
    except (ValueError, KeyError):
        return RunTable()


def _isolators(mistakes: Mistakes, found: object) -> tuple[IsolatorEntry, ...]:
    if found is None:
        found = [{"kind": kind} for kind in DEFAULT_ISOLATORS]
    if not isinstance(found, list) or not found or not all(isinstance(table, Mapping) for table in found):
        mistakes.add("isolator", "", f"found {show(found)}; allowed: tables that begin with [[isolator]]")
        return ()
    entries = [
        entry for number, table in enumerate(found, start=1) if (entry := _isolator(mistakes, number, table))
    ]
    _each_once(mistakes, "[[isolator]]", "name", [entry.name for entry in entries])
    return tuple(entries)


def _isolator(mistakes: Mistakes, number: int, table: Mapping[str, Any]) -> IsolatorEntry | None:
    label = f"[[isolator]] {number} ({table.get('name', table.get('kind', '?'))})"
    own = {key: value for key, value in table.items() if key in IsolatorHead.model_fields}
    head = mistakes.checked(label, IsolatorHead, own)
    if head is None:
        return None
    cls = _load(mistakes, ISOLATORS, label, "kind", head.kind)
    if cls is None:
        return None
    rest = {key: value for key, value in table.items() if key not in own}
    options = mistakes.checked(label, cls.Options, rest)
    return None if options is None else IsolatorEntry(head.name or head.kind, head.kind, options, head.agent)


def _workloads(mistakes: Mistakes, found: object, folder: Path) -> tuple[WorkloadEntry, ...]:
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(table, Mapping) for table in found):
        mistakes.add("workload", "", f"found {show(found)}; allowed: tables that begin with [[workload]]")
        return ()
    entries = [
        entry
        for number, table in enumerate(found, start=1)
        if (entry := read_entry(mistakes, number, table, folder))
    ]
    _each_once(mistakes, "[[workload]]", "name", [entry.name for entry in entries])
    return tuple(entries)


def _check_workloads(mistakes: Mistakes, matrix: Matrix) -> None:
    """Whatever a benchmark is to start is its own workload or one of the user's."""
    own = [entry.name for entry in matrix.workloads]
    for benchmark in matrix.benchmarks:
        verbs = benchmark.params.VERBS
        for number, name in enumerate(getattr(benchmark.params, "workloads", ())):
            if verbs:
                mistakes.unless_known(f"[{benchmark.name}]", f"workloads[{number}]", name, (*verbs, *own))


def _benchmark_names(mistakes: Mistakes, names: Sequence[str]) -> Iterator[str]:
    """Each name that is a benchmark, once."""
    _each_once(mistakes, "[run]", "benchmarks", names)
    for name in dict.fromkeys(names):
        if _load(mistakes, BENCHMARKS, "[run]", "benchmarks", name):
            yield name


def _benchmark_tables(mistakes: Mistakes, tables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The tables besides [run], [[isolator]] and [[workload]], all of which have to be benchmarks'."""
    for name, table in tables.items():
        if name not in _OWN_TABLES and mistakes.unless_known(
            f"[{name}]", "", name, (*_OWN_TABLES, *BENCHMARKS.names())
        ):
            yield name, table


def _params(mistakes: Mistakes, name: str, table: object) -> Params | None:
    cls = _load(mistakes, BENCHMARKS, f"[{name}]", "", name)
    return None if cls is None else mistakes.checked(f"[{name}]", cls.Params, table)


def _load(mistakes: Mistakes, registry: Registry[T], table: str, key: str, name: str) -> type[T] | None:
    """The class of that name; None, and a mistake, when there is none."""
    if not mistakes.unless_known(table, key, name, registry.names()):
        return None
    try:
        return registry.load(name)
    except UsageError as error:  # another package's class that cannot be imported
        mistakes.add(table, key, str(error))
        return None


def _each_once(mistakes: Mistakes, table: str, key: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            mistakes.add(table, key, f"found {show(name)} {count} times; allowed: each name once")


def _check_cells(mistakes: Mistakes, matrix: Matrix) -> None:
    """A value given twice in a list of parameters makes two cells of one name."""
    for isolator, benchmark, cells in matrix.cells():
        for name, count in Counter(cell.id for cell in cells).items():
            if count > 1:
                text = (
                    f"makes {count} cells {name} for the isolator {isolator.name}; allowed: each value once"
                )
                mistakes.add(f"[{benchmark.name}]", "", text)

"""What a test asks for, from its marker and the call, and the matrix it comes to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, TypedDict

import pytest

from isobench.benchmarks.registry import REGISTRY as BENCHMARKS
from isobench.errors import UsageError
from isobench.matrix import Matrix, parse_matrix
from isobench.mistakes import Mistakes, show
from isobench.plugins import did_you_mean

MARKER = "isobench"
SOURCE = f"@pytest.mark.{MARKER}"


BLOCKS = 5
"""Of a cell: with fewer the blocks cannot tell how far they differ from each other."""

_A_PAIR = 'measure_pair("runc", {"kind": "runc", "name": "new", "binary": "/path/to/runc"})'

Side: TypeAlias = str | Mapping[str, Any]
"""One side of a pair: a kind, or the keys of an ``[[isolator]]`` table."""


class Wanted(TypedDict, total=False):
    """The keywords of the marker and of ``measure``: the fields of :class:`Asked`."""

    isolator: str
    options: Mapping[str, Any]
    benchmark: str
    params: Mapping[str, Any]
    workload: Mapping[str, Any] | None
    metric: str | None
    starts: int | None
    blocks: int | None
    timeout_s: float
    required: bool | None


@dataclass(frozen=True, slots=True)
class Asked:
    """One cell that a test asks for."""

    isolator: str = ""
    """A kind: ``runc``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The other keys of its ``[[isolator]]`` table."""
    benchmark: str = "startup"
    params: Mapping[str, Any] = field(default_factory=dict)
    """The table of the benchmark."""
    workload: Mapping[str, Any] | None = None
    """A ``[[workload]]`` table of the user's; None: the agent's own."""
    metric: str | None = None
    """Which figure, where the benchmark has several."""
    starts: int | None = None
    """Of a cell those that count, over all its blocks, of a pair those of a side and block; None: as many as
    the benchmark takes by itself, and :data:`isobench.pytest_plugin.pair.STARTS`."""
    blocks: int | None = None
    """None: :data:`BLOCKS` for a cell, as many as ``isobench ab`` has for a pair."""
    timeout_s: float = 60.0
    required: bool | None = None
    """Where it cannot be measured, fail (True) or skip (False) the test; None: as ``isobench_required``."""

    def of(self, side: Side) -> "Asked":
        """The same of another isolator: a kind, or the keys of its table."""
        table = table_of(side)
        return replace(self, isolator=str(table.pop("kind", "")), options=table)

    def once(self) -> "Asked":
        """The least that proves that it works: one start."""
        starts = {"starts": 1, "starts_vm": 1, "warmups": 0} if self.benchmark == "startup" else {}
        return replace(self, starts=None, blocks=1, params={**self.params, **starts})

    def matrix(self) -> Matrix:
        """The matrix with this cell alone.

        Raises :class:`isobench.errors.UsageError` for what is no cell, or more than one.
        """
        if not self.isolator:
            raise UsageError(
                "no isolator was named", remedy='@pytest.mark.isobench(isolator="runc") above the test'
            )
        return one_cell_each(self.tables([{"kind": self.isolator, **self.options}]))

    def tables(self, isolators: list[dict[str, Any]]) -> Mapping[str, Any]:
        """What is asked for in the shape of matrix.toml, of these isolators."""
        table = dict(self.params)
        if self.starts is not None:
            table |= {"starts": self.starts, "starts_vm": self.starts}
        workloads = []
        if self.workload is not None:
            workloads = [dict(self.workload)]
            table.setdefault("workloads", [self.workload.get("name")])
        return {
            "run": {
                "blocks": BLOCKS if self.blocks is None else self.blocks,
                "timeout_s": self.timeout_s,
                "benchmarks": [self.benchmark],
                "audit": False,
            },
            "isolator": isolators,
            **({"workload": workloads} if workloads else {}),
            self.benchmark: table,
        }


def table_of(side: object) -> dict[str, Any]:
    """The ``[[isolator]]`` table of what a test gives as one side of a pair."""
    if isinstance(side, str):
        return {"kind": side}
    if isinstance(side, Mapping) and "kind" in side:
        return dict(side)
    raise UsageError(
        f"a side of a pair is {show(side)}; allowed: a kind, or the keys of an [[isolator]] table, with kind",
        remedy=_A_PAIR,
    )


def one_cell_each(tables: Mapping[str, Any]) -> Matrix:
    """The matrix in the tables; an isolator with more than one cell is an error."""
    matrix = parse_matrix(tables, SOURCE)
    for _, benchmark, cells in matrix.cells():
        if len(cells) > 1:
            names = ", ".join(cell.id for cell in cells)
            raise UsageError(
                f"{SOURCE}: a test measures one cell, and this is {len(cells)}: {names}",
                remedy=f"narrow it down: params={{...}} is the table [{benchmark.name}] of docs/matrix.md",
            )
    return matrix


def asked_by(item: pytest.Item, wanted: Wanted) -> Asked:
    """What the call asks for, filled up from the markers of the test, its class and its module.

    Raises :class:`isobench.errors.UsageError` for a keyword that there is not, and for a value that none has.
    """
    merged: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(MARKER))):
        if marker.args:
            raise UsageError(f"{SOURCE} takes keywords only", remedy=f'{SOURCE}(isolator="runc")')
        merged |= marker.kwargs
    merged |= wanted
    allowed = [known.name for known in fields(Asked)]
    for name in merged:
        if name not in allowed:
            raise UsageError(
                f'{SOURCE}: there is no "{name}"{did_you_mean(name, allowed)}; allowed: {", ".join(allowed)}'
            )
    _check(merged)
    return Asked(**merged)


def refuse_isolator(wanted: Wanted) -> None:
    """A call that compares names its isolators as sides; those of a marker are for the other calls."""
    for name in ("isolator", "options"):
        if name in wanted:
            raise UsageError(
                f"measure_pair: {name} is of no use here: its two sides are the isolators",
                remedy=_A_PAIR,
            )


def _check(merged: Mapping[str, Any]) -> None:
    """Tell each value that is of the wrong kind; what the matrix checks by itself is left to it."""
    mistakes = Mistakes(SOURCE, error=UsageError)
    for name, value in merged.items():
        right, allowed = _VALUES.get(name, (_is_anything, ""))
        if not right(value):
            mistakes.add("", name, f"found {show(value)}; allowed: {allowed}")
        elif name == "benchmark":
            # Its name becomes that of a table beside [run], [[isolator]] and [[workload]].
            mistakes.unless_known("", name, value, BENCHMARKS.names())
        elif name == "options" and "kind" in value:
            kind = show(value["kind"])
            mistakes.add("", name, f"found the key kind; the kind is given by isolator: isolator={kind}")
    mistakes.raise_if_any()


def _is_anything(_value: object) -> bool:
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_count(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


_VALUES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "isolator": (_is_text, "a kind, as text"),
    "options": (_is_table, "keys of its [[isolator]] table with their values, as a dict"),
    "benchmark": (_is_text, "a name, as text"),
    "params": (_is_table, "keys of the benchmark's table with their values, as a dict"),
    "workload": (lambda value: value is None or _is_table(value), "a [[workload]] table, as a dict"),
    "metric": (lambda value: value is None or _is_text(value), "the name of a figure, as text"),
    "starts": (_is_count, "a whole number from 1 on"),
    "blocks": (_is_count, "a whole number from 1 on"),
    "required": (lambda value: value is None or isinstance(value, bool), "True or False"),
}
"""What each keyword may be, and how that is said."""

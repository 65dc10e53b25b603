"""The rows of the tables as text, the same in the terminal, in Markdown and in HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from isobench.journal import CellState
from isobench.model import Status
from isobench.reports import units
from isobench.reports.summary import CellSummary, Isolator, Quota, Summary, number

EMULATED = "software emulation"
RESIDUE = "residue"
"""The metric of a line that tells what a cell has left behind: no attempt."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table isolator by metric."""

    key: str
    title: str
    text: Callable[[Isolator], str]
    benchmark: str
    """Whose cells hold the raw samples."""
    room: int = 0
    """The terminal's width below which it is left out."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Cells that did not end ok, for one reason."""

    isolators: tuple[str, ...]
    where: str
    """Which benchmarks, and which limits of theirs where it is not all: ``throttling (1.5 CPUs)``."""
    status: Status
    reason: str
    remedy: str | None
    attempts: str
    """``1 of 6 attempts`` where others gave a value."""


def _ready(isolator: Isolator) -> str:
    start = isolator.startup
    return units.seconds(start.ready.median.value) if start else units.NONE


def _ready_interval(isolator: Isolator) -> str:
    start = isolator.startup
    return units.interval(start.ready.median.interval if start else None, units.seconds)


def _p90(isolator: Isolator) -> str:
    start = isolator.startup
    return units.seconds(start.ready.p90.value) if start and start.ready.p90 else units.NONE


def _to_bare(isolator: Isolator) -> str:
    start = isolator.startup
    return units.times(start.to_bare.value) if start and start.to_bare else units.NONE


def _exit(isolator: Isolator) -> str:
    start = isolator.startup
    return units.seconds(start.exit.median.value) if start and start.exit else units.NONE


def _memory(isolator: Isolator) -> str:
    return units.nbytes(isolator.memory.total.value) if isolator.memory else units.NONE


def _worst_error(isolator: Isolator) -> str:
    return units.optional(isolator.worst_error, units.percent)


OVERVIEW = (
    Column("ready", "ready p50", _ready, "startup"),
    Column("interval", "95 % interval", _ready_interval, "startup", room=100),
    Column("p90", "p90", _p90, "startup", room=68),
    Column("bare", "× bare", _to_bare, "startup"),
    Column("exit", "exit p50", _exit, "startup", room=68),
    Column("memory", "memory each", _memory, "memory"),
    Column("error", "limit error", _worst_error, "throttling"),
)
LEGEND = (
    "Times count from just before the start; ready is the first byte the workload itself wrote. "
    "Memory is that of each further instance. Limit error is the worst median error of a CPU limit."
)


def quota(isolator: Isolator, limit: tuple[float, int]) -> Quota | None:
    """The figures of one limit (CPUs, period in µs)."""
    return next((q for q in isolator.quotas if (q.asked_cpus, q.period_us) == limit), None)


def error(isolator: Isolator, limit: tuple[float, int]) -> str:
    """The median signed error of one limit."""
    found = quota(isolator, limit)
    return units.percent(found.error.median.value) if found else units.NONE


def limit_titles(summary: Summary) -> tuple[str, ...]:
    """``0.5 CPUs``, with the period where there is more than one."""
    several = len({period for _, period in summary.limits}) > 1
    return tuple(
        f"{units.cpus(asked)} CPUs" + (f" / {period / 1000:g} ms" if several else "")
        for asked, period in summary.limits
    )


def host(summary: Summary) -> str:
    """Its name, system and kernel, as far as they are known."""
    found = summary.record.host
    known = [units.short(str(found[key])) for key in ("hostname", "os", "kernel") if found.get(key)]
    return ", ".join(known) or "an unnamed host"


def gaps(summary: Summary) -> tuple[Gap, ...]:
    """Every cell that did not end ok; those that share reason, remedy and benchmarks stand together."""
    by_isolator: dict[tuple[str, CellState], list[CellSummary]] = {}
    for cell in summary.not_ok:
        same = replace(cell.state, ok=0, not_ok=0)
        by_isolator.setdefault((cell.isolator, same), []).append(cell)
    alike: dict[tuple[str, CellState, str], list[str]] = {}
    for (isolator, state), cells in by_isolator.items():
        alike.setdefault((_where(summary, cells), state, _attempts(cells)), []).append(isolator)
    return tuple(
        Gap(
            isolators=tuple(isolators),
            where=where,
            status=state.status,
            reason=state.reason or "no reason was recorded",
            remedy=state.remedy,
            attempts=attempts,
        )
        for (where, state, attempts), isolators in alike.items()
    )


def _where(summary: Summary, cells: Sequence[CellSummary]) -> str:
    """The benchmarks, with the limits or workloads it is about where others of the same ended otherwise."""
    isolator, benchmarks = cells[0].isolator, dict.fromkeys(cell.benchmark for cell in cells)
    siblings = [c for c in summary.cells if c.isolator == isolator and c.benchmark in benchmarks]
    limits = sorted(limit for cell in cells if (limit := number(cell.samples[0].params.get("cpus"))))
    workloads = dict.fromkeys(cell.workload for cell in cells)
    if len(siblings) == len(cells):
        named = ""
    elif limits:
        named = f" ({', '.join(units.cpus(limit) for limit in limits)} CPUs)"
    elif any(other.workload not in workloads for other in siblings):
        named = f" ({', '.join(workloads)})"
    else:
        named = ""
    return ", ".join(benchmarks) + named


def _attempts(cells: Sequence[CellSummary]) -> str:
    samples = [sample for cell in cells for sample in cell.samples if sample.metric != RESIDUE]
    lost = [sample for sample in samples if sample.status is not Status.OK]
    return f"{len(lost)} of {len(samples)} attempts" if 0 < len(lost) < len(samples) else ""

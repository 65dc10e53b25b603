"""The values a report shows: what a run comes to, made by :mod:`isobench.reports.load`, read by all faces.

Times are in seconds, memory in bytes, limits in CPUs, errors of limits as signed ratios; faces choose units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isobench.journal import CellState, IsolatorRecord, RunRecord
from isobench.model import PHASES, Sample, Scalar, Status
from isobench.reports.stats import Distribution, Estimate
from isobench.reports.stats_lines import Line


@dataclass(frozen=True, slots=True)
class CellSummary:
    """One cell: how it ended, and every attempt."""

    id: str
    isolator: str
    benchmark: str
    state: CellState
    samples: tuple[Sample, ...]

    @property
    def workload(self) -> str:
        """What was started."""
        return self.samples[0].workload

    @property
    def ok(self) -> bool:
        """Every attempt gave a value."""
        return self.state.status is Status.OK


@dataclass(frozen=True, slots=True)
class Startup:
    """The starts of one isolator."""

    isolator: str
    cell: CellSummary
    seconds: tuple[float, ...]
    """From invoke to ready of each start that counts: neither failed nor a warm-up."""
    blocks: tuple[int, ...]
    """In which block of the run each of them was measured."""
    rows: tuple[int, ...]
    """Which of the cell's samples each of them is, from 1."""
    ready: Distribution
    to_bare: Estimate | None
    """How many times the bare row's median this is; None without a bare row."""
    phases: Mapping[str, Distribution]
    """Since invoke, by phase, in their usual order; those told apart, without invoke itself."""

    @property
    def exit(self) -> Distribution | None:
        """From invoke to the end of the instance's process."""
        return self.phases.get("exit")


MEMORY_LINES: Mapping[str, str] = {
    "workload_pss": "workload",
    "guest_ram_pss": "guest RAM",
    "helpers_pss": "helpers",
    "daemons_change": "daemons",
    "kernel_slab": "slab",
    "kernel_page_tables": "page tables",
    "kernel_stacks": "stacks",
    "kernel_percpu": "per CPU",
    "kernel_vmalloc": "vmalloc",
    "shmem_unmapped": "tmpfs",
    "unattributed": "unattributed",
}
"""What adds up to the footprint of instances, as the journal and as a report names it."""

KERNEL_LINES = tuple(name for name in MEMORY_LINES if name.startswith("kernel_") or name == "shmem_unmapped")
"""Those that are the kernel's, files in memory included."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The most one instance has used at once since its program was executed, in bytes; medians."""

    resident: float
    """Of the workload, or of the VMM."""
    charged: float | None
    """Of its cgroup."""
    bound: bool
    """``charged`` may be the runtime's, before the workload: the workload took no more."""
    cell: CellSummary


@dataclass(frozen=True, slots=True)
class Memory:
    """What each further instance of one isolator takes from the host, in bytes, and who holds it.

    The lines add up to the total, and their constants to its constant.
    """

    isolator: str
    cell: CellSummary
    counts: tuple[int, ...]
    """At how many instances readings were taken."""
    blocks: int
    unsteady: int
    """Readings taken while the host had not come to rest."""
    outlying: tuple[int, ...]
    """Readings that weigh little, as they do not agree with the others."""
    lines: Mapping[str, Line]
    """By the names in :data:`MEMORY_LINES`, those the host could tell."""
    of_total: Line
    of_kernel: Line | None
    """All of :data:`KERNEL_LINES` together."""
    peak: Peak | None

    @property
    def total(self) -> Estimate:
        """Of each further instance."""
        return self.of_total.slope

    def each(self, name: str) -> Estimate | None:
        """One line of it; None where it cannot be told."""
        return self.lines[name].slope if name in self.lines else None


@dataclass(frozen=True, slots=True)
class Quota:
    """One CPU limit of one isolator, and what came of it."""

    isolator: str
    cell: CellSummary
    asked_cpus: float
    period_us: int
    host_cpus: Distribution
    inside_cpus: Distribution | None
    error: Distribution
    """(achieved - asked) / asked, seen from the host."""
    longest_stall_s: float | None
    """The longest the workload ever had to wait, as it recorded itself."""


@dataclass(frozen=True, slots=True)
class Isolator:
    """One isolator of the run and its figures."""

    name: str
    """As shown."""
    record: IsolatorRecord | None
    """None for a name that only the samples know."""
    startup: Startup | None = None
    memory: Memory | None = None
    quotas: tuple[Quota, ...] = ()

    @property
    def bare(self) -> bool:
        """It is the floor: the same path with no isolation."""
        return self.record is not None and self.record.kind == "bare"

    @property
    def emulated(self) -> bool:
        """Its processor was imitated by software, so its figures say nothing about hardware's."""
        return "tcg" in self.name.lower().replace("_", "-").split("-")

    @property
    def own_kernel(self) -> bool:
        """It is a virtual machine."""
        return self.record is not None and not self.record.shares_kernel

    @property
    def measured(self) -> bool:
        """There is a figure of it."""
        return bool(self.startup or self.memory or self.quotas)

    @property
    def worst_error(self) -> float | None:
        """The median error that is furthest from 0 over all its limits, with its sign."""
        return max((quota.error.median.value for quota in self.quotas), key=abs, default=None)


@dataclass(frozen=True, slots=True)
class Summary:
    """One run."""

    folder: Path
    record: RunRecord
    isolators: tuple[Isolator, ...]
    """Bare first, then by the median start, then those without one."""
    cells: tuple[CellSummary, ...]
    """All of them, in the order of the isolators, then by id."""
    warnings: tuple[str, ...] = ()
    torn: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """As :attr:`isobench.journal.StoredRun.torn`."""
    limits: tuple[tuple[float, int], ...] = field(default=())
    """Every (CPUs, period in µs) that was asked for, ascending."""

    @property
    def bare(self) -> Isolator | None:
        """The floor, where the run has one."""
        return next((isolator for isolator in self.isolators if isolator.bare), None)

    @property
    def measured(self) -> bool:
        """At least one attempt gave a value."""
        return any(cell.state.ok for cell in self.cells)

    @property
    def compared(self) -> tuple[Isolator, ...]:
        """The rows of the overview."""
        return tuple(isolator for isolator in self.isolators if isolator.measured)

    @property
    def startups(self) -> tuple[Startup, ...]:
        """Of the isolators that have one."""
        return tuple(isolator.startup for isolator in self.isolators if isolator.startup)

    @property
    def phases(self) -> tuple[str, ...]:
        """Those that any isolator tells apart, in their usual order."""
        told = {phase for found in self.startups for phase in found.phases}
        return tuple(phase for phase in PHASES if phase in told)

    @property
    def memories(self) -> tuple[Memory, ...]:
        """Of the isolators that have one."""
        return tuple(isolator.memory for isolator in self.isolators if isolator.memory)

    @property
    def not_ok(self) -> tuple[CellSummary, ...]:
        """Cells with an attempt that gave no value."""
        return tuple(cell for cell in self.cells if not cell.ok)


def number(value: Scalar) -> float | None:
    """A number of a sample's detail, or None for what is none (bool is not one)."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def held_back(sample: Sample) -> bool:
    """Whether something else than the limit kept a workload from using its quota."""
    return sample.detail.get("bound") is False

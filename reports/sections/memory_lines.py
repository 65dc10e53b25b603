"""The ledger of memory line by line: of each further instance, and of what comes once."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from isobench.reports import units
from isobench.reports.section import NO_FIGURE, Column, Figure, Row, Section, Table, estimated, number_of
from isobench.reports.stats import Estimate
from isobench.reports.stats_lines import Line
from isobench.reports.summary import KERNEL_LINES, MEMORY_LINES, Isolator, Memory, Summary

KEY = "memory-lines"
_LEAD = (
    "Every line of the account of memory: a robust line through the readings at all numbers of instances, "
    "with the same weights for all, so that each row up to unattributed adds up to its total; after it stand "
    "the parts of the kernel's. A dash means that the host cannot tell, and what there is of it is "
    "unattributed; a guest's workload cannot be told from its RAM. The page cache is in no line: the host "
    "can take it back."
)
_PARTS = tuple(name for name in MEMORY_LINES if name not in KERNEL_LINES)
"""With the kernel's as one they add up; each of the kernel's own needs a wide terminal."""
_KERNEL = Column("kernel", "with tmpfs")
_PEAK_NOTE = (
    "Resident counts from the execution of the workload on (of QEMU for a virtual machine), page cache "
    "included. Charged is the peak of its cgroup, kernel memory included; ≤ says that it may have been the "
    "runtime's, before it became the workload, which took no more."
)


def section(summary: Summary) -> Section | None:
    """None for a run without readings of memory."""
    found = [(isolator, isolator.memory) for isolator in summary.isolators if isolator.memory]
    if not found:
        return None
    tables = [
        _lines("Each further instance", found, lambda line: line.slope),
        _lines("Once, with the first instance", found, lambda line: line.constant),
    ]
    if any(memory.peak for _, memory in found):
        tables.append(_peaks(found))
    return Section(KEY, "Memory, line by line", _LEAD, tuple(tables))


def _lines(title: str, found: list[tuple[Isolator, Memory]], part: Callable[[Line], Estimate]) -> Table:
    told = {name for _, memory in found for name in memory.lines}
    outside, kernel = ([name for name in names if name in told] for names in (_PARTS[:-1], KERNEL_LINES))
    columns = (
        Column("total"),
        # Of the built-in isolators only lxc has a daemon, which is small.
        *(Column(MEMORY_LINES[name], room=90 if name == "daemons_change" else 0) for name in outside),
        _KERNEL,
        Column(MEMORY_LINES[_PARTS[-1]]),
        *(Column(MEMORY_LINES[name], "of the kernel", room=150) for name in kernel),
    )

    def figures(memory: Memory) -> Iterator[Figure]:
        yield estimated(part(memory.of_total), units.nbytes, memory.cell)
        yield from (_figure(memory.lines.get(name), part) for name in outside)
        yield _figure(memory.of_kernel, part)
        yield from (_figure(memory.lines.get(name), part) for name in (_PARTS[-1], *kernel))

    rows = tuple(Row(isolator.name, tuple(figures(memory)), isolator) for isolator, memory in found)
    return Table(title, "isolator", columns, rows)


def _figure(line: Line | None, part: Callable[[Line], Estimate]) -> Figure:
    return estimated(part(line) if line else None, units.nbytes)


def _peaks(found: list[tuple[Isolator, Memory]]) -> Table:
    rows = tuple(
        Row(isolator.name, _peak(memory), isolator) for isolator, memory in found if memory.peak is not None
    )
    return Table(
        "Peak of one instance, medians", "isolator", (Column("resident"), Column("charged")), rows, _PEAK_NOTE
    )


def _peak(memory: Memory) -> tuple[Figure, Figure]:
    peak = memory.peak
    if peak is None:
        return NO_FIGURE, NO_FIGURE
    if peak.charged is None:
        return number_of(peak.resident, units.nbytes, peak.cell), NO_FIGURE
    charged = number_of(peak.charged, units.nbytes, peak.cell)
    bound = replace(charged, text=f"≤ {charged.text}") if peak.bound else charged
    return number_of(peak.resident, units.nbytes, peak.cell), bound

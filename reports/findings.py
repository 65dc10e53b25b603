"""What a run says, in words and few figures. Every sentence is computed, and leads to what it was made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isobench.reports import units
from isobench.reports.load import counts
from isobench.reports.stats import Estimate, Interval, median, ratio_of_medians
from isobench.reports.summary import CellSummary, Isolator, Memory, Quota, Startup, Summary
from isobench.reports.verdict import names


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence, and the cell its figure was made of."""

    text: str
    cell: CellSummary | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer."""

    question: str
    place: str
    """The anchor of the part of the page with its figures."""
    answer: str
    """An isolator, or a factor."""
    figure: Remark
    remarks: tuple[Remark, ...]
    """Compared with what, and how sure."""

    @property
    def evidence(self) -> str:
        """All remarks, one after the other."""
        return " ".join(remark.text for remark in self.remarks)


def findings(summary: Summary) -> tuple[Finding, ...]:
    """The answers this run can give; none at all when nothing was measured.

    None either for a run that compares two sides: the quickest of A, B and A once more is no answer.
    """
    if summary.record.ab is not None:
        return ()
    found = (_start(summary), _memory(summary), _limits(summary), _teardown(summary), _machine(summary))
    return tuple(finding for finding in found if finding)


def _start(summary: Summary) -> Finding | None:
    ranked = [i.startup for i in summary.isolators if i.startup and not i.bare]
    if not ranked:
        return None
    first, *others = ranked
    floor = "" if first.to_bare is None else f", {units.times(first.to_bare.value)} bare"
    return Finding(
        question="Fastest start",
        place="startup",
        answer=first.isolator,
        figure=Remark(f"{units.seconds(first.ready.median.value)} to ready{floor}", first.cell),
        remarks=(_next_start(first, others),),
    )


def _next_start(first: Startup, others: Sequence[Startup]) -> Remark:
    if not others:
        return Remark("No other isolator was measured beside it.")
    second = others[0]
    ratio = ratio_of_medians(second.seconds, second.blocks, first.seconds, first.blocks)
    if ratio.interval is None:
        text = f"Next is {second.isolator}; too few starts to say how sure that is."
    elif 1 in ratio.interval:
        text = f"{second.isolator} cannot be told apart from it ({_span(second)})."
    else:
        text = f"Next is {second.isolator}, {units.times(ratio.value)} as long ({_span(second)})."
    return Remark(text, second.cell)


def _span(startup: Startup) -> str:
    return units.interval(startup.ready.median.interval, units.seconds)


def _memory(summary: Summary) -> Finding | None:
    ranked = sorted(
        (i.memory for i in summary.isolators if i.memory and not i.bare),
        key=lambda memory: memory.total.value,
    )
    if not ranked:
        return None
    first, *others = ranked
    return Finding(
        question="Cheapest in memory",
        place="memory",
        answer=first.isolator,
        figure=Remark(_each(first), first.cell),
        remarks=(_next_memory(first, others),),
    )


def _each(memory: Memory) -> str:
    """A bound where the readings scatter by more than an instance takes: none takes less than nothing."""
    interval = memory.total.interval
    if interval and interval.low <= 0 < interval.high:
        return f"at most {units.nbytes(interval.high)} an instance, too little to be told from noise"
    return f"{units.nbytes(memory.total.value)} an instance"


def _next_memory(first: Memory, others: Sequence[Memory]) -> Remark:
    alike = [other for other in others if _overlap(first.total, other.total)]
    if alike:
        who = names([other.isolator for other in alike])
        return Remark(f"{who} cannot be told apart from it: the intervals overlap.", alike[0].cell)
    if others:
        text = f"Next is {others[0].isolator} with {units.nbytes(others[0].total.value)}."
        return Remark(text, others[0].cell)
    return Remark("No other isolator was measured beside it.")


def _overlap(one: Estimate, other: Estimate) -> bool:
    a, b = one.interval, other.interval
    return a is None or b is None or (a.low <= b.high and b.low <= a.high)


def _limits(summary: Summary) -> Finding | None:
    """By the worst of those limits that all have figures of; emulation stands behind the processor itself."""
    limited = [isolator for isolator in summary.isolators if isolator.quotas]
    asked = [{quota.asked_cpus for quota in isolator.quotas} for isolator in limited]
    shared = set.intersection(*asked) if asked else set()
    if not shared:
        return None
    worst = [
        max((q for q in i.quotas if q.asked_cpus in shared), key=lambda q: abs(q.error.median.value))
        for i in limited
    ]
    emulated = {isolator.name for isolator in limited if isolator.emulated}
    first, *others = sorted(
        worst, key=lambda quota: (quota.isolator in emulated, abs(quota.error.median.value))
    )
    span = " to ".join(dict.fromkeys(units.cpus(value) for value in (min(shared), max(shared))))
    fewer = ", those of which all have a figure" if len(set.union(*asked)) > len(shared) else ""
    return Finding(
        question="Most exact CPU limit",
        place="throttling",
        answer=first.isolator,
        figure=Remark(f"{_error(first)} at worst", first.cell),
        remarks=(Remark(f"Over limits of {span} CPUs{fewer}."), *_other_limits(first, others)),
    )


def _other_limits(first: Quota, others: Sequence[Quota]) -> Iterator[Remark]:
    if not others:
        yield Remark("No other isolator has such a figure.")
        return
    yield Remark("The others at their worst:")
    for place, other in enumerate(others, start=1):
        end = "." if place == len(others) else ","
        yield Remark(f"{other.isolator} {_error(other)}{end}", other.cell)
    best, sizes = _size(first), {other.isolator: _size(other) for other in others}
    if alike := [name for name, size in sizes.items() if best and size and _overlap(best, size)]:
        yield Remark(f"{names(alike)} cannot be told apart from it: the intervals overlap.")
    if unsure := [name for name, size in sizes.items() if not best or not size]:
        yield Remark(f"Too few readings to say how sure that is of {names(unsure)}.")


def _error(quota: Quota) -> str:
    return units.percent(quota.error.median.value)


def _size(quota: Quota) -> Estimate | None:
    """Its error without the sign; None without an interval."""
    found = quota.error.median
    if found.interval is None:
        return None
    ends = sorted(abs(end) for end in (found.interval.low, found.interval.high))
    return Estimate(abs(found.value), Interval(0.0 if 0 in found.interval else ends[0], ends[1]))


def _teardown(summary: Summary) -> Finding | None:
    """By the moment when nothing of an instance is left that the kernel has still to take away."""
    how = "kill" if any(_ends(summary, "kill")) else "exit"
    ranked = sorted(_ends(summary, how), key=lambda end: end[1].value)
    if not ranked:
        return None
    (first, gone, cell), *others = ranked
    told = {"kill": "it was killed", "exit": "it was told to end"}[how]
    return Finding(
        question="Cheapest teardown",
        place="teardown",
        answer=first,
        figure=Remark(f"{units.seconds(gone.value)} after {told}", cell),
        remarks=(
            Remark("Until the kernel has let go of all that the instance had."),
            _next_end(gone, others),
        ),
    )


def _next_end(first: Estimate, others: Sequence[tuple[str, Estimate, CellSummary]]) -> Remark:
    if not others:
        return Remark("No other isolator was measured beside it.")
    second, later, cell = others[0]
    span = units.seconds(later.value)
    if first.interval is None or later.interval is None:
        return Remark(f"Next is {second} with {span}; too few ends to say how sure that is.", cell)
    if _overlap(first, later):
        return Remark(f"{second} cannot be told apart from it ({span}).", cell)
    return Remark(f"Next is {second} with {span}.", cell)


def _ends(summary: Summary, how: str) -> Iterator[tuple[str, Estimate, CellSummary]]:
    for isolator in summary.isolators:
        for cell in summary.cells:
            params = cell.samples[0].params
            if cell.isolator != isolator.name or cell.benchmark != "teardown" or params.get("how") != how:
                continue
            gone = [s for s in cell.samples if s.metric == "drained" and counts(s)]
            if gone and not isolator.bare:
                found = median((s.value or 0.0 for s in gone), (s.block for s in gone))
                yield isolator.name, found, cell


def _machine(summary: Summary) -> Finding | None:
    """The fastest virtual machine against the slowest start that shares the host's kernel."""
    machines = [i for i in summary.isolators if i.own_kernel and i.startup]
    others = [i for i in summary.isolators if not i.own_kernel and i.startup and not i.bare]
    if not machines or not others:
        return None
    machine, other = machines[0], others[-1]
    if machine.startup is None or other.startup is None:
        return None
    slow, quick = machine.startup, other.startup
    factor = ratio_of_medians(slow.seconds, slow.blocks, quick.seconds, quick.blocks)
    against = " against ".join(units.seconds(one.ready.median.value) for one in (slow, quick))
    span = units.interval(factor.interval, units.times)
    sure = "too few starts to say how sure" if factor.interval is None else span
    remarks = [
        Remark(f"{against}, the slowest start that shares the host's kernel ({sure}).", quick.cell),
        *_memory_factor(machine, other),
    ]
    if machine.emulated:
        remarks.append(Remark("Under software emulation, which is no measure of a virtual machine with KVM."))
    return Finding(
        question="Virtual machine against shared kernel",
        place="startup",
        answer=units.times(factor.value),
        figure=Remark(f"the start of {machine.name} against {other.name}", machine.startup.cell),
        remarks=tuple(remarks),
    )


def _memory_factor(machine: Isolator, other: Isolator) -> Iterator[Remark]:
    if machine.memory and other.memory and other.memory.total.value > 0:
        factor = machine.memory.total.value / other.memory.total.value
        yield Remark(f"In memory: {units.times(factor)}.", machine.memory.cell)

"""What people repeat about isolation, each held against what this run has measured.

A claim is decided only where intervals allow it. What was measured under software emulation decides nothing:
where only that was, the answer says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from isobench.reports import units
from isobench.reports.claim_figures import (
    above,
    below,
    beside,
    containers,
    created,
    emulated,
    half,
    less,
    machines,
    memories,
    of_kind,
    ready,
    starts,
    within,
    work_ratio,
)
from isobench.reports.load import counts
from isobench.reports.rows import EMULATED
from isobench.reports.section import Figure, estimated
from isobench.reports.summary import Isolator, Summary
from isobench.reports.verdict import names

MINUTE_S = 60.0
NEAR_NATIVE = 0.95
"""Of the work done without a container in the same CPU time: what counts as near native speed."""
CHEAP = 2.0
"""A start beside the most instances takes at most so many times one alone: what counts as cheap."""
EXACT = 0.05
"""A quota counts as given up to this part of it, as for the limits in their section."""

_EMULATION = "Only software emulation (TCG) was measured, and emulation cannot decide it."
_UNCLEAR = "Too few values, or their intervals are too wide, to tell"


class Outcome(StrEnum):
    """How a claim fares on this host."""

    HOLDS = "holds"
    NOT = "does not hold here"
    UNTOLD = "cannot be told"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Witness:
    """One figure that a claim is held against."""

    of: str
    """``runc, to ready``."""
    figure: Figure


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim and what came of it."""

    words: str
    outcome: Outcome
    reason: str
    """A sentence or two."""
    witnesses: tuple[Witness, ...] = ()


Told: TypeAlias = tuple[tuple[Outcome, str], Sequence[Witness]]
"""How a claim fares and why, and what it was held against."""


def claims(summary: Summary) -> tuple[Claim, ...]:
    """All of them; none for a run that compares two sides, which has nothing else to compare."""
    if summary.record.ab is not None:
        return ()
    found = ((words, tell(summary)) for words, tell in CLAIMS.items())
    return tuple(Claim(words, outcome, reason, tuple(own)) for words, ((outcome, reason), own) in found)


def start_minutes(summary: Summary) -> Told:
    """Decided by the medians of all: either side of a minute."""
    virtual, shared = starts(machines(summary)), starts(containers(summary))
    witnesses = [_start(one) for one in (*virtual, *starts(emulated(summary)), *shared)]
    if lacking := _lacking(summary, virtual, shared, "start"):
        return lacking, witnesses
    slow = [above(ready(one), MINUTE_S) for one in virtual]
    quick = [below(ready(one), MINUTE_S) for one in shared]
    machine = any(told is False for told in slow)
    against = (
        "A virtual machine was ready within a minute." if machine else "A container took a minute or more."
    )
    return _decided(
        (*slow, *quick),
        "Every virtual machine took a minute or more, and every container less.",
        against,
        "on which side of a minute the starts lie",
    ), witnesses


def less_memory(summary: Summary) -> Told:
    """Decided by what each further instance takes, of every container and every virtual machine."""
    virtual, shared = memories(machines(summary)), memories(containers(summary))
    witnesses = [_memory(one) for one in (*virtual, *memories(emulated(summary)), *shared)]
    if lacking := _lacking(summary, virtual, shared, "reading of memory"):
        return lacking, witnesses
    pairs = [
        less(one.memory.total, other.memory.total)
        for one in shared
        for other in virtual
        if one.memory and other.memory
    ]
    return _decided(
        pairs,
        "Every container takes less than every virtual machine.",
        "A container takes more than a virtual machine.",
        "which of them takes less",
    ), witnesses


def near_native(summary: Summary) -> Told:
    """Decided by the work of a loop in a second of its own run time, under the same CPU limits."""
    plain = of_kind(summary, "cgroups")
    told = [
        (one, *found) for one in containers(summary) if plain and (found := work_ratio(summary, one, plain))
    ]
    if not told or plain is None:
        lacking = "It takes the CPU limits of a container and of cgroups alone: the benchmark throttling."
        return (Outcome.NOT_MEASURED, lacking), ()
    witnesses = [
        Witness(f"{one.name}, work against {plain.name} alone", estimated(ratio, units.times, cell))
        for one, ratio, cell in told
    ]
    how = "told by a loop that reads the clock without a system call: other work may fare otherwise"
    return _decided(
        [above(ratio, NEAR_NATIVE) for _, ratio, _ in told],
        f"In the same CPU time at least {_share(NEAR_NATIVE)} of the work is done, {how}.",
        f"In the same CPU time a container does less than {_share(NEAR_NATIVE)} of the work, {how}.",
        f"whether at least {_share(NEAR_NATIVE)} of the work is done in the same CPU time",
    ), witnesses


def layers_cost(summary: Summary) -> Told:
    """Decided by the starts of each tool against the same parts of the kernel used by no tool."""
    kernel, tools = of_kind(summary, "namespaces"), starts(containers(summary))
    own = starts([kernel]) if kernel else []
    witnesses = [_start(one) for one in (*own, *tools)]
    witnesses += [
        Witness(f"{one.name}, of that to created", estimated(found, units.seconds, cell))
        for one in tools
        for found, cell in created(one)
    ]
    if not own or not tools:
        lacking = "a container" if own else "namespaces alone, as the kernel makes them"
        return (Outcome.NOT_MEASURED, f"There is no start of {lacking}."), witnesses
    outcome, reason = _decided(
        [less(ready(own[0]), ready(one)) for one in tools],
        "Each tool takes longer than the kernel's namespaces alone.",
        "A tool starts sooner than the kernel's namespaces alone.",
        "whether each tool adds to the kernel's own time",
    )
    return (
        outcome,
        f"{reason} Of layers above {names([one.name for one in tools])} this says nothing.",
    ), witnesses


def many_alike(summary: Summary) -> Told:
    """Decided by a start beside the most instances against one alone."""
    shared = containers(summary)
    told = [(one, *found) for one in shared if (found := beside(summary, one))]
    witnesses = [
        Witness(f"{one.name}, a start beside {level} against one alone", estimated(ratio, units.times, cell))
        for one, level, ratio, cell in told
    ]
    witnesses += [_memory(one) for one in memories(shared)]
    if not told:
        return (
            Outcome.NOT_MEASURED,
            "No container was started both alone and beside others: the benchmark density.",
        ), witnesses
    how = "All share one root file system, as they share the layers of an image."
    return _decided(
        [below(ratio, CHEAP) for _, _, ratio, _ in told],
        f"Beside the others a start takes less than {CHEAP:g} times as long. {how}",
        f"Beside the others a start takes {CHEAP:g} times as long or more. {how}",
        f"whether a start beside the others takes {CHEAP:g} times as long",
    ), witnesses


def less_cpu(_: Summary) -> Told:
    """Never decided: there is no such figure."""
    why = (
        "No figure here can tell: this suite measures whether limits of CPU time are kept, and what a start "
        "takes. It does not measure what CPU time an instance takes beside its workload."
    )
    return (Outcome.NOT_MEASURED, why), ()


def lxc_weaker(_: Summary) -> Told:
    """Never decided: there is no such figure."""
    why = (
        "No figure here can tell: this suite measures what isolation costs and whether limits are kept. It "
        "attacks neither the kernel that containers share nor a hypervisor."
    )
    return (Outcome.NOT_MEASURED, why), ()


def cpus_left(summary: Summary) -> Told:
    """Decided by where threads ran, of which every block counts: once on another CPU is enough against it."""
    cells = [
        cell
        for cell in summary.cells
        if cell.benchmark == "limits" and cell.samples[0].params.get("limit") == "cpuset" and cell.state.ok
    ]
    if not cells:
        return (Outcome.NOT_MEASURED, "Nothing was limited to some CPUs: the benchmark limits."), ()
    witnesses, kept = [], []
    for cell in cells:
        told = [sample for sample in cell.samples if counts(sample)]
        away = [sample for sample in told if sample.value or sample.detail.get("ran_outside")]
        kept.append(not away if told else None)
        text = f"in {len(away)} of {len(told)} blocks" if told else "held back by other load"
        witnesses.append(Witness(f"{cell.isolator}, ran elsewhere", Figure(text, "", cell)))
    return _decided(
        kept,
        "No thread ever ran on a CPU it was not given.",
        "Threads also ran on a CPU they were not given.",
        "",
    ), witnesses


def half_a_core(summary: Summary) -> Told:
    """Decided by the error of a limit of 0.5 CPUs, seen from the host."""
    told = [(one, found) for one in summary.isolators if (found := half(one))]
    witnesses = [
        Witness(f"{_name(one)}, off by", estimated(found.error.median, units.percent, found.cell))
        for one, found in told
    ]
    if not told:
        return (Outcome.NOT_MEASURED, "Nothing was limited to 0.5 CPUs: the benchmark throttling."), ()
    real = [found.error.median for one, found in told if not one.emulated]
    if not real:
        return (Outcome.UNTOLD, _EMULATION), witnesses
    return _decided(
        [within(error, EXACT) for error in real],
        f"Every isolator gives it to {_share(EXACT)} of the quota.",
        f"An isolator is off by more than {_share(EXACT)} of the quota.",
        f"whether each gives it to {_share(EXACT)} of the quota",
    ), witnesses


CLAIMS: Mapping[str, Callable[[Summary], Told]] = {
    "A virtual machine takes minutes to start, a container seconds or milliseconds.": start_minutes,
    "A container needs no guest kernel, so it uses less memory.": less_memory,
    "A container needs no guest kernel, so it uses less CPU.": less_cpu,
    "In a container work runs at near native speed.": near_native,
    "Each layer above the kernel adds its share to a start.": layers_cost,
    "Images made of layers make starting many alike cheap.": many_alike,
    "LXC isolates less than a virtual machine.": lxc_weaker,
    "Limiting to six of eight cores leaves two for the others.": cpus_left,
    "A quota of half a core gives half a core.": half_a_core,
}
"""In words, with what tells of each, in the order of the page."""


def _decided(parts: Sequence[bool | None], holds: str, against: str, unclear: str) -> tuple[Outcome, str]:
    """It holds where every part does, and does not where one does not."""
    if all(parts):
        return Outcome.HOLDS, holds
    if any(part is False for part in parts):
        return Outcome.NOT, against
    return Outcome.UNTOLD, f"{_UNCLEAR} {unclear}." if unclear else "Other load kept it from being tried."


def _lacking(
    summary: Summary, virtual: Sequence[Isolator], shared: Sequence[Isolator], what: str
) -> tuple[Outcome, str] | None:
    """What can be said without a virtual machine or without a container; None: both are there."""
    if virtual and shared:
        return None
    if not virtual and any(one.measured for one in emulated(summary)):
        return Outcome.UNTOLD, _EMULATION
    return Outcome.NOT_MEASURED, f"There is no {what} of a {'container' if virtual else 'virtual machine'}."


def _start(isolator: Isolator) -> Witness:
    cell = isolator.startup.cell if isolator.startup else None
    return Witness(f"{_name(isolator)}, to ready", estimated(ready(isolator), units.seconds, cell))


def _memory(isolator: Isolator) -> Witness:
    memory = isolator.memory
    figure = estimated(memory.total if memory else None, units.nbytes, memory.cell if memory else None)
    return Witness(f"{_name(isolator)}, memory of each", figure)


def _name(isolator: Isolator) -> str:
    return f"{isolator.name} ({EMULATED})" if isolator.emulated else isolator.name


def _share(part: float) -> str:
    return f"{100 * part:g} %"

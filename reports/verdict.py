"""What a run says, in words, and what stands against believing it. Every sentence is computed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isobench.journal import TunedSetting
from isobench.knobs import Knob, recorded
from isobench.model import Status
from isobench.reports import units
from isobench.reports.stats import ratio_of_medians
from isobench.reports.summary import Isolator, Memory, Startup, Summary, held_back, number

_UNDER_PRESSURE = {"swap", "zswap", "overcommit"}
"""Settings that move a figure of memory only where there is little of it left."""

_BUSY = 0.5
"""Load for each CPU from which on a host counts as busy: half of its time goes elsewhere."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer."""

    question: str
    answer: str
    """An isolator, or a factor."""
    figure: str
    evidence: str
    """A sentence: compared with what, and how sure."""


@dataclass(frozen=True, slots=True)
class Caution:
    """Why a figure may not mean what it seems to mean."""

    title: str
    text: str
    loud: bool = True
    remedy: str | None = None
    """A command."""


def findings(summary: Summary) -> tuple[Finding, ...]:
    """The answers this run can give; none at all when nothing was measured."""
    found = (_start(summary), _memory(summary), _limits(summary), _machine(summary))
    return tuple(finding for finding in found if finding)


def cautions(summary: Summary) -> tuple[Caution, ...]:
    """Everything that stands against taking the figures at face value, the gravest first."""
    return tuple(_cautions(summary))


def names(isolators: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = isolators
    return f"{', '.join(most)} and {last}" if most else last


def _start(summary: Summary) -> Finding | None:
    ranked = [i.startup for i in summary.isolators if i.startup and not i.bare]
    if not ranked:
        return None
    first, *others = ranked
    floor = "" if first.to_bare is None else f", {units.times(first.to_bare.value)} bare"
    return Finding(
        question="Fastest start",
        answer=first.isolator,
        figure=f"{units.seconds(first.ready.median.value)} to ready{floor}",
        evidence=_next_start(first, others),
    )


def _next_start(first: Startup, others: Sequence[Startup]) -> str:
    if not others:
        return "No other isolator was measured beside it."
    second = others[0]
    ratio = ratio_of_medians(second.seconds, second.blocks, first.seconds, first.blocks)
    if ratio.interval is None:
        return f"Next is {second.isolator}; too few starts to say how sure that is."
    if 1 in ratio.interval:
        return f"{second.isolator} cannot be told apart from it ({_span(second)})."
    return f"Next is {second.isolator}, {units.times(ratio.value)} as long ({_span(second)})."


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
        answer=first.isolator,
        figure=_each(first),
        evidence=_next_memory(first, others),
    )


def _each(memory: Memory) -> str:
    """A bound where the readings scatter by more than an instance takes: none takes less than nothing."""
    interval = memory.total.interval
    if interval and interval.low <= 0 < interval.high:
        return f"at most {units.nbytes(interval.high)} an instance, too little to be told from noise"
    return f"{units.nbytes(memory.total.value)} an instance"


def _next_memory(first: Memory, others: Sequence[Memory]) -> str:
    alike = [other.isolator for other in others if _overlap(first, other)]
    if alike:
        return f"{names(alike)} cannot be told apart from it: the intervals overlap."
    if others:
        return f"Next is {others[0].isolator} with {units.nbytes(others[0].total.value)}."
    return "No other isolator was measured beside it."


def _overlap(one: Memory, other: Memory) -> bool:
    a, b = one.total.interval, other.total.interval
    return a is None or b is None or (a.low <= b.high and b.low <= a.high)


def _limits(summary: Summary) -> Finding | None:
    ranked = sorted(
        ((abs(worst), i) for i in summary.isolators if (worst := i.worst_error) is not None),
        key=lambda pair: pair[0],
    )
    if not ranked:
        return None
    (_, first), *others = ranked
    asked = sorted({quota.asked_cpus for quota in first.quotas})
    span = " to ".join(dict.fromkeys(units.cpus(value) for value in (asked[0], asked[-1])))
    others_say = ", ".join(f"{i.name} {_worst(i)}" for _, i in others)
    return Finding(
        question="Most exact CPU limit",
        answer=first.name,
        figure=f"{_worst(first)} at worst",
        evidence=f"Over limits of {span} CPUs. "
        + (f"The others at their worst: {others_say}." if others else "No other isolator has such a figure."),
    )


def _worst(isolator: Isolator) -> str:
    return units.optional(isolator.worst_error, units.percent)


def _machine(summary: Summary) -> Finding | None:
    """The fastest virtual machine against the slowest start that shares the host's kernel."""
    machines = [i for i in summary.isolators if i.own_kernel and i.startup]
    others = [i for i in summary.isolators if not i.own_kernel and i.startup and not i.bare]
    if not machines or not others:
        return None
    machine, other = machines[0], others[-1]
    if machine.startup is None or other.startup is None:
        return None
    factor = machine.startup.ready.median.value / other.startup.ready.median.value
    emulated = " Under software emulation: with KVM it would be far less." if machine.emulated else ""
    return Finding(
        question="Virtual machine against shared kernel",
        answer=units.times(factor),
        figure=f"the start of {machine.name} against {other.name}",
        evidence=f"{units.seconds(machine.startup.ready.median.value)} against "
        f"{units.seconds(other.startup.ready.median.value)}, the slowest start that shares the host's kernel."
        f"{_memory_factor(machine, other)}{emulated}",
    )


def _memory_factor(machine: Isolator, other: Isolator) -> str:
    if not machine.memory or not other.memory or other.memory.total.value <= 0:
        return ""
    factor = machine.memory.total.value / other.memory.total.value
    return f" In memory: {units.times(factor)}."


def _cautions(summary: Summary) -> Iterator[Caution]:
    if not summary.measured:
        yield Caution(
            "Nothing was measured", "No attempt of this run gave a value.", remedy="isobench doctor"
        )
    if summary.record.status != "finished":
        yield _interrupted(summary)
    if emulated := [i for i in summary.isolators if i.emulated and i.measured]:
        yield _emulated(emulated)
    yield from _noise(summary)
    if broken := [c for c in summary.not_ok if c.state.status in {Status.FAILED, Status.TIMEOUT}]:
        yield Caution(
            f"{len(broken)} of {len(summary.cells)} cells failed or timed out",
            "They enter no figure, but a fault seldom comes alone: see the list of what did not end well.",
        )
    for warning in summary.warnings:
        yield Caution("The journal is damaged", warning)
    yield from _settings(summary)
    if summary.compared and summary.bare is None:
        yield Caution(
            "There is no bare row", "Without the floor of the harness no ratio to it can be told.", loud=False
        )
    machine = summary.record.host.get("virtual_machine")
    if isinstance(machine, str) and machine != "none":
        yield Caution(
            f"The host is itself a virtual machine ({machine})",
            "Page faults and exits cost more in it and the hypervisor takes time away unseen: "
            "compare within this report, not with bare hardware.",
            loud=False,
        )


def _settings(summary: Summary) -> Iterator[Caution]:
    """What was set for the run, and what was not and disturbs what is told of memory."""
    tuned = summary.record.tuned or ()
    if changed := [one for one in tuned if one.end not in {None, one.during} and one.refused is None]:
        yield Caution(
            f"{names(list(dict.fromkeys(one.knob for one in changed)))}: changed while the run went on",
            "Somebody else set it to another value than the run did, so some of the figures were taken under "
            "other conditions: "
            + "; ".join(f"{one.file} from {one.during} to {one.end}" for one in changed)
            + ".",
        )
    if disturbing := _disturbs_memory(summary):
        yield _memory_settings(summary, disturbing)
    if done := list(dict.fromkeys(f"{o.knob} {o.before} to {o.during}" for o in tuned if o.refused is None)):
        yield Caution(
            "The host was tuned for this run",
            f"Set while it went on: {names(done)}. Figures vary less then, and are not those of the host as "
            "it is at other times: compare them with tuned runs only." + _refused(tuned),
            loud=False,
        )


def _refused(tuned: Sequence[TunedSetting]) -> str:
    kept = list(dict.fromkeys(f"{one.knob} ({one.refused})" for one in tuned if one.refused is not None))
    return f" The host refused to change {names(kept)}." if kept else ""


def _disturbs_memory(summary: Summary) -> tuple[Knob, ...]:
    """The settings of the host that do, in a run that tells of memory."""
    found = summary.record.host.get("knobs")
    bytes_told = any(
        sample.unit == "byte" and sample.value is not None
        for cell in summary.cells
        for sample in cell.samples
    )
    if not bytes_told or not isinstance(found, Mapping):
        return ()
    return tuple(knob for knob in recorded(found) if knob.memory and knob.disturbs)


def _memory_settings(summary: Summary, disturbing: Sequence[Knob]) -> Caution:
    merged, swapped = (
        _host_number(summary, "memory_now", key) for key in ("ksm_pages_sharing", "swap_used_bytes")
    )
    facts = [f"{knob.name} is {knob.found}: {knob.effect}." for knob in disturbing]
    if merged:
        facts.append(f"When the run began, {merged:g} pages were merged.")
    if swapped:
        facts.append(f"When the run began, {units.nbytes(swapped)} were swapped out.")
    return Caution(
        f"{names([knob.name for knob in disturbing])} of this host disturb figures of memory",
        " ".join(facts),
        loud=bool(swapped) or any(knob.name not in _UNDER_PRESSURE for knob in disturbing),
        remedy="; ".join(knob.command for knob in disturbing if knob.command),
    )


def _noise(summary: Summary) -> Iterator[Caution]:
    load, cpus = (_host_number(summary, *path) for path in (("load", "1min"), ("cpu", "usable")))
    if load and cpus and load / cpus >= _BUSY:
        yield Caution(
            "The host was busy",
            f"Its load was {load:.1f} on {cpus:g} CPUs when the run began. Other processes took CPU time, "
            "caches and locks from the measured ones: times are too long and limits look too strict.",
            remedy="ps -eo pcpu,pid,args --sort=-pcpu",
        )
    shares = [sample for cell in summary.cells for sample in cell.samples if "bound" in sample.detail]
    if held := sum(map(held_back, shares)):
        yield Caution(
            f"{held} of {len(shares)} readings of CPU limits were decided by other load",
            "The workload could not use up its quota, as the CPUs were busy elsewhere. These readings say "
            "nothing about the limit and enter no figure; they are among the raw samples.",
            remedy="ps -eo pcpu,pid,args --sort=-pcpu",
        )
    if faster := [found.isolator for found in summary.startups if _below_floor(found)]:
        yield Caution(
            f"{names(faster)}: started faster than the floor",
            "More work cannot take less time. The host changed while it was measured, by more than intervals "
            "can know of, or the path of the floor holds something that the other does not.",
        )


def _below_floor(startup: Startup) -> bool:
    ratio = startup.to_bare
    return ratio is not None and ratio.interval is not None and ratio.interval.high < 1


def _host_number(summary: Summary, group: str, key: str) -> float | None:
    found = summary.record.host.get(group)
    return number(found.get(key)) if isinstance(found, Mapping) else None


def _interrupted(summary: Summary) -> Caution:
    killed = summary.record.status == "running"
    return Caution(
        "The run was killed" if killed else "The run was interrupted",
        "The figures rest on what was measured until then; cells that were never reached are missing.",
        remedy=f"isobench resume {summary.folder}",
    )


def _emulated(isolators: Sequence[Isolator]) -> Caution:
    reasons = {i.record.reason for i in isolators if i.record and i.record.reason}
    return Caution(
        f"{names([i.name for i in isolators])}: software emulation (TCG)",
        "The guest's processor was imitated by software. These figures are no measure of a virtual machine "
        "with hardware support, which starts and computes many times faster. "
        + " ".join(f"The probe said: {reason.rstrip('.')}." for reason in sorted(reasons)),
    )

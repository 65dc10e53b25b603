"""What stands against taking the figures of a run at face value. Every sentence is computed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from isobench.journal import TunedSetting
from isobench.knobs import Knob, recorded
from isobench.model import Status
from isobench.reports import units
from isobench.reports.quiet import taken
from isobench.reports.summary import Isolator, Startup, Summary, held_back, number

_UNDER_PRESSURE = {"swap", "zswap", "overcommit"}
"""Settings that move a figure of memory only where there is little of it left."""

_BUSY = 0.5
"""Load for each CPU from which on a host counts as busy: half of its time goes elsewhere."""


@dataclass(frozen=True, slots=True)
class Caution:
    """Why a figure may not mean what it seems to mean."""

    title: str
    text: str
    loud: bool = True
    remedy: str | None = None
    """A command."""


def cautions(summary: Summary) -> tuple[Caution, ...]:
    """Everything that stands against taking the figures at face value, the gravest first."""
    return tuple(_cautions(summary))


def names(isolators: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = isolators
    return f"{', '.join(most)} and {last}" if most else last


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
    if not summary.startups and any(
        "caches" in cell.samples[0].params and cell.state.ok for cell in summary.cells
    ):
        yield Caution(
            "Every start had cold caches",
            "Files were read anew each time. A start on a host that has done it before takes far less.",
            loud=False,
        )
    if summary.compared and summary.bare is None and summary.record.ab is None:
        yield Caution(
            "There is no bare row", "Without the floor of the harness no ratio to it can be told.", loud=False
        )
    machine = summary.record.host.get("virtual_machine")
    if isinstance(machine, str) and machine != "none":
        yield Caution(
            f"The host is itself a virtual machine ({machine})",
            "Page faults and exits cost more in it and the hypervisor takes time away unseen: "
            "compare within this report, not with bare hardware.",
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
    if unfit := _unfit(summary):
        yield Caution(
            f"{names([knob.name for knob in unfit])}: not set as on a quiet host",
            " ".join(f"{knob.name} is {knob.found}, better {knob.wanted}: {knob.effect}." for knob in unfit),
            remedy="isobench run --tune"
            if all(knob.left is None for knob in unfit)
            else "; ".join(knob.command for knob in unfit if knob.command),
        )
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


def _unfit(summary: Summary) -> tuple[Knob, ...]:
    """The settings that make times vary, but those the run has set; load has a caution of its own."""
    found = summary.record.host.get("knobs")
    if not isinstance(found, Mapping):
        return ()
    ours = {one.knob for one in summary.record.tuned or () if one.refused is None}
    return tuple(
        knob
        for knob in recorded(found)
        if knob.disturbs and not knob.memory and knob.name not in {*ours, "load"}
    )


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
    # A run of two sides has a table of its own of these, and a verdict that knows of them.
    if summary.record.ab is None and (much := [one for one in taken(summary.record) if one.passed is False]):
        yield Caution(
            "Others used the host while it was measured",
            "; ".join(f"{one.name}: {one.found}, quiet up to {one.limit}" for one in much)
            + ". Times are too long then, and vary more.",
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

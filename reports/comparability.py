"""Whether figures of two runs may be compared, and which facts stand against it or explain a difference.

Three kinds of difference are told apart:

- the *subject*: another build or other options of an isolator. This is what a comparison is about;
- the *conditions*: the host, its kernel and settings, tuning, the agent, isobench itself. Figures taken under
  other conditions differ for more than one reason. Nothing here forbids to look at them side by side, but
  they are not figures of one host any more;
- what was *measured*: other parameters of a benchmark, another file system or command of a workload. Figures
  of these cells are of different things; no ratio of theirs means anything.

The seed, how often a thing was measured, what a host does at the moment and which boot it is do not matter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from isobench.host import comparable
from isobench.journal import IsolatorRecord, RunRecord, ToolRecord

Facts: TypeAlias = Mapping[str, Any]
"""Name of a fact → its value as run.json has it."""

AGENT = "isoagent"
"""The tool that starts every instance."""

_HOW_OFTEN = frozenset(
    {
        *("attempts", "blocks", "confirm", "count", "drains", "iterations", "probes", "probes_vm"),
        *("repeats", "requests", "rounds", "starts", "starts_vm", "warmups", "warmups_vm"),
    }
)
"""Parameters of benchmarks that change how many values there are, and not what they are."""

_CHOSEN = frozenset({"cpuset"})
"""Lists among the parameters that do not choose cells: those have their parameter in the cell's name."""

_OF_ONE_MACHINE = (
    *("BOOT_IMAGE=", "root=", "resume=", "ip=", "rd.", "cryptdevice="),
    *("systemd.machine_id=", "systemd.hostname="),
)
"""How parameters of a kernel's command line begin that name a disk, an address or a name of one machine."""


class Kind(StrEnum):
    """What a difference is about."""

    SUBJECT = "subject"
    CONDITIONS = "conditions"
    MEASURED = "measured"


class Likeness(StrEnum):
    """What two runs are to each other."""

    SAME = "same"
    """Same host, same conditions, same isolators."""
    EXPLAINED = "explained"
    """They differ in what can be the subject of a comparison and in nothing else that matters."""
    UNLIKE = "unlike"
    """Conditions differ: a gate must refuse them, a reader be told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact, and its value in both runs; None: the run does not tell it."""

    key: str
    base: Any
    candidate: Any
    kind: Kind
    isolators: tuple[str, ...] = ()
    """As shown, those it is about; empty: all, or it is not known which."""
    benchmark: str | None = None
    workload: str | None = None
    """Where what was measured differs: whose cells."""

    @property
    def text(self) -> str:
        """``kernel was 6.1 and is 6.12``."""
        return f"{self.key} was {told(self.base)} and is {told(self.candidate)}"


@dataclass(frozen=True, slots=True)
class Comparability:
    """All differences of two runs that matter, those of the conditions first."""

    differences: tuple[Difference, ...]

    @property
    def likeness(self) -> Likeness:
        """The gravest of what the differences come to."""
        if any(found.kind is Kind.CONDITIONS for found in self.differences):
            return Likeness.UNLIKE
        return Likeness.EXPLAINED if self.differences else Likeness.SAME

    def of(self, kind: Kind) -> tuple[Difference, ...]:
        """The differences of one kind."""
        return tuple(found for found in self.differences if found.kind is kind)

    @property
    def subjects(self) -> frozenset[str]:
        """The isolators, as shown, that are known to be another build or to have other options."""
        return frozenset(name for found in self.of(Kind.SUBJECT) for name in found.isolators)

    @property
    def subjects_known(self) -> bool:
        """Whether every difference of that kind could be laid to isolators."""
        return all(found.isolators for found in self.of(Kind.SUBJECT))

    def refusal(self, benchmark: str, workload: str) -> str | None:
        """Why figures of such cells are of different things; None: they are not."""
        reasons = [
            found.text
            for found in self.of(Kind.MEASURED)
            if found.benchmark in {None, benchmark} and found.workload in {None, workload}
        ]
        return "; ".join(reasons) or None


def comparability(base: RunRecord, candidate: RunRecord) -> Comparability:
    """Compare what two runs were made on and with."""
    return Comparability(
        (
            *unequal(conditions(base), conditions(candidate), Kind.CONDITIONS),
            *_isolators(base, candidate),
            *_tools(base, candidate),
            *_workloads(base, candidate),
            *_parameters(base, candidate),
        )
    )


def conditions(record: RunRecord) -> Facts:
    """Everything that must be equal for figures of two runs to be of one host under one set of conditions."""
    agent = record.tools.get(AGENT, ToolRecord())
    return {
        **comparable(record.host),
        "tuned": _tuned(record),
        "isobench": record.isobench_version,
        "agent": agent.sha256,
    }


def build(record: RunRecord) -> Facts:
    """The conditions without what is of one machine alone: hosts of equal builds can stand in for each other.

    Tools belong to it as well, by version and hash, the options of isolators and the parameters that matter.
    """
    found = {key: value for key, value in conditions(record).items() if key != "hostname"}
    if isinstance(line := found.get("command_line"), str):
        found["command_line"] = " ".join(w for w in line.split() if not w.startswith(_OF_ONE_MACHINE))
    for name, tool in record.tools.items():
        if name != AGENT:
            found[f"tool {name}"] = _tool(tool)
    for isolator in record.isolators:
        found[f"{isolator.name}: measured as"] = isolator.shown_as
        found.update({f"{isolator.name}: {key}": value for key, value in isolator.options.items()})
    for benchmark in record.benchmarks:
        parameters = record.matrix.get(benchmark)
        if isinstance(parameters, Mapping):
            matter = {key: value for key, value in parameters.items() if _matters(key, value)}
            found.update({f"{benchmark}.{key}": value for key, value in matter.items()})
    return found


def unequal(base: Facts, candidate: Facts, kind: Kind) -> Iterator[Difference]:
    """The facts that differ, those that only one side tells among them."""
    for key in dict.fromkeys((*base, *candidate)):
        if base.get(key) != candidate.get(key):
            yield Difference(key, base.get(key), candidate.get(key), kind)


def told(value: object) -> str:
    """A fact in a sentence."""
    match value:
        case None | "":
            return "not told"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(told, value)) or "none"
        case _:
            return str(value)


def _tuned(record: RunRecord) -> str:
    done = {f"{one.knob} {one.during}" for one in record.tuned or () if one.refused is None}
    return "no" if record.tuned is None else ", ".join(sorted(done)) or "nothing needed it"


def _isolators(base: RunRecord, candidate: RunRecord) -> Iterator[Difference]:
    after = {found.name: found for found in candidate.isolators}
    for before in base.isolators:
        if (now := after.get(before.name)) is None:
            continue
        shown = tuple(dict.fromkeys((before.shown_as, now.shown_as)))
        options = tuple(_options(before, now))
        for key, was, become in options:
            yield Difference(f"{before.name}: {key}", was, become, Kind.SUBJECT, shown)
        # Other options may well mean another start of the clock; without any, the host decided (no KVM).
        kind = Kind.SUBJECT if options else Kind.CONDITIONS
        for key, words in _FOLLOWS.items():
            was, become = getattr(before, key), getattr(now, key)
            if was != become:
                yield Difference(f"{before.name}: {words}", was, become, kind, shown)


_FOLLOWS = {
    "shown_as": "measured as",
    "t0": "start of the clock",
    "covers": "a CPU limit covers",
    "shares_kernel": "shares the host's kernel",
}
"""Of an isolator: what is not its options but follows from them and from the host."""


def _options(before: IsolatorRecord, now: IsolatorRecord) -> Iterator[tuple[str, Any, Any]]:
    if before.kind != now.kind:
        yield "kind", before.kind, now.kind
    for key in dict.fromkeys((*before.options, *now.options)):
        if before.options.get(key) != now.options.get(key):
            yield key, before.options.get(key), now.options.get(key)


def _tools(base: RunRecord, candidate: RunRecord) -> Iterator[Difference]:
    for name in base.tools:
        if name == AGENT or name not in candidate.tools:
            continue
        was, now = _tool(base.tools[name]), _tool(candidate.tools[name])
        if was != now:
            users = dict.fromkeys(
                found.shown_as
                for record in (base, candidate)
                for found in record.isolators
                if found.kind == name or name in _values(found.options)
            )
            yield Difference(name, was, now, Kind.SUBJECT, tuple(users))


def _tool(tool: ToolRecord) -> str | None:
    """Its version and the beginning of its hash; where it lies does not matter."""
    if tool.sha256 is None:
        return None
    return f"{tool.version or 'of no version'} ({tool.sha256[:12]})"


def _values(options: object) -> Iterator[object]:
    """All that stands in the options of an isolator, at any depth."""
    if isinstance(options, Mapping):
        for value in options.values():
            yield from _values(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _values(value)
    else:
        yield options


def _workloads(base: RunRecord, candidate: RunRecord) -> Iterator[Difference]:
    for name, was in base.workloads.items():
        now = candidate.workloads.get(name)
        if now is None:
            continue
        if was.digest != now.digest:
            key = f"root file system of {name}"
            yield Difference(key, was.digest[:12], now.digest[:12], Kind.MEASURED, workload=name)
        if was.argv != now.argv:
            key = f"command of {name}"
            yield Difference(key, " ".join(was.argv), " ".join(now.argv), Kind.MEASURED, workload=name)


def _parameters(base: RunRecord, candidate: RunRecord) -> Iterator[Difference]:
    for benchmark in base.benchmarks:
        was, now = base.matrix.get(benchmark), candidate.matrix.get(benchmark)
        if not isinstance(was, Mapping) or not isinstance(now, Mapping):
            continue
        for key in was:
            if key in now and was[key] != now[key] and _matters(key, was[key]):
                name = f"{benchmark}.{key}"
                yield Difference(name, was[key], now[key], Kind.MEASURED, benchmark=benchmark)


def _matters(key: str, value: object) -> bool:
    return key not in _HOW_OFTEN and (key in _CHOSEN or not isinstance(value, list | tuple))

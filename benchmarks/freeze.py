"""freeze: how long it takes to freeze and thaw a group of so many tasks, and whether frozen ones stand still.

How each figure is made, and what it contains: docs/benchmarks/freeze.md.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.hostmemory import read_available
from isobench.benchmarks.processes import PROC, read_descendants, split_by_argv, workload_argv
from isobench.errors import CgroupError, ToolError
from isobench.isolators.cgroup import controllers_of
from isobench.isolators.cgroup.files import write_file
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.model import (
    Capabilities,
    Cell,
    Event,
    Launch,
    Limits,
    Readiness,
    Reading,
    Status,
    unavailable,
)
from isobench.process import run

FREEZE, THAW, SECOND = "freeze", "thaw", "second"
WORKLOAD = "herd"

How: TypeAlias = Literal["file", "tool"]

_HOLD_S = 0.05
_NS_PER_S = 1e9
_BYTES_A_TASK = 1 << 19
"""A generous guess of what one takes, kernel memory included, so that a small host is not overrun."""
_EXPECTED_S = 0.2
_EXPECTED_TASK_S = 0.001
_THAWED = {1: ("freezer.state", "THAWED"), 2: ("cgroup.freeze", "0")}

Tasks = Annotated[int, Field(strict=True, ge=1, le=32_768)]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"each value may stand once, found {list(values)}")
    return values


class FreezeParams(contract.Params):
    """The ``[freeze]`` table."""

    VERBS: ClassVar[tuple[str, ...]] = ()
    tasks: Annotated[tuple[Tasks, ...], Field(min_length=1), AfterValidator(_each_once)] = (1, 10, 100, 1000)
    """Processes that are to stand still; the first of them runs without a pause."""
    how: Annotated[tuple[How, ...], Field(min_length=1), AfterValidator(_each_once)] = ("file", "tool")
    """file: a write to the group's own file. tool: the isolator's own command, such as `runc pause`."""
    repeats: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    """So often a block."""


class Freeze(Benchmark[FreezeParams]):
    """Hold a herd of tasks in a group, freeze it and let it go."""

    name = "freeze"
    Params = FreezeParams

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Isolators whose workload has no group that is its own alone."""
        if not capabilities.shares_kernel:
            return "a virtual machine is stopped by its monitor, not by a group"
        return None if "cpu" in capabilities.limits else "it has no group of its own"

    def cells(
        self, isolator: str, capabilities: Capabilities, params: FreezeParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each way and number of tasks."""
        ways = [how for how in params.how if how == "file" or capabilities.pauses] or ["file"]
        return tuple(
            Cell(isolator, self.name, WORKLOAD, {"how": how, "tasks": tasks}, blocks)
            for how in ways
            for tasks in params.tasks
        )

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """The freezer, and memory for so many tasks."""
        lack = controllers_of(site.cgroups).lack("freezer")
        if not lack.usable:
            return lack
        available, _ = read_available()
        needed = int(cell.params["tasks"] or 0) * _BYTES_A_TASK
        if needed <= available:
            return None
        reason = f"{cell.params['tasks']} tasks may take {needed} bytes of memory, {available} are available"
        return unavailable(reason, f"leave {cell.params['tasks']} out of `tasks` in [freeze]")

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[FreezeParams]
    ) -> Generator[Reading, None, None]:
        """Two readings a time it is frozen."""
        try:
            yield from _block(cell, isolator, context)
        except (_FreezeError, CgroupError, ToolError) as error:
            status = error.status if isinstance(error, _FreezeError) else Status.FAILED
            yield Reading(FREEZE, SECOND, None, status, str(error), getattr(error, "remedy", None))

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: FreezeParams) -> float:
        """The tasks, and the pauses before and after each freeze."""
        tasks = int(cell.params["tasks"] or 0)
        return _EXPECTED_S + tasks * _EXPECTED_TASK_S + params.repeats * (2 * _HOLD_S)


class _FreezeError(Exception):
    def __init__(self, message: str, status: Status = Status.FAILED, remedy: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.remedy = remedy


class _Herd(BaseModel):
    """The workload's first line."""

    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["herd"]
    fd: NonNegativeInt
    """Of the memory with its counters."""
    tasks: NonNegativeInt


class Frozen(BaseModel):
    """What the agent's ``freeze`` saw, an entry for each time; times in ns from just before the order."""

    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["froze"]
    freeze_ns: list[NonNegativeInt]
    """Until the kernel said that all are frozen."""
    thaw_ns: list[NonNegativeInt]
    """Until it said that they are not."""
    progress_ns: list[NonNegativeInt]
    """Until the first task was seen to have gone on."""
    moved: list[NonNegativeInt]
    """How much all together counted while they were frozen: 0, if frozen means frozen."""
    gap_ns: list[NonNegativeInt]
    """The longest time between two looks at the state."""


def readings(found: Frozen) -> Iterator[Reading]:
    """Two for each time; a freeze in which a task went on is a failed one."""
    for freeze, thaw, progress, moved, gap in zip(
        found.freeze_ns, found.thaw_ns, found.progress_ns, found.moved, found.gap_ns, strict=True
    ):
        gap_s = gap / _NS_PER_S
        if moved:
            reason = f"frozen tasks went on: they counted {moved} in {_HOLD_S:g} s"
            yield Reading(FREEZE, SECOND, None, Status.FAILED, reason)
        else:
            detail = {"moved": moved, "held_s": _HOLD_S, "resolution_s": gap_s}
            timed_s = freeze / _NS_PER_S
            yield Reading(FREEZE, SECOND, freeze / _NS_PER_S, detail=detail, timed_s=timed_s)
        timed_s = progress / _NS_PER_S
        yield Reading(
            THAW, SECOND, progress / _NS_PER_S, detail={"reported_s": thaw / _NS_PER_S}, timed_s=timed_s
        )


@dataclass(frozen=True, slots=True)
class _Group:
    version: int
    directory: Path
    counters: Path


def _block(
    cell: Cell, isolator: Isolator[Any], context: Context[FreezeParams]
) -> Generator[Reading, None, None]:
    site, tasks, how = context.site, int(cell.params["tasks"] or 0), cast(How, cell.params["how"])
    bundle = agent_bundle(site, WORKLOAD, "--tasks", str(tasks))
    with (
        isolator.prepare(site, bundle, Limits(accounted=frozenset({"freezer"}))) as launch,
        starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=1) as session,
    ):
        event = session.start()
        group = _group(session, launch, event, site)
        with _thawed_at_the_end(group):
            words = _words(site, group, tasks, context.params.repeats, launch if how == "tool" else None)
            said = run(words, timeout_s=context.timeout_s + context.params.repeats * 30).stdout
        try:
            found = Frozen.model_validate_json(said)
        except ValidationError:
            raise _FreezeError(f"the agent said {said[:60]!a}") from None
        yield from readings(found)
        for end in session.end():
            if end.status is not Status.OK:
                raise _FreezeError(end.reason or "it did not end well", end.status)


def _group(session: starter.Session, launch: Launch, event: Event, site: Site) -> _Group:
    if event.status is not Status.OK:
        raise _FreezeError(event.reason or "not ready", event.status)
    try:
        herd = _Herd.model_validate_json(event.output.partition("\n")[0])
    except ValidationError:
        raise _FreezeError(f"the workload should be a herd, but said {event.output[:60]!a}") from None
    argv = workload_argv(launch, 0)
    # The tasks have the same command line as the one that made them, which is the oldest.
    every = read_descendants(session.pid)
    found = [one for one in split_by_argv(every, [argv])[0] if one.argv == argv]
    parents = {one.pid for one in found}
    heads = [one for one in found if one.parent not in parents]
    if not heads:
        raise _FreezeError("its process is not found on the host, so that its group is not known")
    version, directory = controllers_of(site.cgroups).use(heads[0].pid).freezer()
    return _Group(version, directory, PROC / str(heads[0].pid) / "fd" / str(herd.fd))


@contextmanager
def _thawed_at_the_end(group: _Group) -> Iterator[None]:
    """Whatever happens: on v1 a frozen task cannot even be killed."""
    try:
        yield
    finally:
        name, value = _THAWED[group.version]
        with suppress(CgroupError):  # it is gone, and nothing in it can be frozen
            write_file(group.directory / name, value)


def _words(site: Site, group: _Group, tasks: int, repeats: int, tool: Launch | None) -> list[str]:
    words = [str(site.agent), "freeze", "--version", str(group.version), "--group", str(group.directory)]
    words += ["--counters", str(group.counters), "--tasks", str(tasks), "--repeats", str(repeats)]
    words += ["--hold-us", str(round(_HOLD_S * 1e6))]
    for option, command in (("--pause", tool.pause), ("--resume", tool.resume)) if tool else ():
        if not command:
            raise _FreezeError(
                "the tool's own command to freeze is not installed",
                Status.UNAVAILABLE,
                'leave "tool" out of `how` in [freeze], or install all of its package',
            )
        words += [option, str(len(command)), *(word.replace("{n}", "0") for word in command)]
    return words

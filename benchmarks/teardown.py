"""teardown: how long after its end, told or killed, an instance is gone; and what is left of it then.

How each figure is made, and what it contains: docs/benchmarks/teardown.md.
"""

import math
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeAlias, cast

from pydantic import AfterValidator, Field

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.payload import PayloadError, hello
from isobench.isolators import census
from isobench.isolators.census import Thing
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.isolators.drain import POLL_S, Drain, Drained
from isobench.model import Capabilities, Cell, Event, Launch, Reading, Scalar, Status

EXIT, CLEANED, DRAINED, RESIDUE = "exit", "cleaned", "drained", "residue"
SECOND, COUNT = "second", "count"

DRAIN_LIMIT_S = 2.0
"""A network namespace takes some tens of milliseconds, a cgroup too; a busy host never comes to rest."""

NAMED = 20
"""So many names of things left behind are told; their number counts all."""

_NS_PER_S = 1e9
_EXPECTED_S = 0.12
_EXPECTED_VM_S = 2.6
_EXPECTED_OVERHEAD_S = 0.2

How: TypeAlias = Literal["exit", "kill"]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]


def _each_once(ways: tuple[How, ...]) -> tuple[How, ...]:
    if len(set(ways)) != len(ways):
        raise ValueError(f"a way to end is named twice in {list(ways)}")
    return ways


class TeardownParams(contract.Params):
    """The ``[teardown]`` table."""

    how: Annotated[tuple[How, ...], Field(min_length=1), AfterValidator(_each_once)] = ("exit", "kill")
    """exit: it is told to end by its input, and ends by itself. kill: SIGKILL to its processes; for a virtual
    machine to its monitor."""
    instances: Count = 20
    """Instances of a cell that are ended, at least, over all its blocks together."""
    instances_vm: Count = 5
    """The same where an instance is a virtual machine."""


class Teardown(Benchmark[TeardownParams]):
    """Hold one instance after the other of the agent's ``hold``, and end it."""

    name = "teardown"
    Params = TeardownParams

    def cells(
        self, isolator: str, capabilities: Capabilities, params: TeardownParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each way to end; in no more blocks than there are instances to spread over them."""
        count = min(blocks, _instances(capabilities, params))
        return tuple(Cell(isolator, self.name, "hold", {"how": how}, blocks=count) for how in params.how)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[TeardownParams]
    ) -> Generator[Reading, None, None]:
        """Up to three readings an instance, and one of what is left; a start that fails ends the block."""
        site, how = context.site, cast(How, cell.params["how"])
        with (
            isolator.prepare(site, agent_bundle(site, "hold")) as launch,
            starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=1) as session,
        ):
            ending = Ending(session, isolator.capabilities, Drain(site.cgroups))
            left = _Leftovers(site, launch)
            for _ in range(_instances_a_block(cell, isolator.capabilities, context.params)):
                yield from ending.readings(how)
                if not ending.ended:
                    return
                left.look()
            yield left.reading(ending.lingering)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: TeardownParams) -> float:
        """Starts, ends, and drains of one block."""
        each = _EXPECTED_S if capabilities.shares_kernel else _EXPECTED_VM_S
        return _EXPECTED_OVERHEAD_S + each * _instances_a_block(cell, capabilities, params)


class Instances(Protocol):
    """A session as far as an end needs it."""

    def start(self, slot: int, /) -> Event:
        """The ``ready`` event of a new instance."""

    def stop(self, slot: int, how: How, /) -> Event:
        """The ``exit`` event of an instance that was told to end, or killed."""


class Host(Protocol):
    """The kernel's clean-up as far as an end needs it."""

    def wait(self, limit_s: float, /) -> Drained:
        """Wait until the host is at rest."""

    def blind_to(self) -> str | None:
        """What is not seen here."""


class Ending:
    """Starts instances and ends them, one at a time."""

    def __init__(self, session: Instances, capabilities: Capabilities, drain: Host) -> None:
        self._session = session
        self._phases = capabilities.phases
        self._drain = drain
        self.ended = False
        """The last instance was started, and ended as it should."""
        self.lingering = 0
        """Dying cgroups that stayed after all the ends so far."""

    def readings(self, how: How) -> Iterator[Reading]:
        """Start an instance, end it, and say how long each part of the end took."""
        self.ended = False
        started = self._session.start(0)
        if bad := _not_held(started):
            yield bad
            return
        # What the start itself has left to the kernel must not count as the end's.
        before = self._drain.wait(DRAIN_LIMIT_S)
        event = self._session.stop(0, how)
        drained = self._drain.wait(DRAIN_LIMIT_S)
        if bad := _not_ended(event):
            yield bad
            return
        self.ended = True
        self.lingering += drained.lingering
        seconds = _since_stop(event)
        yield Reading(EXIT, SECOND, seconds[EXIT], timed_s=seconds[EXIT])
        if CLEANED in self._phases and CLEANED in seconds:
            yield Reading(CLEANED, SECOND, seconds[CLEANED], timed_s=seconds[CLEANED] - seconds[EXIT])
        yield self._drained(event, before, drained)

    def _drained(self, event: Event, before: Drained, drained: Drained) -> Reading:
        if blind := self._drain.blind_to():
            remedy = "run isobench in the host's own PID namespace"
            return Reading(DRAINED, SECOND, None, Status.UNAVAILABLE, f"it does not show: {blind}", remedy)
        if before.left or drained.left:
            when = "before the end" if before.left else "after the end"
            what = ", ".join(before.left or drained.left)
            reason = f"the host did not come to rest within {DRAIN_LIMIT_S:g} s {when}: {what}"
            return Reading(DRAINED, SECOND, None, Status.TIMEOUT, reason)
        stop_s = event.stop_ns / _NS_PER_S
        detail: dict[str, Scalar] = {
            "not_before_s": max(0.0, drained.busy_at - stop_s),
            "resolution_s": POLL_S,
            "lingering_groups": drained.lingering,
        }
        return Reading(DRAINED, SECOND, drained.rest_at - stop_s, detail=detail, timed_s=drained.seconds)


def _not_held(event: Event) -> Reading | None:
    """The start as a failed reading, unless it came off and the payload has proven that it ran."""
    if event.status is not Status.OK:
        return Reading(EXIT, SECOND, None, event.status, f"it was not started: {event.reason}")
    try:
        hello(event.output, "hold")
    except PayloadError as error:
        return Reading(EXIT, SECOND, None, Status.FAILED, str(error))
    return None


def _not_ended(event: Event) -> Reading | None:
    """The end as a failed reading, unless it was in order and not before it was asked for."""
    if event.status is not Status.OK:
        return Reading(EXIT, SECOND, None, event.status, event.reason)
    if not event.stop_ns or _since_stop(event).get(EXIT, -1.0) < 0:
        reason = "the instance had ended by itself before it was told to"
        return Reading(EXIT, SECOND, None, Status.FAILED, reason)
    return None


def _since_stop(event: Event) -> dict[str, float]:
    """Seconds from being told to end to each phase."""
    zero = event.stop_ns - event.invoke_ns
    return {name: (ns - zero) / _NS_PER_S for name, ns in event.phases_ns.items()}


class _Leftovers:
    """What there is on the host after instances have ended that was not there before the first began."""

    def __init__(self, site: Site, launch: Launch) -> None:
        self._site = site
        # The file that says which process an instance is, is made because we ask for it.
        self._asked_for = launch.adopt and launch.adopt.replace("{n}", "0")
        self._before = census.take(site)
        self._counts: list[int] = []
        self._things: tuple[Thing, ...] = ()

    def look(self) -> None:
        """After the end of an instance; only the first and the last look are told."""
        left = census.left_behind(self._before, census.take(self._site))
        self._things = tuple(thing for thing in left if thing.what != self._asked_for)
        self._counts.append(sum(thing.ours for thing in self._things))

    def reading(self, lingering: int) -> Reading:
        """How much is left of all instances together."""
        return residue(self._things, self._counts, self._site.token, lingering)


def residue(things: Sequence[Thing], counts: Sequence[int], token: str, lingering: int) -> Reading:
    """What is left, by kind and name, after as many instances as there are ``counts``.

    ``counts``: how much bore the run's name after each of them; ``lingering``: dying cgroups that stay.
    """
    ours = tuple(thing for thing in things if thing.ours)
    others = tuple(thing for thing in things if not thing.ours)
    kinds = Counter(thing.kind for thing in ours)
    detail: dict[str, Scalar] = {
        "instances": len(counts),
        "after_the_first": counts[0],
        **{f"{kind}_count".replace(" ", "_"): kinds[kind] for kind in census.KINDS if kinds[kind]},
        "lingering_groups": lingering,
        "names": _names(ours, token),
        "unnamed_count": len(others),
        "unnamed": _names(others, token),
    }
    return Reading(RESIDUE, COUNT, float(len(ours) + lingering), detail=detail)


def _names(things: Sequence[Thing], token: str) -> str:
    """A few of them; the run's name, another in every run, is left out."""
    told = [str(thing).replace(token, "(run)") for thing in things[:NAMED]]
    more = len(things) - len(told)
    return "; ".join((*told, f"and {more} more") if more else told)


def _instances(capabilities: Capabilities, params: TeardownParams) -> int:
    return params.instances if capabilities.shares_kernel else params.instances_vm


def _instances_a_block(cell: Cell, capabilities: Capabilities, params: TeardownParams) -> int:
    return math.ceil(_instances(capabilities, params) / cell.blocks)

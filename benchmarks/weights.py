"""weights: whether siblings under contention get CPU time as their weights promise, and how soon.

How each figure is made, and what it contains: docs/benchmarks/weights.md.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, Field

from isobench import starter
from isobench.benchmarks import contract
from isobench.benchmarks.appetite import WORKLOAD
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.payload import PayloadError, hello
from isobench.benchmarks.processes import read_descendants
from isobench.errors import CgroupError
from isobench.isolators.cgroup import GroupUse, controllers_of
from isobench.isolators.cgroup.controllers import DEFAULT_WEIGHT, WEIGHT_RANGE
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
    Scalar,
    Status,
    unavailable,
)

ERROR, RATIO = "share_error", "ratio"
SETTLED, SECOND = "settled", "second"

On: TypeAlias = Literal["one", "all"]

_NEAR = 0.1
"""Settled: no share strays from its final value by more than that part of it any more."""
_INTERVAL_S = 0.01
_MARGIN_S = 0.5
"""The siblings burn on a little longer than they are watched."""
_MOST = WEIGHT_RANGE[1] // DEFAULT_WEIGHT
_EXPECTED_START_S = 0.15

Part = Annotated[int, Field(strict=True, ge=1, le=_MOST)]
Ratio = Annotated[tuple[Part, ...], Field(min_length=2, max_length=8)]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"each value may stand once, found {list(values)}")
    return values


class WeightsParams(contract.Params):
    """The ``[weights]`` table."""

    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1), AfterValidator(_each_once)] = (
        (1, 2),
        (1, 10),
        (100, 1),
        (1, 2, 4, 8),
        (1, 1, 1, 1, 1, 1, 1, 1),
    )
    """Of the weights of two to eight siblings; 1 is the kernel's default weight."""
    on: Annotated[tuple[On, ...], Field(min_length=1), AfterValidator(_each_once)] = ("one", "all")
    """one: all siblings are kept on the host's last CPU, a thread each. all: each has a thread a CPU."""
    window_s: Annotated[float, Field(strict=True, ge=0.2, le=60, allow_inf_nan=False)] = 2.0


class Weights(Benchmark[WeightsParams]):
    """Let siblings of the agent's ``appetite`` burn all the CPU time they get beside each other."""

    name = "weights"
    Params = WeightsParams

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Isolators that set no weights."""
        return None if "weight" in capabilities.limits else "it sets no weights"

    def cells(
        self, isolator: str, capabilities: Capabilities, params: WeightsParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each ratio and place."""
        return tuple(
            Cell(isolator, self.name, WORKLOAD, {"ratio": _text(ratio), "on": on}, blocks)
            for ratio in params.ratios
            for on in params.on
        )

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """The controllers; a second CPU."""
        groups = controllers_of(site.cgroups)
        if cell.params["on"] == "one":
            return next((lack for name in ("cpu", "cpuset") if not (lack := groups.lack(name)).usable), None)
        if len(os.sched_getaffinity(0)) == 1:
            return unavailable("there is one CPU only", 'leave "all" out of `on` in [weights]')
        lack = groups.lack("cpu")
        return None if lack.usable else lack

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[WeightsParams]
    ) -> Iterator[Reading]:
        """A reading a sibling, and one of when they have settled."""
        begun = time.monotonic()
        ratio = tuple(int(part) for part in str(cell.params["ratio"]).split(":"))
        try:
            contest = _contest(ratio, cast(On, cell.params["on"]), isolator, context)
        except (_WeightsError, CgroupError) as error:
            status = error.status if isinstance(error, _WeightsError) else Status.FAILED
            yield Reading(ERROR, RATIO, None, status, str(error), getattr(error, "remedy", None))
            return
        timed_s = time.monotonic() - begun
        yield from contest.readings(timed_s)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: WeightsParams) -> float:
        """The starts, and the window."""
        siblings = str(cell.params["ratio"]).count(":") + 1
        return siblings * _EXPECTED_START_S + params.window_s + _MARGIN_S


class _WeightsError(Exception):
    def __init__(self, message: str, status: Status = Status.FAILED) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Moment:
    """CPU time each sibling has used since the go-ahead."""

    t_s: float
    used_ns: tuple[int, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Of all they have used together; all 0 as long as that is nothing."""
        total = sum(self.used_ns)
        return tuple(used / total if total else 0.0 for used in self.used_ns)


@dataclass(frozen=True, slots=True)
class Contest:
    """What came of siblings beside each other."""

    ratio: tuple[int, ...]
    in_force: tuple[int, ...]
    """Weights as the kernel keeps them: cpu.shares of v1, cpu.weight of v2."""
    moments: tuple[Moment, ...]
    """In the order of time."""
    cpus: int
    """They could use together."""

    def readings(self, timed_s: float) -> Iterator[Reading]:
        """One a sibling, and when the shares had settled."""
        last = self.moments[-1]
        total_s = sum(last.used_ns) / 1e9
        for number, (part, weight, got) in enumerate(
            zip(self.ratio, self.in_force, last.shares, strict=True), start=1
        ):
            promised = part / sum(self.ratio)
            detail: dict[str, Scalar] = {
                "sibling": number,
                "weight_in_force": weight,
                "promised": promised,
                "promised_in_force": weight / sum(self.in_force),
                "got": got,
                "cpus_together": total_s / last.t_s,
                "cpus": self.cpus,
            }
            yield Reading(ERROR, RATIO, (got - promised) / promised, detail=detail)
        settled = settled_s(self.moments)
        detail = {"near": _NEAR, "window_s": last.t_s, "looks": len(self.moments)}
        yield Reading(SETTLED, SECOND, settled, detail=detail, timed_s=timed_s)


def settled_s(moments: Sequence[Moment]) -> float:
    """From when on no sibling's share since the go-ahead strays from the final one by more than a tenth."""
    final = moments[-1].shares
    settled = moments[-1].t_s
    for moment in reversed(moments):
        pairs = zip(moment.shares, final, strict=True)
        if any(abs(share - end) > _NEAR * end for share, end in pairs):
            break
        settled = moment.t_s
    return settled


def _text(ratio: Sequence[int]) -> str:
    return ":".join(str(part) for part in ratio)


def _contest(
    ratio: tuple[int, ...], on: On, isolator: Isolator[Any], context: Context[WeightsParams]
) -> Contest:
    site, window_s = context.site, context.params.window_s
    usable = os.sched_getaffinity(0)
    limits = Limits(
        cpus=(max(usable),) if on == "one" else (),
        cpu_weights=tuple(part * DEFAULT_WEIGHT for part in ratio),
    )
    threads = 1 if on == "one" else len(usable)
    burn_us = round((window_s + _MARGIN_S) * 1e6)
    bundle = agent_bundle(site, WORKLOAD, "cpu", "--threads", str(threads), "--window-us", str(burn_us))
    with (
        isolator.prepare(site, bundle, limits, slots=len(ratio)) as launch,
        starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=len(ratio)) as session,
    ):
        siblings = [_sibling(session, launch, site) for _ in ratio]
        for write in launch.late_writes:
            write_file(Path(write.path), write.value)
        in_force = tuple(sibling.weight() for sibling in siblings)
        if len(set(in_force)) != len(set(ratio)):
            raise _WeightsError(f"asked for weights of {_text(ratio)}, but in force are {_text(in_force)}")
        moments = _watch(session, siblings, window_s)
        for _ in ratio:
            _told(session, context.timeout_s)
        bad = next((end for end in session.end() if end.status is not Status.OK), None)
        if bad:
            raise _WeightsError(bad.reason or "a sibling did not end well", bad.status)
    return Contest(ratio, in_force, moments, 1 if on == "one" else len(usable))


def _sibling(session: starter.Session, launch: Launch, site: Site) -> GroupUse:
    event = session.start()
    if event.status is not Status.OK:
        raise _WeightsError(event.reason or "not ready", event.status)
    try:
        hello(event.output, WORKLOAD)
    except PayloadError as error:
        raise _WeightsError(str(error)) from None
    return controllers_of(site.cgroups).use(_workload(session, launch, event))


def _workload(session: starter.Session, launch: Launch, event: Event) -> int:
    """The siblings have one command line: each is known by its own start."""
    if event.pid is None:
        raise _WeightsError("its process is not known, so that its weight cannot be read back")
    if not launch.supervised:
        return event.pid
    children = [one.pid for one in read_descendants(session.pid) if one.parent == event.pid]
    if not children:
        raise _WeightsError("its tool has no child, so that its weight cannot be read back")
    return children[0]


def _watch(session: starter.Session, siblings: Sequence[GroupUse], window_s: float) -> tuple[Moment, ...]:
    for slot in range(len(siblings)):
        session.send(slot)
    begin = _used(siblings)
    begun = time.monotonic()
    found: list[Moment] = []
    while (now := time.monotonic() - begun) < window_s:
        time.sleep(max(0.0, min(_INTERVAL_S, window_s - now)))
        used = _used(siblings)
        t_s = time.monotonic() - begun
        found.append(Moment(t_s, tuple(end - start for start, end in zip(begin, used, strict=True))))
    if not sum(found[-1].used_ns):
        raise _WeightsError("none of them has used any CPU time")
    return tuple(found)


def _used(siblings: Sequence[GroupUse]) -> tuple[int, ...]:
    return tuple(sibling.view.cpu_usage_ns() for sibling in siblings)


def _told(session: starter.Session, timeout_s: float) -> None:
    try:
        event = session.next(timeout_s)
    except TimeoutError:
        raise _WeightsError(f"a sibling told nothing within {timeout_s:g} s", Status.TIMEOUT) from None
    if event.kind != "line":
        raise _WeightsError(f"a sibling ended early: {event.reason or 'no reason given'}")

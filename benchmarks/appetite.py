"""Instances of the agent's ``appetite``, which eats a known amount, and the neighbour that watches.

What it got it tells by its own account; :mod:`isobench.benchmarks.limits` holds that against a limit,
:mod:`isobench.benchmarks.accounting` against what the kernel's account of its group says.
"""

import math
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from isobench import starter
from isobench.benchmarks.contract import Context
from isobench.benchmarks.payload import PayloadError, hello
from isobench.benchmarks.processes import read_descendants, split_by_argv, workload_argv
from isobench.isolators.cgroup import GroupUse, controllers_of
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.model import Event, Launch, Limits, Status
from isobench.process import run

FILE_INSIDE = "/tmp/isobench-appetite"  # noqa: S108 - in a root file system of its own
WORKLOAD = "appetite"


class Meal(BaseModel):
    """What an appetite got, by its own account; all times in ns."""

    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["ate"]


class CpuMeal(Meal):
    """CPU time."""

    wall_ns: NonNegativeInt
    cpu_ns: NonNegativeInt
    """Of all threads, in the window."""
    cpu_total_ns: NonNegativeInt
    """From the go-ahead to the last moment before it told."""
    cpus: list[NonNegativeInt]
    """On which its threads were seen to run."""


class MemoryMeal(Meal):
    """Memory touched by a child, page by page."""

    bytes: NonNegativeInt
    """The most that one child could touch."""
    meals: NonNegativeInt
    killed: NonNegativeInt
    errno: NonNegativeInt
    error: str


class ProcessMeal(Meal):
    """Children that wait."""

    forked: NonNegativeInt
    held: NonNegativeInt
    errno: NonNegativeInt
    error: str


class WriteMeal(Meal):
    """Bytes written past the page cache."""

    bytes: NonNegativeInt
    window_bytes: NonNegativeInt
    wall_ns: NonNegativeInt
    errno: NonNegativeInt
    error: str


MealT = TypeVar("MealT", bound=Meal)


class AppetiteError(Exception):
    """An instance did not do what it was to do; ``status`` is how its reading ends."""

    def __init__(self, message: str, status: Status = Status.FAILED, remedy: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Guest:
    """A running instance that waits for its go-ahead."""

    session: starter.Session
    use: GroupUse
    timeout_s: float

    def go(self) -> None:
        """Let it eat."""
        self.session.send(0)

    def told(self, kind: type[MealT]) -> MealT:
        """What it got; it still holds that. Raises AppetiteError when it ended or said something else."""
        try:
            event = self.session.next(self.timeout_s)
        except TimeoutError:
            raise AppetiteError(f"it told nothing within {self.timeout_s:g} s", Status.TIMEOUT) from None
        if event.kind != "line":
            raise AppetiteError(f"it ended before it told what it got: {event.reason or 'no reason given'}")
        try:
            return kind.model_validate_json(event.output)
        except ValidationError:
            raise AppetiteError(f"it should tell what it got, but wrote {event.output[:60]!a}") from None


@contextmanager
def guest(
    isolator: Isolator[Any], context: Context[Any], command: Sequence[str], limits: Limits, *, writes: bool
) -> Iterator[Guest]:
    """One instance under those limits. ``writes``: with a root file system of its own to write to.

    Raises AppetiteError where it does not start, or does not end well.
    """
    site = context.site
    bundle = replace(agent_bundle(site, WORKLOAD, *command), own=writes)
    with (
        isolator.prepare(site, bundle, limits) as launch,
        starter.session(site.agent, launch, timeout_s=context.timeout_s, slots=1) as session,
    ):
        _check(session.start())
        pid = _workload(session, launch)
        yield Guest(session, controllers_of(site.cgroups).use(pid), context.timeout_s)
        bad = next((end for end in session.end() if end.status is not Status.OK), None)
        if bad:
            raise AppetiteError(bad.reason or "it did not end well", bad.status)


def _check(event: Event) -> None:
    if event.status is not Status.OK:
        lines = event.stderr.strip().splitlines()
        said = f": {lines[-1]}" if lines else ""
        raise AppetiteError(f"{event.reason or 'not ready'}{said}", event.status)
    try:
        hello(event.output, WORKLOAD)
    except PayloadError as error:
        raise AppetiteError(str(error)) from None


def _workload(session: starter.Session, launch: Launch) -> int:
    found, _ = split_by_argv(read_descendants(session.pid), [workload_argv(launch, 0)])
    if not found:
        raise AppetiteError("its process is not found on the host, so that its group is not known")
    return found[0].pid


class _Watched(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["watched"]
    interval_ns: int
    taken_ns: list[int]


@dataclass(frozen=True, slots=True)
class Watch:
    """How long a little work of a neighbour took, from when it was due, in s."""

    taken_s: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The least value that at least such a share does not exceed."""
        ordered = sorted(self.taken_s)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def watch(site: Site, window_s: float, file: Path | None = None) -> Watch:
    """A neighbour outside of any instance, for that long; ``file``: its work includes a write of 4 KiB."""
    return _watched(run(_watch_words(site, window_s, file), timeout_s=window_s * 10 + 60).stdout)


@contextmanager
def watching(site: Site, window_s: float, file: Path | None = None) -> Iterator["Watching"]:
    """The same, beside what is done meanwhile; ended early on the way out."""
    with subprocess.Popen(
        _watch_words(site, window_s, file),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(starter.ENVIRONMENT),
        start_new_session=True,
    ) as process:
        try:
            yield Watching(process, window_s * 10 + 60)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Watching:
    """A neighbour at work."""

    process: "subprocess.Popen[str]"
    timeout_s: float

    def result(self) -> Watch:
        """Wait for its end."""
        try:
            said, _ = self.process.communicate(timeout=self.timeout_s)
        except subprocess.TimeoutExpired:
            raise AppetiteError("the neighbour outside did not come to an end", Status.TIMEOUT) from None
        return _watched(said)


def _watch_words(site: Site, window_s: float, file: Path | None) -> list[str]:
    words = [str(site.agent), "watch", "--window-us", str(round(window_s * 1e6))]
    return [*words, "--file", str(file)] if file else words


def _watched(text: str) -> Watch:
    try:
        found = _Watched.model_validate_json(text)
    except ValidationError:
        raise AppetiteError(f"the neighbour outside said {text[:60]!a}") from None
    return Watch(tuple(taken / 1e9 for taken in found.taken_ns))

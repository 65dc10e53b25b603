"""limits: what a workload that pushes against a limit gets, how that ends, and whether a neighbour feels it.

How each figure is made, and what it contains: docs/benchmarks/limits.md.
"""

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeAlias, cast

from pydantic import AfterValidator, Field, model_validator

from isobench.benchmarks import contract
from isobench.benchmarks.appetite import (
    FILE_INSIDE,
    WORKLOAD,
    AppetiteError,
    CpuMeal,
    Guest,
    MemoryMeal,
    ProcessMeal,
    WriteMeal,
    guest,
    watch,
    watching,
)
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.hostmemory import read_available
from isobench.errors import CgroupError
from isobench.isolators.cgroup import GroupUse, controllers_of
from isobench.isolators.cgroup.controllers import as_cpu_list, cpu_list, disk_of
from isobench.isolators.cgroup.tree import MIN_QUOTA_US
from isobench.isolators.contract import Isolator, Site
from isobench.model import (
    Capabilities,
    Cell,
    CpuLimit,
    Limits,
    Readiness,
    Reading,
    Scalar,
    Status,
    WriteLimit,
    unavailable,
)

METRIC, UNIT = "limit_error", "ratio"

Kind: TypeAlias = Literal["cpu", "cpuset", "memory", "pids", "io"]
KINDS: tuple[Kind, ...] = ("cpu", "cpuset", "memory", "pids", "io")

_LEAD_US = 200_000
_CHUNK = 1 << 16
_RING = 4 << 20
_MIB = 1 << 20
_ROOM = 4
"""So many times the limit of memory has to be available: it must bind long before the host has none."""
_MORE_PROCESSES = 64
_WATCH_BEFORE_S = 0.5
_TOLERANCE = 0.01
"""Of a limit read back: the kernel rounds to µs, pages and whole bytes."""
_EXPECTED_OVERHEAD_S = 0.5

Cpus = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Cpu = Annotated[int, Field(strict=True, ge=0, le=65_535)]
Seconds = Annotated[float, Field(strict=True, ge=0.1, le=60, allow_inf_nan=False)]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"each value may stand once, found {list(values)}")
    return values


class LimitsParams(contract.Params):
    """The ``[limits]`` table."""

    limits: Annotated[tuple[Kind, ...], Field(min_length=1), AfterValidator(_each_once)] = KINDS
    cpus: Cpus = 0.5
    """CPU bandwidth, in CPUs, in periods of 100 ms."""
    cpuset: Annotated[tuple[Cpu, ...], AfterValidator(_each_once)] = ()
    """CPUs by number; empty: the last one of this host."""
    memory_bytes: Annotated[int, Field(strict=True)] = 32 * _MIB
    processes: Annotated[int, Field(strict=True, ge=1, le=60_000)] = 64
    write_bytes_per_s: Annotated[int, Field(strict=True, ge=_CHUNK, le=1 << 40)] = 4 * _MIB
    window_s: Seconds = 1.0
    """For how long each limit is pushed against."""

    @model_validator(mode="after")
    def _possible(self) -> "LimitsParams":
        page = os.sysconf("SC_PAGE_SIZE")
        if self.memory_bytes < page:
            raise ValueError(f"memory_bytes = {self.memory_bytes} is less than a page, {page} bytes")
        if (limit := CpuLimit(self.cpus)).quota_us < MIN_QUOTA_US:
            raise ValueError(
                f"cpus = {self.cpus} in a period of {limit.period_us} µs is a quota of {limit.quota_us} µs; "
                f"the kernel takes {MIN_QUOTA_US} µs or more"
            )
        return self


class LimitsBenchmark(Benchmark[LimitsParams]):
    """Let the agent's ``appetite`` eat against one limit that is known to be in force."""

    name = "limits"
    Params = LimitsParams

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Isolators without limits; of a virtual machine other benchmarks ask."""
        if not capabilities.shares_kernel:
            return "its limits are the machine's: throttling and memory-floor ask about them"
        return None if capabilities.limits & set(KINDS) else "it has no limits of its own"

    def cells(
        self, isolator: str, capabilities: Capabilities, params: LimitsParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each limit the isolator has."""
        has = tuple(kind for kind in params.limits if kind in capabilities.limits)
        return tuple(
            Cell(isolator, self.name, WORKLOAD, {"limit": kind, "asked": _asked(kind, params)}, blocks)
            for kind in has or params.limits
        )

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """The controller, and what its limit is about."""
        kind = cast(Kind, cell.params["limit"])
        lack = controllers_of(site.cgroups).lack(kind)
        return lack if not lack.usable else _LACKS[kind](cell, site)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[LimitsParams]
    ) -> Iterator[Reading]:
        """One reading."""
        begun = time.monotonic()
        try:
            trial = _TRIALS[cast(Kind, cell.params["limit"])](context.site, context.params)
            found = _push(trial, isolator, context)
            detail = found.detail
            yield Reading(METRIC, UNIT, found.error, detail=detail, timed_s=time.monotonic() - begun)
        except (AppetiteError, CgroupError) as error:
            status = error.status if isinstance(error, AppetiteError) else Status.FAILED
            yield Reading(METRIC, UNIT, None, status, str(error), error.remedy)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: LimitsParams) -> float:
        """The neighbour before, and the pushing."""
        return _WATCH_BEFORE_S + _LEAD_US / 1e6 + params.window_s + _EXPECTED_OVERHEAD_S


def _asked(kind: Kind, params: LimitsParams) -> Scalar:
    values: dict[Kind, Scalar] = {
        "cpu": params.cpus,
        "cpuset": as_cpu_list(params.cpuset) or "last",
        "memory": params.memory_bytes,
        "pids": params.processes,
        "io": params.write_bytes_per_s,
    }
    return values[kind]


def _no_lack(_cell: Cell, _site: Site) -> Readiness | None:
    return None


def _cpu_lack(cell: Cell, _site: Site) -> Readiness | None:
    usable = len(os.sched_getaffinity(0))
    asked = float(cell.params["asked"] or 0)
    if asked < usable:
        return None
    reason = f"a limit of {asked:g} CPUs cannot bind: {usable} CPUs are usable on this host"
    return unavailable(reason, "set a smaller `cpus` in [limits]")


def _cpuset_lack(cell: Cell, _site: Site) -> Readiness | None:
    usable = os.sched_getaffinity(0)
    asked = str(cell.params["asked"])
    wanted = set() if asked == "last" else set(cpu_list(asked))
    listed = as_cpu_list(tuple(sorted(usable)))
    if missing := sorted(wanted - usable):
        reason = f"CPU {missing[0]} of cpuset = [{asked}] is not there: this host lets us use {listed}"
        return unavailable(reason, "correct `cpuset` in [limits]")
    if len(usable) == max(1, len(wanted)):
        return unavailable(f"a cpuset cannot bind: CPU {listed} is all there is", "use a host with more CPUs")
    return None


def _memory_lack(cell: Cell, _site: Site) -> Readiness | None:
    available, _ = read_available()
    needed = _ROOM * int(cell.params["asked"] or 0)
    if needed <= available:
        return None
    reason = (
        f"memory_bytes = {cell.params['asked']} is too near to what this host has: {needed} bytes would have "
        f"to be available for an overrun to stay inside, {available} are"
    )
    return unavailable(reason, "set a smaller `memory_bytes` in [limits]")


def _io_lack(_cell: Cell, site: Site) -> Readiness | None:
    found = disk_of(site.work)
    return None if isinstance(found, str) else found


_LACKS = {
    "cpu": _cpu_lack,
    "cpuset": _cpuset_lack,
    "memory": _memory_lack,
    "pids": _no_lack,
    "io": _io_lack,
}


@dataclass(frozen=True, slots=True)
class Found:
    """What came of pushing against a limit, in the limit's own unit."""

    asked: float
    got: float
    unit: str
    ends: str
    """``throttle``, ``confined``, ``oom-kill``, the name of an errno; ``nothing``: it got all it wanted."""
    more: dict[str, Scalar]

    @property
    def error(self) -> float:
        """How much more than asked for it got, as a share of that; negative: less."""
        return (self.got - self.asked) / self.asked

    @property
    def detail(self) -> dict[str, Scalar]:
        """As it is kept in a sample."""
        own: dict[str, Scalar] = {
            "asked": self.asked,
            "got": self.got,
            "amount_unit": self.unit,
            "ends": self.ends,
        }
        return own | self.more


class Trial(Protocol):
    """One limit, and how to push against it."""

    def __init__(self, site: Site, params: LimitsParams) -> None: ...

    limits: Limits
    command: tuple[str, ...]
    file: Path | None
    """Where the neighbour writes; None: it writes nothing."""

    def read_back(self, use: GroupUse) -> tuple[float | None, float]:
        """What is set on the group (None: nothing), and what was asked for, as numbers to compare."""

    def result(self, guest: Guest) -> Found:
        """Waits for what the workload tells."""


def _push(trial: Trial, isolator: Isolator[Any], context: Context[LimitsParams]) -> Found:
    site, window_s = context.site, context.params.window_s
    before = watch(site, _WATCH_BEFORE_S, trial.file)
    writes = trial.limits.write is not None
    with guest(isolator, context, trial.command, trial.limits, writes=writes) as eater:
        found, asked = trial.read_back(eater.use)
        if found is None or abs(found / asked - 1) > _TOLERANCE:
            shown = "none" if found is None else f"{found:g}"
            raise AppetiteError(f"asked for a limit of {asked:g}, but in force is {shown}")
        eater.go()
        with watching(site, window_s, trial.file) as neighbour:
            result = trial.result(eater)
            during = neighbour.result()
    outside: dict[str, Scalar] = {
        "read_back": found,
        "outside_before_p50_s": before.quantile(0.5),
        "outside_before_p99_s": before.quantile(0.99),
        "outside_during_p50_s": during.quantile(0.5),
        "outside_during_p99_s": during.quantile(0.99),
        "outside_before_count": len(before.taken_s),
        "outside_during_count": len(during.taken_s),
    }
    return Found(result.asked, result.got, result.unit, result.ends, {**result.more, **outside})


def _window(params: LimitsParams) -> tuple[str, ...]:
    return ("--window-us", str(round(params.window_s * 1e6)))


def _lead() -> tuple[str, ...]:
    return ("--lead-us", str(_LEAD_US))


class _Cpu:
    def __init__(self, site: Site, params: LimitsParams) -> None:
        self._cpus = params.cpus
        self.limits = Limits(cpu=CpuLimit(params.cpus))
        self._periods = (_LEAD_US + params.window_s * 1e6) / CpuLimit(params.cpus).period_us
        self.command = ("cpu", "--threads", str(int(params.cpus) + 1), *_lead(), *_window(params))
        self.file: Path | None = None

    def read_back(self, use: GroupUse) -> tuple[float | None, float]:
        found = use.view.cpu_limit()
        return (None if found is None else found.cpus), self._cpus

    def result(self, guest: Guest) -> Found:
        meal = guest.told(CpuMeal)
        throttled = guest.use.view.cpu_stat().nr_throttled
        ends = "throttle" if throttled else "nothing"
        got = meal.cpu_ns / meal.wall_ns
        # If not, it got less for another reason, such as other load, and this says nothing about the limit.
        bound = got >= self._cpus * (1 - _TOLERANCE) or throttled >= self._periods - 1
        more: dict[str, Scalar] = {"nr_throttled": throttled, "bound": bound}
        return Found(self._cpus, got, "cpu", ends, more)


class _Cpuset:
    def __init__(self, site: Site, params: LimitsParams) -> None:
        self._cpus = params.cpuset or (max(os.sched_getaffinity(0)),)
        self.limits = Limits(cpus=self._cpus)
        threads = len(os.sched_getaffinity(0)) + 1
        self.command = ("cpu", "--threads", str(min(threads, 256)), *_lead(), *_window(params))
        self.file: Path | None = None

    def read_back(self, use: GroupUse) -> tuple[float | None, float]:
        # The numbers themselves, not how many: CPU 0 is not CPU 1.
        matches = use.cpus() == tuple(sorted(self._cpus))
        return (float(len(self._cpus)) if matches else None), float(len(self._cpus))

    def result(self, guest: Guest) -> Found:
        meal = guest.told(CpuMeal)
        outside = sorted(set(meal.cpus) - set(self._cpus))
        more: dict[str, Scalar] = {
            "ran_on": as_cpu_list(tuple(meal.cpus)),
            "ran_outside": as_cpu_list(tuple(outside)),
            "cpu_share": meal.cpu_ns / meal.wall_ns,
        }
        ends = "nothing" if outside else "confined"
        return Found(float(len(self._cpus)), float(len(meal.cpus)), "CPUs", ends, more)


class _Memory:
    def __init__(self, site: Site, params: LimitsParams) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        self._bytes = params.memory_bytes // page * page
        self.limits = Limits(memory_bytes=self._bytes)
        self.command = ("memory", "--bytes", str(2 * self._bytes + _MIB), *_window(params))
        self.file: Path | None = None

    def read_back(self, use: GroupUse) -> tuple[float | None, float]:
        return use.view.memory_limit_bytes(), self._bytes

    def result(self, guest: Guest) -> Found:
        meal = guest.told(MemoryMeal)
        ends = "oom-kill" if meal.killed else _refusal(meal.errno)
        more: dict[str, Scalar] = {
            "overruns": meal.meals,
            "killed": meal.killed,
            "oom_kills_of_group": guest.use.oom_kills(),
        }
        return Found(float(self._bytes), float(meal.bytes), "byte", ends, more)


class _Processes:
    def __init__(self, site: Site, params: LimitsParams) -> None:
        self._most = params.processes
        self.limits = Limits(processes=self._most)
        self.command = ("processes", "--count", str(self._most + _MORE_PROCESSES), *_window(params))
        self.file: Path | None = None

    def read_back(self, use: GroupUse) -> tuple[float | None, float]:
        return use.processes_limit(), self._most

    def result(self, guest: Guest) -> Found:
        meal = guest.told(ProcessMeal)
        # And the one that forks.
        return Found(float(self._most), float(meal.forked + 1), "processes", _refusal(meal.errno), {})


class _Write:
    def __init__(self, site: Site, params: LimitsParams) -> None:
        device = disk_of(site.work)
        if isinstance(device, Readiness):
            raise AppetiteError(str(device.reason), device.status, device.remedy)
        self._rate = params.write_bytes_per_s
        self._device = device
        self.limits = Limits(write=WriteLimit(device, self._rate))
        size = ("--bytes", str(_RING), "--chunk", str(_CHUNK))
        self.command = ("write", "--file", FILE_INSIDE, *size, *_lead(), *_window(params))
        self.file: Path | None = site.work / "neighbour"

    def read_back(self, use: GroupUse) -> tuple[float | None, float]:
        return use.write_limit(self._device), self._rate

    def result(self, guest: Guest) -> Found:
        meal = guest.told(WriteMeal)
        ends = _refusal(meal.errno) if meal.errno else "throttle"
        got = meal.window_bytes / max(1, meal.wall_ns) * 1e9
        return Found(float(self._rate), got, "byte/s", ends, {"device": self._device})


def _refusal(number: int) -> str:
    return errno.errorcode.get(number, str(number)) if number else "nothing"


_TRIALS: dict[Kind, type[Trial]] = {
    "cpu": _Cpu,
    "cpuset": _Cpuset,
    "memory": _Memory,
    "pids": _Processes,
    "io": _Write,
}

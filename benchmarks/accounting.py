"""accounting: what the kernel's account of a group says against what its workload used, by its own account.

How each figure is made, and what it contains: docs/benchmarks/accounting.md.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AfterValidator, Field

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
)
from isobench.benchmarks.contract import Benchmark, Context
from isobench.benchmarks.hostmemory import read_available
from isobench.errors import CgroupError
from isobench.isolators.cgroup import GroupUse, controllers_of
from isobench.isolators.cgroup.controllers import disk_of
from isobench.isolators.contract import Isolator, Site
from isobench.model import (
    Capabilities,
    Cell,
    Limits,
    Readiness,
    Reading,
    Scalar,
    Status,
    WriteLimit,
    unavailable,
)

METRIC, UNIT = "accounting_error", "ratio"

Kind: TypeAlias = Literal["cpu", "memory", "io", "pids"]
KINDS: tuple[Kind, ...] = ("cpu", "memory", "io", "pids")

_MIB = 1 << 20
_CHUNK = 1 << 16
_ROOM = 2
"""So many times what is to be touched has to be available on the host."""
_NO_LIMIT_BYTES_PER_S = 1 << 40
"""A limit no disk reaches: since Linux 6.10 v1 counts the bytes of a disk once there has been any for it."""
_EXPECTED_S = 0.3

Bytes = Annotated[int, Field(strict=True, ge=_CHUNK, le=1 << 40)]


def _each_once(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    if len(set(kinds)) != len(kinds):
        raise ValueError(f"each may stand once, found {list(kinds)}")
    return kinds


def _whole_chunks(size: int) -> int:
    if size % _CHUNK:
        raise ValueError(f"{size} is no multiple of {_CHUNK}, the bytes of one write")
    return size


class AccountingParams(contract.Params):
    """The ``[accounting]`` table: what the workload is to use."""

    accounts: Annotated[tuple[Kind, ...], Field(min_length=1), AfterValidator(_each_once)] = KINDS
    cpu_s: Annotated[float, Field(strict=True, ge=0.01, le=60, allow_inf_nan=False)] = 0.5
    """Of wall time, by two threads."""
    memory_bytes: Bytes = 64 * _MIB
    write_bytes: Annotated[Bytes, AfterValidator(_whole_chunks)] = 16 * _MIB
    processes: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100


class Accounting(Benchmark[AccountingParams]):
    """Let the agent's ``appetite`` eat a known amount in a group without a limit on it."""

    name = "accounting"
    Params = AccountingParams

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Isolators whose workload has no group that is its own alone."""
        if not capabilities.shares_kernel:
            return "the group of a virtual machine accounts for its monitor, not for the workload"
        return None if "cpu" in capabilities.limits else "it has no group of its own"

    def cells(
        self, isolator: str, capabilities: Capabilities, params: AccountingParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One for each account."""
        return tuple(
            Cell(isolator, self.name, WORKLOAD, {"account": kind, "use": _use(kind, params)}, blocks)
            for kind in params.accounts
        )

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """The controller, a disk to write to, memory to touch."""
        kind = cast(Kind, cell.params["account"])
        lack = controllers_of(site.cgroups).lack(kind)
        if not lack.usable:
            return lack
        if kind == "io":
            found = disk_of(site.work)
            return None if isinstance(found, str) else found
        return _memory_lack(int(cell.params["use"] or 0)) if kind == "memory" else None

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[AccountingParams]
    ) -> Iterator[Reading]:
        """A reading for each file that accounts for it."""
        begun = time.monotonic()
        try:
            trial = _trial(cast(Kind, cell.params["account"]), context.site, context.params)
            for detail in _compare(trial, isolator, context):
                error = detail.error
                timed_s = time.monotonic() - begun
                yield Reading(METRIC, UNIT, error, detail=detail.values, timed_s=timed_s)
                begun = time.monotonic()
        except (AppetiteError, CgroupError) as error:
            status = error.status if isinstance(error, AppetiteError) else Status.FAILED
            yield Reading(METRIC, UNIT, None, status, str(error), error.remedy)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: AccountingParams) -> float:
        """The eating."""
        return _EXPECTED_S + (params.cpu_s if cell.params["account"] == "cpu" else 0.0)


def _use(kind: Kind, params: AccountingParams) -> Scalar:
    values: dict[Kind, Scalar] = {
        "cpu": params.cpu_s,
        "memory": params.memory_bytes,
        "io": params.write_bytes,
        "pids": params.processes,
    }
    return values[kind]


def _memory_lack(needed: int) -> Readiness | None:
    available, _ = read_available()
    if _ROOM * needed <= available:
        return None
    reason = f"memory_bytes = {needed} is too much for this host, on which {available} bytes are available"
    return unavailable(reason, "set a smaller `memory_bytes` in [accounting]")


@dataclass(frozen=True, slots=True)
class Account:
    """One file of a group that accounts for one thing."""

    name: str
    """Of what it counts: ``cpu``, ``memory``, ``anonymous``, ``io``, ``pids``."""
    read: Callable[[GroupUse], int]
    """In its own unit: ns, bytes, tasks."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was used and what was accounted for."""

    account: str
    used: int
    accounted: int

    @property
    def error(self) -> float:
        """How much more was accounted for than was used, as a share of that; negative: less."""
        return (self.accounted - self.used) / self.used

    @property
    def values(self) -> dict[str, Scalar]:
        """As they are kept in a sample."""
        return {"account": self.account, "used": self.used, "accounted": self.accounted}


@dataclass(frozen=True, slots=True)
class Trial:
    """What is eaten, and who accounts for it."""

    command: tuple[str, ...]
    limits: Limits
    accounts: tuple[Account, ...]
    used: Callable[[Guest], int]
    """Waits for what the workload tells; in the unit of the accounts."""


def _compare(
    trial: Trial, isolator: Isolator[Any], context: Context[AccountingParams]
) -> tuple[Comparison, ...]:
    writes = trial.limits.write is not None
    with guest(isolator, context, trial.command, trial.limits, writes=writes) as eater:
        before = [account.read(eater.use) for account in trial.accounts]
        eater.go()
        used = trial.used(eater)
        after = [account.read(eater.use) for account in trial.accounts]
    if used <= 0:
        raise AppetiteError("it used nothing, so that there is nothing to compare")
    return tuple(
        Comparison(account.name, used, end - begin)
        for account, begin, end in zip(trial.accounts, before, after, strict=True)
    )


def _trial(kind: Kind, site: Site, params: AccountingParams) -> Trial:
    if kind == "cpu":
        window = ("--window-us", str(round(params.cpu_s * 1e6)))
        account = Account("cpu", lambda use: use.view.cpu_usage_ns())
        return Trial(("cpu", "--threads", "2", *window), Limits(), (account,), _cpu_used)
    if kind == "memory":
        page = os.sysconf("SC_PAGE_SIZE")
        size = params.memory_bytes // page * page
        limits = Limits(accounted=frozenset({"memory"}))
        accounts = (
            Account("memory", _charged),
            Account("anonymous", lambda use: use.anonymous_bytes()),
        )
        return Trial(("memory", "--bytes", str(size)), limits, accounts, _memory_used)
    if kind == "pids":
        limits = Limits(accounted=frozenset({"pids"}))
        account = Account("pids", lambda use: use.processes())
        return Trial(("processes", "--count", str(params.processes)), limits, (account,), _processes_used)
    return _write_trial(site, params)


def _write_trial(site: Site, params: AccountingParams) -> Trial:
    device = disk_of(site.work)
    if isinstance(device, Readiness):
        raise AppetiteError(str(device.reason), device.status, device.remedy)
    size = ("--bytes", str(params.write_bytes), "--chunk", str(_CHUNK))
    limits = Limits(write=WriteLimit(device, _NO_LIMIT_BYTES_PER_S))
    account = Account("io", lambda use: use.written_bytes(device))
    return Trial(("write", "--file", FILE_INSIDE, *size), limits, (account,), _bytes_written)


def _charged(use: GroupUse) -> int:
    found = use.view.memory_current_bytes()
    if found is None:
        raise AppetiteError("its group does not account for memory", Status.UNAVAILABLE)
    return found


def _cpu_used(guest: Guest) -> int:
    return guest.told(CpuMeal).cpu_total_ns


def _memory_used(guest: Guest) -> int:
    meal = guest.told(MemoryMeal)
    if meal.killed or meal.errno:
        raise AppetiteError(f"it could not touch its memory: {meal.error or 'killed by the kernel'}")
    return meal.bytes


def _processes_used(guest: Guest) -> int:
    meal = guest.told(ProcessMeal)
    if meal.errno:
        raise AppetiteError(f"it could not make its processes: {meal.error}")
    return meal.held


def _bytes_written(guest: Guest) -> int:
    meal = guest.told(WriteMeal)
    if meal.errno:
        raise AppetiteError(f"it could not write: {meal.error}")
    return meal.bytes

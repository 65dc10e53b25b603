"""Who takes part in a run: every isolator of the matrix probed once, and the cells that follow from it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isobench.benchmarks.contract import Benchmark, Params
from isobench.errors import IsobenchError
from isobench.isolators import rootfs
from isobench.isolators.contract import Isolator, Site
from isobench.journal import ABRecord, IsolatorRecord
from isobench.matrix import IsolatorEntry, Matrix
from isobench.model import READY, Capabilities, Cell, Readiness, Side, Status, unavailable
from isobench.plan import THE_HOST

_LOG = logging.getLogger(__name__)

Check = Callable[[Isolator[Any], Site], Readiness]


@dataclass(frozen=True, slots=True)
class Member:
    """One isolator of the matrix and what its probe said."""

    entry: IsolatorEntry
    isolator: Isolator[Any]
    readiness: Readiness
    shown_as: str
    """Its name in the cells."""
    site: Site
    """Where its instances are made: the run's, with a build of the agent of its own where it has one."""

    def tools(self) -> tuple[str, ...]:
        """Names or paths of the host programs it is made of, its own build of the agent included."""
        return (*self.isolator.tools(), *filter(None, [self.entry.agent]))

    def record(self) -> IsolatorRecord:
        """The member as run.json has it."""
        capabilities = self.isolator.capabilities
        return IsolatorRecord(
            name=self.entry.name,
            kind=self.entry.kind,
            shown_as=self.shown_as,
            options=self.entry.options.model_dump(mode="json"),
            t0=capabilities.t0,
            covers=capabilities.covers,
            shares_kernel=capabilities.shares_kernel,
            status=self.readiness.status,
            reason=self.readiness.reason,
            remedy=self.readiness.remedy,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A cell with everything that is needed to measure it, or with why that cannot be."""

    cell: Cell
    isolator: Isolator[Any]
    capabilities: Capabilities
    benchmark: Benchmark[Any]
    params: Params
    site: Site
    lack: Readiness | None

    def expected_s(self) -> float:
        """The benchmark's guess for one block."""
        return self.benchmark.expected_s(self.cell, self.capabilities, self.params)


def assemble(matrix: Matrix, site: Site, check: Check) -> tuple[Member, ...]:
    """Probe every isolator of a new run."""
    members: list[Member] = []
    for entry in matrix.isolators:
        isolator = entry.create()
        own, readiness = _probed(entry, isolator, site, check)
        taken = {other.shown_as for other in members} | {other.name for other in matrix.isolators}
        shown = readiness.shown_as if readiness.usable else None
        members.append(
            Member(entry, isolator, readiness, shown if shown and shown not in taken else entry.name, own)
        )
    return tuple(members)


def reassemble(
    matrix: Matrix, recorded: tuple[IsolatorRecord, ...], site: Site, check: Check
) -> tuple[Member, ...]:
    """Probe the isolators of a run that is resumed; they keep the names they had.

    One that was not usable when the run began stays out: its blocks would all be measured at another time
    than the others'. One that turns out as something else (TCG in place of KVM) is no more the same isolator.
    """
    before = {record.name: record for record in recorded}
    members: list[Member] = []
    for entry in matrix.isolators:
        record, isolator = before[entry.name], entry.create()
        own, readiness = site, Readiness(record.status, record.reason, record.remedy)
        if readiness.usable:
            own, readiness = _probed(entry, isolator, site, check)
            now = readiness.shown_as or entry.name
            if readiness.usable and record.shown_as not in {now, entry.name}:
                readiness = unavailable(
                    f"the run began with {record.shown_as}, and this is {now} now",
                    "measure it in a new run: isobench run",
                )
        members.append(Member(entry, isolator, readiness, record.shown_as, own))
    return tuple(members)


def jobs(
    matrix: Matrix, members: tuple[Member, ...], site: Site, ab: ABRecord | None = None
) -> Mapping[str, Job]:
    """Every cell of the run by its id, those that cannot be measured too; ``ab`` says which side it is on."""
    found: dict[str, Job] = {}
    host = Member(THE_HOST, THE_HOST.create(), READY, THE_HOST.name, site)
    roster = {member.entry.name: member for member in (*members, host)}
    for entry, table, cells in matrix.cells():
        member, benchmark = roster[entry.name], table.create()
        capabilities = member.isolator.capabilities
        lack = None if member.readiness.usable else member.readiness
        if reason := benchmark.unsupported(capabilities):
            lack = Readiness(Status.UNSUPPORTED, reason)
        for cell in cells:
            side = ab.side(member.shown_as, cell.workload) if ab else None
            shown = replace(cell, isolator=member.shown_as, side=side or Side.A)
            why = lack or benchmark.lack(cell, site)
            found[shown.id] = Job(
                shown, member.isolator, capabilities, benchmark, table.params, member.site, why
            )
    return found


def _probed(
    entry: IsolatorEntry, isolator: Isolator[Any], site: Site, check: Check
) -> tuple[Site, Readiness]:
    """Where it is to be measured, and whether it can be."""
    if entry.agent is None:
        return site, _checked(check, isolator, site)
    try:
        root = rootfs.build(Path(entry.agent), site.cache)
    except OSError as error:
        reason = f"its build of the agent, {entry.agent}, cannot be used: {error.strerror}"
        return site, unavailable(reason, f"ls -l {entry.agent}")
    own = replace(site, agent=root / rootfs.AGENT_NAME, rootfs=root)
    return own, _checked(check, isolator, own)


def _checked(check: Check, isolator: Isolator[Any], site: Site) -> Readiness:
    """A probe that breaks makes its own isolator unusable and no other."""
    try:
        return check(isolator, site)
    except Exception as error:  # noqa: BLE001 - another package's isolator may raise anything
        _LOG.debug("the probe of %s broke", isolator.name, exc_info=True)
        remedy = error.remedy if isinstance(error, IsobenchError) else None
        return unavailable(
            f"its probe broke: {type(error).__name__}: {error}",
            remedy or f"ISOBENCH_DEBUG=1 isobench doctor --isolator {isolator.name}",
        )

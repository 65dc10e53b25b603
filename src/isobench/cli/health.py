"""What ``isobench doctor`` finds out, as a value; nothing is shown here and nothing on the host is changed,
but that what KVM failed at before is forgotten and tried again.

A doctor must not fall ill himself: what goes wrong while looking becomes part of the finding.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from isobench import tuning
from isobench.errors import IsobenchError, LockedError
from isobench.host import fingerprint
from isobench.isolators import cgroup, kvm, readiness, rootfs
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.site import open_site
from isobench.knobs import Knob, survey
from isobench.lock import host_lock
from isobench.model import Readiness, Status, unavailable
from isobench.plan import IsolatorEntry, Matrix
from isobench.state import lock_path, state_dir
from isobench.tuning import Leftover


@dataclass(frozen=True, slots=True)
class Finding:
    """One isolator on this host."""

    name: str
    shown_as: str
    """The name in results; tells more than ``name`` for some (``qemu-tcg``)."""
    kind: str
    readiness: Readiness
    benchmarks: Mapping[str, Readiness]
    """Each benchmark by name: usable, unsupported by nature, or unavailable as the isolator is."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something all isolators build on, and what is wrong with it, if anything."""

    name: str
    found: str
    reason: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Everything doctor has to say about a host."""

    host: Mapping[str, Any]
    parts: tuple[Part, ...]
    isolators: tuple[Finding, ...]
    knobs: tuple[Knob, ...]
    left_tuned: tuple[Leftover, ...] = ()
    """What a run that was killed has left set; the knobs are as it left them."""

    @property
    def usable(self) -> int:
        """How many isolators can be measured with one benchmark or more."""
        return sum(any(v.usable for v in finding.benchmarks.values()) for finding in self.isolators)


def examine(matrix: Matrix, looking_at: Callable[[str], None]) -> Health:
    """Look at the host and try every isolator of the matrix; says to ``looking_at`` which one is next.

    Raises :class:`isobench.errors.LockedError` while a run is going on: trial starts would disturb it.
    """
    looking_at("the host")
    host = fingerprint()
    base = (_agent(), _cgroups(), Part("state", str(state_dir())))
    knobs = survey()
    with ExitStack() as stack:
        site = _site(stack)
        left_tuned = tuple(one for one in tuning.leftovers(tuning.HOST) if one.end == "to put back")
        findings = tuple(_finding(entry, matrix, site, looking_at) for entry in matrix.isolators)
    return Health(host, (*base, _kvm(findings)), findings, knobs, left_tuned)


def _site(stack: ExitStack) -> Site | Readiness:
    """A place to try isolators in, or why there is none."""
    try:
        stack.enter_context(host_lock(lock_path()))
        site = stack.enter_context(open_site())
    except LockedError:
        raise
    except (IsobenchError, OSError) as error:
        return _lack(error)
    kvm.forget_refusals(site.cache)
    return site


def _finding(
    entry: IsolatorEntry, matrix: Matrix, site: Site | Readiness, looking_at: Callable[[str], None]
) -> Finding:
    looking_at(entry.name)
    isolator = entry.create()
    found = _tried(isolator, site) if isinstance(site, Site) else site
    verdicts = {
        benchmark.name: _verdict(benchmark.create().unsupported(isolator.capabilities), found)
        for benchmark in matrix.benchmarks
    }
    return Finding(entry.name, found.shown_as or entry.name, entry.kind, found, verdicts)


def _tried(isolator: Isolator[Any], site: Site) -> Readiness:
    try:
        return readiness.check(isolator, site)
    except Exception as error:  # noqa: BLE001 - an isolator of another package may raise anything
        return _lack(error)


def _verdict(unsupported: str | None, found: Readiness) -> Readiness:
    return found if unsupported is None else Readiness(Status.UNSUPPORTED, unsupported)


def _lack(error: Exception) -> Readiness:
    if isinstance(error, IsobenchError):
        return unavailable(str(error), error.remedy or "ISOBENCH_DEBUG=1 isobench doctor")
    return unavailable(f"{type(error).__name__}: {error}", "ISOBENCH_DEBUG=1 isobench doctor")


def _agent() -> Part:
    try:
        agent = rootfs.agent_binary()
    except IsobenchError as error:
        return Part("agent", "missing", str(error), error.remedy)
    return Part("agent", f"{agent} ({agent.stat().st_size / 1024:.0f} KiB)")


def _cgroups() -> Part:
    tree = cgroup.detect()
    lack = tree.writable()
    return Part("cgroups", tree.mode, lack.reason, lack.remedy)


def _kvm(findings: tuple[Finding, ...]) -> Part:
    """What a virtual machine found out by booting; without one, only whether there is anything to try."""
    tried = [finding for finding in findings if finding.kind == "qemu" and finding.readiness.usable]
    if any(finding.shown_as.endswith("-kvm") for finding in tried):
        return Part("KVM", "works: a guest booted with it")
    if absence := kvm.absence():
        return Part("KVM", f"not usable: {absence}")
    refused = next((finding for finding in tried if finding.readiness.reason), None)
    return Part(
        "KVM", f"not usable, see {refused.shown_as} below" if refused else "not tried: no guest was booted"
    )

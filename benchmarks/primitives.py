"""primitives: what each kernel primitive that a container runtime uses costs on this host.

How each figure is made, and what it contains: docs/benchmarks/primitives.md.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from isobench import process
from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.errors import IsobenchError, ToolError
from isobench.isolators.cgroup.files import remove_group
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.directory import scratch_directory
from isobench.model import Capabilities, Cell, Readiness, Reading, Scalar, Status, unavailable

UNIT = "second"
ALONE, UNDONE, DRAINED = "alone", "undone", "drained"
"""The metrics of a primitive; those of a sequence are the names of its steps, and UNDONE."""

NAMESPACES = (
    *("mount_namespace", "uts_namespace", "ipc_namespace", "pid_namespace"),
    *("network_namespace", "user_namespace", "cgroup_namespace", "time_namespace"),
)
CGROUPS = ("cgroup_create", "cgroup_enter")
SEQUENCES = ("sequence", "sequence_user")
PRIMITIVES = (
    *("clock", "process", "exec"),
    *NAMESPACES,
    "user_map",
    *CGROUPS,
    *("private_mounts", "overlay_mount", "proc_mount", "tmpfs_mount", "bind_mount", "pivot_root"),
    "veth_pair",
    *("seccomp_profile", "seccomp_minimal"),
)
"""The first three are base lines: two readings of the clock, fork and exit, vfork and exec."""

_NS_PER_S = 1e9
_TRIAL_TIMEOUT_S = 30.0
_EXPECTED_S = 0.012
"""A cell that only starts processes, the start of the agent included."""
_EXPECTED_WAITS_S = {
    **dict.fromkeys(("network_namespace", "veth_pair"), 0.05),
    **dict.fromkeys(("cgroup_enter", *SEQUENCES), 0.06),
    **dict.fromkeys(("ipc_namespace", "pid_namespace", "user_namespace"), 0.002),
}
"""What an iteration takes where it waits for the kernel."""
_EXPECTED_DRAIN_S = 0.05

_FAULTS = (errno.ECHILD, errno.EBUSY)
"""Of a primitive that was not refused but went wrong."""

Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Warmups = Annotated[int, Field(strict=True, ge=0, le=100)]


class PrimitivesParams(contract.Params):
    """The ``[primitives]`` table."""

    blocks: int | None = Field(default=3, ge=1, le=10_000)
    """Fewer than the run's: what a host's kernel takes for a call does not drift as what programs do."""
    iterations: Count = 5
    """How often each primitive, and each sequence of them, is made and undone in a block."""
    warmups: Warmups = 1
    """Iterations at the beginning of each block that are kept and marked, but do not count."""
    drains: Count = 2
    """How often it is measured in a block when the kernel is really done with a namespace."""


class Refused(BaseModel):
    """A system call that was refused."""

    model_config = ConfigDict(frozen=True, strict=True)

    call: str
    errno: int
    text: str

    @property
    def reason(self) -> str:
        """Which call, and what it said."""
        return f"{self.call}: {self.text} (errno {self.errno})"


class Line(BaseModel):
    """One line of the agent's ``primitives``: every value of one primitive in one form."""

    model_config = ConfigDict(frozen=True, strict=True)

    primitive: str
    form: Literal["alone", "undone", "drained", "cumulated"]
    ns: list[NonNegativeInt]
    parts_ns: dict[str, list[NonNegativeInt]] = {}
    """By cgroup hierarchy."""
    resolution_ns: NonNegativeInt | None = None
    instructions: NonNegativeInt | None = None
    """Of a seccomp filter."""
    refused: Refused | None


class Primitives(Benchmark[PrimitivesParams]):
    """Make each primitive alone and undo it, and all of them in the order of a runtime."""

    name = "primitives"
    Params = PrimitivesParams
    subject = "host"
    audited = False  # nothing is started through the starter

    def cells(
        self, isolator: str, capabilities: Capabilities, params: PrimitivesParams, blocks: int
    ) -> tuple[Cell, ...]:
        """One a primitive, one more for the drain of each namespace, and one a sequence."""
        return (
            *(Cell(isolator, self.name, name, blocks=blocks) for name in PRIMITIVES),
            *(Cell(isolator, self.name, name, {"form": DRAINED}, blocks=blocks) for name in NAMESPACES),
            *(Cell(isolator, self.name, name, blocks=blocks) for name in SEQUENCES),
        )

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """What this host refuses, found out by trying it once."""
        if cell.workload in CGROUPS and not (writable := site.cgroups.writable()).usable:
            return writable
        try:
            lines = _measured(cell, site, iterations=1, timeout_s=_TRIAL_TIMEOUT_S)
        except IsobenchError:
            return None  # it is not lacking but broken, which the first block will tell
        refused = next((line.refused for line in lines if line.refused and not line.ns), None)
        return None if refused is None or refused.errno in _FAULTS else refusal(cell.workload, refused)

    def measure(
        self, cell: Cell, isolator: Isolator[Any], context: Context[PrimitivesParams]
    ) -> Iterator[Reading]:
        """One reading an iteration and metric, and one for what was refused."""
        params = context.params
        drained = _is_drained(cell)
        warmups = 0 if drained else params.warmups
        count = params.drains if drained else params.iterations + warmups
        lines = _measured(cell, context.site, iterations=count, timeout_s=context.timeout_s)
        if cell.workload in SEQUENCES:
            yield from cumulated(lines, warmups)
        else:
            yield from (reading for line in lines for reading in single(line, warmups))

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: PrimitivesParams) -> float:
        """The start of the agent, and what waits for the kernel."""
        if _is_drained(cell):
            waits = cell.workload in {"network_namespace", "pid_namespace", "user_namespace", "ipc_namespace"}
            return _EXPECTED_S + (params.drains + 1) * _EXPECTED_DRAIN_S * waits
        iterations = params.iterations + params.warmups
        return _EXPECTED_S + iterations * _EXPECTED_WAITS_S.get(cell.workload, 0.0005)


def parse(text: str) -> tuple[Line, ...]:
    """What the agent has said. Raises ToolError for anything else, and for nothing."""
    try:
        lines = tuple(Line.model_validate_json(line) for line in text.splitlines())
    except ValidationError:
        raise ToolError(f"the agent's primitives said what is no line of it: {text[:200]!r}") from None
    if not lines:
        raise ToolError("the agent's primitives said nothing")
    return lines


def single(line: Line, warmups: int) -> Iterator[Reading]:
    """The readings of one primitive in one form; last what was refused."""
    for number, ns in enumerate(line.ns):
        parts = {f"{name}_s": values[number] / _NS_PER_S for name, values in line.parts_ns.items()}
        detail: dict[str, Scalar] = {**_marked(number, warmups), **parts}
        if line.resolution_ns is not None:
            detail["resolution_s"] = line.resolution_ns / _NS_PER_S
        if line.instructions is not None:
            detail["instructions"] = line.instructions
        value = ns / _NS_PER_S
        yield Reading(line.form, UNIT, value, detail=detail, timed_s=value)
    if line.refused:
        yield _refused(line.form, line.primitive, line.refused, measured=bool(line.ns))


def cumulated(lines: Sequence[Line], warmups: int) -> Iterator[Reading]:
    """The readings of a sequence: for each step the time from its begin to the end of the step.

    A step that was refused and left out has one reading that says so, and no value; what came after it
    names it in ``left_out``. Where nothing was measured at all, one reading says why.
    """
    *steps, undone = lines
    if undone.refused:
        yield _refused(UNDONE, undone.primitive, undone.refused, measured=bool(undone.ns))
        return
    left_out = [step for step in steps if step.refused]
    for step in left_out:
        assert step.refused is not None  # noqa: S101 - that is how they were chosen
        yield _refused(step.primitive, step.primitive, step.refused, measured=False)
    for number, undone_ns in enumerate(undone.ns):
        before_ns, missing = 0, []
        for step in steps:
            now_ns = step.ns[number]
            if step.refused:
                missing.append(step.primitive)
            else:
                detail: dict[str, Scalar] = {"step_s": (now_ns - before_ns) / _NS_PER_S}
                if missing:
                    detail["left_out"] = ", ".join(missing)
                value = now_ns / _NS_PER_S
                timed_s = value if step is steps[-1] else 0.0
                detail |= _marked(number, warmups)
                yield Reading(step.primitive, UNIT, value, detail=detail, timed_s=timed_s)
            before_ns = now_ns
        value = undone_ns / _NS_PER_S
        yield Reading(UNDONE, UNIT, value, detail=_marked(number, warmups), timed_s=value)


def refusal(primitive: str, refused: Refused) -> Readiness:
    """Why a primitive cannot be measured here, and what mends it."""
    return unavailable(refused.reason, _remedy(primitive, refused))


def _remedy(primitive: str, refused: Refused) -> str:
    if os.geteuid() != 0 and refused.errno in {errno.EPERM, errno.EACCES}:
        return "sudo isobench run"
    if refused.errno == errno.ENOSPC and "unshare" in refused.call:
        return "sysctl -a --pattern '^user.max_.*_namespaces'   (one of them is used up: set it higher)"
    if refused.errno in {errno.ENODEV, errno.EOPNOTSUPP} and primitive in _MODULES:
        return f"modprobe {_MODULES[primitive]}"
    if refused.errno == errno.EINVAL and "mount overlay" in refused.call:
        return "export ISOBENCH_STATE=/var/tmp/isobench   (a folder on ext4, xfs, btrfs or tmpfs)"
    if refused.errno in {errno.ENOSYS, errno.EINVAL, errno.ENOENT}:
        return "boot a kernel that has it"
    return "dmesg | tail   (a security module, a filter or the rules of a container may forbid it)"


_MODULES = {"overlay_mount": "overlay", "veth_pair": "veth"}


def _refused(metric: str, primitive: str, refused: Refused, *, measured: bool) -> Reading:
    if measured or refused.errno in _FAULTS:
        return Reading(metric, UNIT, None, Status.FAILED, refused.reason)
    lack = refusal(primitive, refused)
    return Reading(metric, UNIT, None, lack.status, lack.reason, lack.remedy)


def _marked(number: int, warmups: int) -> dict[str, Scalar]:
    return {"warmup": True} if number < warmups else {}


def _is_drained(cell: Cell) -> bool:
    return cell.params.get("form") == DRAINED


def _measured(cell: Cell, site: Site, *, iterations: int, timeout_s: float) -> tuple[Line, ...]:
    with place(site) as words:
        form = ("--drained",) if _is_drained(cell) else ()
        argv = (str(site.agent), "primitives", cell.workload, "--iterations", str(iterations), *words, *form)
        return parse(process.run(argv, timeout_s=timeout_s).stdout)


@contextmanager
def place(site: Site) -> Iterator[tuple[str, ...]]:
    """Where primitives act, as options of the agent; nothing of it is left, were the agent killed."""
    groups = _groups(site)
    with scratch_directory(site.work, "primitives") as work:
        for name in ("upper", "work", "merged", "source", "target"):
            (work / name).mkdir()
        try:
            yield (
                *("--token", site.token, "--root", str(site.rootfs), "--work", str(work)),
                *(word for name, directory in groups for word in ("--cgroup", name, directory)),
            )
        finally:
            for group in site.cgroups.named(site.tool_group("primitives").rpartition("/")[2]):
                remove_group(group)


def _groups(site: Site) -> tuple[tuple[str, str], ...]:
    """Name and directory of a group in each hierarchy a runtime uses: all of v1 with a controller, or v2."""
    group = site.tool_group("primitives")
    v1 = [(",".join(sorted(h.controllers)), h) for h in site.cgroups.hierarchies if h.controllers]
    v2 = [("unified", h) for h in site.cgroups.hierarchies if h.version == 2]  # noqa: PLR2004
    return tuple((name, str(hierarchy.point / group)) for name, hierarchy in v1 or v2)

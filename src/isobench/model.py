"""The values that pass between the stages of a run. All frozen; every quantity has its unit in its name.

The way of a sample: a :class:`Cell` of the matrix is measured by a benchmark, which asks an isolator for
a :class:`Launch`; the agent executes the launch; what came of it is a :class:`Sample`, one line of the
journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeAlias

SCHEMA_VERSION = 1
"""The ``v`` of every journal line and of run.json. Readers refuse newer ones."""

PHASES = (
    "invoke",
    "created",
    "spawned",
    "kernel",
    "first_instruction",
    "ready",
    "exit",
    "cleaned",
)
"""The phases of one start, in their usual order.

``invoke``: just before the first system call of the start, the zero of all the others.
``created``: the isolation exists, the workload does not run yet (``runc create`` has returned; the cgroup
is made).
``spawned``: we saw that exec of the started program (the workload, or for LXC and QEMU the tool) has taken
effect; on another CPU its first instruction may come a little before we wake up and see it.
``kernel``: the first byte of the guest kernel's console has reached the host (VMs only).
``first_instruction``: the workload's own stamp at the top of main, where it shares the host's clock.
``ready``: the host has received the first byte the workload itself wrote.
``exit``: the host has seen the end of the instance's process.
``cleaned``: what the start made is removed again (cgroup, container record).

A phase an isolator cannot tell apart is absent, never 0.
"""

Scalar: TypeAlias = bool | int | float | str | None
"""What a ``params`` or ``detail`` entry of a sample may hold."""


class Status(StrEnum):
    """The five ways a cell or an attempt can end."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    """By its nature this isolator cannot do it."""
    UNAVAILABLE = "unavailable"
    """This host lacks something; reason and remedy say what."""
    FAILED = "failed"
    TIMEOUT = "timeout"


class Side(StrEnum):
    """Which side of a comparison within one run a cell is on."""

    A = "A"
    """The baseline; every cell of a run that compares nothing."""
    B = "B"
    """The candidate."""
    CONTROL = "control"
    """The baseline once more (A′): how it differs from A is what this host does to two things alike."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One (isolator, benchmark, workload, parameters) of the matrix."""

    isolator: str
    benchmark: str
    workload: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    blocks: int = 1
    """In how many blocks of the run this cell is measured; :mod:`isobench.schedule` says in which."""
    side: Side = Side.A

    @property
    def id(self) -> str:
        """``benchmark/isolator/workload[/key=value…]``, the name of the cell in the journal."""
        tail = "".join(f"/{key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.benchmark}/{self.isolator}/{self.workload}{tail}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt, as one line of samples.jsonl. ``value`` is None unless ``status`` is ok."""

    cell: str
    isolator: str
    benchmark: str
    workload: str
    metric: str
    unit: str
    value: float | None
    block: int
    order: int
    """Position in the run's shuffled order, counted over the whole run."""
    status: Status = Status.OK
    reason: str | None = None
    remedy: str | None = None
    side: Side = Side.A
    params: Mapping[str, Scalar] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds since ``invoke``, by phase name; only phases that were told apart."""
    detail: Mapping[str, Scalar] = field(default_factory=dict)
    """What else the benchmark saw, units in the names."""
    v: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Reading:
    """What a benchmark saw in one attempt; the engine adds cell, block and order and makes it a Sample."""

    metric: str
    unit: str
    value: float | None
    status: Status = Status.OK
    reason: str | None = None
    remedy: str | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    detail: Mapping[str, Scalar] = field(default_factory=dict)
    timed_s: float = 0.0
    """Seconds this attempt spent inside its timed section, for the run's own efficiency figure."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What counts as ready: the moment the host sees it is the phase ``ready`` of a start."""

    kind: Literal["output", "line", "port", "exit"] = "output"
    """The first byte the workload writes; the first line, of its output or its errors, that ``pattern``
    matches (POSIX extended regular expression, regex(7)); the TCP port ``port`` of its loopback device
    accepts; the workload has ended with exit code 0."""
    pattern: str = ""
    port: int = 0


FIRST_OUTPUT = Ready()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A workload that is ready to be isolated: what to execute, and in which root file system."""

    argv: tuple[str, ...]
    """As it is inside the root file system (``("/isoagent", "ready")``)."""
    root: Path
    """Directory of the host that holds the root file system; shared, so that no instance may write to it."""
    env: tuple[str, ...] = ()
    """``NAME=value`` each, besides PATH and LC_ALL=C, which every workload has."""
    ready: Ready = FIRST_OUTPUT
    own: bool = False
    """The root file system is a user's: the workload runs in it under every isolator, the bare one included,
    and may write to a layer of its own. Else it is the shared one with the agent, and nobody writes to it."""


@dataclass(frozen=True, slots=True)
class CpuLimit:
    """A CPU bandwidth limit: ``cpus`` of CPU time a second of wall time, enforced each period.

    Source: Documentation/scheduler/sched-bwc.rst of the Linux kernel.
    """

    cpus: float
    period_us: int = 100_000
    burst_us: int = 0
    """Unused quota that may be kept for later periods; at most the quota itself (Linux 5.14)."""

    @property
    def quota_us(self) -> int:
        """CPU time per period in µs, as cpu.max and cpu.cfs_quota_us take it."""
        return round(self.cpus * self.period_us)


@dataclass(frozen=True, slots=True)
class WriteLimit:
    """Bytes an instance may write to one disk each second."""

    device: str
    """``major:minor`` of a whole disk."""
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What an instance is allowed to use. None, or empty: no limit is set at all."""

    cpu: CpuLimit | None = None
    memory_bytes: int | None = None
    """Memory charged to the instance; for a virtual machine the RAM of its guest."""
    cpus: tuple[int, ...] = ()
    """The CPUs it may run on."""
    processes: int | None = None
    """Tasks it may have at once, threads included."""
    write: WriteLimit | None = None
    cpu_weights: tuple[int, ...] = ()
    """Share of CPU time under contention, of the instance in each slot; 100 is that of any other group."""
    accounted: frozenset[str] = frozenset()
    """Subset of {"memory", "pids", "io", "freezer"}: there it needs a group of its own, limited or not."""


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether an isolator can run here, and if not, why and the command that mends it."""

    status: Status
    reason: str | None = None
    remedy: str | None = None
    shown_as: str | None = None
    """The name to show where it tells more than the configured one (``qemu-tcg``)."""

    @property
    def usable(self) -> bool:
        """True when cells of this isolator can be measured."""
        return self.status is Status.OK


READY = Readiness(Status.OK)


def unavailable(reason: str, remedy: str) -> Readiness:
    """A :class:`Readiness` for something this host lacks."""
    return Readiness(Status.UNAVAILABLE, reason, remedy)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an isolator can do and how its figures are to be read."""

    phases: frozenset[str]
    """The phases it can tell apart."""
    limits: frozenset[str] = frozenset()
    """Limits it can apply itself: a subset of {"cpu", "memory", "cpuset", "pids", "io", "weight"}."""
    pauses: bool = False
    """It has a command of its own that freezes an instance."""
    shares_clock: bool = True
    """The workload's CLOCK_MONOTONIC is the host's, so its stamps may be compared with ours."""
    shares_kernel: bool = True
    """False for virtual machines: the workload's memory and CPU show on the host as the VMM's."""
    tells_exit: bool = True
    """The end of an instance tells with which code the workload has ended."""
    t0: str = "just before the clone of the workload's process"
    """What exactly ``invoke`` is for this isolator; printed in the report."""
    covers: str = ""
    """Which processes a CPU limit covers; printed in the report."""


@dataclass(frozen=True, slots=True)
class FileWrite:
    """One value written to one file, as ``echo value > path``."""

    path: str
    value: str


@dataclass(frozen=True, slots=True)
class Move:
    """An instance's process, or some of its threads, put into a cgroup."""

    path: str
    """``cgroup.procs`` of the group for a process, ``tasks`` (v1) or ``cgroup.threads`` (v2) for threads."""
    threads: str | None = None
    """How the names of the threads begin; None: the process."""


@dataclass(frozen=True, slots=True)
class Step:
    """A helper command of a start that must exit 0 before the next begins."""

    argv: tuple[str, ...]
    phase: str | None = None
    """The phase stamped when it has exited; None: it is not stamped."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the agent's ``start`` verb executes; a plain value, made untimed by an isolator.

    ``{n}`` in any string stands for the slot of the instance: 0 for starts one after another, 0 … k-1
    for k instances held at once. Exactly one of ``spawn`` (the instance is this process) and ``adopt``
    (the instance is the process whose id the steps have written to this file) is set.

    Order in the agent: stamp invoke · make ``cgroups`` and do ``cgroup_writes`` (stamp created) ·
    ``steps`` · ``spawn`` with the namespaces and the root asked for (stamp spawned) · first byte on the
    console (kernel) · first byte of output (ready) · end of the process (exit) · ``cleanup`` and removal
    of the cgroups (cleaned).
    """

    host_argv: tuple[str, ...]
    """The command line by which the workload (for a VM: the VMM) is found among the host's processes."""
    spawn: tuple[str, ...] | None = None
    adopt: str | None = None
    steps: tuple[Step, ...] = ()
    cleanup: tuple[Step, ...] = ()
    namespaces: tuple[str, ...] = ()
    """Subset of mount, uts, ipc, pid, network, user, cgroup, time (namespaces(7))."""
    env: tuple[str, ...] = ()
    """``NAME=value`` each, added to the environment of ``spawn``."""
    ready: Ready = FIRST_OUTPUT
    own_network: bool = False
    """The workload has a network namespace of its own: a port is looked for there and not on the host."""
    loopback: bool = False
    """Bring the loopback device of the new network namespace up before the workload is executed."""
    supervised: bool = False
    """The instance's process is a tool that watches over the workload (lxc-start), which is a child of it."""
    root: Path | None = None
    root_change: Literal["chroot", "pivot_root"] | None = None
    mount_proc: bool = False
    cgroups: tuple[str, ...] = ()
    """Cgroup directories the agent makes, enters at clone time where the kernel can, and removes."""
    cgroup_writes: tuple[FileWrite, ...] = ()
    late_writes: tuple[FileWrite, ...] = ()
    """Limits applied once the workload is ready (a VM's boot is not to be throttled)."""
    late_moves: tuple[Move, ...] = ()
    """After the late writes, in this order: what a limit covers of the process, where not all of it."""
    pause: tuple[str, ...] = ()
    """The tool's own command that freezes an instance; empty: it has none."""
    resume: tuple[str, ...] = ()
    """The command that lets it go on."""
    guest_memory_bytes: int | None = None
    """RAM of the guest the process holds: by its size it is told from what the VMM itself takes."""
    peak_reset: str | None = None
    """The cgroup file to which 0 is to be written once the instance is ``created`` and before its workload is
    executed, so that the group's peak of memory leaves out what the runtime used until then."""
    delay_us: int = 0
    """Burnt in each start right after ``invoke``: a slowdown that is known, to test a comparison with."""
    console: bool = False
    """Give the instance a second channel, /proc/self/fd/3, for a guest kernel's console."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing the agent's ``start`` verb reported about one instance."""

    kind: Literal["attempt", "ready", "line", "exit", "pinged", "end"]
    slot: int = 0
    status: Status = Status.OK
    reason: str | None = None
    phases_ns: Mapping[str, int] = field(default_factory=dict)
    """Nanoseconds since invoke."""
    invoke_ns: int = 0
    """CLOCK_MONOTONIC of the host at invoke."""
    intended_ns: int = 0
    """The same clock when the start was due (open loop); 0: it was due when it was invoked."""
    late: bool = False
    """Open loop: nobody was free to start it when it was due."""
    stop_ns: int = 0
    """The same clock when an instance was told to end or was killed on command; 0: it never was."""
    ready_count: int = 0
    """How often what counts as ready was seen until the end."""
    round_trips_ns: tuple[int, ...] = ()
    """Of a ``pinged``: from a byte written to the workload's input to its answer, each."""
    t_ns: int = 0
    """CLOCK_MONOTONIC of the host when a ``line`` was complete; of the ``end`` of concurrent starts: when
    their window began."""
    pid: int | None = None
    exit_code: int | None = None
    term_signal: int | None = None
    output: str = ""
    """What the workload wrote (its first 64 KiB); bytes above 0x7f as the code point of that number."""
    output_bytes: int = 0
    stderr: str = ""
    """The last 4 KiB of the standard error of the tools and the workload."""

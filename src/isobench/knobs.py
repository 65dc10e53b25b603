"""Settings of the host that disturb measurements: found, wanted, what they do, how to set them.

Read-only: nothing here changes a host. Sources: Documentation/admin-guide/{pm,mm,sysctl}/ of the kernel,
its kernel-parameters.txt, and pyperf's and LLVM's advice on benchmarking hosts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isobench.procfs import read_optional
from isobench.virt import NONE, virtualisation

QUIET_LOAD = 0.5
"""Below this one-minute load at most one other process ran, half of the time."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting as it is on this host."""

    name: str
    found: str | None
    """None: this host has no such knob."""
    wanted: str
    effect: str
    """What it does to figures when it is not as wanted."""
    command: str | None
    """Sets it as wanted; None where no command can."""
    fits: bool

    @property
    def disturbs(self) -> bool:
        """The host has it and it is not as wanted."""
        return self.found is not None and not self.fits


@dataclass(frozen=True, slots=True)
class _Source:
    """Where one knob is read. Two of one name are two places for it: the first that is there counts."""

    name: str
    files: str
    """A pattern below ``/``; where several match, as for each CPU, different values are joined."""
    wanted: str
    effect: str
    command: str | None
    parse: Callable[[str], str] = str.strip
    fits: Callable[[str], bool] | None = None
    """None: the value found is one of those in ``wanted``."""

    def read(self, root: Path) -> Knob:
        texts = map(read_optional, root.glob(self.files))
        values = sorted({self.parse(text) for text in texts if text is not None})
        fits = self.fits or self.wanted.split(" or ").__contains__
        return Knob(
            name=self.name,
            found=", ".join(values) if values else None,
            wanted=self.wanted,
            effect=self.effect,
            command=self.command,
            fits=all(fits(value) for value in values),
        )


def chosen(text: str) -> str:
    """The choice in a file that lists all of them, as in ``always [madvise] never``."""
    return text.partition("[")[2].partition("]")[0]


def swap_areas(text: str) -> str:
    """/proc/swaps as ``none`` or the number of areas; its first line is a heading."""
    count = len(text.splitlines()) - 1
    return NONE if count == 0 else f"{count} in use"


def one_minute_load(text: str) -> str:
    """The first figure of /proc/loadavg."""
    return text.split(maxsplit=1)[0]


def off_if(value: str) -> Callable[[str], str]:
    """``off`` for that value, else ``on``: some files say what is on and some what is off."""
    return lambda text: "off" if text.strip() == value else "on"


_TURBO_EFFECT = "the clock follows heat and the load of other cores, so repeats differ"
_CPU = "sys/devices/system/cpu"

_SOURCES = (
    _Source(
        "governor",
        f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor",
        "performance",
        "short work runs at a clock that still ramps up",
        f"echo performance | tee /{_CPU}/cpu*/cpufreq/scaling_governor",
    ),
    _Source(
        "turbo",
        f"{_CPU}/intel_pstate/no_turbo",
        "off",
        _TURBO_EFFECT,
        f"echo 1 > /{_CPU}/intel_pstate/no_turbo",
        off_if("1"),
    ),
    _Source(
        "turbo",
        f"{_CPU}/cpufreq/boost",
        "off",
        _TURBO_EFFECT,
        f"echo 0 > /{_CPU}/cpufreq/boost",
        off_if("0"),
    ),
    _Source(
        "SMT",
        f"{_CPU}/smt/active",
        "off",
        "two workloads may share one core, and which ones changes",
        f"echo off > /{_CPU}/smt/control",
        off_if("0"),
    ),
    _Source(
        "transparent huge pages",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "madvise or never",
        "memory figures move in steps of 2 MiB, and change while nothing happens",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        chosen,
    ),
    _Source(
        "KSM",
        "sys/kernel/mm/ksm/run",
        "off",
        "equal pages of virtual machines are merged over minutes, so memory shrinks with time",
        "echo 0 > /sys/kernel/mm/ksm/run",
        off_if("0"),
    ),
    _Source(
        "swap",
        "proc/swaps",
        NONE,
        "memory that was pushed out is not counted as used",
        "swapoff -a",
        swap_areas,
    ),
    _Source(
        "RCU grace periods",
        "sys/kernel/rcu_expedited",
        "expedited",
        "making and removing cgroups and mounts waits for other CPUs: starts of containers vary most by it",
        "echo 1 > /sys/kernel/rcu_expedited",
        lambda text: "normal" if text.strip() == "0" else "expedited",
    ),
    _Source(
        "NMI watchdog",
        "proc/sys/kernel/nmi_watchdog",
        "off",
        "interrupts every CPU now and then, and holds a performance counter",
        "sysctl kernel.nmi_watchdog=0",
        off_if("0"),
    ),
    _Source(
        "timer migration",
        "proc/sys/kernel/timer_migration",
        "off",
        "timers of idle CPUs interrupt the busy ones",
        "sysctl kernel.timer_migration=0",
        off_if("0"),
    ),
    _Source(
        "NUMA balancing",
        "proc/sys/kernel/numa_balancing",
        "off",
        "pages are unmapped and moved while the workload runs",
        "sysctl kernel.numa_balancing=0",
        off_if("0"),
    ),
    _Source(
        "load",
        "proc/loadavg",
        f"below {QUIET_LOAD}",
        "other processes take CPU time, caches and locks from the measured one",
        "ps -eo pcpu,pid,args --sort=-pcpu",
        one_minute_load,
        lambda load: float(load) < QUIET_LOAD,
    ),
)


def survey(root: Path = Path("/")) -> tuple[Knob, ...]:
    """Every knob as it is now; those this host does not have come with ``found`` None."""
    knobs: dict[str, Knob] = {}
    for source in _SOURCES:
        knob = source.read(root)
        if knobs.setdefault(source.name, knob).found is None:
            knobs[source.name] = knob
    return (*knobs.values(), _virtualisation(root))


def _virtualisation(root: Path) -> Knob:
    machine = virtualisation(root).machine
    return Knob(
        name="virtualisation",
        found=machine,
        wanted=NONE,
        effect="the hypervisor takes time away unseen, and every page fault and exit costs more",
        command=None,
        fits=machine == NONE,
    )

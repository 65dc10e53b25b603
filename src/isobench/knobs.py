"""Settings of the host that disturb measurements: found, wanted, what they do, how to set them.

Read-only: nothing here changes a host; :mod:`isobench.tuning` sets the safe ones, and docs/tuning.md argues
for each which it is. Sources: Documentation/admin-guide/{pm,mm,sysctl}/ of the kernel, its
kernel-parameters.txt, and pyperf's and LLVM's advice on benchmarking hosts.
"""

from collections.abc import Callable, Mapping
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
    left: str | None = None
    """Why `isobench run --tune` leaves it to the user; None: it sets it for the run and puts it back."""
    memory: bool = False
    """It disturbs what is told of memory."""

    @property
    def disturbs(self) -> bool:
        """The host has it and it is not as wanted."""
        return self.found is not None and not self.fits


@dataclass(frozen=True, slots=True)
class Setting:
    """Where one knob is read and set. Of two with one name the first that a host has counts."""

    name: str
    files: str
    """A pattern below ``/``; where several match, as for each CPU, different values are joined."""
    wanted: str
    effect: str
    command: str | None
    parse: Callable[[str], str] = str.strip
    accepts: Callable[[str], bool] | None = None
    """None: the value found is one of those in ``wanted``."""
    sets: str | None = None
    """What ``--tune`` writes; None: it leaves the knob alone."""
    left: str | None = None
    """Why it does."""
    memory: bool = False
    idle: Callable[[Path], bool] | None = None
    """Whether it does nothing on the host below that root, however it is set."""

    def read(self, root: Path) -> Knob:
        """The knob as it is on the host below ``root``."""
        values = sorted({self.parse(text) for _, text in self._texts(root)})
        return self.knob(", ".join(values) if values else None, fits=not self.unfit(root))

    def knob(self, found: str | None, *, fits: bool) -> Knob:
        """The knob with that value."""
        return Knob(
            name=self.name,
            found=found,
            wanted=self.wanted,
            effect=self.effect,
            command=self.command,
            fits=fits,
            left=self.left,
            memory=self.memory,
        )

    def fits(self, value: str) -> bool:
        """Whether a value, as ``parse`` gives it, is as wanted."""
        return (self.accepts or self.wanted.split(" or ").__contains__)(value)

    def unfit(self, root: Path) -> tuple[tuple[Path, str], ...]:
        """The files that are not as wanted, each with its text; none where the setting does nothing."""
        if self.idle is not None and self.idle(root):
            return ()
        return tuple((path, text) for path, text in self._texts(root) if not self.fits(self.parse(text)))

    def _texts(self, root: Path) -> tuple[tuple[Path, str], ...]:
        found = ((path, read_optional(path)) for path in sorted(root.glob(self.files)))
        return tuple((path, text) for path, text in found if text is not None)


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


def overcommit(text: str) -> str:
    """/proc/sys/vm/overcommit_memory in a word (Documentation/mm/overcommit-accounting.rst)."""
    return {"0": "heuristic", "1": "always", "2": "never"}.get(text.strip(), text.strip())


def off_if(*values: str) -> Callable[[str], str]:
    """``off`` for those values, else ``on``: some files say what is on and some what is off."""
    return lambda text: "off" if text.strip() in values else "on"


def _no_huge_pages(root: Path) -> bool:
    return chosen(read_optional(root / _THP / "enabled") or "[never]") == "never"


def _no_swap(root: Path) -> bool:
    return swap_areas(read_optional(root / "proc/swaps") or "Filename") == NONE


_TURBO_EFFECT = "the clock follows heat and the load of other cores, so repeats differ"
_TURBO_LEFT = "without it the host is slower, not only steadier: the figures would be another machine's"
_CPU = "sys/devices/system/cpu"
_THP = "sys/kernel/mm/transparent_hugepage"
_CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"

SETTINGS = (
    Setting(
        "energy preference",
        f"{_CPU}/cpu[0-9]*/cpufreq/energy_performance_preference",
        "performance",
        "the processor saves power by a slower clock when work is short",
        f"echo performance | tee /{_CPU}/cpu*/cpufreq/energy_performance_preference",
        # Before the governor, so that it is put back after it: a driver sets it along with the governor.
        sets="performance",
    ),
    Setting(
        "governor",
        f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor",
        "performance",
        "short work runs at a clock that still ramps up",
        f"echo performance | tee /{_CPU}/cpu*/cpufreq/scaling_governor",
        sets="performance",
    ),
    Setting(
        "turbo",
        f"{_CPU}/intel_pstate/no_turbo",
        "off",
        _TURBO_EFFECT,
        f"echo 1 > /{_CPU}/intel_pstate/no_turbo",
        off_if("1"),
        left=_TURBO_LEFT,
    ),
    Setting(
        "turbo",
        f"{_CPU}/cpufreq/boost",
        "off",
        _TURBO_EFFECT,
        f"echo 0 > /{_CPU}/cpufreq/boost",
        off_if("0"),
        left=_TURBO_LEFT,
    ),
    Setting(
        "SMT",
        f"{_CPU}/smt/active",
        "off",
        "two workloads may share one core, and which ones changes",
        f"echo off > /{_CPU}/smt/control",
        off_if("0"),
        left="it takes half of the CPUs away from everything that runs here",
    ),
    Setting(
        "clock source",
        _CLOCK,
        "tsc or arch_sys_counter or kvm-clock or hyperv_clocksource_tsc_page",
        "reading the time takes a system call and a slow device, in what is timed as well",
        f"echo tsc > /{_CLOCK}",
        left="the kernel leaves the tsc when it runs wrong, and would be right to",
    ),
    Setting(
        "transparent huge pages",
        f"{_THP}/enabled",
        "madvise or never",
        "memory figures move in steps of 2 MiB, and change while nothing happens",
        f"echo madvise > /{_THP}/enabled",
        chosen,
        sets="madvise",
        memory=True,
    ),
    Setting(
        "khugepaged compaction",
        f"{_THP}/khugepaged/defrag",
        "off",
        "a kernel thread moves pages to make room for huge ones, at moments of its own",
        f"echo 0 > /{_THP}/khugepaged/defrag",
        off_if("0"),
        sets="0",
        idle=_no_huge_pages,
    ),
    Setting(
        "KSM",
        "sys/kernel/mm/ksm/run",
        "off",
        "equal pages of virtual machines are merged over minutes, so memory shrinks with time",
        "echo 0 > /sys/kernel/mm/ksm/run",
        off_if("0", "2"),  # 2: stopped, and what was merged is separate again
        sets="0",
        memory=True,
    ),
    Setting(
        "swap",
        "proc/swaps",
        NONE,
        "memory that was pushed out is not counted as used",
        "swapoff -a",
        swap_areas,
        left="what is swapped out must fit into memory, or programs are killed",
        memory=True,
    ),
    Setting(
        "zswap",
        "sys/module/zswap/parameters/enabled",
        "off",
        "memory that was pushed out is compressed and stays in memory, on nobody's account",
        "echo N > /sys/module/zswap/parameters/enabled",
        off_if("N", "0"),
        left="without it the host swaps to disk; it is swap itself that disturbs",
        memory=True,
        idle=_no_swap,
    ),
    Setting(
        "overcommit",
        "proc/sys/vm/overcommit_memory",
        "heuristic or always",
        "memory that is only reserved counts as used up, so that instances are refused that would fit",
        "sysctl vm.overcommit_memory=0",
        overcommit,
        left="it decides whether the programs of this host get memory",
        memory=True,
    ),
    Setting(
        "RCU grace periods",
        "sys/kernel/rcu_expedited",
        "expedited",
        "making and removing cgroups and mounts waits for other CPUs: starts of containers vary most by it",
        "echo 1 > /sys/kernel/rcu_expedited",
        lambda text: "normal" if text.strip() == "0" else "expedited",
        sets="1",
    ),
    Setting(
        "RCU never expedited",
        "sys/kernel/rcu_normal",
        "off",
        "grace periods are never expedited, whatever else says that they are",
        "echo 0 > /sys/kernel/rcu_normal",
        off_if("0"),
        left="somebody chose it, for a host that must answer in real time",
    ),
    Setting(
        "NMI watchdog",
        "proc/sys/kernel/nmi_watchdog",
        "off",
        "interrupts every CPU now and then, and holds a performance counter",
        "sysctl kernel.nmi_watchdog=0",
        off_if("0"),
        sets="0",
    ),
    Setting(
        "timer migration",
        "proc/sys/kernel/timer_migration",
        "off",
        "timers of idle CPUs interrupt the busy ones",
        "sysctl kernel.timer_migration=0",
        off_if("0"),
        sets="0",
    ),
    Setting(
        "NUMA balancing",
        "proc/sys/kernel/numa_balancing",
        "off",
        "pages are unmapped and moved while the workload runs",
        "sysctl kernel.numa_balancing=0",
        off_if("0"),
        sets="0",
    ),
    Setting(
        "load",
        "proc/loadavg",
        f"below {QUIET_LOAD}",
        "other processes take CPU time, caches and locks from the measured one",
        "ps -eo pcpu,pid,args --sort=-pcpu",
        one_minute_load,
        lambda load: float(load) < QUIET_LOAD,
        left="only you know which of the processes may be stopped",
    ),
)

SAFE = tuple(setting for setting in SETTINGS if setting.sets is not None)
"""What ``--tune`` sets, in this order; it puts them back in the reverse order."""


def survey(root: Path = Path("/")) -> tuple[Knob, ...]:
    """Every knob as it is now; those this host does not have come with ``found`` None."""
    knobs: dict[str, Knob] = {}
    for setting in SETTINGS:
        knob = setting.read(root)
        if knobs.setdefault(setting.name, knob).found is None:
            knobs[setting.name] = knob
    return (*knobs.values(), _virtualisation(root))


def recorded(found: Mapping[str, object]) -> tuple[Knob, ...]:
    """The knobs of which a run has recorded what it found, by their names, judged as on the host itself.

    Whether one did nothing there, however it was set, is judged by the other values.
    """
    knobs = {
        setting.name: setting.knob(value, fits=all(map(setting.fits, value.split(", "))))
        for setting in SETTINGS
        if isinstance(value := found.get(setting.name), str)
    }
    if found.get("swap") == NONE:
        knobs.pop("zswap", None)
    return tuple(knobs.values())


def _virtualisation(root: Path) -> Knob:
    machine = virtualisation(root).machine
    return Knob(
        name="virtualisation",
        found=machine,
        wanted=NONE,
        effect="the hypervisor takes time away unseen, and every page fault and exit costs more",
        command=None,
        fits=machine == NONE,
        left="a host cannot leave its own hypervisor",
    )

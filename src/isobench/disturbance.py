"""What else went on while a run was measured: the kernel's own counters, before and after.

A fingerprint says what a host is; these say what happened to it. They decide nothing about a single figure,
but a comparison on a host that others used meanwhile is none to believe.
"""

import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from isobench.journal import DisturbanceRecord
from isobench.procfs import read_optional

_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Of a line of /proc/stat (proc_stat(5)); the guest fields behind them are in user and nice already."""

_US_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters at one moment; None: this host does not tell."""

    seconds: float
    """CLOCK_MONOTONIC."""
    own_s: float
    """CPU time of this process and of all its descendants that have ended and were waited for."""
    busy_s: float | None
    """CPU time of everything on the host, interrupts included."""
    steal_s: float | None
    waited_cpu_s: float | None
    waited_memory_s: float | None
    waited_io_s: float | None
    thermal_throttles: float | None


class Disturbance:
    """The counters of one run, from when it began or went on."""

    def __init__(self, root: Path, before: DisturbanceRecord | None = None) -> None:
        """``before``: what a run that goes on has recorded already."""
        self._root = root
        self._before = before
        self._begin = read_counters(root)

    def record(self) -> DisturbanceRecord:
        """What happened until now."""
        return _since(self._begin, read_counters(self._root), self._before)


def read_counters(root: Path) -> Counters:
    """As they are now; ``root`` is where /proc and /sys begin."""
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = parse_cpu_line(read_optional(root / "proc/stat") or "", os.sysconf("SC_CLK_TCK"))
    waited = {
        name: parse_pressure_total(read_optional(root / "proc/pressure" / name) or "")
        for name in ("cpu", "memory", "io")
    }
    return Counters(
        seconds=time.monotonic(),
        own_s=sum(usage.ru_utime + usage.ru_stime for usage in own),
        busy_s=sum(cpu[name] for name in _FIELDS if name not in {"idle", "iowait", "steal"}) if cpu else None,
        steal_s=cpu.get("steal"),
        waited_cpu_s=waited["cpu"],
        waited_memory_s=waited["memory"],
        waited_io_s=waited["io"],
        thermal_throttles=_thermal_throttles(root),
    )


def parse_cpu_line(stat: str, ticks_per_s: int) -> Mapping[str, float]:
    """Seconds since boot by state, of all CPUs together: the first line of /proc/stat; {} without one."""
    head, _, rest = stat.partition("\n")[0].partition(" ")
    if head != "cpu":
        return {}
    return {name: int(text) / ticks_per_s for name, text in zip(_FIELDS, rest.split(), strict=False)}


def parse_pressure_total(text: str) -> float | None:
    """Seconds in which at least one task waited, from ``/proc/pressure/*`` (accounting/psi.rst)."""
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == "some":
            return next((int(word[6:]) / _US_PER_S for word in words if word.startswith("total=")), None)
    return None


def _thermal_throttles(root: Path) -> float | None:
    """Events since boot, summed over the cores; machines without the counter have no such files."""
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    found = [int(text) for file in files if (text := read_optional(file)) and text.isdigit()]
    return float(sum(found)) if found else None


def _since(begin: Counters, now: Counters, before: DisturbanceRecord | None) -> DisturbanceRecord:
    def change(name: str) -> float | None:
        first, last = getattr(begin, name), getattr(now, name)
        return None if first is None or last is None else last - first

    changes = {item.name: change(item.name) for item in fields(Counters)}
    busy, own = changes.pop("busy_s"), changes.pop("own_s") or 0.0
    # The kernel counts a host's time in whole ticks and ours exactly: a short run can seem to exceed it.
    changes["others_cpu_s"] = None if busy is None else max(0.0, busy - own)
    if before is not None:
        for name, value in changes.items():
            earlier = getattr(before, name)
            changes[name] = None if value is None or earlier is None else earlier + value
    seconds = changes.pop("seconds") or 0.0
    return DisturbanceRecord(seconds=seconds, cpus=os.cpu_count() or 1, **changes)

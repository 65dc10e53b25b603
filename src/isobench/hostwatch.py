"""What disturbed a host while a run went on: counters of the kernel, read before and after it.

Two readings a run, outside of everything timed. What a host does not count is None, and decides nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isobench.procfs import read_optional

_STEAL = 7
"""The column of /proc/stat after the name (proc_stat(5)): user nice system idle iowait irq softirq steal."""
_COLUMNS = 8
"""Guest time, which follows, is in user time already."""

_US_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class Counters:
    """The kernel's counters at one moment; all only rise."""

    monotonic_s: float
    ticks: int | None
    """CPU time of all CPUs, idle or not, in the kernel's ticks."""
    stolen_ticks: int | None
    """Of it what a hypervisor gave to others."""
    waited_us: Mapping[str, int | None]
    """In which something waited for ``cpu``, ``memory``, ``io`` (PSI: Documentation/accounting/psi.rst)."""
    thermal_events: int | None
    """Times a core or a package was slowed down for its heat (x86: thermal_throttle)."""
    clock_ticks: Mapping[int, int]
    """Time at each frequency in kHz, of all CPUs; empty where cpufreq keeps no such account."""


def counters(root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> Counters:
    """Read them now."""
    ticks = cpu_ticks(read_optional(root / "proc/stat") or "")
    cpus = root / "sys/devices/system/cpu"
    events = [_number(path) for path in cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")]
    known = [number for number in events if number is not None]
    return Counters(
        monotonic_s=clock(),
        ticks=sum(ticks) if ticks else None,
        stolen_ticks=ticks[_STEAL] if ticks else None,
        waited_us={
            name: waited_us(read_optional(root / "proc/pressure" / name) or "")
            for name in ("cpu", "memory", "io")
        },
        thermal_events=sum(known) if known else None,
        clock_ticks=_clock_ticks(
            [read_optional(path) or "" for path in cpus.glob("cpu[0-9]*/cpufreq/stats/time_in_state")]
        ),
    )


def disturbance(before: Counters, after: Counters) -> dict[str, float | int | None]:
    """What happened between two readings, as ``host["during"]`` of run.json has it."""
    seconds = after.monotonic_s - before.monotonic_s
    waited = {
        f"{name}_waited_share": _share(_less(after.waited_us[name], us), seconds * _US_PER_S)
        for name, us in before.waited_us.items()
    }
    clocks = {khz: ticks - before.clock_ticks.get(khz, 0) for khz, ticks in after.clock_ticks.items()}
    slower = sum(clocks.values()) - clocks[max(clocks)] if clocks else None
    return {
        "seconds": seconds,
        "steal_share": _share(
            _less(after.stolen_ticks, before.stolen_ticks), _less(after.ticks, before.ticks) or 0
        ),
        **waited,
        "thermal_events": _less(after.thermal_events, before.thermal_events),
        "below_top_clock_share": _share(slower, sum(clocks.values())),
    }


def cpu_ticks(stat: str) -> tuple[int, ...]:
    """The columns of the line ``cpu`` of /proc/stat up to steal; empty when it has fewer."""
    words = next((line.split() for line in stat.splitlines() if line.startswith("cpu ")), [])
    columns = tuple(int(word) for word in words[1 : 1 + _COLUMNS])
    return columns if len(columns) == _COLUMNS else ()


def waited_us(pressure: str) -> int | None:
    """``total`` of the line ``some`` of a file of /proc/pressure."""
    some = next((line for line in pressure.splitlines() if line.startswith("some ")), "")
    found = dict(field.partition("=")[::2] for field in some.split()[1:]).get("total")
    return None if found is None else int(found)


def _clock_ticks(states: list[str]) -> dict[int, int]:
    found: dict[int, int] = {}
    for line in (line for text in states for line in text.splitlines()):
        khz, ticks = (int(word) for word in line.split())
        found[khz] = found.get(khz, 0) + ticks
    return found


def _less(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None or whole <= 0 else part / whole


def _number(path: Path) -> int | None:
    text = read_optional(path)
    return None if text is None else int(text)

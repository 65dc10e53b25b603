"""The fingerprint of a host: what must be alike for two runs to be comparable, or explains a difference."""

import gzip
import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from isobench.errors import ToolError
from isobench.knobs import chosen, survey
from isobench.model import Scalar
from isobench.process import find_tool, run
from isobench.procfs import Mount, parse_mountinfo, read_optional
from isobench.virt import virtualisation

Facts: TypeAlias = dict[str, Scalar]
Fingerprint: TypeAlias = dict[str, Scalar | Facts]

_VERSION_TIMEOUT_S = 10.0

_MEMORY_STEP = 64 << 20

_ELSEWHERE = ("load", "virtualisation", "clock source")
"""Knobs that have entries of their own."""

COMPARABLE = (
    "hostname",
    "os",
    "kernel",
    "kernel_build",
    "command_line",
    "machine",
    "hz",
    "cpu",
    "numa_nodes",
    "memory_bytes",
    "virtual_machine",
    "container",
    "clocksource",
    "cfs_slice_us",
    "nx_huge_pages",
    "mitigations",
    "knobs",
    "memory_settings",
    "cgroup_mode",
    "cgroup_mounts",
    "work_file_system",
)
"""The facts that must be equal for figures of two runs to be compared as figures of one host.

The others explain a difference and forbid nothing: what a host does at the moment (load, pressure, swap in
use, pages merged), how full it is (mounts, cgroups), which boot it is, and the Python of the harness.
"""


def fingerprint(root: Path = Path("/")) -> Fingerprint:
    """Everything about this host that is known to move figures. What changes by itself is as it is now.

    The cgroup mode and the file system of the work directory are not in it: the site of the run knows them. A
    fact this host does not tell is None.
    """
    system = platform.uname()
    virt = virtualisation(root)
    mounts = parse_mountinfo(read_optional(root / "proc/self/mountinfo") or "")
    alive, dying = cgroup2_counts(_cgroup2_stat(root, mounts))
    return {
        "hostname": system.node,
        "boot": boot_hash(read_optional(root / "proc/sys/kernel/random/boot_id") or ""),
        "os": _os_name(),
        "kernel": system.release,
        "kernel_build": system.version,
        "command_line": kernel_parameters(read_optional(root / "proc/cmdline") or ""),
        "hz": _hz(root, system.release),
        "machine": system.machine,
        "python": platform.python_version(),
        "virtual_machine": virt.machine,
        "container": virt.container,
        "memory_bytes": psutil.virtual_memory().total,
        "swap_bytes": psutil.swap_memory().total,
        "numa_nodes": range_size(read_optional(root / "sys/devices/system/node/online") or "") or None,
        "clocksource": read_optional(
            root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        "cfs_slice_us": _number(root / "proc/sys/kernel/sched_cfs_bandwidth_slice_us"),
        "nx_huge_pages": read_optional(root / "sys/module/kvm/parameters/nx_huge_pages"),
        "mounts": len(mounts),
        "cgroups": max(cgroup_count(read_optional(root / "proc/cgroups") or ""), alive or 0),
        "dying_cgroups": dying,
        "cpu": _cpu(root),
        "cgroup_mounts": cgroup_mounts(mounts),
        "load": dict(zip(("1min", "5min", "15min"), psutil.getloadavg(), strict=True)),
        "knobs": {knob.name: knob.found for knob in survey(root) if knob.name not in _ELSEWHERE},
        "mitigations": _mitigations(root),
        "memory_settings": _memory_settings(root),
        "memory_now": {
            "swap_used_bytes": psutil.swap_memory().used,
            "ksm_pages_sharing": _number(root / "sys/kernel/mm/ksm/pages_sharing"),
        },
        "pressure": _pressure(root),
    }


def comparable(host: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a fingerprint named in :data:`COMPARABLE`, those of a group as ``cpu.model``.

    Memory in whole steps of 64 MiB: what the kernel keeps for itself differs a little from boot to boot.
    """
    found = {key: host[key] for key in COMPARABLE if key in host}
    if isinstance(memory := found.get("memory_bytes"), int):
        found["memory_bytes"] = round(memory / _MEMORY_STEP) * _MEMORY_STEP
    flat = (
        {key: value} if not isinstance(value, Mapping) else _under(key, value) for key, value in found.items()
    )
    return {key: value for part in flat for key, value in part.items()}


def _under(group: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{group}.{key}": value for key, value in facts.items()}


def tool_record(path_or_name: str | Path) -> Facts:
    """Which file that program is, the version it names, and its SHA-256; all None when it is absent.

    A file that is no program (the kernel of a VM guest) has no version.
    """
    found = find_tool(path_or_name) or _file(path_or_name)
    if found is None:
        return {"path": None, "version": None, "sha256": None}
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    return {"path": str(found), "version": _version(found), "sha256": digest}


def _file(path_or_name: str | Path) -> Path | None:
    path = Path(path_or_name)
    return path if path.is_absolute() and path.is_file() and os.access(path, os.R_OK) else None


def boot_hash(boot_id: str) -> str | None:
    """Tells one boot of a host from another without giving the machine's own identifier away."""
    text = boot_id.strip()
    return hashlib.sha256(f"isobench {text}".encode()).hexdigest()[:16] if text else None


def cpu_identity(cpuinfo: str) -> Mapping[str, str]:
    """The first processor's entries of /proc/cpuinfo; the names differ from one architecture to another."""
    first = cpuinfo.strip().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cgroup_count(cgroups: str) -> int:
    """Groups of the fullest hierarchy in /proc/cgroups (its column num_cgroups); 0 without the file."""
    rows = (line.split() for line in cgroups.splitlines() if not line.startswith("#"))
    return max((int(row[2]) for row in rows), default=0)


def kernel_parameters(command_line: str) -> str | None:
    """/proc/cmdline without what follows a lone ``--``: that is for the first process, not for the kernel."""
    return command_line.partition(" -- ")[0].strip() or None


def cgroup2_counts(stat: str) -> tuple[int | None, int | None]:
    """Groups below the root of cgroup v2, and those removed but still held by what they were charged for.

    From the text of its cgroup.stat (Documentation/admin-guide/cgroup-v2.rst); v1 has no such file.
    """
    found = dict(line.split() for line in stat.splitlines())
    alive, dying = found.get("nr_descendants"), found.get("nr_dying_descendants")
    return (None if alive is None else int(alive), None if dying is None else int(dying))


def cgroup_mounts(mounts: tuple[Mount, ...]) -> Facts:
    """The options of each cgroup file system by where it is mounted; ``favordynmods`` is one of them."""
    kinds = {"cgroup", "cgroup2"}
    return {m.point: f"{m.fstype} {','.join(m.super_options)}" for m in mounts if m.fstype in kinds}


def file_system(path: Path, mounts: tuple[Mount, ...]) -> str | None:
    """What a path lies on, ``ext4 rw,relatime``; of mounts on top of each other the last one counts.

    Options that name places (the layers of an overlay) say nothing about its speed and are left out.
    """
    above = [mount for mount in mounts if path.is_relative_to(mount.point)]
    _, found = max(enumerate(above), key=lambda one: (len(one[1].point), one[0]), default=(0, None))
    if found is None:
        return None
    return f"{found.fstype} {','.join(option for option in found.super_options if '/' not in option)}"


def range_size(text: str) -> int:
    """How many numbers a list such as ``0-3,8`` has: the kernel names CPUs and NUMA nodes so."""
    spans = (span.partition("-") for span in text.split(",") if span)
    return sum(int(last or first) - int(first) + 1 for first, _, last in spans)


def pressure_10s(text: str) -> float | None:
    """The share of the last 10 s in which something had to wait (PSI): ``some avg10`` in percent."""
    some = next((line for line in text.splitlines() if line.startswith("some ")), "")
    found = dict(field.partition("=")[::2] for field in some.split()[1:]).get("avg10")
    return None if found is None else float(found)


def config_hz(config: str) -> int | None:
    """Ticks a second, from the configuration of a kernel."""
    name = "CONFIG_HZ="
    return next((int(line[len(name) :]) for line in config.splitlines() if line.startswith(name)), None)


def first_line(text: str) -> str | None:
    """The first line with something in it."""
    return next((line.strip() for line in text.splitlines() if line.strip()), None)


def _cpu(root: Path) -> Facts:
    identity = cpu_identity(read_optional(root / "proc/cpuinfo") or "")
    return {
        "model": identity.get("model name") or identity.get("CPU part"),
        "vendor": identity.get("vendor_id") or identity.get("CPU implementer"),
        "microcode": identity.get("microcode"),
        "count": os.cpu_count(),
        "usable": len(os.sched_getaffinity(0)),
        "cores": psutil.cpu_count(logical=False),
        "frequency_driver": read_optional(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"),
        "idle_driver": read_optional(root / "sys/devices/system/cpu/cpuidle/current_driver"),
    }


def _memory_settings(root: Path) -> Facts:
    """What moves memory figures and is no knob to turn for a measurement; the others are among the knobs."""
    return {
        "huge_page_defrag": chosen(read_optional(root / "sys/kernel/mm/transparent_hugepage/defrag") or "")
        or None,
        "overcommit_ratio": _number(root / "proc/sys/vm/overcommit_ratio"),
        "swappiness": _number(root / "proc/sys/vm/swappiness"),
    }


def _pressure(root: Path) -> Facts:
    """What waits for each of them, in percent of the last 10 s."""
    texts = {name: read_optional(root / "proc/pressure" / name) for name in ("cpu", "memory", "io")}
    return {f"{name}_10s_percent": pressure_10s(text or "") for name, text in texts.items()}


def _hz(root: Path, release: str) -> int | None:
    """From the kernel's own copy of its configuration, else from the one beside it in /boot."""
    try:
        config = gzip.decompress((root / "proc/config.gz").read_bytes()).decode()
    except (OSError, EOFError):
        config = read_optional(root / "boot" / f"config-{release}") or ""
    return config_hz(config)


def _cgroup2_stat(root: Path, mounts: tuple[Mount, ...]) -> str:
    point = next((mount.point for mount in mounts if mount.fstype == "cgroup2"), None)
    return "" if point is None else read_optional(root / point.lstrip("/") / "cgroup.stat") or ""


def _mitigations(root: Path) -> Facts:
    """What the kernel says of each known weakness of the processor."""
    folder = root / "sys/devices/system/cpu/vulnerabilities"
    return {path.name: read_optional(path) for path in sorted(folder.glob("*"))}


def _os_name() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _version(tool: Path) -> str | None:
    """The first line a program says to ``--version``: not all have one, and some say it on standard error."""
    try:
        done = run([tool, "--version"], timeout_s=_VERSION_TIMEOUT_S, check=False)
    except ToolError:
        return None
    if done.exit_code != 0:
        return None
    return first_line(done.stdout) or first_line(done.stderr)


def _number(path: Path) -> int | None:
    text = read_optional(path)
    return None if text is None else int(text)

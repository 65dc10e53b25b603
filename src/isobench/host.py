"""The fingerprint of a host: what must be alike for two runs to be comparable, or explains a difference."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import psutil

from isobench.errors import ToolError
from isobench.knobs import survey
from isobench.model import Scalar
from isobench.process import find_tool, run
from isobench.procfs import parse_mountinfo, read_optional
from isobench.virt import virtualisation

Facts: TypeAlias = dict[str, Scalar]
Fingerprint: TypeAlias = dict[str, Scalar | Facts]

_VERSION_TIMEOUT_S = 10.0

_ELSEWHERE = ("load", "virtualisation")
"""Knobs that have entries of their own, with more to them."""


def fingerprint(root: Path = Path("/")) -> Fingerprint:
    """Everything about this host that is known to move figures. ``load`` is as it is at this moment.

    The cgroup mode is not in it: the tree of the run knows that. A fact this host does not tell is None.
    """
    system = platform.uname()
    virt = virtualisation(root)
    return {
        "hostname": system.node,
        "boot": boot_hash(read_optional(root / "proc/sys/kernel/random/boot_id") or ""),
        "os": _os_name(),
        "kernel": system.release,
        "kernel_build": system.version,
        "machine": system.machine,
        "python": platform.python_version(),
        "virtual_machine": virt.machine,
        "container": virt.container,
        "memory_bytes": psutil.virtual_memory().total,
        "swap_bytes": psutil.swap_memory().total,
        "clocksource": read_optional(
            root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        "cfs_slice_us": _number(root / "proc/sys/kernel/sched_cfs_bandwidth_slice_us"),
        "mounts": len(parse_mountinfo(read_optional(root / "proc/self/mountinfo") or "")),
        "cgroups": cgroup_count(read_optional(root / "proc/cgroups") or ""),
        "cpu": _cpu(root),
        "load": dict(zip(("1min", "5min", "15min"), psutil.getloadavg(), strict=True)),
        "knobs": {knob.name: knob.found for knob in survey(root) if knob.name not in _ELSEWHERE},
        "mitigations": _mitigations(root),
    }


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
    }


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

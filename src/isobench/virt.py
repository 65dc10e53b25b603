"""What this host itself runs in: a virtual machine, a container, or neither."""

from dataclasses import dataclass
from pathlib import Path

from isobench.process import find_tool, run

NONE = "none"
_TIMEOUT_S = 10.0

_VENDORS = {
    "qemu": "qemu",
    "amazon ec2": "amazon",
    "google": "google",
    "microsoft corporation": "microsoft",
    "vmware": "vmware",
    "innotek": "virtualbox",
    "xen": "xen",
    "bochs": "bochs",
    "parallels": "parallels",
}
"""Beginnings of /sys/class/dmi/id/sys_vendor, in lower case, under hypervisors."""


@dataclass(frozen=True, slots=True)
class Virtualisation:
    """Names as systemd-detect-virt(1) gives them; ``none`` where there is none."""

    machine: str
    container: str


def virtualisation(root: Path = Path("/")) -> Virtualisation:
    """By systemd-detect-virt where it is installed, else by the processor's flag and the board's maker."""
    if find_tool("systemd-detect-virt"):
        return Virtualisation(_asked("--vm"), _asked("--container"))
    vendor = root / "sys/class/dmi/id/sys_vendor"
    machine = by_hardware((root / "proc/cpuinfo").read_text(), vendor.read_text() if vendor.exists() else "")
    return Virtualisation(machine, "unknown")


def by_hardware(cpuinfo: str, dmi_vendor: str) -> str:
    """The machine's kind from /proc/cpuinfo and DMI texts; ``unknown`` for a hypervisor that is not named.

    The flag ``hypervisor`` is CPUID leaf 1, ECX bit 31, which processors leave 0; a bare machine of a
    cloud provider has the provider as vendor and no flag.
    """
    if not any(line.startswith("flags") and " hypervisor" in line for line in cpuinfo.splitlines()):
        return NONE
    vendor = dmi_vendor.strip().lower()
    return next((name for start, name in _VENDORS.items() if vendor.startswith(start)), "unknown")


def _asked(option: str) -> str:
    # It exits 1 with the answer "none".
    done = run(["systemd-detect-virt", option], timeout_s=_TIMEOUT_S, check=False)
    return done.stdout.strip() or "unknown"

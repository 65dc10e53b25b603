"""Set-up of the host: tools of the isolators, the guest kernel, the agent."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from build_agent import AGENT_DIR, BINARY, has_musl_gcc
from steps import PYTHON, ROOT, VENV, Stamp, Step, StepError, pip_install, run

sys.path.insert(0, str(ROOT / "src"))

from isobench.state import state_dir

SHOWN_BY = {
    "runc": "runc",
    "lxc-start": "lxc",
    "qemu-system-x86_64": "qemu-system-x86",
    "musl-gcc": "musl-tools",
    "gcc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
}
"""Command or file → the Debian package it shows to be there; vars/Debian.yml of the role."""

WITH_DNF = {
    "libc6-dev": "glibc-devel",
    "musl-tools": "musl-gcc",
    "openssh-client": "openssh-clients",
    "qemu-system-x86": "qemu-system-x86-core",
}
"""Debian package → its name on Fedora, where that is another one; RHEL has fewer (vars/RedHat.yml)."""

SHOWN_BY_FOR = {
    "test": {
        "chromium": "chromium",
        "mmdebstrap": "mmdebstrap",
        "mkfs.ext4": "e2fsprogs",
        "ssh": "openssh-client",
        "hyperfine": "hyperfine",
        "qemu-aarch64": "qemu-user",
    },
    "perf": {"hyperfine": "hyperfine", "bwrap": "bubblewrap", "strace": "strace"},
}
"""The same for one target of make alone; together ``tests`` there."""


def can_install() -> bool:
    """Whether we can install Debian packages. Never through sudo: a benchmark asks for no passwords."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def missing_packages(shown_by: Mapping[str, str]) -> list[str]:
    """Packages that are not there; found by their files, for dpkg takes longer."""
    return sorted({package for thing, package in shown_by.items() if not _is_there(thing)})


def _is_there(thing: str) -> bool:
    if thing.startswith("/"):
        return Path(thing).exists()
    # Debian keeps runc in /usr/sbin, which is not on an ordinary user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    return shutil.which(thing, path=path) is not None


def play(tag: str, *, why_not: str, remedy: str, variables: Mapping[str, object] | None = None) -> None:
    """Run one part of the project's Ansible role on this host."""
    env = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(VENV / "ansible"),  # else it leaves a folder in the user's home
        "ANSIBLE_REMOTE_TEMP": str(VENV / "ansible" / "tmp"),
        "LC_ALL": "C.UTF-8",  # Ansible refuses any other encoding; a minimal Debian has none set
    }
    playbook = [VENV / "bin" / "ansible-playbook", ROOT / "ansible" / "provision.yml"]
    extra = json.dumps({"isobench_host_state_dir": str(state_dir()), **(variables or {})})
    run([*playbook, "--tags", tag, "--extra-vars", extra], why_not=why_not, remedy=remedy, env=env)


class HostPackages(Step):
    """The tools of the isolators and the compiler, through the role."""

    tag = "packages"
    shown_by: Mapping[str, str] = SHOWN_BY

    def plan(self) -> str | None:
        packages = " ".join(missing_packages(self.shown_by))
        if not packages:
            return None
        if not can_install():
            raise StepError(f"{packages}: only root can install them, with apt", self._remedy(packages))
        return f"install the Debian packages {packages} and what they depend on (role isobench_host)"

    def do(self) -> None:
        missing = missing_packages(self.shown_by)
        packages = " ".join(missing)
        play(
            self.tag,
            why_not=f"{packages} could not be installed",
            remedy=self._remedy(packages),
            variables={f"isobench_host_{self.tag}": missing},
        )

    def _remedy(self, packages: str) -> str:
        if shutil.which("apt-get") is None and shutil.which("dnf") is not None:
            names = " ".join(WITH_DNF.get(package, package) for package in packages.split())
            return f"dnf install {names}   (as root; RHEL has not all of them, and 10 has crun for runc)"
        return f"apt-get install --no-install-recommends {packages}   (as root)"


class TargetPackages(HostPackages):
    """What only some targets of make need (the browser of the tests), through the role: not `make bench`."""

    tag = "test_packages"

    def __init__(self, targets: Iterable[str]) -> None:
        self.shown_by = {
            thing: package for target in targets for thing, package in SHOWN_BY_FOR.get(target, {}).items()
        }


class GuestKernel(Step):
    """The kernel that virtual machines boot, through the role."""

    def plan(self) -> str | None:
        kernel = self._kernel()
        if kernel.exists():
            return None
        if shutil.which("apt-get") is None:
            why = "a guest kernel: there is no apt-get to download one with"
            raise StepError(why, f"cp <a Linux kernel with a serial console built in> {kernel}")
        what = "the distribution's kernel for virtual machines (27 MB on Debian)"
        return f"download {what} and unpack it to {kernel}; it is not installed"

    def do(self) -> None:
        again = "make setup" if os.geteuid() == 0 else "sudo apt-get update && make setup"
        why_not = "a guest kernel could not be fetched"
        play("kernel", why_not=why_not, remedy=again)
        if not self._kernel().exists():  # the role goes on without one
            raise StepError(why_not, again)

    @staticmethod
    def _kernel() -> Path:
        return state_dir() / "kernel" / "vmlinuz"


class Agent(Step):
    """The static C program that starts, and is started."""

    stamp = Stamp("agent", [*sorted(AGENT_DIR.glob("*.[ch]")), ROOT / "scripts" / "build_agent.py"])

    def plan(self) -> str | None:
        if BINARY.exists() and self.stamp.is_current():
            return None
        if has_musl_gcc() or can_install():
            return "compile the agent with musl-gcc"
        return "compile the agent, there being no musl-gcc, with the ziglang package (a download of 100 MB)"

    def do(self) -> None:
        why = "the agent could not be compiled"
        BINARY.unlink(missing_ok=True)  # when this fails, no figure may come from the agent of old sources
        if not has_musl_gcc():
            pip_install("--require-hashes", "-r", ROOT / "constraints-zig.txt", why_not=why)
        run([PYTHON, ROOT / "scripts" / "build_agent.py"], why_not=why, remedy="make agent")
        self.stamp.set()

"""namespaces: clone3(2) with any subset of the eight namespaces; own root, own /proc; no helper program."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from isobench.isolators import contract, own
from isobench.isolators.bare import in_chroot, on_host
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.requirements import first_lack, need_root
from isobench.model import NO_LIMITS, READY, Bundle, Capabilities, Launch, Limits, Readiness, unavailable

Namespace = Literal["mount", "uts", "ipc", "pid", "network", "user", "cgroup", "time"]

_PROC_NAMES: dict[Namespace, str] = {"mount": "mnt", "network": "net"}
"""Where the name under /proc/self/ns differs from ours (namespaces(7))."""


class NamespacesOptions(contract.Options):
    """Which namespaces; the default is what container runtimes create, without user and time."""

    namespaces: tuple[Namespace, ...] = Field(
        default=("mount", "uts", "ipc", "pid", "network", "cgroup"), min_length=1
    )

    @field_validator("namespaces")
    @classmethod
    def _each_once(cls, value: tuple[Namespace, ...]) -> tuple[Namespace, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a namespace is named twice")
        return value


class Namespaces(Isolator[NamespacesOptions]):
    """Start the workload in new namespaces.

    With a mount namespace the workload gets the shared root file system by pivot_root(2), and with a PID
    namespace besides, a /proc of its own. Without one it keeps the host's root. The network namespace has
    only a loopback device: down, as unshare(1) leaves it; up for a user's workload, as LXC and runc have it.
    """

    kind = "namespaces"
    Options = NamespacesOptions

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            phases=frozenset({"invoke", "spawned", "first_instruction", "ready", "exit"}),
            t0="just before clone3(2), which makes the namespaces and the process in one call",
        )

    def probe(self, site: Site) -> Readiness:
        wanted = self.options.namespaces
        root = None if "user" in wanted else need_root("making namespaces without a user namespace")
        return first_lack(*(_kernel_has(name) for name in wanted), root) or READY

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        wanted = self.options.namespaces
        # One of the namespace's own can be mounted in a mount namespace only.
        own_proc = {"mount", "pid"} <= set(wanted)
        with own.writable_roots(site, bundle, slots, proc=not own_proc) as inside:
            if "mount" not in wanted:
                launch = on_host(inside)
            else:
                launch = replace(in_chroot(inside), root_change="pivot_root", mount_proc=own_proc)
            network = "network" in wanted
            yield replace(launch, namespaces=wanted, own_network=network, loopback=network and bundle.own)


def _kernel_has(name: Namespace) -> Readiness | None:
    file = Path("/proc/self/ns", _PROC_NAMES.get(name, name))
    if not os.path.lexists(file):
        return unavailable(
            f"this kernel has no {name} namespaces ({file} is missing)",
            f"leave {name} out of `namespaces` in the matrix, or boot a kernel that has them",
        )
    if name == "user" and _user_namespaces_off():
        return unavailable(
            "user namespaces are switched off on this host", "sysctl -w user.max_user_namespaces=15000"
        )
    return None


def _user_namespaces_off() -> bool:
    try:
        return int(Path("/proc/sys/user/max_user_namespaces").read_text()) == 0
    except OSError:
        return False

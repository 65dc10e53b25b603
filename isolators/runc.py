"""runc: a generated OCI bundle; create and start as separate phases (OCI runtime specification)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from isobench.isolators import contract, own
from isobench.isolators.cgroup import controllers_of
from isobench.isolators.cgroup.controllers import as_cpu_list
from isobench.isolators.cgroup.controllers_v1 import shares_of
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.directory import scratch_directory
from isobench.isolators.requirements import first_lack, need_root, need_tool, tool_path
from isobench.model import NO_LIMITS, Bundle, Capabilities, Launch, Limits, Readiness, Step


class RuncOptions(contract.Options):
    """Which runc; two entries with other binaries compare two builds."""

    binary: contract.Program = "runc"


class Runc(Isolator[RuncOptions]):
    """Start the workload by ``runc create``, ``runc start``; remove it by ``runc delete``."""

    kind = "runc"
    Options = RuncOptions

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            phases=frozenset({"invoke", "created", "first_instruction", "ready", "exit", "cleaned"}),
            limits=frozenset({"cpu", "cpuset", "memory", "pids", "io", "weight"}),
            pauses=True,
            t0="just before the clone of `runc create`",
            covers="the container, and runc's own init until it becomes the workload",
        )

    def probe(self, site: Site) -> Readiness:
        lack = first_lack(need_tool(self.options.binary, "runc"), need_root("runc"))
        return lack or site.cgroups.writable()

    def tools(self) -> tuple[str, ...]:
        return (self.options.binary,)

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        with (
            controllers_of(site.cgroups).handed_down(site.token, limits),
            own.writable_roots(site, bundle, slots) as inside,
            scratch_directory(site.work, self.name) as home,
        ):
            try:
                yield self._launch(site, home, inside, limits, slots)
            finally:
                # Those of a container that runc could not delete, say because it is not there any more.
                site.cgroups.remove(f"{site.token}-{self.kind}")

    def _launch(self, site: Site, home: Path, bundle: Bundle, limits: Limits, slots: int) -> Launch:
        group = site.tool_group(self.kind)
        for slot in range(slots):
            directory = home / f"bundle-{slot}"
            directory.mkdir(parents=True)
            resources = resource_limits(limits, swap=site.cgroups.limits_swap(), slot=slot)
            of_slot = replace(bundle, root=own.at_slot(bundle.root, slot))
            config = configuration(of_slot, resources, f"/{group}-{slot}")
            (directory / "config.json").write_text(json.dumps(config))
        state = home / "state"
        state.mkdir()  # runc would make it, and rightly leave it: it is no container's
        runc = (tool_path(self.options.binary, "runc"), "--root", str(state))
        container = f"{site.token}-{{n}}"
        pid_file = str(home / "bundle-{n}" / "pid")
        create = (*runc, "create", "--bundle", str(home / "bundle-{n}"), "--pid-file", pid_file, container)
        return Launch(
            host_argv=bundle.argv,
            steps=(Step(create, phase="created"), Step((*runc, "start", container))),
            adopt=pid_file,
            ready=bundle.ready,
            own_network=True,
            cleanup=(Step((*runc, "delete", "--force", container)),),
            pause=(*runc, "pause", container),
            resume=(*runc, "resume", container),
            peak_reset=site.cgroups.peak_reset(f"{group}-{{n}}"),
        )


_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
"""Those of `runc spec`."""

_OWN_CAPABILITIES = (
    *_CAPABILITIES,
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_NET_RAW"),
    *("CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"),
)
"""Of a user's workload, as container engines give them: without, no server could change its user."""

_MOUNTS: list[dict[str, Any]] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
        "destination": "/dev/shm",  # noqa: S108 - a mount point inside the container
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
    {
        "destination": "/dev/mqueue",
        "type": "mqueue",
        "source": "mqueue",
        "options": ["nosuid", "noexec", "nodev"],
    },
    {
        "destination": "/sys",
        "type": "sysfs",
        "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    },
]
"""What `runc spec` mounts, less the view of the host's cgroups."""


def resource_limits(limits: Limits, *, swap: bool, slot: int = 0) -> dict[str, Any]:
    """The limits as linux.resources of a config.json; ``swap``: whether this host can limit it."""
    found: dict[str, Any] = {}
    cpu = {"quota": limits.cpu.quota_us, "period": limits.cpu.period_us} if limits.cpu else {}
    if limits.cpu and limits.cpu.burst_us:
        cpu["burst"] = limits.cpu.burst_us  # runc before 1.2 does not know it, and says nothing
    cpus = {"cpus": as_cpu_list(limits.cpus)} if limits.cpus else {}
    # The specification knows weights as shares of v1 alone; on v2 runc converts them in its own way.
    shares = {"shares": shares_of(limits.cpu_weights[slot])} if limits.cpu_weights else {}
    if cpu or cpus or shares:
        found["cpu"] = {**cpu, **cpus, **shares}
    if limits.processes is not None:
        found["pids"] = {"limit": limits.processes}
    if write := limits.write:
        major, minor = (int(number) for number in write.device.split(":"))
        rule = {"major": major, "minor": minor, "rate": write.bytes_per_s}
        found["blockIO"] = {"throttleWriteBpsDevice": [rule]}
    if limits.memory_bytes is not None:
        # "swap" is memory and swap together, on v2 as well: equal to the limit it is none.
        found["memory"] = {"limit": limits.memory_bytes} | ({"swap": limits.memory_bytes} if swap else {})
    return found


def configuration(bundle: Bundle, limits: dict[str, Any], cgroups_path: str) -> dict[str, Any]:
    """An OCI config.json close to what ``runc spec`` writes: same namespaces, capabilities and masked paths.

    No seccomp filter (``runc spec`` has none either) and no rlimits: raising one needs CAP_SYS_RESOURCE,
    which a host may lack, and no other isolator sets any.
    """
    capabilities = list(_OWN_CAPABILITIES if bundle.own else _CAPABILITIES)
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}], **limits}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(bundle.argv),
            "env": list(own.environment(bundle)),
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "noNewPrivileges": True,
        },
        "root": {"path": str(bundle.root), "readonly": not bundle.own},
        "hostname": "isobench",
        "mounts": _MOUNTS,
        "linux": {
            "resources": resources,
            "cgroupsPath": cgroups_path,
            "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }

"""lxc: the LXC tools with a generated configuration; the workload is the container's PID 1."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from isobench.isolators import contract, own
from isobench.isolators.cgroup import controllers_of
from isobench.isolators.cgroup.controllers import as_cpu_list, check_weight
from isobench.isolators.cgroup.controllers_v1 import shares_of
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.directory import scratch_directory
from isobench.isolators.requirements import first_lack, need_root, need_tool, tool_path
from isobench.model import NO_LIMITS, Bundle, Capabilities, CpuLimit, Launch, Limits, Readiness


class LxcOptions(contract.Options):
    """Where the LXC tools are."""

    binary: contract.Program = "lxc-start"


class Lxc(Isolator[LxcOptions]):
    """Start the workload by ``lxc-start --foreground -- COMMAND``.

    lxc-start rather than lxc-execute, which would put its own init in front of the workload; without
    that the workload is PID 1, as under runc. The price: lxc-start exits 0 however the workload ended, so
    only what the workload wrote tells whether it did its work.
    """

    kind = "lxc"
    Options = LxcOptions

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            phases=frozenset({"invoke", "spawned", "first_instruction", "ready", "exit"}),
            limits=frozenset({"cpu", "cpuset", "memory", "pids", "io", "weight"}),
            pauses=True,
            tells_exit=False,
            t0="just before the clone of lxc-start",
            covers="the container; its monitor has a cgroup of its own and is not limited",
        )

    def probe(self, site: Site) -> Readiness:
        lack = first_lack(need_tool(self.options.binary, "lxc"), need_root("lxc-start"))
        return lack or site.cgroups.writable()

    def tools(self) -> tuple[str, ...]:
        return (self.options.binary,)

    def daemons(self) -> tuple[str, ...]:
        return ("lxc-monitord",)

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
                remove_locks(home)
                # The pivot group, which LXC never removes; all of them, where lxc-start was killed.
                site.cgroups.remove(f"{site.token}-{self.kind}")

    def _launch(self, site: Site, home: Path, bundle: Bundle, limits: Limits, slots: int) -> Launch:
        for slot in range(slots):
            (home / f"config-{slot}").write_text(configuration(site, bundle, limits, slot))
        group = site.tool_group(self.kind)
        start = (tool_path(self.options.binary, "lxc"), "--foreground")
        name = ("--name", f"{site.token}-{{n}}", "--lxcpath", str(home), "--rcfile", str(home / "config-{n}"))
        container = (*name, "--define", f"lxc.rootfs.path=dir:{bundle.root}")
        groups = (
            *("--define", f"lxc.cgroup.dir.container={group}-{{n}}"),
            *("--define", f"lxc.cgroup.dir.monitor={group}-monitor-{{n}}"),
            *("--define", f"lxc.cgroup.dir.monitor.pivot={group}-pivot"),
        )
        # Not as lxc.init.cmd: its quoting cannot say every word, and a newline would begin another setting.
        return Launch(
            host_argv=bundle.argv,
            spawn=(*start, *container, *groups, "--", *bundle.argv),
            ready=bundle.ready,
            own_network=True,
            supervised=True,
            pause=_beside(start[0], "lxc-freeze", name),
            resume=_beside(start[0], "lxc-unfreeze", name),
        )


def _beside(start: str, tool: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Another tool of the LXC that ``start`` belongs to, with its arguments; empty where it is not there."""
    path = Path(start).with_name(tool)
    return (str(path), *arguments) if path.exists() else ()


def remove_locks(lxcpath: Path, locks: Path = Path("/run/lxc/lock")) -> None:
    """Remove the lock files LXC makes for the containers below ``lxcpath`` and never removes.

    Of the directories above only those that are empty go: others may have containers beside ours.
    """
    place = locks / lxcpath.absolute().relative_to("/")
    if place.exists():
        shutil.rmtree(place)
    for directory in place.parents:
        if directory == locks:
            return
        with suppress(OSError):
            directory.rmdir()


def configuration(site: Site, bundle: Bundle, limits: Limits, slot: int = 0) -> str:
    """A container configuration (lxc.container.conf(5)): own root, all namespaces, only a loopback device."""
    lines = [
        "lxc.uts.name = isobench",
        "lxc.net.0.type = empty",
        "lxc.autodev = 0",
        "lxc.tty.max = 0",
        "lxc.pty.max = 0",
        "lxc.console.path = none",
        "lxc.mount.auto = proc:mixed sys:ro",
        # As runc's containers here have no profile either; LXC's own is refused where it is not loaded.
        "lxc.apparmor.profile = unconfined",
    ]
    if bundle.own:
        lines += [f"lxc.environment = {variable}" for variable in own.environment(bundle)]
        lines.append("lxc.net.0.flags = up")  # of an empty network: its loopback device
    else:
        # The root is shared: LXC would put /dev/fd and the like into it, a workload whatever it likes.
        lines.append("lxc.rootfs.options = ro")
    on_v2 = site.cgroups.mode == "v2"
    if limits.cpu:
        lines += _cpu_lines(limits.cpu, on_v2=on_v2)
    if limits.memory_bytes is not None:
        lines += _memory_lines(limits.memory_bytes, on_v2=on_v2, swap=site.cgroups.limits_swap())
    lines += _further_lines(limits, on_v2=on_v2)
    if limits.cpu_weights:
        lines.append(_weight_line(limits.cpu_weights[slot], on_v2=on_v2))
    return "\n".join(lines) + "\n"


def _cpu_lines(cpu: CpuLimit, *, on_v2: bool) -> tuple[str, ...]:
    if on_v2:
        burst = (f"lxc.cgroup2.cpu.max.burst = {cpu.burst_us}",) if cpu.burst_us else ()
        return (f"lxc.cgroup2.cpu.max = {cpu.quota_us} {cpu.period_us}", *burst)
    return (
        f"lxc.cgroup.cpu.cfs_period_us = {cpu.period_us}",
        f"lxc.cgroup.cpu.cfs_quota_us = {cpu.quota_us}",
        *((f"lxc.cgroup.cpu.cfs_burst_us = {cpu.burst_us}",) if cpu.burst_us else ()),
    )


def _further_lines(limits: Limits, *, on_v2: bool) -> list[str]:
    lines: list[str] = []
    prefix = "lxc.cgroup2" if on_v2 else "lxc.cgroup"
    if limits.cpus:
        lines.append(f"{prefix}.cpuset.cpus = {as_cpu_list(limits.cpus)}")
    if limits.processes is not None:
        lines.append(f"{prefix}.pids.max = {limits.processes}")
    if write := limits.write:
        rule = (
            f"io.max = {write.device} wbps={write.bytes_per_s}"
            if on_v2
            else f"blkio.throttle.write_bps_device = {write.device} {write.bytes_per_s}"
        )
        lines.append(f"{prefix}.{rule}")
    return lines


def _weight_line(weight: int, *, on_v2: bool) -> str:
    if on_v2:
        return f"lxc.cgroup2.cpu.weight = {check_weight(weight)}"
    return f"lxc.cgroup.cpu.shares = {shares_of(weight)}"


def _memory_lines(limit_bytes: int, *, on_v2: bool, swap: bool) -> tuple[str, ...]:
    """The limit, and where the kernel can limit swap too, none of it."""
    if on_v2:
        limit, no_swap = f"lxc.cgroup2.memory.max = {limit_bytes}", "lxc.cgroup2.memory.swap.max = 0"
    else:
        limit = f"lxc.cgroup.memory.limit_in_bytes = {limit_bytes}"
        no_swap = f"lxc.cgroup.memory.memsw.limit_in_bytes = {limit_bytes}"
    return (limit, no_swap) if swap else (limit,)

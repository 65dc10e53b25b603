"""qemu: a virtual machine of its own, with the agent as PID 1 of an initramfs; docs/isolators/qemu.md."""

import platform
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from isobench.errors import HostUnfitError, UsageError
from isobench.isolators import contract, guest, guestkernel, kvm
from isobench.isolators.contract import AGENT_INSIDE, Isolator, Site
from isobench.isolators.initramfs import image
from isobench.isolators.machine import VCPU_THREADS, Machine, socket_path
from isobench.isolators.qmp import Accelerator
from isobench.isolators.requirements import need_tool, tool_path
from isobench.model import NO_LIMITS, Bundle, Capabilities, Launch, Limits, Move, Readiness, Status

MIB = 1024 * 1024

_USE_AUTO = 'accel = "auto"  # in the [[isolator]] table of the matrix'


_COVERS = {
    "process": "the QEMU process as a whole: vCPU and I/O threads",
    "vcpus": "the vCPU threads of the QEMU process alone; its I/O and main threads are not limited",
}


class QemuOptions(contract.Options):
    """The machine to start."""

    binary: contract.Program = "qemu-system-x86_64"
    accel: Literal["auto", "kvm", "tcg"] = "auto"
    """auto: KVM where a guest booted with it, else software emulation."""
    machine: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")] = "pc"
    cpus: Annotated[int, Field(strict=True, ge=1, le=255)] = 2
    """Two, so that a limit of 1.5 CPUs can bind."""
    memory_mib: Annotated[int, Field(strict=True, ge=32)] = 128
    limit: Literal["process", "vcpus"] = "process"
    """What a CPU limit covers: the QEMU process as a whole, or the threads of its vCPUs alone."""
    kernel: contract.Program | None = None
    """A bzImage; None: the one set-up has unpacked, or else the host's newest."""


class Qemu(Isolator[QemuOptions]):
    """Start the workload in a new machine, which ends with it.

    A CPU limit is that of the QEMU process, or of its vCPU threads alone, and is set after the boot, which it
    would only draw out. A limit
    of memory is the RAM of the guest.
    """

    kind = "qemu"
    Options = QemuOptions

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            phases=frozenset({"invoke", "spawned", "kernel", "ready", "exit"}),
            limits=frozenset({"cpu", "memory"}),
            shares_clock=False,
            shares_kernel=False,
            t0=f"just before the clone of {Path(self.options.binary).name}",
            covers=_COVERS[self.options.limit],
        )

    def probe(self, site: Site) -> Readiness:
        """Usable with QEMU and a guest kernel; ``shown_as`` says which accelerator it is.

        The one probe that is not always cheap: the first after a boot may take kvm.LIMIT_S seconds.
        """
        if platform.machine() != "x86_64":
            return Readiness(Status.UNSUPPORTED, f"its guest is x86_64, this host is {platform.machine()}")
        try:
            machine, why = self._machine(site)
        except HostUnfitError as error:
            return Readiness(Status.UNAVAILABLE, str(error), error.remedy)
        return Readiness(Status.OK, why, shown_as=_shown(self.name, machine.accelerator))

    def tools(self) -> tuple[str, ...]:
        kernel = guestkernel.find(self.options.kernel)
        return (self.options.binary, str(kernel)) if isinstance(kernel, Path) else (self.options.binary,)

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        if limits.cpu:
            _insist(site.cgroups.writable())
        machine, _ = self._machine(site)
        if limits.memory_bytes is not None:
            machine = replace(machine, memory_mib=whole_mib(limits.memory_bytes))
        apart = limits.cpu is not None and self.options.limit == "vcpus"
        machine = replace(machine, named_threads=apart)
        group, moves = f"{site.token}/{self.kind}-{{n}}", tuple[Move, ...]()
        with ExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(dir=site.work, prefix="qemu-"))
            # The agent makes and removes the group of a whole process.
            groups = site.cgroups.directories(group) if limits.cpu and not apart else ()
            if apart:
                made = site.cgroups.threads_apart(group, VCPU_THREADS, slots)
                group, moves = stack.enter_context(made)
            command, ready = bundle.argv, bundle.ready
            if bundle.own:
                initramfs = guest.image_of(bundle, site, Path(directory))
                if (
                    limits.memory_bytes is None
                ):  # else whoever has set the limit wants to see what comes of it
                    guest.check_room(initramfs, machine.memory_mib)
                machine = replace(machine, initramfs=initramfs, large_root=True)
                command, ready = guest.COMMAND, guest.seen_from_outside(ready)
            argv = machine.argv(command, Path(directory))
            yield Launch(
                host_argv=argv,
                spawn=argv,
                ready=ready,
                console=True,
                guest_memory_bytes=machine.memory_mib * MIB,
                cgroups=groups,
                late_writes=site.cgroups.cpu_limit_writes(group, limits.cpu) if limits.cpu else (),
                late_moves=moves,
            )

    def _machine(self, site: Site) -> tuple[Machine, str | None]:
        """The machine to start and, where its accelerator is not KVM, why.

        Raises HostUnfitError without QEMU or a kernel for the guest, and without KVM when it is insisted on.
        """
        machine = self._with_kvm(site)
        emulated = replace(machine, accelerator="tcg")
        if self.options.accel == "tcg":
            return emulated, "software emulation, as the matrix asks for"
        verdict = _kvm(site, machine)
        if verdict.works:
            return machine, None
        if self.options.accel == "kvm":
            raise HostUnfitError(f"KVM does not work: {verdict.reason}", remedy=_USE_AUTO)
        return emulated, f"software emulation: {verdict.reason}"

    def _with_kvm(self, site: Site) -> Machine:
        options = self.options
        _insist(need_tool(options.binary, "qemu-system-x86"))
        kernel = guestkernel.find(options.kernel)
        if isinstance(kernel, Readiness):
            raise _refusal(kernel)
        return Machine(
            binary=tool_path(options.binary, "qemu-system-x86"),
            accelerator="kvm",
            type=options.machine,
            cpus=options.cpus,
            memory_mib=options.memory_mib,
            kernel=kernel,
            initramfs=image(site.rootfs, site.cache),
        )


def whole_mib(limit_bytes: int) -> int:
    """The RAM of a guest in MiB. Raises UsageError for a limit that is not a whole number of them."""
    mib, rest = divmod(limit_bytes, MIB)
    if rest or not mib:
        raise UsageError(
            f"a guest's RAM is a whole number of MiB, not {limit_bytes} bytes",
            remedy=f"set a limit of {mib + 1} MiB",
        )
    return mib


def _kvm(site: Site, machine: Machine) -> kvm.Verdict:
    if why := kvm.absence():
        return kvm.Verdict(works=False, reason=why)
    return kvm.remembered(site.cache, machine, lambda: _try_kvm(site, machine))


def _try_kvm(site: Site, machine: Machine) -> kvm.Verdict:
    with tempfile.TemporaryDirectory(dir=site.work, prefix="qemu-") as directory:
        argv = machine.argv((AGENT_INSIDE, "hold"), Path(directory))
        launch = Launch(host_argv=argv, spawn=argv, console=True)
        socket = Path(str(socket_path(Path(directory))).replace("{n}", "0"))
        return kvm.try_boot(site.agent, launch, socket)


def _insist(readiness: Readiness | None) -> None:
    if readiness is not None and not readiness.usable:
        raise _refusal(readiness)


def _refusal(lack: Readiness) -> HostUnfitError:
    return HostUnfitError(str(lack.reason), remedy=lack.remedy)


def _shown(name: str, accelerator: Accelerator) -> str:
    """``qemu-tcg``; a name that says it already stays as it is."""
    return name if name.endswith(f"-{accelerator}") else f"{name}-{accelerator}"

"""Whether KVM works here, found out by booting a guest with it.

A device node proves nothing: under a hypervisor that passes /dev/kvm on without the hardware behind it, a
guest creeps along instruction by instruction. The trial costs up to its limit in seconds, so its verdict
is kept for as long as what it depends on stays the same; `isobench doctor` forgets one that was negative
and tries again, for a host that was merely busy at that moment.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from isobench.errors import ToolError
from isobench.isolators.machine import Machine
from isobench.isolators.qmp import quit_machine, running_accelerator
from isobench.model import Launch, Status
from isobench.starter import session

LIMIT_S = 5.0
"""A guest under working KVM is ready within 1 s; one that needs longer than this is no faster than TCG."""

_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether KVM works, and if not, why."""

    works: bool
    reason: str | None = None


def absence(device: Path = _DEVICE) -> str | None:
    """Why there is no KVM to try at all; None when there is."""
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be opened by this user"
    return None


def remembered(cache: Path, machine: Machine, trial: Callable[[], Verdict]) -> Verdict:
    """The verdict for that machine since the host was booted; by a trial when there is none yet.

    Kept in ``cache``; anything unreadable there counts as none.
    """
    place = cache / "kvm" / f"{key(machine, _BOOT_ID.read_text())}.json"
    if known := _read(place):
        return known
    verdict = trial()
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(asdict(verdict)))
    draft.rename(place)
    return verdict


def forget_refusals(cache: Path) -> None:
    """Have the next probe try KVM again wherever it did not work; only while no run needs the verdict."""
    for place in (cache / "kvm").glob("*.json"):
        verdict = _read(place)
        if verdict and not verdict.works:
            with suppress(OSError):  # a cache that is read-only keeps it
                place.unlink()


def _read(place: Path) -> Verdict | None:
    try:
        return Verdict(**json.loads(place.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def key(machine: Machine, boot_id: str) -> str:
    """What a verdict depends on: the host's boot and kernel, the very QEMU and guest, the machine's size."""
    found = [Path(file).stat() for file in (machine.binary, machine.kernel)]
    files = [(status.st_size, status.st_mtime_ns) for status in found]
    facts = (boot_id, platform.release(), *map(str, astuple(machine)), *files)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def try_boot(agent: Path, launch: Launch, socket: Path) -> Verdict:
    """Boot a machine whose command is ``hold``, ask QEMU what runs it, and end it."""
    with session(agent, launch, timeout_s=LIMIT_S, slots=1) as held:
        event = held.start()
        if event.status is Status.TIMEOUT:
            return Verdict(works=False, reason=f"no guest was ready under KVM within {LIMIT_S:g} s")
        if event.status is not Status.OK:
            last_words = (event.stderr.strip().splitlines() or [event.reason or ""])[-1]
            return Verdict(works=False, reason=f"a guest under KVM failed: {last_words[:300]}")
        try:
            accelerator = running_accelerator(socket)
            quit_machine(socket)
        except ToolError as error:
            return Verdict(works=False, reason=str(error))
    if accelerator != "kvm":
        return Verdict(works=False, reason="QEMU ran the guest without KVM though told to use it")
    return Verdict(works=True)

"""A user's workload in a virtual machine: its root file system, its command, how its readiness is heard of.

The root file system is the initramfs, which a guest may write to, with the agent beside it as PID 1. What
to run stands in a file, for a kernel's command line is too short for it. A port and an exit are looked for
in the guest; the agent tells of them by a line on its serial line of errors, and the time is the host's when
it sees that line.
"""

from pathlib import Path

from isobench.errors import HostUnfitError
from isobench.isolators import own
from isobench.isolators.contract import AGENT_INSIDE, Site
from isobench.isolators.initramfs import file_node, image
from isobench.model import Bundle, Ready

_FILE = "isoagent.command"

COMMAND = ("--own", f"/{_FILE}")
"""For the agent, the guest's init, in place of the command itself."""

_MIB = 1 << 20

_BASE_MIB = 80
"""What a guest has to have besides. Debian's cloud kernel came up with 72, and not with 56, MiB more than
twice a root file system of 100 MiB; the rest is for the workload."""


def seen_from_outside(ready: Ready) -> Ready:
    """The same condition as the host sees it: of a port and an exit the line by which the guest tells."""
    told = {"port": f"port {ready.port} accepts", "exit": "the workload exited 0"}.get(ready.kind)
    return Ready("line", f"^isoagent: {told}$") if told else ready


def image_of(bundle: Bundle, site: Site, directory: Path) -> Path:
    """The initramfs of a user's workload; ``directory`` is for what is in the making."""
    file = directory / _FILE
    words = (bundle.ready.kind, str(bundle.ready.port), str(len(bundle.argv)), *bundle.argv)
    file.write_bytes(b"".join(word.encode() + b"\0" for word in (*words, *own.environment(bundle))))
    added = (file_node(AGENT_INSIDE[1:], site.agent), file_node(_FILE, file, 0o600))
    return image(bundle.root, site.cache, added)


def check_room(archive: Path, memory_mib: int) -> None:
    """Raises HostUnfitError when a guest cannot hold at once the archive and what is unpacked from it."""
    size_mib = -(-archive.stat().st_size // _MIB)
    needed_mib = 2 * size_mib + _BASE_MIB
    if needed_mib > memory_mib:
        raise HostUnfitError(
            f"a guest with {memory_mib} MiB of RAM cannot hold a root file system of {size_mib} MiB: "
            f"it needs twice as much and {_BASE_MIB} MiB",
            remedy=f"memory_mib = {needed_mib}  # in the [[isolator]] table of kind qemu",
        )

"""A QEMU machine as a command line: a bzImage, an initramfs, three serial lines, a monitor socket."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isobench.errors import UsageError
from isobench.isolators.contract import AGENT_INSIDE
from isobench.isolators.qmp import Accelerator

_KERNEL_ARGUMENTS = (
    "console=ttyS0,115200",
    # The first byte comes from the kernel image's own boot code, before it is unpacked,
    "earlyprintk=serial,ttyS0,115200",
    # and later on only notices and worse: every byte is an exit to QEMU.
    "loglevel=6",
    # As many ports as there are below; a kernel may be built to look for fewer, or for 32.
    "8250.nr_uarts=3",
    # No self-tests of ciphers nobody uses here: a sixth of the boot under software emulation.
    "cryptomgr.notests",
    # A panic resets at once; with -no-reboot that ends QEMU.
    "panic=-1",
    f"rdinit={AGENT_INSIDE}",
)
"""Only what the kernel knows: an unknown word without `.` or `=` would become an argument of init."""

_LARGE_ROOT = ("rootfstype=ramfs",)
"""A tmpfs, the usual choice, takes half of the RAM at most, of what is left beside the packed archive."""

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:=,@%+-]+")

_MAX_LINE_BYTES = 2047
_MAX_WORDS = 30
"""COMMAND_LINE_SIZE of x86 less the NUL; CONFIG_INIT_ENV_ARG_LIMIT (32) less init's own two words."""

VCPU_THREADS = "CPU "

_MAX_SOCKET_BYTES = 107
"""sun_path of unix(7) less the NUL."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that makes one machine what it is."""

    binary: str
    accelerator: Accelerator
    type: str
    cpus: int
    memory_mib: int
    kernel: Path
    initramfs: Path
    large_root: bool = False
    """The initramfs is more than the agent: its file system may take more than half of the RAM."""

    named_threads: bool = False
    """QEMU's threads have names by which they are told apart: those of the vCPUs begin with VCPU_THREADS."""

    def argv(self, command: Sequence[str], directory: Path) -> tuple[str, ...]:
        """The command line that runs ``command`` in the guest, with its monitor socket in ``directory``.

        Raises UsageError for a command that cannot be put on a kernel's command line, and for a directory
        whose name is too long for a socket.
        """
        return (
            *(self.binary, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *(("-name", "isobench,debug-threads=on") if self.named_threads else ()),
            *("-machine", self.type, "-accel", self.accelerator, *self._cpu()),
            *("-smp", str(self.cpus), "-m", f"{self.memory_mib}M"),
            *("-chardev", f"socket,id=qmp,path={_socket_option(directory)},server=on,wait=off"),
            *("-mon", "chardev=qmp,mode=control"),
            *_LINES,
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
            *("-kernel", str(self.kernel), "-initrd", str(self.initramfs)),
            *("-append", kernel_line(command, _LARGE_ROOT if self.large_root else ())),
        )

    def _cpu(self) -> tuple[str, ...]:
        """Under KVM the host's own processor, as one would run it; TCG emulates the machine's default."""
        return ("-cpu", "host") if self.accelerator == "kvm" else ()


_LINES = (
    # In this order they are ttyS0 (the kernel's console), ttyS1 (the workload's standard input and output)
    # and ttyS2 (its standard error). /proc/self/fd opens a pipe anew, so QEMU makes only its own end
    # non-blocking.
    *("-chardev", "file,id=console,path=/proc/self/fd/3", "-device", "isa-serial,chardev=console"),
    *("-chardev", "stdio,id=work,signal=off", "-device", "isa-serial,chardev=work"),
    *("-chardev", "file,id=errors,path=/proc/self/fd/2", "-device", "isa-serial,chardev=errors"),
)


def socket_path(directory: Path) -> Path:
    """The monitor socket in that directory; ``{n}`` in its name stands for the instance's slot."""
    return directory / "qmp-{n}"


def kernel_line(command: Sequence[str], more: Sequence[str] = ()) -> str:
    """The kernel's command line: its own arguments with ``more``, and after ``--`` those of init.

    Quoting is what lib/cmdline.c of the kernel understands: a word in double quotes, and no way to write
    a double quote. Raises UsageError for what cannot be said that way or is too long.
    """
    line = " ".join((*_KERNEL_ARGUMENTS, *more, "--", "init", *map(_word, command)))
    if len(os.fsencode(line)) > _MAX_LINE_BYTES or len(command) > _MAX_WORDS:
        raise UsageError(
            f"the command {command[0]!r} is too long for a guest's kernel: {len(command)} words "
            f"(at most {_MAX_WORDS}), {len(os.fsencode(line))} bytes with the kernel's own (at most "
            f"{_MAX_LINE_BYTES})",
            remedy="put the command into a script of the root file system",
        )
    return line


def _word(word: str) -> str:
    if '"' in word or word == "--" or any(ord(letter) < ord(" ") for letter in word):
        raise UsageError(
            f"the argument {word!r} cannot be put on a kernel's command line",
            remedy="put the command into a script of the root file system",
        )
    return word if _PLAIN_WORD.fullmatch(word) else f'"{word}"'


def _socket_option(directory: Path) -> str:
    path = str(socket_path(directory))
    if len(os.fsencode(path)) > _MAX_SOCKET_BYTES:
        raise UsageError(
            f"{path} is longer than a socket's name may be ({_MAX_SOCKET_BYTES} bytes)",
            remedy="export ISOBENCH_STATE=/var/lib/isobench",
        )
    return path.replace(",", ",,")  # how QEMU's options write a comma

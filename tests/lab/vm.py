"""A lab host as a virtual machine: booted from the image of scripts/lab_image.py, reached by ssh.

What it writes is gone when it ends: both its disks are overlaid for the time it runs. KVM is not used: so it
is the same everywhere, and works where /dev/kvm does not.
"""

import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab_image import Image, make_disk

PROJECT = Path(__file__).resolve().parents[2]

BOOT_TIMEOUT_S = 240
"""It takes some 15 s on an idle host; other work may share the host's CPUs."""
MEMORY = "1536M"
PARTS = ("benchmarks", "docs", "isolators", "reports", "scripts", "src", "tests")
"""Folders of the project that its integration tests use."""
LEFT_OUT = ("ansible*", "playwright*", "mypy*", "ruff*", "*__mypyc*", "pip*", "setuptools*", "*-stubs")
"""Packages of the virtual environment that nothing in there needs."""
NO_QUESTIONS = (
    *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"),
    *("BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=10"),
)
ENVIRONMENT = "export CI=true ISOBENCH_STATE=/isobench/state"


@dataclass(frozen=True, slots=True)
class LabHost:
    """A running one."""

    image: Image
    port: int
    """Of its ssh on our loopback device."""
    console: Path
    process: subprocess.Popen[bytes]

    def run(self, command: str, *, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A command line of its shell, as root."""
        options = [word for option in NO_QUESTIONS for word in ("-o", option)]
        address = (f"-p{self.port}", "-i", str(self.image.key), "root@127.0.0.1")
        words = ("ssh", "-F", "none", *options, *address, command)
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)

    def python(self, arguments: str, *, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """``python3`` with these arguments in the project there, of which it can import everything."""
        return self.run(f"cd /isobench/project && {ENVIRONMENT} && python3 {arguments}", timeout_s=timeout_s)


@contextmanager
def lab_host(image: Image, project: Path) -> Iterator[LabHost]:
    """Boot one and wait until ssh answers; ``project`` is a disk by :func:`project_disk`, its /isobench."""
    with tempfile.TemporaryDirectory(prefix="isobench-lab-") as scratch:
        port, console = _free_port(), Path(scratch) / "console"
        # A session of its own: Ctrl-C at the terminal is for the tests, which then end it. Should they be
        # killed, it ends as well.
        command = ("setpriv", "--pdeathsig", "KILL", *_qemu(image, project, port, console))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            host = LabHost(image, port, console, process)
            _await_ssh(host)
            yield host
        finally:
            process.kill()
            process.wait()


def project_disk(directory: Path, agent: Path) -> Path:
    """A disk with the project, that agent, and the Python packages of the virtual environment."""
    tree, disk = directory / "tree", directory / "disk"
    project = tree / "project"
    for part in PARTS:
        shutil.copytree(PROJECT / part, project / part, symlinks=True)
    for file in ("conftest.py", "pyproject.toml"):
        shutil.copy2(PROJECT / file, project)
    shutil.copy(
        agent, project / "benchmarks" / "agent" / "isoagent"
    )  # newer than its sources, so not built anew
    (packages,) = (PROJECT / ".venv" / "lib").glob("python3.*/site-packages")
    shutil.copytree(packages, tree / "packages", symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (tree / "state").mkdir()
    make_disk(disk, tree, "2G")
    shutil.rmtree(tree)
    return disk


def _qemu(image: Image, project: Path, port: int, console: Path) -> list[str]:
    line = f"""
        qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
        -machine pc -accel tcg,thread=multi -cpu max -smp 2 -m {MEMORY}
        -kernel {image.kernel} -initrd {image.initrd}
        -drive file={image.disk},format=raw,if=virtio,snapshot=on
        -drive file={project},format=raw,if=virtio,snapshot=on
        -netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22 -device virtio-net-pci,netdev=net
        -device virtio-rng-pci -serial file:{console}
    """
    return [*shlex.split(line), "-append", "root=/dev/vda rw console=ttyS0 quiet"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ssh(host: LabHost) -> None:
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    said = "nothing"
    while time.monotonic() < deadline:
        if (code := host.process.poll()) is not None:
            raise RuntimeError(f"the lab host ended with {code}; its console: {_tail(host.console)}")
        try:
            done = host.run("true", timeout_s=20)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return
        said = done.stderr.strip()
        time.sleep(1)
    raise RuntimeError(f"the lab host does not answer on ssh ({said}); its console: {_tail(host.console)}")


def _tail(console: Path) -> str:
    return console.read_text(errors="replace")[-2000:] if console.exists() else "nothing"

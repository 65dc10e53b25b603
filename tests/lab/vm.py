"""A lab host as a virtual machine: booted from the image of scripts/lab_image.py, reached by ssh.

One has the project on a second disk, and forgets what it wrote when it ends. A fleet has hosts with nothing
of ours, and disks of their own that keep what is written, so that one can be killed and booted again. KVM is
not used: so it is the same everywhere, and works where /dev/kvm does not.
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
        host = _start(image, "lab", (image.disk, project), free_port(), Path(scratch), forgets=True)
        try:
            _await_ssh(host)
            yield host
        finally:
            pull_the_plug(host)


class Machine:
    """A member of a fleet: it keeps its disk and its port from one boot to the next."""

    def __init__(self, image: Image, name: str, directory: Path) -> None:
        self.name = name
        self.port = free_port()
        self._image = image
        self._directory = directory
        self._host: LabHost | None = None
        copy = ("cp", "--reflink=auto", "--sparse=always")
        subprocess.run((*copy, image.disk, directory / "disk"), check=True)
        (directory / "nothing").mkdir()
        make_disk(directory / "second", directory / "nothing", "8M")

    def start(self) -> None:
        """Switch it on; :meth:`await_ssh` waits until it answers."""
        disks = (self._directory / "disk", self._directory / "second")
        self._host = _start(self._image, self.name, disks, self.port, self._directory, forgets=False)

    def await_ssh(self) -> LabHost:
        """The host, once it answers."""
        _await_ssh(self.host)
        return self.host

    def pull_the_plug(self) -> None:
        """What was not on its disk yet is lost."""
        if self._host is not None:
            pull_the_plug(self._host)
        self._host = None

    @property
    def host(self) -> LabHost:
        """Only while it is switched on."""
        assert self._host is not None
        return self._host


@contextmanager
def fleet(image: Image, *names: str) -> Iterator[tuple[Machine, ...]]:
    """Several hosts, booted side by side."""
    # Not in /tmp, which may be memory.
    with tempfile.TemporaryDirectory(prefix=".fleet-", dir=image.directory.parent) as scratch:
        places = [Path(scratch) / name for name in names]
        for place in places:
            place.mkdir()
        machines = tuple(Machine(image, place.name, place) for place in places)
        try:
            for machine in machines:
                machine.start()
            for machine in machines:
                machine.await_ssh()
            yield machines
        finally:
            for machine in machines:
                machine.pull_the_plug()


def pull_the_plug(host: LabHost) -> None:
    """End it at once."""
    host.process.kill()
    host.process.wait()


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


def _start(
    image: Image, name: str, disks: tuple[Path, Path], port: int, scratch: Path, *, forgets: bool
) -> LabHost:
    console = scratch / "console"
    # A session of its own: Ctrl-C at the terminal is for the tests, which then end it. Should they be
    # killed, it ends as well.
    command = ("setpriv", "--pdeathsig", "KILL", *_qemu(image, name, disks, port, console, forgets=forgets))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    return LabHost(image, port, console, process)


def _qemu(
    image: Image, name: str, disks: tuple[Path, Path], port: int, console: Path, *, forgets: bool
) -> list[str]:
    # Flushes of the guest need not reach our disk: it is QEMU that is killed, not this host.
    keeps = "snapshot=on" if forgets else "cache=unsafe"
    line = f"""
        qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot
        -machine pc -accel tcg,thread=multi -cpu max -smp 2 -m {MEMORY}
        -kernel {image.kernel} -initrd {image.initrd}
        -drive file={disks[0]},format=raw,if=virtio,{keeps}
        -drive file={disks[1]},format=raw,if=virtio,{keeps}
        -netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22 -device virtio-net-pci,netdev=net
        -device virtio-rng-pci -serial file:{console}
    """
    append = f"root=/dev/vda rw console=ttyS0 quiet systemd.hostname={name}"
    return [*shlex.split(line), "-append", append]


def free_port() -> int:
    """One of our loopback device that nobody uses at the moment."""
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

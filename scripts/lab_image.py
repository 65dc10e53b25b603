"""Build the lab host that tests boot as a virtual machine: ``python3 scripts/lab_image.py [DIRECTORY]``.

A Debian of this host's own release, with systemd, ssh, cgroup v2 alone and the tools of the isolators: what a
host in a lab is, and many a development machine is not. Needs root, mmdebstrap and the apt sources of this
host. Made once for each recipe, in about a minute and a half; later calls find it there.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from isobench.state import state_dir

PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "procps", "iproute2", "openssh-server", "linux-image-cloud-amd64"),
    *("python3", "runc", "lxc", "musl-tools", "gcc"),
)
NETWORK = "[Match]\nName=en*\n\n[Network]\nDHCP=ipv4\n"
FSTAB = "/dev/vda / ext4 defaults,noatime 0 1\n/dev/vdb /isobench ext4 defaults,noatime 0 2\n"
PYTHON_PATH = "/isobench/packages\n/isobench/project/src\n"
"""What its Python finds modules in besides its own: on the second disk, which is the tests'."""
TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer")
"""Switched off: they use the CPU at a time of their own."""
SIZE = "3G"
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "ssh-keygen": "openssh-client",
    "qemu-system-x86_64": "qemu-system-x86",
}
"""What building and booting takes → the Debian package it comes in."""
OWN_WORLD = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"),
)
"""So that a program goes when we do, and what it has started or mounted goes with it, even when killed."""


@dataclass(frozen=True, slots=True)
class Image:
    """The files a lab host is booted from."""

    directory: Path

    @property
    def disk(self) -> Path:
        """Its root file system, ext4 without a partition table."""
        return self.directory / "disk"

    @property
    def kernel(self) -> Path:
        """Debian's kernel for virtual machines."""
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Its initial RAM disk, which knows virtio and ext4."""
        return self.directory / "initrd"

    @property
    def key(self) -> Path:
        """The private key that opens root's account; made with the image, of use for nothing else."""
        return self.directory / "key"


class BuildError(Exception):
    """The image cannot be built here; the message says why and which command mends it."""


def image(parent: Path | None = None) -> Image:
    """The image of this recipe, built if it is not there. Raises BuildError."""
    release = _release()
    recipe = repr((release, PACKAGES, NETWORK, FSTAB, PYTHON_PATH, TIMERS, SIZE))
    place = (parent or state_dir() / "lab") / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    _check_host()
    if not place.exists():
        _build(place, release)
    return Image(place)


def _release() -> str:
    """The code name of this host's Debian: the same, so that Python packages of this host run there too."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        found = {}
    if found.get("ID") != "debian" or "VERSION_CODENAME" not in found:
        raise BuildError("a lab host is built from the apt sources of a Debian, and this host is none")
    return found["VERSION_CODENAME"]


def _check_host() -> None:
    packages = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if packages:
        mend = f"apt-get install --no-install-recommends {' '.join(packages)}   (as root)"
        raise BuildError(
            f"a lab host takes {', '.join(packages)}, not installed here\n  mend it with: {mend}"
        )
    if os.geteuid() != 0:
        raise BuildError("only root can build and read a lab host\n  mend it with: sudo make lab")


def _build(place: Path, release: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    # Some 700 MB while it is made: not on a /tmp that may be memory.
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".draft-") as directory:
        # Apt reads sources and downloads as its own user.
        Path(directory).chmod(0o755)
        draft, root = Image(Path(directory) / "image"), Path(directory) / "root"
        draft.directory.mkdir()
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "isobench lab host", "-f", draft.key)
        include = f"--include={','.join(PACKAGES)}"
        _run(*OWN_WORLD, "mmdebstrap", "--variant=minbase", include, release, root, *_apt_sources())
        _configure(root, Path(f"{draft.key}.pub").read_text())
        shutil.copy(next(root.glob("boot/vmlinuz-*")), draft.kernel)
        shutil.copy(next(root.glob("boot/initrd.img-*")), draft.initrd)
        make_disk(draft.disk, root, SIZE)
        if not place.exists():  # somebody else may have been faster
            draft.directory.rename(place)


def _apt_sources() -> Iterator[Path]:
    """As this host has them: one-line files and deb822, whatever mirror, keys and options they name."""
    apt = Path("/etc/apt")
    found = [
        file
        for file in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*")))
        if file.suffix in {".list", ".sources"} and file.is_file() and file.stat().st_size
    ]
    if not found:
        raise BuildError("this host has no apt sources: /etc/apt/sources.list and sources.list.d are empty")
    return iter(found)


def _configure(root: Path, public_key: str) -> None:
    (root / "etc/hostname").write_text("lab\n")
    (root / "etc/fstab").write_text(FSTAB)
    (root / "etc/systemd/network/lab.network").write_text(NETWORK)
    (root / "isobench").mkdir()
    (root / "usr/lib/python3/dist-packages/isobench.pth").write_text(PYTHON_PATH)
    keys = root / "root/.ssh"
    keys.mkdir(mode=0o700, exist_ok=True)
    (keys / "authorized_keys").write_text(public_key)
    _run("chroot", root, "systemctl", "--quiet", "enable", "systemd-networkd", "ssh")
    _run("chroot", root, "systemctl", "--quiet", "mask", *TIMERS)


def make_disk(disk: Path, tree: Path, size: str) -> None:
    """An ext4 file system with what is in the directory, made without mounting it. Raises BuildError."""
    disk.touch()
    _run("mkfs.ext4", "-q", "-d", tree, disk, size)


def _run(*argv: str | Path) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        program = next(str(word) for word in argv if word not in OWN_WORLD)
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in said if line.startswith("E: ")]  # as apt and mmdebstrap mark them
        raise BuildError("\n  ".join([f"{program} ended with {done.returncode}", *(errors or said)[-10:]]))


def main() -> int:
    """Build it and say where it is."""
    try:
        found = image(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    except BuildError as error:
        print(f"no lab host: {error}", file=sys.stderr)
        return 1
    print(found.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Root file systems whose making needs root, and one that boots."""

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from isobench.errors import ImageError
from isobench.isolators.contract import AGENT_INSIDE, Site
from isobench.isolators.guestkernel import find
from isobench.isolators.images import Image, import_root
from isobench.isolators.initramfs import file_node, image
from isobench.isolators.machine import Machine
from isobench.model import Launch, Status
from isobench.starter import batch

pytestmark = pytest.mark.integration

KERNEL = find(None)
"""Looked for before the tests point the state elsewhere."""

WWW_DATA = 33


def entry(name: str, content: bytes = b"", **fields: int | str | bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def archive(place: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(place, "w") as made:
        for info, content in entries:
            made.addfile(info, io.BytesIO(content))
    return place


@pytest.fixture
def imported(site: Site, tmp_path: Path) -> Callable[..., Image]:
    """Import an archive of these entries."""

    def imported(*entries: tuple[tarfile.TarInfo, bytes]) -> Image:
        return import_root(archive(tmp_path / "given.tar", *entries), site.cache)

    return imported


def test_owners_devices_and_set_user_id_bits_are_kept(imported: Callable[..., Image]) -> None:
    image = imported(
        entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        entry("var/www", type=tarfile.DIRTYPE, mode=0o2750, uid=WWW_DATA, gid=WWW_DATA),
        entry("bin/su", b"#!", mode=0o4755),
        entry("bin/link", type=tarfile.SYMTYPE, linkname="su", uid=WWW_DATA),
    )
    null = (image.root / "dev/null").stat()
    assert stat.S_ISCHR(null.st_mode)
    assert null.st_rdev == os.makedev(1, 3)
    assert stat.S_IMODE(null.st_mode) == 0o666
    served = (image.root / "var/www").stat()
    assert (served.st_uid, served.st_gid, stat.S_IMODE(served.st_mode)) == (WWW_DATA, WWW_DATA, 0o2750)
    assert stat.S_IMODE((image.root / "bin/su").stat().st_mode) == 0o4755
    assert (image.root / "bin/link").lstat().st_uid == WWW_DATA


def test_device_of_the_host_in_a_directory_is_refused(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mknod(source / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    with pytest.raises(ImageError, match="'disk': it is a block device"):
        import_root(source, site.cache)
    assert not [path for path in (site.cache / "images").iterdir() if path.name != ".lock"]


def test_what_is_mounted_in_a_directory_is_not_copied(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "proc").mkdir(parents=True)
    (source / "file").touch()
    subprocess.run(["mount", "-t", "proc", "proc", source / "proc"], check=True)
    try:
        root = import_root(source, site.cache).root
    finally:
        subprocess.run(["umount", source / "proc"], check=True)
    assert list((root / "proc").iterdir()) == []


def test_other_users_of_the_host_cannot_reach_a_program_of_an_image(imported: Callable[..., Image]) -> None:
    program = imported(entry("bin/su", b"#!", mode=0o4755)).root / "bin/su"
    nobody: list[str | Path] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", program]
    done = subprocess.run(nobody, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr


def test_guest_boots_an_imported_root_with_links_and_wild_names(
    site: Site, tmp_path: Path, imported: Callable[..., Image]
) -> None:
    """The agent is executed through its second name, a hard link, so that the kernel has understood both."""
    image_of = imported(
        entry("opt/agent", site.agent.read_bytes(), mode=0o755),
        entry("opt/second", type=tarfile.LNKTYPE, linkname="opt/agent"),
        entry(os.fsdecode(b"caf\xe9"), b"x"),
        entry("pipe", type=tarfile.FIFOTYPE, mode=0o600),
    )
    assert isinstance(KERNEL, Path), KERNEL.remedy
    machine = Machine(
        binary="/usr/bin/qemu-system-x86_64",
        accelerator="tcg",
        type="pc",
        cpus=1,
        memory_mib=128,
        kernel=KERNEL,
        initramfs=image(image_of.root, site.cache, (file_node(AGENT_INSIDE.lstrip("/"), site.agent),)),
    )
    argv = machine.argv(("/opt/second", "ready"), tmp_path)
    launch = Launch(host_argv=argv, spawn=argv, console=True)
    (event,) = batch(site.agent, launch, 1, timeout_s=60)
    assert event.status is Status.OK, event.reason
    assert '"verb":"ready"' in event.output

"""Leftovers of every kind, really made on this host, found and removed."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from isobench.isolators import removal, residue
from isobench.isolators.site import open_site
from isobench.isolators.tokens import new_token
from isobench.process import run

pytestmark = pytest.mark.integration

TIMEOUT_S = 20


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    agent = tmp_path / "agent"
    shutil.copy(str(shutil.which("sleep")), agent)
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ISOBENCH_AGENT", str(agent))
    return tmp_path / "state"


@pytest.fixture
def token() -> Iterator[str]:
    """A run that died; whatever the test leaves of it is removed."""
    token = new_token()
    yield token
    removal.clear(lambda: residue.find(token))


def kinds_and_names(token: str) -> list[tuple[str, str]]:
    return [(found.kind, found.what) for found in residue.find(token)]


def clean_up(token: str) -> None:
    results = removal.clear(lambda: residue.find(token))
    assert results
    assert [result.error for result in results if result.error] == []
    assert residue.find(token) == ()


def test_mounts_are_removed_inner_ones_first(token: str, state: Path) -> None:
    place = state / "run" / token / "root"
    place.mkdir(parents=True)
    run(["mount", "-t", "tmpfs", "isobench", place], timeout_s=TIMEOUT_S)
    (place / "inner").mkdir()
    run(["mount", "-t", "tmpfs", "isobench", place / "inner"], timeout_s=TIMEOUT_S)
    assert kinds_and_names(token)[:2] == [("mount", str(place / "inner")), ("mount", str(place))]
    clean_up(token)
    assert not place.exists()


def test_bind_mount_of_a_users_directory_is_unmounted_and_its_files_stay(
    token: str, state: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "kept").write_text("x")
    place = state / "run" / token / "data"
    place.mkdir(parents=True)
    run(["mount", "--bind", precious, place], timeout_s=TIMEOUT_S)
    clean_up(token)
    assert (precious / "kept").read_text() == "x"


def test_cgroups_are_found_in_hierarchies_no_limit_uses(token: str) -> None:
    with open_site() as site:
        points = {h.point for h in site.cgroups.hierarchies}
    for point in points:
        (point / f"{token}-pivot" / "inner").mkdir(parents=True)
    assert sorted(kinds_and_names(token)) == sorted(("cgroup", str(p / f"{token}-pivot")) for p in points)
    clean_up(token)


def test_process_in_a_cgroup_of_ours_is_found_whatever_it_is_called(token: str) -> None:
    with open_site() as site:
        group = site.cgroups.hierarchies[0].point / f"{token}-x"
    group.mkdir()
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            (group / "cgroup.procs").write_text(str(process.pid))
            assert ("process", "sleep 60") in kinds_and_names(token)
            clean_up(token)
            assert process.wait(TIMEOUT_S) == -9
        finally:
            process.kill()


def test_process_with_its_root_in_ours_is_found_though_it_shows_no_name() -> None:
    with open_site() as site:
        pid = os.fork()
        if pid == 0:
            os.chroot(site.rootfs)
            os.chdir("/")
            while True:
                signal.pause()
        try:
            while pid not in {found.pid for found in residue.strays(site)}:
                pass  # until the child has changed its root
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_network_namespace_and_link_are_removed(token: str) -> None:
    link = f"{residue.LINK_PREFIX}{token.removeprefix('isobench-')}"
    run(["ip", "netns", "add", f"{token}-0"], timeout_s=TIMEOUT_S)
    run(["ip", "link", "add", link, "type", "veth", "peer", "name", f"{link}p"], timeout_s=TIMEOUT_S)
    found = kinds_and_names(token)
    assert ("network namespace", f"{token}-0") in found
    assert {name for kind, name in found if kind == "link"} == {link, f"{link}p"}
    clean_up(token)


def test_loop_device_over_an_image_of_a_run_is_detached_before_the_image_goes(
    token: str, state: Path
) -> None:
    image = state / "run" / token / "disk.img"
    image.parent.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(2**20)
    device = run(["losetup", "--find", "--show", image], timeout_s=TIMEOUT_S).stdout.strip()
    assert ("loop device", device) in kinds_and_names(token)
    clean_up(token)
    with suppress(FileNotFoundError):
        assert token not in Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text()


def test_site_ends_clean_although_an_instance_left_a_process_a_mount_and_groups() -> None:
    with open_site() as site:
        group = Path(site.cgroups.directories(f"{site.token}/0")[0])
        group.mkdir()
        (site.work / "m").mkdir()
        run(["mount", "-t", "tmpfs", "isobench", site.work / "m"], timeout_s=TIMEOUT_S)
        process = subprocess.Popen([site.agent, "60"])
        (group / "cgroup.procs").write_text(str(process.pid))
        kinds = {found.kind for found in residue.strays(site)}
    assert kinds == {"process", "mount", "cgroup", "file"}
    assert process.wait(TIMEOUT_S) == -9
    assert residue.find(site.token) == ()

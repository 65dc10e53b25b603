"""The namespaces isolator with each namespace alone, with all, and for a user who is not root."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest

from isobench.isolators.contract import AGENT_INSIDE, Site
from isobench.isolators.namespaces import Namespace, Namespaces, NamespacesOptions
from isobench.isolators.readiness import check
from isobench.model import Bundle, Event, Status
from isobench.process import run
from isobench.starter import batch, parse_event

pytestmark = pytest.mark.integration

TIMEOUT_S = 60.0
ALL: tuple[Namespace, ...] = get_args(Namespace)
SHORT = {"mount": "mnt", "network": "net"}


def make(*names: Namespace) -> Namespaces:
    return Namespaces("namespaces", NamespacesOptions(namespaces=names))


def start(site: Site, *names: Namespace) -> Event:
    with make(*names).prepare(site, Bundle((AGENT_INSIDE, "probe"), site.rootfs)) as launch:
        (event,) = batch(site.agent, launch, 1, timeout_s=TIMEOUT_S)
    return event


def seen_from_inside(site: Site, *names: Namespace) -> dict[str, Any]:
    event = start(site, *names)
    assert event.status is Status.OK, (event.reason, event.stderr)
    seen: dict[str, Any] = json.loads(event.output)
    return seen


def new_ones(seen: dict[str, Any]) -> set[str]:
    return {
        name
        for name, inode in seen["namespaces"].items()
        if inode != str(Path("/proc/self/ns", name).readlink())
    }


@pytest.mark.parametrize("name", [name for name in ALL if name != "mount"])
def test_namespace_alone_is_new_and_no_other(site: Site, name: Namespace) -> None:
    assert new_ones(seen_from_inside(site, name)) == {SHORT.get(name, name)}


@pytest.mark.parametrize("name", [name for name in ALL if name not in {"mount", "pid"}])
def test_namespace_with_own_root_and_proc_is_new_and_no_other(site: Site, name: Namespace) -> None:
    """Inside an own root only an own /proc shows the namespaces, hence with pid."""
    seen = seen_from_inside(site, "mount", "pid", name)
    assert new_ones(seen) == {"mnt", "pid", SHORT.get(name, name)}
    assert (seen["root_device"], seen["root_inode"]) == (site.rootfs.stat().st_dev, site.rootfs.stat().st_ino)
    assert (seen["pid"], seen["visible_processes"]) == (1, 1)


def test_mount_namespace_alone_has_the_shared_root_and_no_proc(site: Site) -> None:
    seen = seen_from_inside(site, "mount")
    assert (seen["root_device"], seen["root_inode"]) == (site.rootfs.stat().st_dev, site.rootfs.stat().st_ino)
    assert (seen["visible_processes"], seen["namespaces"]) == (-1, {})


def test_all_eight_are_new_at_once(site: Site) -> None:
    assert len(new_ones(seen_from_inside(site, *ALL))) == 8


@pytest.mark.parametrize("names", [("user",), ALL])
def test_user_namespace_maps_root_inside_to_the_caller_and_nobody_else(
    site: Site, names: tuple[Namespace, ...]
) -> None:
    seen = seen_from_inside(site, *names)
    assert seen["uid_map"].split() == ["0", "0", "1"]
    assert (seen["uid"], seen["gid"]) == (0, 0)


def test_network_namespace_has_a_loopback_device_only(site: Site) -> None:
    seen = seen_from_inside(site, "network")
    assert [line.split(":")[0].strip() for line in seen["network_devices"].splitlines()[2:]] == ["lo"]


def as_nobody(site: Site, *options: str) -> Event:
    """One start by the agent itself without any privilege."""
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    done = run([*drop, site.agent, "start", *options], timeout_s=TIMEOUT_S)
    return parse_event(done.stdout.encode())


@pytest.mark.skipif(
    not shutil.which("setpriv"), reason="no setpriv to become nobody: apt-get install util-linux"
)
class TestNobody:
    """Who is not root."""

    def test_needs_a_user_namespace(self, site: Site) -> None:
        event = as_nobody(site, "--namespaces", "uts", "--spawn", "2", str(site.agent), "ready")
        assert (event.status, event.reason) == (
            Status.FAILED,
            f"start '{site.agent}': clone3: Operation not permitted",
        )

    def test_has_all_namespaces_and_an_own_root_with_one(self, site: Site) -> None:
        root = ("--pivot-root", str(site.rootfs), "--proc")
        event = as_nobody(site, "--namespaces", ",".join(ALL), *root, "--spawn", "2", AGENT_INSIDE, "probe")
        assert event.status is Status.OK, event.reason
        seen = json.loads(event.output)
        assert len(new_ones(seen)) == 8
        assert seen["uid_map"].split() == ["0", "65534", "1"]
        assert (seen["uid"], seen["gid"], seen["visible_processes"]) == (0, 0, 1)


def test_every_choice_passes_the_trial_start(site: Site) -> None:
    for names in (("mount",), ("user",), ALL):
        readiness = check(make(*names), site)
        assert readiness.usable, (names, readiness.reason)

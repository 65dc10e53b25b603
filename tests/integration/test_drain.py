"""The real kernel cleaning up: seen while it does, and by an independent sign not over before it says so."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isobench.isolators.contract import Site
from isobench.isolators.drain import Drain
from isobench.process import run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces and cgroups: needs root"),
]

LIMIT_S = 20.0
"""Far above any drain: the other end of the test is that it comes to rest at all."""

RTMGRP_LINK, RTM_DELLINK = 1, 17


@contextmanager
def process_in_a_network_namespace(link: str) -> Iterator[subprocess.Popen[bytes]]:
    """It holds the other end of the host's ``link``, which the kernel removes with the namespace."""
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as process:
        try:
            ours = Path("/proc/self/ns/net").readlink()
            while Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
                pass
            peer = ("peer", "name", "inner", "netns", str(process.pid))
            run(["ip", "link", "add", link, "type", "veth", *peer], timeout_s=LIMIT_S)
            yield process
        finally:
            process.kill()


def test_wait_sees_a_network_namespace_being_destroyed_and_ends_after_the_kernel_told_of_its_link(
    site: Site,
) -> None:
    link = f"isob-{site.token.removeprefix('isobench-')}"
    drain = Drain(site.cgroups)
    assert drain.blind_to() is None
    with process_in_a_network_namespace(link) as process:
        drain.wait(LIMIT_S)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as changes:
            changes.bind((0, RTMGRP_LINK))
            process.kill()
            process.wait()
            drained = drain.wait(LIMIT_S)
            changes.setblocking(False)  # what has not been told by now fails the test
            told = False
            while not told:
                message = changes.recv(1 << 16)
                told = int.from_bytes(message[4:6], "little") == RTM_DELLINK and link.encode() in message
    assert drained.left == ()
    assert drained.begun < drained.busy_at < drained.rest_at


def test_wait_ends_when_a_removed_group_is_freed(site: Site) -> None:
    group = Path(site.cgroups.directories(f"{site.token}/drained")[0])
    drain = Drain(site.cgroups)
    drain.wait(LIMIT_S)
    group.mkdir()
    with subprocess.Popen(["sleep", "60"]) as process:
        (group / "cgroup.procs").write_text(str(process.pid))
        process.kill()
        process.wait()
    while group.exists():
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.001)  # the dead process has not left it yet
    drained = drain.wait(LIMIT_S)
    assert (drained.left, drained.lingering) == ((), 0)
    assert drained.begun < drained.busy_at < drained.rest_at


def test_idle_host_is_found_at_rest_without_waiting_for_a_clean_up(site: Site) -> None:
    drain = Drain(site.cgroups)
    drain.wait(LIMIT_S)
    assert drain.wait(LIMIT_S).left == ()

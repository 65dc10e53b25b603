"""Guests that really boot. About 3 s each under software emulation, so each start serves several checks."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isobench import starter
from isobench.benchmarks import payload
from isobench.isolators import guestkernel, residue
from isobench.isolators.contract import AGENT_INSIDE, Site
from isobench.isolators.qemu import Qemu
from isobench.isolators.qmp import quit_machine, running_accelerator
from isobench.isolators.readiness import check
from isobench.isolators.requirements import find_tool
from isobench.isolators.site import open_site
from isobench.model import Bundle, CpuLimit, Event, Launch, Limits, Status

KERNEL = guestkernel.find(None)
"""Looked for before the tests point the state elsewhere."""

BOOT_TIMEOUT_S = 60.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        find_tool("qemu-system-x86_64") is None or not isinstance(KERNEL, Path),
        reason="QEMU or a kernel for its guest is missing: make setup",
    ),
]


@pytest.fixture(scope="module")
def site(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One run's place for all of them; at its end nothing may be left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISOBENCH_STATE", str(tmp_path_factory.mktemp("q")))
        patch.setenv("ISOBENCH_AGENT", str(agent))
        with open_site() as site:
            yield site
            assert list(site.work.iterdir()) == []
            assert processes_of(site) == []
        assert residue.find(site.token) == ()


@pytest.fixture(scope="module")
def qemu() -> Qemu:
    return Qemu("qemu", Qemu.Options(kernel=str(KERNEL)))


@pytest.fixture(scope="module")
def misbehaving(site: Site, misbehave: Path) -> Iterator[Site]:
    """The same place, with a root that holds the workload that misbehaves."""
    root = site.work / "misbehaving"
    shutil.copytree(site.rootfs, root, symlinks=True)
    shutil.copy(misbehave, root / "misbehave")
    yield replace(site, rootfs=root)
    shutil.rmtree(root)


def processes_of(site: Site) -> list[str]:
    """Command lines on this host that name the run, those of the tests themselves left out."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if site.token in line]


def one_start(site: Site, launch: Launch, timeout_s: float = BOOT_TIMEOUT_S) -> Event:
    (event,) = starter.batch(site.agent, launch, 1, timeout_s=timeout_s)
    return event


def monitor_of(launch: Launch, slot: int = 0) -> Path:
    assert launch.spawn is not None
    (option,) = [word for word in launch.spawn if word.startswith("socket,")]
    path = option.partition("path=")[2].partition(",")[0]
    return Path(path.replace("{n}", str(slot)))


def test_start_gives_every_phase_in_order_and_the_workloads_words_alone(site: Site, qemu: Qemu) -> None:
    with qemu.prepare(site, Bundle((AGENT_INSIDE, "ready"), site.rootfs)) as launch:
        event = one_start(site, launch)
    assert (event.status, event.reason) == (Status.OK, None)
    assert list(event.phases_ns) == sorted(event.phases_ns, key=event.phases_ns.__getitem__)
    assert {"invoke", *event.phases_ns} == qemu.capabilities.phases
    line, end = event.output.split("\n")
    assert (json.loads(line)["verb"], end) == ("ready", "")
    assert (event.exit_code, event.stderr) == (0, "")


def test_readiness_is_proven_by_a_start_and_names_the_accelerator_that_really_runs(
    site: Site, qemu: Qemu
) -> None:
    readiness = check(qemu, site)
    assert readiness.usable
    with (
        qemu.prepare(site, Bundle((AGENT_INSIDE, "hold"), site.rootfs)) as launch,
        starter.session(site.agent, launch, timeout_s=BOOT_TIMEOUT_S, slots=1) as session,
    ):
        assert session.start().status is Status.OK
        assert readiness.shown_as == f"qemu-{running_accelerator(monitor_of(launch))}"
        quit_machine(monitor_of(launch))
        (event,) = session.end()
    assert (event.status, event.exit_code) == (Status.OK, 0)


def test_arguments_arrive_as_they_are_and_a_failing_workload_fails_the_start(site: Site, qemu: Qemu) -> None:
    with qemu.prepare(site, Bundle((AGENT_INSIDE, "no such=verb à l'intérieur"), site.rootfs)) as launch:
        event = one_start(site, launch)
    assert event.status is Status.FAILED
    assert event.output == ""
    assert "ready" not in event.phases_ns
    words = event.stderr.encode("latin-1").decode()
    assert "isoagent: no such=verb à l'intérieur: unknown verb\n" in words
    assert words.endswith('{"verb":"init","exit":2}\n')


def test_program_that_is_not_there_fails_the_start_with_its_name(site: Site, qemu: Qemu) -> None:
    with qemu.prepare(site, Bundle(("/nothing",), site.rootfs)) as launch:
        event = one_start(site, launch)
    assert event.status is Status.FAILED
    assert "execute /nothing: No such file or directory" in event.stderr


def test_flood_of_output_arrives_whole(site: Site, qemu: Qemu) -> None:
    # The agent's own `start`, told to start what is not there, writes a line each time.
    flood = (AGENT_INSIDE, "start", "--count", "200", "--spawn", "1", "/nothing")
    with qemu.prepare(site, Bundle(flood, site.rootfs)) as launch:
        event = one_start(site, launch)
    assert event.status is Status.OK
    assert len(event.output) == event.output_bytes
    assert len([json.loads(line) for line in event.output.splitlines()]) == 200


@pytest.mark.parametrize(
    ("hang", "last_words"),
    [
        (("-S",), ""),
        (
            ("-append", "console=ttyS0 panic=0 rdinit=/nothing"),
            r"; last on its console: .*end Kernel panic - not syncing: .*",
        ),
    ],
)
def test_machine_that_never_gets_ready_is_a_timeout_with_its_last_words_and_gone(
    site: Site, qemu: Qemu, hang: tuple[str, ...], last_words: str
) -> None:
    with qemu.prepare(site, Bundle((AGENT_INSIDE, "ready"), site.rootfs)) as launch:
        assert launch.spawn is not None
        event = one_start(site, replace(launch, spawn=(*launch.spawn, *hang)), timeout_s=8.0)
        assert processes_of(site) == []
    assert event.status is Status.TIMEOUT
    assert re.fullmatch(f"not ready in time{last_words}", str(event.reason))
    assert event.pid is not None
    assert not Path(f"/proc/{event.pid}").exists()


def test_garbage_arrives_byte_for_byte_and_a_deaf_workload_is_a_timeout_and_gone(
    misbehaving: Site, qemu: Qemu
) -> None:
    with qemu.prepare(misbehaving, Bundle(("/misbehave", "garbage"), misbehaving.rootfs)) as launch:
        garbage = one_start(misbehaving, launch)
    assert (garbage.status, garbage.reason) == (Status.OK, None)
    assert garbage.output.encode("latin-1") == bytes(range(256))
    with pytest.raises(payload.PayloadError, match="should be the JSON of 'ready'"):
        payload.hello(garbage.output, "ready")

    # Long enough for a second boot, however slow this host is.
    limit_s = 2 + 2 * garbage.phases_ns["ready"] / 1e9
    with qemu.prepare(misbehaving, Bundle(("/misbehave", "deaf"), misbehaving.rootfs)) as launch:
        deaf = one_start(misbehaving, launch, timeout_s=limit_s)
        assert processes_of(misbehaving) == []
    assert (deaf.status, deaf.reason, deaf.output) == (Status.TIMEOUT, "not ended in time", "ready\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="making a cgroup needs root")
def test_limit_is_set_after_the_boot_on_the_whole_process_and_one_byte_ends_the_workload(
    site: Site, qemu: Qemu
) -> None:
    limit = CpuLimit(1.5)
    with (
        qemu.prepare(site, Bundle((AGENT_INSIDE, "hold"), site.rootfs), Limits(limit)) as launch,
        starter.session(site.agent, launch, timeout_s=BOOT_TIMEOUT_S, slots=1) as session,
    ):
        started = session.start()
        assert started.status is Status.OK
        assert started.pid is not None
        view = site.cgroups.of(started.pid)
        assert view.cpu_limit() is None
        for write in launch.late_writes:
            Path(write.path.replace("{n}", "0")).write_text(write.value)
        assert view.cpu_limit() == limit
        assert started.pid in view.members()
        groups = [Path(group.replace("{n}", "0")) for group in launch.cgroups]
        assert all(group.is_dir() for group in groups)
        (event,) = session.end()
    assert (event.status, event.exit_code, event.term_signal) == (Status.OK, 0, None)
    assert not any(group.exists() for group in groups)

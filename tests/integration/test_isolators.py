"""Every isolator that needs no virtual machine, really started: what it isolates, limits and leaves."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks.processes import read_descendants, workload_argv
from isobench.isolators import residue
from isobench.isolators.contract import AGENT_INSIDE, Isolator, Site
from isobench.isolators.readiness import check
from isobench.isolators.registry import REGISTRY
from isobench.model import Bundle, CpuLimit, Launch, Limits, Status
from isobench.starter import Session, batch, session

pytestmark = pytest.mark.integration

TIMEOUT_S = 60.0

CONTAINER = {"mnt", "uts", "ipc", "pid", "net", "cgroup"}
NEW_NAMESPACES: Mapping[str, set[str]] = {
    "bare": set(),
    "chroot": set(),
    "namespaces": CONTAINER,
    "cgroups": set(),
    "lxc": CONTAINER,
    "runc": CONTAINER,
}
OWN_ROOT = {"chroot", "namespaces", "lxc", "runc"}
LIMITING = ("cgroups", "lxc", "runc")

every_kind = pytest.mark.parametrize("kind", NEW_NAMESPACES)
limiting_kind = pytest.mark.parametrize("kind", LIMITING)

READY = (AGENT_INSIDE, "ready")
HOLD = (AGENT_INSIDE, "hold")
PROBE = (AGENT_INSIDE, "probe")


def make(kind: str, **options: object) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    return cls(kind, cls.Options.model_validate(options))


def namespaces_of(pid: int | str) -> dict[str, str]:
    """As the host sees them; time_for_children and pid_for_children are no namespaces of the process."""
    entries = Path(f"/proc/{pid}/ns").iterdir()
    return {entry.name: str(entry.readlink()) for entry in entries if "children" not in entry.name}


def pid_of(instances: Session, launch: Launch, slot: int = 0) -> int:
    """The workload's process, found by its command line as the benchmarks find it."""
    below = read_descendants(instances.pid)
    found = [process.pid for process in below if process.argv == workload_argv(launch, slot)]
    assert len(found) > slot
    return found[slot]


def probe(site: Site, isolator: Isolator[Any]) -> dict[str, Any]:
    """What the workload sees from inside."""
    with isolator.prepare(site, Bundle(PROBE, site.rootfs)) as launch:
        (event,) = batch(site.agent, launch, 1, timeout_s=TIMEOUT_S)
    assert event.status is Status.OK, (event.reason, event.stderr)
    seen: dict[str, Any] = json.loads(event.output)
    return seen


@every_kind
def test_isolator_is_usable_and_a_trial_start_succeeds(site: Site, kind: str) -> None:
    readiness = check(make(kind), site)
    assert readiness.usable, f"{readiness.reason}; {readiness.remedy}"


@every_kind
def test_starts_give_the_declared_phases_in_order(site: Site, kind: str) -> None:
    isolator = make(kind)
    with isolator.prepare(site, Bundle(READY, site.rootfs)) as launch:
        events = list(batch(site.agent, launch, 3, timeout_s=TIMEOUT_S))
    assert [(event.status, event.reason) for event in events] == [(Status.OK, None)] * 3
    for event in events:
        said = json.loads(event.output)
        assert said["verb"] == "ready"
        assert 0 < said["t"] - event.invoke_ns < event.phases_ns["ready"]
        assert {"invoke", "first_instruction", *event.phases_ns} == isolator.capabilities.phases
        assert list(event.phases_ns.values()) == sorted(event.phases_ns.values())
        assert event.stderr == ""


@every_kind
def test_three_of_a_kind_prepared_at_once_take_turns(site: Site, kind: str) -> None:
    with ExitStack() as stack:
        # Sides that are workloads have one isolator, by one name.
        isolator = make(kind)
        batches = [
            stack.enter_context(
                closing(
                    batch(
                        site.agent,
                        stack.enter_context(isolator.prepare(site, Bundle(READY, site.rootfs))),
                        2,
                        timeout_s=TIMEOUT_S,
                    )
                )
            )
            for _ in range(3)
        ]
        events = [next(one) for one in batches * 2]
    assert [(event.status, event.reason) for event in events] == [(Status.OK, None)] * 6


@every_kind
def test_namespaces_seen_from_the_host_are_exactly_the_declared_ones(site: Site, kind: str) -> None:
    ours = namespaces_of("self")
    with (
        make(kind).prepare(site, Bundle(HOLD, site.rootfs)) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S) as held,
    ):
        assert held.start().status is Status.OK
        theirs = namespaces_of(pid_of(held, launch))
        assert {name for name in ours if theirs[name] != ours[name]} == NEW_NAMESPACES[kind]


@every_kind
def test_root_seen_from_inside_is_the_shared_one_or_the_hosts(site: Site, kind: str) -> None:
    seen = probe(site, make(kind))
    expected = (site.rootfs if kind in OWN_ROOT else Path("/")).stat()
    assert (seen["root_device"], seen["root_inode"]) == (expected.st_dev, expected.st_ino)


@pytest.mark.parametrize("kind", ["namespaces", "lxc", "runc"])
def test_container_sees_itself_alone(site: Site, kind: str) -> None:
    seen = probe(site, make(kind))
    assert (seen["pid"], seen["ppid"], seen["visible_processes"]) == (1, 0, 1)
    devices = [line.split(":")[0].strip() for line in seen["network_devices"].splitlines()[2:]]
    assert devices == ["lo"]
    ours = namespaces_of("self")
    assert {name for name in ours if seen["namespaces"][name] != ours[name]} == CONTAINER
    # Paths of groups are shown from the root of a cgroup namespace.
    assert site.token not in seen["cgroup"]


@pytest.mark.parametrize("kind", ["bare", "cgroups"])
def test_workload_without_a_root_of_its_own_sees_the_host(site: Site, kind: str) -> None:
    seen = probe(site, make(kind))
    assert seen["visible_processes"] > 1
    assert seen["namespaces"] == namespaces_of("self")
    assert (site.token in seen["cgroup"]) == (kind == "cgroups")


def test_chroot_sees_no_processes_at_all(site: Site) -> None:
    assert probe(site, make("chroot"))["visible_processes"] == -1


@limiting_kind
@pytest.mark.parametrize("limit", [CpuLimit(0.25), CpuLimit(1.5, 50_000)])
def test_limit_is_read_back_from_the_group_of_the_running_workload(
    site: Site, kind: str, limit: CpuLimit
) -> None:
    with (
        make(kind).prepare(site, Bundle(HOLD, site.rootfs), Limits(limit)) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S) as held,
    ):
        assert held.start().status is Status.OK
        assert site.cgroups.of(pid_of(held, launch)).cpu_limit() == limit


@limiting_kind
def test_without_a_limit_the_group_has_none(site: Site, kind: str) -> None:
    with (
        make(kind).prepare(site, Bundle(HOLD, site.rootfs)) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S) as held,
    ):
        assert held.start().status is Status.OK
        assert site.cgroups.of(pid_of(held, launch)).cpu_limit() is None


@every_kind
def test_two_instances_live_at_once_and_apart(site: Site, kind: str) -> None:
    isolator = make(kind)
    with (
        isolator.prepare(site, Bundle(HOLD, site.rootfs), slots=2) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S, slots=2) as held,
    ):
        events = [held.start(), held.start()]
        assert [(event.status, event.reason) for event in events] == [(Status.OK, None)] * 2
        pids = [pid_of(held, launch, slot) for slot in range(2)]
        spaces = [namespaces_of(pid) for pid in pids]
        assert {name for name in spaces[0] if spaces[0][name] != spaces[1][name]} == NEW_NAMESPACES[kind]
        if "cpu" in isolator.capabilities.limits:
            groups = {site.cgroups.of(pid).directory("cpu") for pid in pids}
            assert len(groups) == 2
        assert [(event.status, event.exit_code) for event in held.end()] == [(Status.OK, 0)] * 2


@every_kind
def test_instances_left_to_the_end_of_a_session_are_ended_by_it(site: Site, kind: str) -> None:
    with make(kind).prepare(site, Bundle(HOLD, site.rootfs)) as launch:
        with session(site.agent, launch, timeout_s=TIMEOUT_S) as held:
            assert held.start().status is Status.OK
            pid = pid_of(held, launch)
        assert not Path(f"/proc/{pid}").exists()


WORDS = ("/args", "two words", "it's", '"q"', "", "new\nline", "--name", "-", "#", "$HOME")
ARGS_C = '#include <stdio.h>\nint main(int n, char **v) { for (int i = 1; i < n; i++) printf("[%s]", v[i]); }'


@every_kind
def test_every_word_of_a_command_reaches_the_workload_as_it_is(site: Site, kind: str, tmp_path: Path) -> None:
    compiler = shutil.which("musl-gcc")
    if not compiler:
        pytest.skip("no musl-gcc to compile the test's workload: apt-get install musl-tools")
    source, program = tmp_path / "args.c", site.rootfs / "args"
    source.write_text(ARGS_C)
    subprocess.run([compiler, "-static", "-o", program, source], check=True)
    try:
        with make(kind).prepare(site, Bundle(WORDS, site.rootfs)) as launch:
            (event,) = batch(site.agent, launch, 1, timeout_s=TIMEOUT_S)
    finally:
        program.unlink()
    assert event.output == "".join(f"[{word}]" for word in WORDS[1:])


def test_pivot_group_lxc_never_removes_goes_with_the_end_of_prepare(site: Site) -> None:
    """The monitor moves there so that its own group can be removed, and ends (lxc.container.conf(5))."""
    with make("lxc").prepare(site, Bundle(READY, site.rootfs)) as launch:
        list(batch(site.agent, launch, 1, timeout_s=TIMEOUT_S))
        groups = {Path(stray.what).name for stray in residue.strays(site) if stray.kind == "cgroup"}
        assert groups == {f"{site.token}-lxc-pivot"}
    assert residue.strays(site) == ()


def test_lxc_leaves_no_lock_directories(site: Site) -> None:
    with make("lxc").prepare(site, Bundle(READY, site.rootfs)) as launch:
        list(batch(site.agent, launch, 1, timeout_s=TIMEOUT_S))
    assert not [path for path in Path("/run/lxc").rglob("*") if site.token in str(path)]


@pytest.mark.parametrize("kind", ["lxc", "runc"])
@pytest.mark.parametrize(
    ("binary", "reason", "remedy"),
    [
        ("isobench-no-such-tool", "the program isobench-no-such-tool is not installed", "apt-get install"),
        ("/etc/passwd", "/etc/passwd is not an executable file", "chmod +x /etc/passwd"),
        ("/nonexistent/tool", "/nonexistent/tool is not an executable file", "correct `binary`"),
    ],
)
def test_tool_that_is_not_there_makes_the_isolator_unavailable_with_remedy(
    site: Site, kind: str, binary: str, reason: str, remedy: str
) -> None:
    readiness = check(make(kind, binary=binary), site)
    assert (readiness.status, readiness.reason) == (Status.UNAVAILABLE, reason)
    assert remedy in (readiness.remedy or "")


@pytest.mark.parametrize("kind", ["chroot", "namespaces", "lxc", "runc"])
def test_who_is_not_root_is_told_so_with_remedy(
    site: Site, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    readiness = make(kind).probe(site)
    assert readiness.status is Status.UNAVAILABLE
    assert "needs root" in (readiness.reason or "")
    assert readiness.remedy == "sudo isobench run"


def test_tool_that_fails_makes_the_isolator_unavailable_with_its_last_words(
    site: Site, tmp_path: Path
) -> None:
    broken = tmp_path / "runc"
    broken.write_text("#!/bin/sh\necho the moon is full >&2\nexit 1\n")
    broken.chmod(0o755)
    readiness = check(make("runc", binary=str(broken)), site)
    assert readiness.status is Status.UNAVAILABLE
    assert f"step '{broken}' exited 1 (the moon is full)" in (readiness.reason or "")

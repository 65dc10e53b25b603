"""Workloads and tools that misbehave: every start ends with a status and a reason, and nothing is left."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks import payload
from isobench.isolators.contract import AGENT_INSIDE, Isolator, Site
from isobench.isolators.registry import REGISTRY
from isobench.isolators.requirements import find_tool
from isobench.model import Bundle, Event, Status
from isobench.starter import batch, session

pytestmark = pytest.mark.integration

TIMEOUT_S = 60.0
SHORT_S = 1.0
"""For starts that are to run out of time; long enough for a busy host to get the workload running."""

SHORTER_S = 0.5
"""The same where no tool stands between the agent and the workload."""

every_kind = pytest.mark.parametrize("kind", ["bare", "chroot", "namespaces", "cgroups", "lxc", "runc"])


@pytest.fixture
def place(site: Site, state: Path, misbehave: Path) -> Iterator[Site]:
    """The run's place with a root of its own; the run's name in its path makes every process in it ours."""
    root = state / f"{site.token}-root"
    subprocess.run(["cp", "-a", site.rootfs, root], check=True)
    shutil.copy(misbehave, root / "misbehave")
    shutil.copy(misbehave, root / "not-executable")
    (root / "not-executable").chmod(0o644)
    yield replace(site, rootfs=root)
    shutil.rmtree(root)


def make(kind: str, **options: object) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    return cls(kind, cls.Options.model_validate(options))


def starts(
    place: Site, kind: str, *command: str, count: int = 1, timeout_s: float = TIMEOUT_S
) -> list[Event]:
    with make(kind).prepare(place, Bundle(command, place.rootfs)) as launch:
        return list(batch(place.agent, launch, count, timeout_s=timeout_s))


@every_kind
def test_garbage_comes_back_byte_for_byte_and_is_no_payload(place: Site, kind: str) -> None:
    (event,) = starts(place, kind, "/misbehave", "garbage")
    assert event.output.encode("latin-1") == bytes(range(256))
    with pytest.raises(payload.PayloadError, match="should be the JSON of 'ready'"):
        payload.hello(event.output, "ready")


@every_kind
def test_flood_fails_and_is_stopped(place: Site, kind: str) -> None:
    (event,) = starts(place, kind, "/misbehave", "flood")
    assert (event.status, event.reason) == (Status.FAILED, "the workload wrote more than 16 MiB")
    assert len(event.output) == 64 * 1024


@every_kind
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("mute", "not ready in time"),
        ("close", "not ready in time: it has closed its output and runs on"),
        ("deaf", "not ended in time"),
        ("ready-close", "not ended in time"),
    ],
)
def test_workload_that_does_not_end_is_a_timeout_and_the_next_start_goes_on(
    place: Site, kind: str, how: str, reason: str
) -> None:
    timeout_s = SHORT_S if kind in {"lxc", "runc"} else SHORTER_S
    events = starts(place, kind, "/misbehave", how, count=2, timeout_s=timeout_s)
    if kind == "lxc":  # lxc-start holds the output as well
        reason = reason.partition(":")[0]
    assert [(event.status, event.reason) for event in events] == [(Status.TIMEOUT, reason)] * 2


@every_kind
def test_workload_without_a_word_fails(place: Site, kind: str) -> None:
    (event,) = starts(place, kind, "/misbehave", "silent")
    assert (event.status, event.reason) == (Status.FAILED, "the workload ended without a word")


@pytest.mark.parametrize("kind", ["bare", "namespaces", "runc"])
@pytest.mark.parametrize(
    ("how", "reason"),
    # No signal of its own kills PID 1 of a namespace: musl's abort(3) then executes a forbidden instruction.
    [("exit", ("exited 3",)), ("crash", ("was killed by signal 6", "was killed by signal 11"))],
)
def test_bad_end_after_a_word_fails(place: Site, kind: str, how: str, reason: tuple[str, ...]) -> None:
    (event,) = starts(place, kind, "/misbehave", how)
    assert event.status is Status.FAILED
    assert event.reason in {f"the workload {end}" for end in reason}


@pytest.mark.parametrize("how", ["exit", "crash"])
def test_lxc_start_does_not_tell_a_bad_end_after_a_word(place: Site, how: str) -> None:
    """Documented in the isolator: lxc-start exits 0. Should a newer one tell, the docstring is to change."""
    (event,) = starts(place, "lxc", "/misbehave", how)
    assert (event.status, event.exit_code) == (Status.OK, 0)


@every_kind
@pytest.mark.parametrize(
    ("program", "why"), [("/not-executable", "permission denied"), ("/nonexistent", "no such file")]
)
def test_program_that_cannot_be_executed_fails_and_it_is_told_why(
    place: Site, kind: str, program: str, why: str
) -> None:
    events = starts(place, kind, program, count=2)
    for event in events:
        assert event.status is Status.FAILED
        assert event.reason
        assert why in f"{event.reason} {event.stderr}".lower()


@every_kind
def test_daemon_a_workload_leaves_is_killed(place: Site, kind: str) -> None:
    (event,) = starts(place, kind, "/misbehave", "daemon")
    assert (event.status, event.output) == (Status.OK, "ready\n")


@every_kind
@pytest.mark.parametrize(
    ("how", "status"), [("mute", Status.TIMEOUT), ("flood", Status.FAILED), ("exit", Status.OK)]
)
def test_held_instance_that_misbehaves_ends_with_the_session(
    place: Site, kind: str, how: str, status: Status
) -> None:
    """One that exits after its first line was ready all the same; its end is told at the end."""
    with (
        make(kind).prepare(place, Bundle(("/misbehave", how), place.rootfs)) as launch,
        session(place.agent, launch, timeout_s=SHORT_S) as held,
    ):
        event = held.start()
        assert event.status is status
        assert bool(event.reason) == (status is not Status.OK)
        (end,) = held.end()
        assert end.status is (Status.FAILED if how == "exit" and kind != "lxc" else status)


@every_kind
def test_exception_while_a_deaf_instance_is_held_leaves_nothing(place: Site, kind: str) -> None:
    def fail() -> None:
        with (
            make(kind).prepare(place, Bundle(("/misbehave", "deaf"), place.rootfs)) as launch,
            session(place.agent, launch, timeout_s=TIMEOUT_S) as held,
        ):
            assert held.start().status is Status.OK
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised just above
        fail()


@pytest.mark.parametrize(("kind", "tool"), [("lxc", "lxc-start"), ("runc", "runc")])
def test_tool_that_vanishes_in_mid_run_fails_the_starts_after_it_and_keeps_those_before(
    site: Site, tmp_path: Path, kind: str, tool: str
) -> None:
    original, copy = find_tool(tool), tmp_path / tool
    assert original
    shutil.copy(original, copy)
    events = []
    with make(kind, binary=str(copy)).prepare(site, Bundle((AGENT_INSIDE, "ready"), site.rootfs)) as launch:
        for event in batch(site.agent, launch, 20, timeout_s=TIMEOUT_S):
            events.append(event)
            if len(events) == 2:
                copy.unlink()
    assert len(events) == 20
    statuses = [event.status for event in events]
    good = statuses.count(Status.OK)
    # The third was perhaps under way when the tool went.
    assert statuses == [Status.OK] * good + [Status.FAILED] * (20 - good)
    assert good in {2, 3}
    assert events[-1].reason
    assert str(copy) in events[-1].reason
    assert events[-1].reason.endswith("exec: No such file or directory")


def test_runc_that_vanishes_under_a_held_container_leaves_nothing(site: Site, tmp_path: Path) -> None:
    original, copy = find_tool("runc"), tmp_path / "runc"
    assert original
    shutil.copy(original, copy)
    with (
        make("runc", binary=str(copy)).prepare(site, Bundle((AGENT_INSIDE, "hold"), site.rootfs)) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S) as held,
    ):
        assert held.start().status is Status.OK
        copy.unlink()
        (event,) = held.end()
        assert (event.status, event.exit_code) == (Status.FAILED, 0)
        assert event.reason == f"cleanup '{copy}': exec: No such file or directory"

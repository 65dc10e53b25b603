"""memory-floor over scripted instances."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from isobench import starter
from isobench.benchmarks import memory_floor
from isobench.benchmarks.contract import Context
from isobench.benchmarks.memory_floor import MemoryFloor, MemoryFloorParams, read_oom_kills, said
from isobench.isolators.cgroup import CgroupTree
from isobench.isolators.contract import Site
from isobench.isolators.fake import Fake, FakeOptions
from isobench.model import (
    NO_LIMITS,
    READY,
    Bundle,
    Capabilities,
    Cell,
    Event,
    Launch,
    Limits,
    Readiness,
    Reading,
    Status,
    unavailable,
)

KIB = 1024
FINE = Event("ready", phases_ns={"ready": 1000}, pid=7, output='{"verb":"hold","t":5,"pid":1}\n')
KILLED = Event("ready", status=Status.FAILED, reason="the workload ended before it was ready", pid=7)


@dataclass
class Host:
    """Starts work with ``floor`` bytes or more; the kernel kills what has less."""

    floor: int = 80 * KIB
    failing: Event = KILLED
    kills: int = 5
    kill: bool = True
    """Whether a failure is the kernel's doing."""
    limit: int = 0
    reads: Callable[[int], int | None] = lambda limit: limit
    limits_seen: list[int] = field(default_factory=list)
    lack: Readiness = READY
    pid: int = 3

    # starter.Session
    def start(self) -> Event:
        if self.limit >= self.floor:
            return FINE
        self.kills += self.kill
        return self.failing

    def end(self) -> tuple[Event, ...]:
        return (replace(FINE if self.limit >= self.floor else self.failing, kind="exit"),)

    # CgroupTree and CgroupView
    def of(self, pid: int) -> "Host":
        assert pid == 7
        return self

    def memory_limit_bytes(self) -> int | None:
        return self.reads(self.limit)

    def limits_swap(self) -> bool:
        return True

    def memory_lack(self) -> Readiness:
        return self.lack


class Limited(Fake):
    host: Host

    @property
    def capabilities(self) -> Capabilities:
        found = super().capabilities
        return replace(found, limits=frozenset({"memory"}), phases=found.phases | {"created"})

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        assert limits.memory_bytes is not None
        self.host.limit = limits.memory_bytes
        self.host.limits_seen.append(limits.memory_bytes)
        with super().prepare(site, bundle, limits, slots) as launch:
            yield launch


Search = Callable[..., Reading]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Search:
    def run(host: Host, **params: Any) -> Reading:  # noqa: ANN401 - as pydantic takes them
        @contextmanager
        def session(_agent: Path, _launch: Launch, **how: object) -> Iterator[Host]:
            assert how["slots"] == 1
            yield host

        monkeypatch.setattr(starter, "session", session)
        monkeypatch.setattr(memory_floor, "read_oom_kills", lambda: host.kills)
        isolator = Limited("x", FakeOptions())
        isolator.host = host
        site = Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/r"), cast(CgroupTree, host))
        context = Context(site, MemoryFloorParams.model_validate(params), block=0, timeout_s=9.0)
        (found,) = MemoryFloor().measure(Cell("x", "memory-floor", "hold"), isolator, context)
        return found

    return run


def test_floor_is_the_least_limit_that_runs_and_says_how_less_than_that_fails(search: Search) -> None:
    host = Host()
    found = search(host)
    assert (found.metric, found.unit, found.value) == ("memory_floor", "byte", 80.0 * KIB)
    assert {key: found.detail[key] for key in ("resolution_bytes", "worked", "confirmed", "monotonic")} == {
        "resolution_bytes": 4096,
        "worked": 3,
        "confirmed": True,
        "monotonic": True,
    }
    assert (found.detail["below_bytes"], found.detail["below_how"]) == (76 * KIB, "oom-kill")
    assert found.detail["below_reason"] == "the workload ended before it was ready"
    assert host.limits_seen[0] == 64 * KIB * KIB


def test_resolution_is_as_fine_as_the_starts_allow_and_told(search: Search) -> None:
    found = search(Host(), starts=5)
    assert found.value is not None
    assert found.value - float(found.detail["resolution_bytes"] or 0) < 80 * KIB <= found.value
    assert (found.detail["starts"], found.detail["confirmed"]) == (5, False)


@pytest.mark.parametrize(
    ("failing", "how"),
    [
        (replace(KILLED, reason="step '/runc' exited 1"), "refused"),
        (replace(KILLED, phases_ns={"created": 1}), "ended"),
        (replace(KILLED, stderr="x\nfork: Cannot allocate memory\n"), "no-memory"),
        (replace(KILLED, status=Status.TIMEOUT, reason="not ready in time"), "timeout"),
    ],
)
def test_failure_that_is_no_kill_is_told_by_how_it_shows(search: Search, failing: Event, how: str) -> None:
    found = search(Host(failing=failing, kill=False))
    assert found.detail["below_how"] == how
    assert found.detail[f"failures_{how.replace('-', '_')}"] == 4


def test_workload_that_runs_under_no_limit_tried_has_no_figure(search: Search) -> None:
    found = search(Host(floor=65 * KIB * KIB))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert found.reason == (
        "it does not run with 65536 KiB, the most that was tried: the workload ended before it was ready"
    )
    assert found.remedy == "raise most_mib in [memory-floor]"


@pytest.mark.parametrize(
    ("in_force", "words"), [(None, "in force is none"), (8192, "in force is 8192 bytes")]
)
def test_limit_that_is_not_in_force_is_no_answer(search: Search, in_force: int | None, words: str) -> None:
    found = search(Host(reads=lambda _: in_force))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert words in str(found.reason)


def test_host_without_the_memory_controller_is_unavailable(search: Search) -> None:
    host = Host(lack=unavailable("no controller", "add it"))
    found = search(host)
    assert (found.status, found.remedy, host.limits_seen) == (Status.UNAVAILABLE, "add it", [])


def test_isolator_without_a_limit_of_memory_is_unsupported() -> None:
    assert "no limit of memory" in str(MemoryFloor().unsupported(Fake("x", FakeOptions()).capabilities))
    assert MemoryFloor().unsupported(Limited("x", FakeOptions()).capabilities) is None


def test_each_workload_is_a_cell() -> None:
    params = MemoryFloorParams(workloads=("hold", "nginx"))
    cells = MemoryFloor().cells("x", Limited("x", FakeOptions()).capabilities, params, 2)
    assert [cell.id for cell in cells] == ["memory-floor/x/hold", "memory-floor/x/nginx"]


def test_reason_keeps_the_end_of_what_the_runtime_said() -> None:
    event = replace(KILLED, reason="step failed", stderr="noise\n" + "x" * 300 + " device or resource busy\n")
    assert said(event).startswith("step failed: xxx")
    assert said(event).endswith(" device or resource busy")
    assert len(said(event)) < 270


def test_kills_are_counted_since_boot_and_none_on_a_kernel_that_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("pgfault 9\noom_kill 4\n")
    assert read_oom_kills(tmp_path) == 4
    (tmp_path / "vmstat").write_text("pgfault 9\n")
    assert read_oom_kills(tmp_path) == 0


@pytest.mark.parametrize(
    "table",
    [{"most_mib": 0}, {"resolution_kib": 0}, {"confirm": 0}, {"starts": 1}, {"workloads": []}, {"steps": 3}],
)
def test_bad_parameters_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MemoryFloorParams.model_validate(table)

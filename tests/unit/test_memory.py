"""memory over scripted instances on a scripted host."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isobench import starter
from isobench.benchmarks import memory
from isobench.benchmarks.contract import Context
from isobench.benchmarks.hostmemory import Pss
from isobench.benchmarks.memory import HostState, Memory, MemoryParams, Owners, ledger, settle
from isobench.benchmarks.processes import Process
from isobench.isolators.cgroup import CgroupTree
from isobench.isolators.contract import Site
from isobench.isolators.fake import Fake, FakeOptions
from isobench.model import Capabilities, Cell, Event, Launch, Reading, Status

KIB = 1024
AGENT_PID = 10
HOLD = ("/root-fs/isoagent", "hold")
READY = Event(kind="ready", output='{"verb":"hold","t":5,"pid":1}\n')
MONITOR = ("monitor", "--quiet")


@dataclass
class Host:
    """A host and an agent; each instance is a workload of 40 KiB, a monitor of 500, and 60 of kernel."""

    held: int = 0
    started: int = 0
    now_s: float = 0.0
    bystanders: Callable[[float], int] = lambda _: 0
    ready: Callable[[int], Event] = lambda _: READY
    argv: tuple[str, ...] = HOLD
    ended: int = 0
    end_of: Callable[[int], Event] = lambda slot: Event("exit", slot)
    pid: int = AGENT_PID

    # starter.Session
    def start(self) -> Event:
        event = self.ready(self.held)
        self.started += 1
        self.held += event.status is Status.OK
        return event

    def end(self) -> tuple[Event, ...]:
        self.ended += 1
        return tuple(self.end_of(slot) for slot in range(self.started))

    # what /proc shows
    def descendants(self, ancestor: int) -> tuple[Process, ...]:
        assert ancestor == AGENT_PID
        return tuple(
            process
            for slot in range(self.held)
            for process in (
                Process(100 + 2 * slot, AGENT_PID, MONITOR),
                Process(101 + 2 * slot, 100 + 2 * slot, self.argv),
            )
        )

    def pss(self, pids: Iterable[int]) -> Pss:
        sizes = {True: Pss(40 * KIB, 8 * KIB), False: Pss(500 * KIB, 900 * KIB)}
        return sum((sizes[pid % 2 == 1] if pid >= 100 else Pss(70 * KIB) for pid in pids), Pss())

    def used(self) -> int:
        return 10**9 + self.held * 600 * KIB + self.bystanders(self.now_s)

    def others(self, instances: Collection[int]) -> int:
        assert len(instances) == 2 * self.held
        return 10**8 + self.bystanders(self.now_s)

    # time
    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class FakeVm(Fake):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, shares_kernel=False, shares_clock=False)


@dataclass
class Bench:
    monkeypatch: pytest.MonkeyPatch
    seen: list[Launch] = field(default_factory=list)

    def readings(self, host: Host, isolator: Fake, params: MemoryParams) -> list[Reading]:
        @contextmanager
        def session(agent: Path, launch: Launch, **how: object) -> Iterator[Host]:
            assert (agent, how) == (Path("/a"), {"timeout_s": 9.0, "slots": params.instances[-1]})
            self.seen.append(launch)
            yield host

        self.monkeypatch.setattr(starter, "session", session)
        self.monkeypatch.setattr(memory, "time", host)
        self.monkeypatch.setattr(memory, "read_descendants", host.descendants)
        self.monkeypatch.setattr(memory, "read_pss", host.pss)
        self.monkeypatch.setattr(memory, "read_used_bytes", host.used)
        self.monkeypatch.setattr(memory, "read_bystanders_bytes", host.others)
        tree = cast(CgroupTree, None)
        site = Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/root-fs"), tree)
        cell = Cell(isolator.name, "memory", "hold")
        return list(Memory().measure(cell, isolator, Context(site, params, block=0, timeout_s=9.0)))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def fake() -> Fake:
    return Fake("x", FakeOptions())


def test_each_step_is_a_reading_of_all_instances_held(bench: Bench) -> None:
    host = Host()
    found = bench.readings(host, fake(), MemoryParams(instances=(1, 3)))
    assert [(one.metric, one.unit, one.value) for one in found] == [
        ("footprint", "byte", 600.0 * KIB),
        ("footprint", "byte", 1800.0 * KIB),
    ]
    assert [one.detail["instances"] for one in found] == [1, 3]
    assert host.ended == 1


def test_account_names_the_owners_and_closes(bench: Bench) -> None:
    (found,) = bench.readings(Host(), fake(), MemoryParams(instances=(2,)))
    assert found.detail == {
        "instances": 2,
        "host_change": 1200 * KIB,
        "bystanders_change": 0,
        "workload_pss": 80 * KIB,
        "workload_pss_file": 16 * KIB,
        "helpers_pss": 1000 * KIB,
        "helpers_pss_file": 1800 * KIB,
        "helpers_hold_guest_ram": False,
        "rest": 120 * KIB,
        "harness_pss": 70 * KIB,
        "steady": True,
    }


def test_guest_memory_is_the_helpers_and_the_workload_is_unknown(bench: Bench) -> None:
    (found,) = bench.readings(
        Host(), FakeVm("x", FakeOptions()), MemoryParams(instances=(1,), instances_vm=(1,))
    )
    assert found.detail["workload_pss"] is None
    assert found.detail["helpers_pss"] == 540 * KIB
    assert found.detail["helpers_hold_guest_ram"] is True
    assert found.detail["rest"] == 60 * KIB


def test_memory_of_bystanders_is_told_and_left_out_of_the_figure(bench: Bench) -> None:
    host = Host()
    host.bystanders = lambda _: -50_000 * KIB if host.held else 0
    (found,) = bench.readings(host, fake(), MemoryParams(instances=(1,)))
    assert found.value == 600.0 * KIB
    assert found.detail["bystanders_change"] == -50_000 * KIB
    assert found.detail["host_change"] == (600 - 50_000) * KIB
    assert found.detail["rest"] == 60 * KIB


def test_instance_that_does_not_start_ends_the_block_and_loses_no_step_before(bench: Bench) -> None:
    host = Host(
        ready=lambda slot: (
            READY if slot < 2 else Event("ready", status=Status.TIMEOUT, reason="not ready in time")
        )
    )
    found = bench.readings(host, fake(), MemoryParams())
    assert [one.status for one in found] == [Status.OK, Status.OK, Status.TIMEOUT]
    assert (found[2].reason, found[2].value) == ("instance 3: not ready in time", None)
    assert found[2].detail == {"instances": 4}
    assert host.ended == 1


def test_instance_that_does_not_end_well_is_a_failed_reading_and_loses_no_step(bench: Bench) -> None:
    bad = Event("exit", 1, Status.FAILED, "remove cgroup /x: Device or resource busy")
    host = Host(end_of=lambda slot: bad if slot == 1 else Event("exit", slot))
    found = bench.readings(host, fake(), MemoryParams(instances=(1, 2)))
    assert [(one.status, one.value is None) for one in found] == [
        (Status.OK, False),
        (Status.OK, False),
        (Status.FAILED, True),
    ]
    assert found[2].reason == "instance 2: remove cgroup /x: Device or resource busy"


def test_failed_start_that_is_told_again_at_its_end_is_one_reading(bench: Bench) -> None:
    late = Event("ready", 0, Status.TIMEOUT, "not ready in time")
    host = Host(ready=lambda _: late, end_of=lambda _: replace(late, kind="exit"))
    (found,) = bench.readings(host, fake(), MemoryParams())
    assert (found.status, found.reason) == (Status.TIMEOUT, "instance 1: not ready in time")


def test_instance_that_says_something_else_fails_the_step(bench: Bench) -> None:
    host = Host(ready=lambda _: replace(READY, output="hello\n"))
    (found,) = bench.readings(host, fake(), MemoryParams())
    assert found.status is Status.FAILED
    assert "instance 1: " in str(found.reason)
    assert "'hello'" in str(found.reason)


def test_workload_not_found_by_its_command_line_fails_the_step(bench: Bench) -> None:
    (found,) = bench.readings(Host(argv=("other",)), fake(), MemoryParams())
    assert found.status is Status.FAILED
    assert "of 1 instances 0 are found" in str(found.reason)


def test_instances_are_prepared_for_the_last_step(bench: Bench) -> None:
    bench.readings(Host(), fake(), MemoryParams(instances=(1, 2)))
    assert bench.seen[0].spawn == HOLD


@given(st.builds(HostState), st.builds(HostState), st.none() | st.builds(Pss), st.builds(Pss))
def test_account_always_closes(before: HostState, now: HostState, workload: Pss | None, helpers: Pss) -> None:
    found = ledger(4, before, now, Owners(workload, helpers, 1))
    parts = ("workload_pss", "helpers_pss", "rest", "bystanders_change")
    assert sum(cast(int, found[part] or 0) for part in parts) == found["host_change"]
    assert found["host_change"] == now.used - before.used


class Pulse:
    """A host whose net use follows a script, and time that passes only in sleep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, values: Iterable[int]) -> None:
        self._values = iter(values)
        self._now_s = 0.0
        monkeypatch.setattr(memory, "time", self)

    def read(self) -> HostState:
        return HostState(next(self._values), 0)

    def monotonic(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds


def test_settle_waits_until_two_readings_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse(monkeypatch, [0, 900 * KIB, 400 * KIB, 440 * KIB, 0])
    assert settle(pulse.read) == (HostState(440 * KIB, 0), True)


def test_settle_gives_up_after_a_second_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse(monkeypatch, (number * 999 * KIB for number in range(1000)))
    state, steady = settle(pulse.read)
    assert not steady
    assert 1.0 <= pulse.monotonic() < 1.2
    assert state.used == round(pulse.monotonic() / 0.05) * 999 * KIB


@pytest.mark.parametrize("counts", [[], [2, 1], [1, 1], [0, 1], [-1], [1.5], [True], ["1"]])
def test_bad_numbers_of_instances_are_refused(counts: list[Any]) -> None:
    with pytest.raises(ValidationError):
        MemoryParams.model_validate({"instances": counts})


def test_numbers_out_of_order_are_shown_in_the_refusal() -> None:
    with pytest.raises(ValidationError, match=r"must ascend, found \[4, 2\]"):
        MemoryParams.model_validate({"instances_vm": [4, 2]})


def test_cell_has_all_blocks_and_virtual_machines_are_expected_to_take_longer() -> None:
    process, guest = fake().capabilities, FakeVm("x", FakeOptions()).capabilities
    (cell,) = Memory().cells("x", process, MemoryParams(), 7)
    assert (cell.id, cell.blocks) == ("memory/x/hold", 7)
    params = MemoryParams()
    assert Memory().expected_s(cell, guest, params) > Memory().expected_s(cell, process, params) > 0

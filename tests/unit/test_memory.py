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
from isobench.benchmarks import ledger, memory
from isobench.benchmarks.contract import Context
from isobench.benchmarks.hostmemory import HostMemory, Pss
from isobench.benchmarks.ledger import (
    LINES,
    Owners,
    Peak,
    Shortage,
    Snapshot,
    balance,
    beside,
    estimate_each,
    settle,
)
from isobench.benchmarks.memory import Memory, MemoryParams
from isobench.benchmarks.processes import Process
from isobench.errors import CgroupError, CgroupGoneError
from isobench.isolators.cgroup import CgroupTree
from isobench.isolators.contract import Site
from isobench.isolators.fake import Fake, FakeOptions
from isobench.model import NO_LIMITS, Bundle, Capabilities, Cell, Event, Launch, Limits, Reading, Status, Step

KIB = 1024
AGENT_PID = 10
HOLD = ("/root-fs/isoagent", "hold")
READY = Event(kind="ready", output='{"verb":"hold","t":5,"pid":1}\n')
DAEMON_PID = 50
MONITOR = ("monitor", "--quiet")


@dataclass
class Host:
    """A host and an agent; each instance is a workload of 40 KiB, a monitor of 500, and 60 of kernel.

    Of the kernel's 60, 25 are slab, 8 page tables and 16 a stack; the daemon grows by 10 an instance, and two
    zombies and a child the daemon always had are about.
    """

    held: int = 0
    started: int = 0
    now_s: float = 0.0
    bystanders: Callable[[float], int] = lambda _: 0
    ready: Callable[[int], Event] = lambda _: READY
    gone: tuple[int, ...] = ()
    ended: int = 0
    end_of: Callable[[int], Event] = lambda slot: Event("exit", slot)
    pid: int = AGENT_PID
    daemons: tuple[int, ...] = ()
    lack: Callable[[int, float], Shortage | None] = lambda _held, _needed: None

    # starter.Session
    def start(self) -> Event:
        event = replace(self.ready(self.held), pid=100 + 2 * self.held)
        self.started += 1
        self.held += event.status is Status.OK
        return event

    def end(self) -> tuple[Event, ...]:
        self.ended += 1
        return tuple(self.end_of(slot) for slot in range(self.started))

    # what /proc shows
    def table(self) -> tuple[Process, ...]:
        instances = (
            process
            for slot in range(self.held)
            for process in (
                Process(100 + 2 * slot, AGENT_PID, MONITOR),
                Process(101 + 2 * slot, 100 + 2 * slot, ("renamed by itself",)),
            )
        )
        others = (
            Process(AGENT_PID, 1, ("agent",)),
            Process(DAEMON_PID, 1, ("daemon",)),
            Process(51, DAEMON_PID, ("its own child",)),
            Process(99, AGENT_PID, ()),
        )
        return (*others, *(p for p in instances if p.pid not in self.gone))

    def programs(self, names: Collection[str]) -> tuple[int, ...]:
        return self.daemons if names else ()

    def pss(self, pids: Iterable[int]) -> Pss:
        return sum(map(self._pss, pids), Pss())

    def _pss(self, pid: int) -> Pss:
        if pid == DAEMON_PID:
            return Pss((900 + 10 * self.held) * KIB)
        if pid < 100:
            return Pss(70 * KIB if pid == AGENT_PID else 0)
        return Pss(40 * KIB, file=8 * KIB) if pid % 2 else Pss(490 * KIB, 10 * KIB, 900 * KIB)

    def host(self, *, stacks_mapped: bool | None) -> HostMemory:
        assert stacks_mapped is True
        growth = 600 + (10 if self.daemons else 0)
        return HostMemory(
            used=10**9 + self.held * growth * KIB + self.bystanders(self.now_s),
            slab=10**7 + self.held * 25 * KIB,
            page_tables=10**6 + self.held * 8 * KIB,
            stacks=10**6 + self.held * 16 * KIB,
            percpu=10**6,
            vmalloc=None,
            shmem=10**5 + self.held * 13 * KIB,
            cache=10**8 - self.held * 4096,
            slab_reclaimable=10**7,
            sockets=self.held * 4096,
        )

    def others(self, apart: Collection[int]) -> Pss:
        assert {*self.daemons} <= {*apart}
        assert {p.pid for p in self.table() if p.pid >= 99} <= {*apart}
        assert not {51, AGENT_PID} & {*apart}
        return Pss(10**8 + self.bystanders(self.now_s))

    # time
    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Supervised(Fake):
    """Its workload is a child of the process that was started."""

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        with super().prepare(site, bundle, limits, slots) as launch:
            yield replace(launch, supervised=True)


class Served(Supervised):
    """A daemon serves its instances."""

    def daemons(self) -> tuple[str, ...]:
        return ("daemon",)


class FakeVm(Fake):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, shares_kernel=False, shares_clock=False)

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        with super().prepare(site, bundle, limits, slots) as launch:
            yield replace(launch, guest_memory_bytes=128 * KIB * KIB)


class NoTree:
    """A host without cgroups."""

    def of(self, pid: int) -> None:
        raise CgroupError(f"process {pid} is in none")


@dataclass
class Bench:
    monkeypatch: pytest.MonkeyPatch
    work: Path
    guest_ram: int | None = 300 * KIB
    seen: list[Launch] = field(default_factory=list)

    def readings(self, host: Host, isolator: Fake, params: MemoryParams) -> list[Reading]:
        """All but that of the peaks."""
        return [one for one in self.all(host, isolator, params) if one.metric == "footprint"]

    def all(self, host: Host, isolator: Fake, params: MemoryParams) -> list[Reading]:
        @contextmanager
        def session(agent: Path, launch: Launch, **how: object) -> Iterator[Host]:
            assert (agent, how) == (Path("/a"), {"timeout_s": 9.0, "slots": params.instances[-1]})
            self.seen.append(launch)
            yield host

        self.monkeypatch.setattr(starter, "session", session)
        self.monkeypatch.setattr(ledger, "time", host)
        self.monkeypatch.setattr(ledger, "read_all", host.table)
        self.monkeypatch.setattr(ledger, "read_programs", host.programs)
        self.monkeypatch.setattr(ledger, "read_stacks_mapped", lambda: True)
        self.monkeypatch.setattr(ledger, "read_pss", host.pss)
        self.monkeypatch.setattr(ledger, "read_host", host.host)
        self.monkeypatch.setattr(ledger, "read_bystanders", host.others)
        self.monkeypatch.setattr(ledger, "read_guest_ram", lambda _pid, _size: self.guest_ram)
        self.monkeypatch.setattr(ledger, "read_peak_bytes", lambda pid: pid * KIB)
        self.monkeypatch.setattr(memory, "shortage", lambda needed: host.lack(host.held, needed))
        tree = cast(CgroupTree, NoTree())
        site = Site("isobench-0", self.work, Path("/c"), Path("/a"), Path("/root-fs"), tree)
        cell = Cell(isolator.name, "memory", "hold")
        return list(Memory().measure(cell, isolator, Context(site, params, block=0, timeout_s=9.0)))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, tmp_path)


def fake() -> Fake:
    return Supervised("x", FakeOptions())


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
        "workload_pss": 80 * KIB,
        "guest_ram_pss": None,
        "helpers_pss": 1000 * KIB,
        "daemons_change": 0,
        "kernel_slab": 50 * KIB,
        "kernel_page_tables": 16 * KIB,
        "kernel_stacks": 32 * KIB,
        "kernel_percpu": 0,
        "kernel_vmalloc": None,
        "shmem_unmapped": 6 * KIB,
        "unattributed": 16 * KIB,
        "host_change": 1200 * KIB,
        "bystanders_change": 0,
        "workload_pss_file": 16 * KIB,
        "helpers_pss_file": 1800 * KIB,
        "helpers_hold_guest_ram": False,
        "page_cache_change": -8192,
        "page_cache_charged": None,
        "slab_reclaimable_change": 0,
        "sockets_change": 8192,
        "harness_pss": 70 * KIB,
        "steady": True,
    }


def test_workload_of_an_instance_that_is_its_process_is_that_with_its_children(bench: Bench) -> None:
    (found,) = bench.readings(Host(), Fake("x", FakeOptions()), MemoryParams(instances=(2,)))
    assert (found.detail["workload_pss"], found.detail["helpers_pss"]) == (1080 * KIB, 0)


def test_guest_ram_is_told_from_what_its_vmm_takes(bench: Bench) -> None:
    params = MemoryParams(instances=(2,), instances_vm=(2,))
    (found,) = bench.readings(Host(), FakeVm("x", FakeOptions()), params)
    assert (found.detail["workload_pss"], found.detail["guest_ram_pss"]) == (None, 600 * KIB)
    assert found.detail["helpers_pss"] == 480 * KIB
    assert found.detail["helpers_hold_guest_ram"] is False


def test_guest_ram_that_is_not_found_is_said_to_be_in_the_helpers(bench: Bench) -> None:
    bench.guest_ram = None
    params = MemoryParams(instances=(1,), instances_vm=(1,))
    (found,) = bench.readings(Host(), FakeVm("x", FakeOptions()), params)
    assert (found.detail["helpers_pss"], found.detail["guest_ram_pss"]) == (540 * KIB, None)
    assert found.detail["helpers_hold_guest_ram"] is True


def test_daemon_that_served_before_is_told_by_its_growth(bench: Bench) -> None:
    host = Host(daemons=(DAEMON_PID,))
    (found,) = bench.readings(host, Served("x", FakeOptions()), MemoryParams(instances=(4,)))
    assert (found.detail["daemons_change"], found.value) == (40 * KIB, 2440.0 * KIB)
    assert found.detail["helpers_pss"] == 2000 * KIB


def test_peak_is_the_median_over_the_instances_at_the_last_step(bench: Bench) -> None:
    *_, peak = bench.all(Host(), fake(), MemoryParams(instances=(1, 3)))
    assert (peak.metric, peak.value) == ("peak", 103.0 * KIB)
    assert peak.detail == {
        "instances": 3,
        "least": 101 * KIB,
        "greatest": 105 * KIB,
        "charged": None,
        "charged_to_runtime": None,
    }


def test_memory_of_bystanders_is_told_and_left_out_of_the_figure(bench: Bench) -> None:
    host = Host()
    host.bystanders = lambda _: -50_000 * KIB if host.held else 0
    (found,) = bench.readings(host, fake(), MemoryParams(instances=(1,)))
    assert found.value == 600.0 * KIB
    assert found.detail["bystanders_change"] == -50_000 * KIB
    assert found.detail["host_change"] == (600 - 50_000) * KIB
    assert found.detail["unattributed"] == 8 * KIB


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


@pytest.mark.parametrize("gone", [(100, 101), (101,)], ids=["all of it", "its workload"])
def test_instance_that_ends_while_it_is_held_fails_the_step(bench: Bench, gone: tuple[int, ...]) -> None:
    found = bench.readings(Host(gone=gone), fake(), MemoryParams(instances=(1, 2)))
    assert [(one.status, one.value) for one in found] == [(Status.FAILED, None)]
    assert found[0].reason == "instance 1: it has ended while it was held (process 100)"


def test_instance_whose_cgroup_vanishes_fails_the_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_tree: NoTree, pid: int) -> None:
        raise CgroupGoneError(f"process {pid} has ended: it is in no cgroup")

    monkeypatch.setattr(NoTree, "of", gone)
    (found,) = bench.readings(Host(), fake(), MemoryParams(instances=(1, 2)))
    assert found.status is Status.FAILED
    assert found.reason == "instance 1: process 101 has ended: it is in no cgroup"


def test_step_the_host_cannot_hold_is_refused_before_it_begins(bench: Bench) -> None:
    def lack(_held: int, needed: float) -> Shortage | None:
        return Shortage(needed, 900 * KIB * KIB, 256 * KIB * KIB) if needed > 1000 * KIB else None

    host = Host(lack=lack)
    one, refused = bench.readings(host, fake(), MemoryParams(instances=(1, 8, 16)))
    assert (one.status, refused.status, host.started) == (Status.OK, Status.UNAVAILABLE, 1)
    assert refused.reason == (
        "8 instances, of which 1 run, need some 4 MiB more; "
        "this host has 900 MiB available, of which 256 MiB are left to it"
    )
    assert refused.remedy == "leave 8 and more out of the numbers of instances in [memory]"


def test_step_is_left_where_the_host_proves_to_be_full(bench: Bench) -> None:
    host = Host(lack=lambda held, needed: Shortage(needed, 1, 2) if held == 5 else None)
    (refused,) = bench.readings(host, fake(), MemoryParams(instances=(8,)))
    assert (refused.status, host.started, host.ended) == (Status.UNAVAILABLE, 5, 1)
    assert "8 instances, of which 5 run" in str(refused.reason)


@pytest.mark.parametrize(
    ("found", "each"), [([], 0), ([(4, 400)], 100), ([(1, 300), (2, 350)], 300), ([(1, 10), (3, 70)], 30)]
)
def test_next_instance_is_expected_to_take_what_the_steepest_step_did(
    found: list[tuple[int, float]], each: float
) -> None:
    assert estimate_each(found) == each


def test_peak_of_a_group_is_forgotten_after_the_creation_and_before_the_start(tmp_path: Path) -> None:
    steps = (Step(("runc", "create"), phase="created"), Step(("runc", "start")))
    launch = Launch(host_argv=("x",), adopt="/pid", steps=steps, peak_reset="/group-{n}/peak")
    found = memory._Charges(launch, tmp_path).launch.steps
    assert (found[0], found[2]) == steps
    assert found[1].argv[-2:] == ("/group-{n}/peak", str(tmp_path / "reset-{n}"))


@pytest.mark.parametrize(("peak", "said"), [(500, "at most"), (501, "workload")])
def test_peak_of_a_group_is_the_workloads_only_above_what_the_runtime_held(
    tmp_path: Path, peak: int, said: str
) -> None:
    steps = (Step(("runc", "create"), phase="created"),)
    charges = memory._Charges(Launch(("x",), adopt="/pid", steps=steps, peak_reset="/peak"), tmp_path)
    (tmp_path / "reset-0").write_text("500\n")
    found = charges.reading([Peak(100, peak)])
    assert found
    assert (found.detail["charged"], found.detail["charged_to_runtime"]) == (peak, 500)
    assert found.detail["charged_is"] == said


@pytest.mark.parametrize(("supervised", "said"), [(True, "at most"), (False, "workload")])
def test_peak_of_a_group_with_a_runtime_that_is_not_forgotten_is_an_upper_bound(
    tmp_path: Path, *, supervised: bool, said: str
) -> None:
    charges = memory._Charges(Launch(("x",), spawn=("x",), supervised=supervised), tmp_path)
    found = charges.reading([Peak(100, 300), Peak(300, 400), Peak(200, 500)])
    assert found
    assert (found.value, found.detail["charged"], found.detail["charged_is"]) == (200, 400, said)


def test_instances_are_prepared_for_the_last_step(bench: Bench) -> None:
    bench.readings(Host(), fake(), MemoryParams(instances=(1, 2)))
    assert bench.seen[0].spawn == HOLD


@given(
    st.builds(Snapshot),
    st.builds(Snapshot),
    st.builds(Owners, daemons=st.builds(Pss), helpers=st.builds(Pss)),
)
def test_account_always_closes(before: Snapshot, now: Snapshot, owners: Owners) -> None:
    lines, rest = balance(before, now, owners), beside(before, now, owners)
    assert set(lines) == set(LINES)
    total = sum(value for value in lines.values() if value is not None)
    assert total == now.net - before.net
    assert (
        total + cast(int, rest["bystanders_change"])
        == rest["host_change"]
        == now.host.used - before.host.used
    )


class Pulse:
    """A host whose net use follows a script, and time that passes only in sleep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, values: Iterable[int]) -> None:
        self._values = iter(values)
        self._now_s = 0.0
        monkeypatch.setattr(ledger, "time", self)

    def read(self) -> Snapshot:
        return snapshot(next(self._values))

    def monotonic(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds


def snapshot(used: int) -> Snapshot:
    return Snapshot(replace(Host().host(stacks_mapped=True), used=used), Pss())


def test_settle_waits_until_two_readings_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse(monkeypatch, [0, 900 * KIB, 400 * KIB, 440 * KIB, 0])
    assert settle(pulse.read) == (snapshot(440 * KIB), True)


def test_settle_gives_up_after_a_second_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse(monkeypatch, (number * 999 * KIB for number in range(1000)))
    state, steady = settle(pulse.read)
    assert not steady
    assert 1.0 <= pulse.monotonic() < 1.2
    assert state.host.used == round(pulse.monotonic() / 0.05) * 999 * KIB


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

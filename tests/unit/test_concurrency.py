"""startup-concurrency over scripted events."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from isobench import starter
from isobench.benchmarks.arrivals import account
from isobench.benchmarks.concurrency import (
    Concurrency,
    ConcurrencyParams,
    attempt_reading,
    load_of,
    rate_reading,
    refused,
)
from isobench.benchmarks.contract import Context
from isobench.benchmarks.room import MEMORY, Resource
from isobench.isolators.cgroup import CgroupTree
from isobench.isolators.contract import Site
from isobench.isolators.fake import Fake, FakeOptions
from isobench.model import Capabilities, Cell, Event, Launch, Reading, Status
from isobench.starter import Load

PROCESS = Capabilities(phases=frozenset({"invoke", "spawned", "first_instruction", "ready", "exit"}))
VM = replace(PROCESS, shares_clock=False, shares_kernel=False)

ATTEMPT = Event(
    kind="attempt",
    invoke_ns=5_000_000,
    phases_ns={"ready": 500_000, "exit": 600_000},
    output='{"verb":"ready","t":5400000,"pid":7}\n',
)
END = Event(kind="end", t_ns=4_000_000)


def cell(**params: str | float) -> Cell:
    return Cell("x", "startup-concurrency", "ready", params)


def test_cells_are_a_closed_loop_for_each_k_and_an_open_one_for_each_rate() -> None:
    params = ConcurrencyParams(closed=(1, 8), rates=(2.5,), closed_vm=(2,), rates_vm=())
    assert [cell.id for cell in Concurrency().cells("x", PROCESS, params, 3)] == [
        "startup-concurrency/x/ready/k=1/loop=closed",
        "startup-concurrency/x/ready/k=8/loop=closed",
        "startup-concurrency/x/ready/loop=open/rate=2.5",
    ]
    assert [cell.params for cell in Concurrency().cells("v", VM, params, 3)] == [{"loop": "closed", "k": 2}]


def test_closed_loop_ends_after_its_window_or_twenty_starts_a_worker() -> None:
    params = ConcurrencyParams(starts=100, window_s=3.0)
    assert load_of(cell(loop="closed", k=2), PROCESS, params, seed="") == Load(2, 3.0, starts=100)
    assert load_of(cell(loop="closed", k=16), PROCESS, params, seed="") == Load(16, 3.0, starts=320)


def test_open_loop_offers_its_rate_over_the_window_and_needs_no_more_workers_than_arrivals() -> None:
    params = ConcurrencyParams(window_s=2.0, in_flight=7, starts=50)
    found = load_of(cell(loop="open", rate=2.0), PROCESS, params, seed="")
    assert (found.workers, found.window_s) == (4, 2.0)
    assert found.due_ns == (0, 500_000_000, 1_000_000_000, 1_500_000_000)
    many = load_of(cell(loop="open", rate=1000.0), PROCESS, params, seed="")
    assert (many.workers, many.window_s, len(many.due_ns or ())) == (7, 0.05, 50)


def test_poisson_arrivals_after_the_window_are_not_offered_and_hang_on_the_seed() -> None:
    params = ConcurrencyParams(window_s=1.0, arrivals="poisson", starts=40)
    one, same, other = (load_of(cell(loop="open", rate=40.0), PROCESS, params, seed=seed) for seed in "aab")
    assert one == same != other
    assert one.due_ns
    assert max(one.due_ns) < 1e9


def test_start_of_a_closed_loop_is_measured_from_its_invoke() -> None:
    found = attempt_reading(ATTEMPT, PROCESS)
    assert (found.metric, found.value, found.status) == ("ready", 0.0005, Status.OK)
    assert "waited_s" not in found.detail


def test_start_of_an_open_loop_is_measured_from_when_it_was_due() -> None:
    found = attempt_reading(replace(ATTEMPT, intended_ns=3_000_000, late=True), PROCESS)
    assert found.value == pytest.approx(0.0025)
    assert (found.detail["waited_s"], found.detail["late"]) == (0.002, True)
    assert found.phases["ready"] == 0.0005


def test_start_that_failed_has_no_value_however_long_it_waited() -> None:
    event = replace(ATTEMPT, intended_ns=1, status=Status.FAILED, reason="why")
    found = attempt_reading(event, PROCESS)
    assert (found.value, found.status, found.reason) == (None, Status.FAILED, "why")


@pytest.mark.parametrize(
    ("events", "ok", "reason"),
    [
        ([], [], "not one start ended well"),
        ([ATTEMPT], [False], "not one start ended well"),
        ([ATTEMPT], [True], "none of the 1 starts was over within the window of 0.001 s"),
    ],
)
def test_window_without_a_completed_start_has_no_rate(
    events: list[Event], ok: list[bool], reason: str
) -> None:
    load = Load(1, 0.001, due_ns=(0,))
    found = rate_reading(account(load, 4_000_000, events, ok), load)
    assert (found.metric, found.value, found.status, found.reason) == ("rate", None, Status.FAILED, reason)


ROOM = {
    MEMORY: Resource(0, 2**30, 0, "free memory"),
    "file descriptors of the agent (RLIMIT_NOFILE)": Resource(0, 100, 0, "ulimit -n 9"),
    "processes in /g (pids.max)": Resource(0, 1000, 0, "echo max > /g/pids.max"),
}


@pytest.mark.parametrize(
    ("workers", "capabilities", "reason", "remedy"),
    [
        (32, PROCESS, None, None),
        (33, PROCESS, "33 at once may need 1056 MiB of memory, 1024 are available", "free memory"),
        (4, VM, None, None),
        (5, VM, "5 at once may need 1280 MiB of memory, 1024 are available", "free memory"),
    ],
)
def test_more_than_the_host_can_hold_is_refused_with_reason_and_remedy(
    workers: int, capabilities: Capabilities, reason: str | None, remedy: str | None
) -> None:
    found = refused(workers, capabilities, ROOM)
    assert (found.reason, found.remedy) == (reason, remedy) if found else reason is None
    assert found is None or (found.status is Status.UNAVAILABLE and found.value is None)


@pytest.mark.parametrize(
    ("what", "most"),
    [("file descriptors of the agent (RLIMIT_NOFILE)", 100), ("processes in /g (pids.max)", 62)],
)
def test_descriptors_and_processes_bound_the_number_too(what: str, most: int) -> None:
    room = {what: ROOM[what]}
    assert refused(most, PROCESS, room) is None
    found = refused(most + 1, PROCESS, room)
    assert found
    assert what in str(found.reason)


def measured(
    monkeypatch: pytest.MonkeyPatch, events: list[Event], room: dict[str, Resource]
) -> list[Reading]:
    def concurrent(agent: Path, _launch: Launch, load: Load, *, timeout_s: float) -> Iterator[Event]:
        assert (agent, timeout_s, load.workers) == (Path("/a"), 9.0, 3)
        yield from events

    monkeypatch.setattr(starter, "concurrent", concurrent)
    monkeypatch.setattr("isobench.benchmarks.concurrency.survey", lambda *_: room)
    site = Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/root-fs"), cast(CgroupTree, None))
    context = Context(site, ConcurrencyParams(), block=0, timeout_s=9.0)
    return list(Concurrency().measure(cell(loop="closed", k=3), Fake("x", FakeOptions()), context))


def test_each_start_is_a_reading_and_the_last_is_the_rate_without_the_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = replace(ATTEMPT, status=Status.FAILED, reason="why")
    lying = replace(ATTEMPT, output="x\n")
    found = measured(monkeypatch, [ATTEMPT, bad, lying, ATTEMPT, END], ROOM)
    assert [one.metric for one in found] == ["ready"] * 4 + ["rate"]
    assert [one.status.value for one in found] == ["ok", "failed", "failed", "ok", "ok"]
    rate = found[-1]
    assert rate.value == pytest.approx(1.0)
    assert (rate.detail["completed"], rate.detail["failed"], rate.detail["workers"]) == (2, 2, 3)


def test_nothing_is_started_where_the_host_cannot_hold_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = measured(monkeypatch, [], {MEMORY: Resource(0, 2**20, 0, "free memory")})
    assert found.status is Status.UNAVAILABLE


@pytest.mark.parametrize(
    "table",
    [
        {"closed": [0]},
        {"closed": [513]},
        {"rates": [0.0]},
        {"rates": [1e9]},
        {"window_s": 0},
        {"starts": 0},
        {"arrivals": "bursty"},
        {"in_flight": 513},
        {"k": 1},
    ],
    ids=str,
)
def test_bad_parameter_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ConcurrencyParams.model_validate(table)

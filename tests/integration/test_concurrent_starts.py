"""Concurrent starts of real isolators; the host must be as it was afterwards."""

import os
from pathlib import Path
from typing import Any

import pytest

from isobench import starter
from isobench.benchmarks.arrivals import account, in_flight_max
from isobench.benchmarks.concurrency import Concurrency, ConcurrencyParams
from isobench.benchmarks.contract import Context
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.isolators.registry import REGISTRY
from isobench.model import Cell, Reading, Scalar, Status
from isobench.starter import Load, concurrent

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]


def isolator(kind: str) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    return cls(kind, cls.Options())


def measured(site: Site, kind: str, params: dict[str, Scalar], **more: object) -> list[Reading]:
    table = ConcurrencyParams.model_validate(more)
    cell = Cell(kind, "startup-concurrency", "ready", params)
    context = Context(site, table, block=0, timeout_s=60)
    return list(Concurrency().measure(cell, isolator(kind), context))


@pytest.mark.parametrize(
    ("kind", "k"), [("bare", 8), ("namespaces", 8), ("cgroups", 8), ("lxc", 4), ("runc", 8)]
)
def test_closed_loop_of_a_real_isolator_is_well_and_leaves_nothing(site: Site, kind: str, k: int) -> None:
    *starts, rate = measured(site, kind, {"loop": "closed", "k": k}, window_s=60.0, starts=3 * k)
    assert [(one.status, one.reason) for one in starts if one.status is not Status.OK] == []
    # Not fewer than 20 a starter, so that a window is not only its beginning.
    assert len(starts) == 20 * k
    assert rate.metric == "rate"
    assert rate.value
    assert (rate.detail["in_flight_max"], rate.detail["missed"], rate.detail["failed"]) == (k, 0, 0)


def test_rate_beyond_what_runc_can_do_gives_late_and_missed_arrivals(site: Site) -> None:
    *starts, rate = measured(
        site, "runc", {"loop": "open", "rate": 2000.0}, window_s=2.0, starts=4000, in_flight=4
    )
    assert {one.status for one in starts} == {Status.OK}
    detail = rate.detail
    late, missed, offered = (int(detail[key] or 0) for key in ("late", "missed", "offered"))
    assert offered == 4000
    assert missed == offered - len(starts) > 0
    assert late == sum(bool(one.detail["late"]) for one in starts) >= len(starts) - 4
    assert int(detail["in_flight_max"] or 0) <= 4
    waited = [float(one.detail["waited_s"] or 0) for one in starts]
    # The queue grows to the end of the window, and all of it is in the figures.
    assert max(waited) > 1.0
    assert all(one.value and one.value > wait for one, wait in zip(starts, waited, strict=True))


@pytest.mark.parametrize("kind", ["bare", "namespaces"])
def test_more_than_a_hundred_are_in_flight_at_once(site: Site, kind: str) -> None:
    spin = agent_bundle(site, "spin", "--window-us", "1500000", "--period-us", "100000")
    with isolator(kind).prepare(site, spin, slots=128) as launch:
        *events, end = concurrent(site.agent, launch, Load(128, 60.0, starts=128), timeout_s=60)
    assert [(event.status, event.reason) for event in events] == [(Status.OK, None)] * 128
    assert in_flight_max(events) > 100
    found = account(Load(128, 60.0, starts=128), end.t_ns, events, [True] * 128)
    assert found.begun == 128


@pytest.mark.parametrize("kind", ["bare", "namespaces"])
def test_more_than_a_hundred_are_held_at_once_and_one_can_be_stopped(site: Site, kind: str) -> None:
    with (
        isolator(kind).prepare(site, agent_bundle(site, "echo"), slots=120) as launch,
        starter.session(site.agent, launch, timeout_s=60, slots=120) as session,
    ):
        held = [session.start() for _ in range(120)]
        assert {event.status for event in held} == {Status.OK}
        assert len(session.ping(60, 20)) == 20
        ended = session.stop(60, "kill")
        assert (ended.status, ended.slot) == (Status.OK, 60)
        assert not Path(f"/proc/{held[60].pid}").exists()
        assert Path(f"/proc/{held[61].pid}").exists()
        assert session.start(60).status is Status.OK
        assert {event.status for event in session.end()} == {Status.OK}


def test_held_containers_can_be_told_to_end_one_by_one(site: Site) -> None:
    with (
        isolator("runc").prepare(site, agent_bundle(site, "hold"), slots=2) as launch,
        starter.session(site.agent, launch, timeout_s=60, slots=2) as session,
    ):
        assert [session.start().status for _ in range(2)] == [Status.OK] * 2
        for slot, how in ((0, "exit"), (1, "kill")):
            ended = session.stop(slot, "exit" if how == "exit" else "kill")
            assert (ended.status, ended.reason) == (Status.OK, None)
            assert ended.invoke_ns + ended.phases_ns["cleaned"] > ended.stop_ns
        assert session.end() == ()

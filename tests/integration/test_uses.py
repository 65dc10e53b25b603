"""Limits and accounts of real groups; the fixture ``site`` asserts that every group is gone afterwards."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isobench import starter
from isobench.benchmarks.accounting import Accounting, AccountingParams
from isobench.benchmarks.contract import Benchmark, Context, Params
from isobench.benchmarks.freeze import Freeze, FreezeParams
from isobench.benchmarks.limits import LimitsBenchmark, LimitsParams
from isobench.benchmarks.weights import Weights, WeightsParams
from isobench.isolators.cgroup import controllers_of
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.isolators.registry import REGISTRY
from isobench.model import Cell, Limits, Reading, Status

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]

GROUPED = ("cgroups", "lxc", "runc")
MIB = 1 << 20


def make(kind: str, site: Site) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    found = cls(kind, cls.Options())
    readiness = found.probe(site)
    assert readiness.usable, f"{kind}: {readiness.reason}; {readiness.remedy}"
    return found


def readings(
    benchmark: Benchmark[Any], isolator: Isolator[Any], site: Site, params: Params
) -> Iterator[tuple[Cell, list[Reading]]]:
    """Of the cells this host can measure; what it lacks has to come with a remedy."""
    context = Context(site, params, block=0, timeout_s=60.0)
    for cell in benchmark.cells(isolator.name, isolator.capabilities, params, 1):
        lack = benchmark.lack(cell, site)
        if lack is not None and not lack.usable:
            assert lack.remedy
            continue
        yield cell, list(benchmark.measure(cell, isolator, context))


@pytest.fixture
def host_groups(site: Site) -> Iterator[None]:
    """Groups that are not the run's keep their settings; LXC may hand down more of them on v2."""

    def settings() -> dict[str, str]:
        files = (
            "cpuset.cpus",
            "cpuset.mems",
            "cpu.shares",
            "blkio.throttle.*_device",
        )
        return {
            str(file): file.read_text()
            for hierarchy in site.cgroups.hierarchies
            for name in files
            for file in Path(hierarchy.point).glob(name)
        }

    def handed_down() -> set[str]:
        tops = (hierarchy.point / "cgroup.subtree_control" for hierarchy in site.cgroups.hierarchies)
        return {name for top in tops if top.exists() for name in top.read_text().split()}

    before, offered = settings(), handed_down()
    yield
    assert settings() == before
    assert handed_down() >= offered


ENDS = {"cpu": "throttle", "cpuset": "confined", "memory": "oom-kill", "pids": "EAGAIN", "io": "throttle"}


@pytest.mark.parametrize("kind", GROUPED)
@pytest.mark.usefixtures("host_groups")
def test_every_limit_holds_and_its_overrun_ends_in_its_own_way(kind: str, site: Site) -> None:
    found = {
        str(cell.params["limit"]): of
        for cell, of in readings(LimitsBenchmark(), make(kind, site), site, LimitsParams(window_s=0.3))
    }
    assert {"cpu", "memory", "pids"} <= set(found)
    for limit, (one,) in found.items():
        assert (one.status, one.reason) == (Status.OK, None)
        assert one.detail["ends"] == ENDS[limit]
        assert one.detail["read_back"] == one.detail["asked"]
        assert float(one.detail["outside_during_p99_s"] or 0) > 0
    assert found["pids"][0].value == 0.0
    # What is charged to the group besides the bytes touched: page tables, kernel stacks, a runtime's rest.
    assert -0.2 < float(found["memory"][0].value or 0) < 0.0
    if "cpuset" in found:
        assert (found["cpuset"][0].value, found["cpuset"][0].detail["ran_outside"]) == (0.0, "")


@pytest.mark.parametrize("kind", GROUPED)
@pytest.mark.usefixtures("host_groups")
def test_every_account_is_close_to_what_was_used(kind: str, site: Site) -> None:
    params = AccountingParams(cpu_s=0.1, memory_bytes=16 * MIB, write_bytes=4 * MIB, processes=20)
    seen = set()
    for _, of in readings(Accounting(), make(kind, site), site, params):
        for one in of:
            assert (one.status, one.reason) == (Status.OK, None)
            assert abs(float(one.value or 0)) < 0.1, one
            seen.add(one.detail["account"])
    assert {"cpu", "memory", "anonymous", "pids"} <= seen


def test_limit_a_runtime_cannot_start_under_is_a_failed_cell_with_its_words(site: Site) -> None:
    params = LimitsParams(limits=("memory",), memory_bytes=1 << 16, window_s=0.1)
    ((_, (one,)),) = readings(LimitsBenchmark(), make("runc", site), site, params)
    assert (one.status, one.value) == (Status.FAILED, None)
    assert one.reason


def test_one_process_may_be_all_there_is(site: Site) -> None:
    params = LimitsParams(limits=("pids",), processes=1, window_s=0.1)
    ((_, (one,)),) = readings(LimitsBenchmark(), make("cgroups", site), site, params)
    assert (one.value, one.detail["got"], one.detail["ends"]) == (0.0, 1.0, "EAGAIN")


@pytest.mark.parametrize("kind", GROUPED)
def test_frozen_tasks_stand_still_and_go_on_afterwards(kind: str, site: Site) -> None:
    isolator = make(kind, site)
    params = FreezeParams(tasks=(1, 30), repeats=2)
    found = list(readings(Freeze(), isolator, site, params))
    ways = ("file", "tool") if isolator.capabilities.pauses else ("file",)
    assert [(cell.params["how"], cell.params["tasks"]) for cell, _ in found] == [
        (how, tasks) for how in ways for tasks in (1, 30)
    ]
    for _, of in found:
        assert [(one.metric, one.status, one.reason) for one in of] == 2 * [
            ("freeze", Status.OK, None),
            ("thaw", Status.OK, None),
        ]
        assert all(float(one.value or 0) > 0 for one in of)


def test_tool_that_fails_to_freeze_is_told_with_its_name(site: Site) -> None:
    bundle = agent_bundle(site, "herd", "--tasks", "1")
    limits = Limits(accounted=frozenset({"freezer"}))
    with (
        make("cgroups", site).prepare(site, bundle, limits) as launch,
        starter.session(site.agent, launch, timeout_s=9.0, slots=1) as session,
    ):
        event = session.start()
        assert event.pid
        version, directory = controllers_of(site.cgroups).use(event.pid).freezer()
        where = ["--version", str(version), "--group", str(directory)]
        counters = ["--counters", f"/proc/{event.pid}/fd/{json.loads(event.output)['fd']}"]
        pause = ["--pause", "1", "/bin/false"]
        done = subprocess.run(
            [site.agent, "freeze", *where, *counters, *pause], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "/bin/false did not end well" in done.stderr


@pytest.mark.parametrize("kind", GROUPED)
@pytest.mark.usefixtures("host_groups")
def test_heavier_sibling_gets_more(kind: str, site: Site) -> None:
    params = WeightsParams(ratios=((1, 10),), window_s=0.5)
    for _, of in readings(Weights(), make(kind, site), site, params):
        light, heavy, settled = of
        assert [one.status for one in of] == 3 * [Status.OK], [one.reason for one in of]
        assert float(light.detail["weight_in_force"] or 0) < float(heavy.detail["weight_in_force"] or 0)
        assert 0 < float(light.detail["got"] or 0) < 0.3 < float(heavy.detail["got"] or 0)
        assert settled.metric == "settled"

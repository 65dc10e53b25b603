"""Instances really ended, and started beside others: what is seen of it; nothing is left on the host."""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks.contract import Benchmark, Context, Params
from isobench.benchmarks.density import Density, DensityParams
from isobench.benchmarks.processes import read_descendants
from isobench.benchmarks.teardown import Teardown, TeardownParams
from isobench.errors import StarterError
from isobench.isolators import guestkernel, residue
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.lxc import Lxc
from isobench.isolators.registry import REGISTRY
from isobench.isolators.requirements import find_tool
from isobench.isolators.runc import Runc
from isobench.isolators.site import open_site
from isobench.model import NO_LIMITS, Bundle, Launch, Limits, Reading, Status
from isobench.process import run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]

KERNEL = guestkernel.find(None)
"""Looked for before the tests point the state elsewhere."""

needs_guest = pytest.mark.skipif(
    not isinstance(KERNEL, Path) or find_tool("qemu-system-x86_64") is None,
    reason="QEMU or a kernel for its guest is missing: make setup",
)

PROCESSES = ("bare", "chroot", "namespaces", "cgroups", "lxc", "runc")
OWN_NETWORK = {"namespaces", "lxc", "runc"}
OK = (Status.OK, None)


def make(kind: str, site: Site, **options: object) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    found = cls(kind, cls.Options.model_validate(options))
    readiness = found.probe(site)
    assert readiness.usable, f"{kind}: {readiness.reason}; {readiness.remedy}"
    return found


def cell_readings(
    benchmark: Benchmark[Any], subject: Isolator[Any], site: Site, params: Params
) -> dict[str, list[Reading]]:
    """By the cell's id; the fixture ``site`` asserts that nothing is left."""
    context = Context(site, params, block=0, timeout_s=60.0)
    return {
        cell.id: list(benchmark.measure(cell, subject, context))
        for cell in benchmark.cells(subject.name, subject.capabilities, params, 1)
    }


def of(readings: list[Reading], metric: str) -> list[Reading]:
    return [one for one in readings if one.metric == metric]


@pytest.mark.parametrize("kind", PROCESSES)
def test_end_of_every_process_isolator_has_its_parts_in_order(kind: str, site: Site) -> None:
    found = cell_readings(Teardown(), make(kind, site), site, TeardownParams(instances=2))
    assert list(found) == [f"teardown/{kind}/hold/how={how}" for how in ("exit", "kill")]
    for readings in found.values():
        # A busy host may not come to rest: that is told, and is no failure of the end.
        assert all(one.status is Status.OK for one in readings if one.metric != "drained")
        exits, drains = of(readings, "exit"), of(readings, "drained")
        assert (len(exits), len(drains)) == (2, 2)
        cleaned = of(readings, "cleaned")
        assert len(cleaned) == (2 if kind in {"cgroups", "runc"} else 0)
        for first, last in zip(exits, cleaned or drains, strict=True):
            assert 0 < float(first.value or 0) < float(last.value or 9)


@pytest.mark.parametrize("kind", sorted(OWN_NETWORK))
def test_drain_of_a_network_namespace_is_seen_going_on(kind: str, site: Site) -> None:
    found = cell_readings(Teardown(), make(kind, site), site, TeardownParams(how=("kill",), instances=1))
    (readings,) = found.values()
    (drained,) = of(readings, "drained")
    if drained.status is Status.OK:
        assert 0 < float(drained.detail["not_before_s"] or 0) < float(drained.value or 0)


@pytest.mark.parametrize("kind", ["bare", "chroot", "namespaces", "cgroups"])
def test_isolator_without_a_tool_leaves_nothing(kind: str, site: Site) -> None:
    for readings in cell_readings(Teardown(), make(kind, site), site, TeardownParams(instances=2)).values():
        (left,) = of(readings, "residue")
        assert (left.detail["names"], left.detail["instances"]) == ("", 2)


def test_lxc_leaves_its_pivot_groups_and_lock_directory_once_however_many_instances(site: Site) -> None:
    found = cell_readings(Teardown(), Lxc("lxc", Lxc.Options()), site, TeardownParams(instances=3))
    for readings in found.values():
        (left,) = of(readings, "residue")
        assert left.detail["cgroup_count"] == len(site.cgroups.hierarchies)
        assert "cgroup " in str(left.detail["names"])
        assert "(run)-lxc-pivot" in str(left.detail["names"])
        assert "file /run/lxc/lock/" in str(left.detail["names"])
        assert left.detail["after_the_first"] == len(site.cgroups.hierarchies) + 1


def test_runc_leaves_nothing_that_has_a_name(site: Site) -> None:
    found = cell_readings(Teardown(), Runc("runc", Runc.Options()), site, TeardownParams(instances=2))
    for readings in found.values():
        (left,) = of(readings, "residue")
        assert left.detail["names"] == ""
        assert left.value == left.detail["lingering_groups"]


@needs_guest
def test_virtual_machine_powers_off_by_itself_and_when_killed_leaves_its_monitors_socket(site: Site) -> None:
    params = TeardownParams(instances_vm=1)
    told, killed = cell_readings(
        Teardown(), make("qemu", site, kernel=str(KERNEL), accel="tcg"), site, params
    ).values()
    for readings in (told, killed):
        assert [(one.status, one.reason) for one in of(readings, "exit")] == [OK]
    assert of(told, "residue")[0].detail["names"] == ""
    assert str(of(killed, "residue")[0].detail["names"]).endswith("/qmp-0")


class Leaking(Runc):
    """A runc that is to clean up after us: a mounted network namespace, and a link without our name."""

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        with super().prepare(site, bundle, limits, slots) as launch:
            (site.work / "leak").touch()
            try:
                yield launch
            finally:
                run(["umount", site.work / "leak"], timeout_s=20, check=False)
                run(["ip", "link", "delete", link_of(site)], timeout_s=20, check=False)
                (site.work / "leak").unlink()


def link_of(site: Site) -> str:
    return f"leak{site.token[-8:]}"


def test_what_an_isolator_forgets_is_told_by_kind_also_when_it_does_not_bear_our_name(site: Site) -> None:
    subject, params = Leaking("runc", Runc.Options()), TeardownParams(how=("kill",), instances=1)
    (cell,) = Teardown().cells("runc", subject.capabilities, params, 1)
    with closing(Teardown().measure(cell, subject, Context(site, params, 0, 60.0))) as readings:
        found = [next(readings)]  # the end of the only instance; what is left is looked at later
        run(["unshare", f"--net={site.work / 'leak'}", "true"], timeout_s=20)
        peer = ("peer", "name", f"{link_of(site)}p")
        run(["ip", "link", "add", link_of(site), "type", "veth", *peer], timeout_s=20)
        found += readings
    (left,) = of(found, "residue")
    assert left.detail["mount_count"] == 1
    assert f"link {link_of(site)}" in str(left.detail["unnamed"])
    assert "network namespace net:[" in str(left.detail["unnamed"])


@contextmanager
def meddling(act: Callable[[int], bool]) -> Iterator[None]:
    """Try ``act`` on the agent of a session from another thread, until it says that it has acted."""
    over = threading.Event()

    def meddle() -> None:
        while not over.is_set():
            for process in read_descendants(os.getpid()):
                if process.argv[1:2] == ("start",) and act(process.pid):
                    return
            time.sleep(0.001)

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def held_below(agent: int) -> list[int]:
    return [process.pid for process in read_descendants(agent) if process.argv[-1:] == ("hold",)]


@pytest.mark.parametrize("kind", ["bare", "namespaces", "cgroups"])
def test_instance_that_dies_by_itself_while_others_are_started_fails_its_level(kind: str, site: Site) -> None:
    def kill_the_first(agent: int) -> bool:
        held = held_below(agent)
        if len(held) < 3:
            return False
        kill(held[0])
        return True

    params = DensityParams(running=(3,), probes=20, warmups=0)
    with meddling(kill_the_first):
        (readings,) = cell_readings(Density(), make(kind, site), site, params).values()
    bad = [one for one in readings if one.status is not Status.OK]
    assert bad
    assert all(one.value is None and one.reason for one in bad)


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("kind", PROCESSES)
def test_agent_killed_in_the_middle_is_an_error_and_the_host_is_clean_at_its_end(
    kind: str,
) -> None:
    def kill_it(agent: int) -> bool:
        if len(held_below(agent)) < 3:
            return False
        kill(agent)
        return True

    params = DensityParams(running=(3,), probes=50, warmups=0)
    with open_site() as site, meddling(kill_it), pytest.raises(StarterError):
        cell_readings(Density(), make(kind, site), site, params)
    assert residue.find(site.token) == ()


def test_tool_that_vanishes_before_the_end_makes_it_a_failure_with_a_reason(
    site: Site, tmp_path: Path
) -> None:
    real = Path(str(make("runc", site).tools()[0]))
    tool = tmp_path / "runc"
    tool.write_text(f'#!/bin/sh\ncase "$*" in *delete*) exit 7;; esac\nexec {real} "$@"\n')
    tool.chmod(0o755)
    (readings, _) = cell_readings(
        Teardown(), make("runc", site, binary=str(tool)), site, TeardownParams(instances=2)
    ).values()
    (failed,) = readings
    assert (failed.metric, failed.status) == ("exit", Status.FAILED)
    assert "7" in str(failed.reason)


@pytest.mark.parametrize("kind", PROCESSES)
def test_start_beside_others_is_measured_at_each_level(kind: str, site: Site) -> None:
    params = DensityParams(running=(0, 4), probes=3)
    for name, readings in cell_readings(Density(), make(kind, site), site, params).items():
        assert [(one.status, one.reason) for one in readings] == [OK] * len(readings)
        level = int(name.rpartition("=")[2])
        assert len(of(readings, "ready")) == 4
        assert [one.detail.get("warmup") for one in of(readings, "ready")] == [True, None, None, None]
        assert {one.detail["running"] for one in of(readings, "ready")} == {level}
        assert len(of(readings, "footprint")) == (level > 0)


@needs_guest
def test_virtual_machine_is_started_beside_another(site: Site) -> None:
    params = DensityParams(running_vm=(1,), probes_vm=1)
    (readings,) = cell_readings(
        Density(), make("qemu", site, kernel=str(KERNEL), accel="tcg"), site, params
    ).values()
    assert [(one.metric, one.status) for one in readings] == [
        ("footprint", Status.OK),
        ("ready", Status.OK),
    ]


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_level_beyond_what_the_host_can_hold_is_marked_with_what_is_missing(site: Site) -> None:
    params = DensityParams(running=(500,))
    (readings,) = cell_readings(Density(), make("bare", site), site, params).values()
    (found,) = readings
    assert (found.metric, found.status, found.value) == ("ready", Status.UNAVAILABLE, None)
    assert "500 instances do not fit: 1 run, for 500 more " in str(found.reason)
    assert "file descriptors of the agent (RLIMIT_NOFILE) are needed" in str(found.reason)
    assert "ulimit -n" in str(found.remedy)

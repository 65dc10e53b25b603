"""throttling on real limits: burst, threads of their own, requests, and others who meddle in mid-run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks.contract import Context
from isobench.benchmarks.cpulimit import threads_named
from isobench.benchmarks.processes import read_descendants
from isobench.benchmarks.throttling import Throttling, ThrottlingParams
from isobench.errors import CgroupGoneError
from isobench.isolators.cgroup import CgroupView
from isobench.isolators.cgroup.files import write_file
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.registry import REGISTRY
from isobench.isolators.site import open_site
from isobench.model import CpuLimit, Reading, Status

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]

Meddle = Callable[[int, CgroupView], None]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_site() as found:
        yield found


def isolator(kind: str, **options: object) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    return cls(kind, cls.Options.model_validate(options))


def measured(
    subject: Isolator[Any], site: Site, params: ThrottlingParams, timeout_s: float = 60.0
) -> list[Reading]:
    """The readings of all cells that nothing is lacking for; afterwards nothing of the instances is left."""
    benchmark, context = Throttling(), Context(site, params, block=0, timeout_s=timeout_s)
    cells = benchmark.cells(subject.name, subject.capabilities, params, 1)
    before = read_descendants(os.getpid())
    readings = [
        reading
        for cell in cells
        if benchmark.lack(cell, site) is None
        for reading in benchmark.measure(cell, subject, context)
    ]
    assert read_descendants(os.getpid()) == before
    assert [path for path in site.cgroups.named(f"{site.token}-") if path.exists()] == []
    assert [path for top in site.cgroups.named(site.token) for path in top.glob("*/")] == []
    return readings


def spinning(site: Site) -> tuple[int, CgroupView]:
    """The workload, once its limit has made it wait."""
    while True:
        for process in read_descendants(os.getpid()):
            if process.argv[:2] != ("/isoagent", "spin") and process.argv[1:2] != ("spin",):
                continue
            try:
                view = site.cgroups.of(process.pid)
                if view.cpu_limit() and view.cpu_stat().nr_throttled > 10:
                    return process.pid, view
            except CgroupGoneError:
                continue
        time.sleep(0.005)


def meddled(kind: str, site: Site, meddle: Meddle, timeout_s: float = 60.0) -> Reading:
    """The first reading of a spell in which somebody else does that."""
    params = ThrottlingParams(cpus=(0.2,), period_us=(50_000,), window_s=2.0)
    with ThreadPoolExecutor(1) as pool:
        meddling = pool.submit(lambda: meddle(*spinning(site)))
        found = measured(isolator(kind), site, params, timeout_s)
        meddling.result(timeout=10)
    return found[0]


def set_limit(view: CgroupView, quota_us: int) -> None:
    group = view.directory("cpu")
    if (group / "cpu.max").exists():
        write_file(group / "cpu.max", f"{quota_us} 50000")
    else:
        write_file(group / "cpu.cfs_quota_us", str(quota_us))


def freeze(_pid: int, view: CgroupView) -> None:
    unified = view.directory("cpu") / "cgroup.freeze"
    if unified.exists():
        write_file(unified, "1")
    else:
        write_file(view.directory("freezer") / "freezer.state", "FROZEN")


def kill_and_remove(pid: int, view: CgroupView) -> None:
    os.kill(pid, signal.SIGKILL)
    for directory in {view.directory("cpu"), view.directory("cpuacct")}:
        while directory.exists():
            try:
                directory.rmdir()
            except OSError:
                time.sleep(0.001)


def test_limit_changed_in_mid_run_is_no_figure(site: Site) -> None:
    found = meddled("cgroups", site, lambda _, view: set_limit(view, 40_000))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert "the limit was changed in mid-run: asked for 0.2 CPUs" in str(found.reason)
    assert "0.8 CPUs" in str(found.reason)


def test_container_frozen_in_mid_run_is_told_by_the_file_that_says_so_and_nothing_is_left(site: Site) -> None:
    found = meddled("runc", site, freeze, timeout_s=5.0)
    assert (found.status, found.value) == (Status.FAILED, None)
    assert "was frozen by someone else in mid-run" in str(found.reason)
    assert site.token in str(found.reason)


def test_group_removed_in_mid_run_is_a_failed_reading(site: Site) -> None:
    found = meddled("cgroups", site, kill_and_remove)
    assert (found.status, found.value) == (Status.FAILED, None)
    assert "does not exist any more" in str(found.reason)
    assert site.token in str(found.reason)


@pytest.mark.parametrize("kind", ["cgroups", "lxc"])
def test_burst_is_read_back_and_lets_more_be_used_in_a_row(kind: str, site: Site) -> None:
    assert site.cgroups.burst_lack().usable, "kernels from 5.14 on have it; every host of ours does"
    params = ThrottlingParams(cpus=(0.25,), period_us=(100_000,), burst=(1.0,), window_s=0.5)
    (found,) = measured(isolator(kind), site, params)
    assert (found.status, found.reason, found.detail["burst_us"]) == (Status.OK, None, 25_000)


def test_burst_that_runc_does_not_know_is_unavailable_or_in_force(site: Site) -> None:
    params = ThrottlingParams(cpus=(0.25,), burst=(1.0,), window_s=0.2)
    (found,) = measured(isolator("runc"), site, params)
    if found.status is Status.OK:
        assert found.detail["burst_us"] == 25_000
    else:
        assert found.status is Status.UNAVAILABLE
        assert "asked for a burst of 25000 µs, but 0 µs is set on" in str(found.reason)


def test_requests_are_served_without_a_limit_and_wait_under_one(site: Site) -> None:
    params = ThrottlingParams(cpus=(0.5,), window_s=0.2, request_cpus=(0.25,), requests=1_000)
    found = [one for one in measured(isolator("cgroups"), site, params) if one.metric.startswith("latency")]
    assert [(one.status, one.reason) for one in found] == [(Status.OK, None)] * 9
    free, limited, burst = found[0], found[3], found[6]
    assert free.detail["read_back_cpus"] is None
    assert (limited.detail["read_back_cpus"], limited.detail["burst_us"]) == (0.25, 0)
    assert burst.detail["burst_us"] == 2_500
    # 200 µs of work in every one, and a mean load of 0.8 quotas that comes unevenly.
    assert min(float(one.value or 0) for one in found) > 100e-6
    assert int(limited.detail["nr_throttled"] or 0) > 0


THREADS = """
import ctypes, threading, time
def work(name):
    ctypes.CDLL(None).prctl(15, name, 0, 0, 0)  # PR_SET_NAME
    while True: pass
for name in (b"CPU 0/x", b"CPU 1/x"):
    threading.Thread(target=work, args=(name,), daemon=True).start()
print("ready", flush=True)
input()
"""


def test_limit_covers_the_threads_of_a_name_alone(site: Site) -> None:
    argv = [sys.executable, "-c", THREADS]
    with (
        site.cgroups.threads_apart(f"{site.token}/apart-{{n}}", "CPU ", 1) as (group, moves),
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while len(threads := threads_named(process.pid, "CPU ")) < 2:
            time.sleep(0.001)
        for write in site.cgroups.cpu_limit_writes(group, CpuLimit(0.2)):
            write_file(Path(write.path.replace("{n}", "0")), write.value)
        for move in moves:
            for one in threads if move.threads else [process.pid]:
                write_file(Path(move.path.replace("{n}", "0")), str(one))
        limits = [site.cgroups.of(one).cpu_limit() for one in (*threads, process.pid)]
        assert limits == [CpuLimit(0.2), CpuLimit(0.2), None]
        view = site.cgroups.of(threads[0])
        while view.cpu_stat().nr_throttled < 2:
            time.sleep(0.01)
        assert view.cpu_usage_ns() > 0
        process.kill()
    assert not view.directory("cpu").exists()


def test_qemu_can_be_limited_in_its_vcpu_threads_alone(site: Site) -> None:
    qemu = isolator("qemu", limit="vcpus")
    assert "alone" in qemu.capabilities.covers
    assert qemu.probe(site).usable
    (found,) = measured(qemu, site, ThrottlingParams(cpus=(0.5,)))
    assert (found.status, found.reason, found.detail["applied"]) == (Status.OK, None, "after boot")
    assert found.detail["read_back_cpus"] == 0.5
    assert 0 < float(found.detail["achieved_host_cpus"] or 0) < 0.525
    assert found.detail["guest_steal_s"] is not None

"""What isolators do with the kernel's own cgroup v2; test_cgroup_v2.py runs it inside a lab host.

Not named as a test file is, so that it is not collected on the host, which may have cgroup v1.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks.hostmemory import read_peak_bytes
from isobench.isolators.bare import on_host
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.isolators.registry import REGISTRY
from isobench.isolators.residue import strays
from isobench.isolators.site import open_site
from isobench.model import NO_LIMITS, CpuLimit, FileWrite, Launch, Limits, Status
from isobench.starter import batch, session

MIB = 1024 * 1024
ROOT = Path("/sys/fs/cgroup")
TIMEOUT_S = 60.0

limiting_kind = pytest.mark.parametrize("kind", ["cgroups", "lxc", "runc"])


@pytest.fixture
def site() -> Iterator[Site]:
    with open_site() as found:
        yield found
        assert strays(found) == ()
    assert list(ROOT.glob("**/isobench-*")) == []


def make(kind: str) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    return cls(kind, cls.Options())


@contextmanager
def held(site: Site, kind: str, limits: Limits, *verb: str) -> Iterator[int]:
    """The workload's process of one instance."""
    with (
        make(kind).prepare(site, agent_bundle(site, *verb), limits) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S) as instances,
    ):
        event = instances.start()
        assert event.status is Status.OK, (event.reason, event.stderr)
        assert event.pid is not None
        yield workload(event.pid) if kind == "lxc" else event.pid


def workload(monitor: int) -> int:
    """The one child of LXC's monitor."""
    (pid,) = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
    return int(pid)


def group_of(pid: int) -> Path:
    (line,) = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return ROOT / line.removeprefix("0::/")


def in_group(pid: int, *files: str) -> list[str]:
    return [(group_of(pid) / file).read_text().strip() for file in files]


@limiting_kind
def test_limits_stand_in_the_files_of_the_workloads_own_group(site: Site, kind: str) -> None:
    limits = Limits(CpuLimit(0.5, 50_000), memory_bytes=32 * MIB)
    with held(site, kind, limits, "hold") as pid:
        files = ("cpu.max", "memory.max", "memory.swap.max")
        assert in_group(pid, *files) == ["25000 50000", str(32 * MIB), "0"]
        assert group_of(pid).is_relative_to(ROOT / site.token)


@limiting_kind
def test_without_limits_nothing_is_written_to_the_group(site: Site, kind: str) -> None:
    with held(site, kind, NO_LIMITS, "hold") as pid:
        files = ("cpu.max", "memory.max", "memory.swap.max")
        assert in_group(pid, *files) == ["max 100000", "max", "max"]


@limiting_kind
def test_peak_of_the_group_is_told_and_holds_what_the_workload_touched(site: Site, kind: str) -> None:
    with held(site, kind, NO_LIMITS, "touch", "--mib", "16") as pid:
        peak = site.cgroups.of(pid).memory_peak_bytes()
        assert 16 * MIB < (peak or 0) < 24 * MIB
        assert in_group(pid, "memory.peak") == [str(peak)]


@limiting_kind
def test_resident_peak_of_a_small_process_has_all_its_pages(site: Site, kind: str) -> None:
    """Linux 6.1 counts page faults 64 at a time: VmHWM of ours says 4 KiB."""
    with held(site, kind, NO_LIMITS, "hold") as pid:
        assert 64 * 1024 < read_peak_bytes(pid) < MIB


def test_more_than_the_limit_of_memory_is_refused_by_the_kernel(site: Site) -> None:
    with make("cgroups").prepare(
        site, agent_bundle(site, "touch", "--mib", "16"), Limits(memory_bytes=8 * MIB)
    ) as launch:
        (event,) = batch(site.agent, launch, 1, timeout_s=TIMEOUT_S)
    assert (event.status, event.term_signal) == (Status.FAILED, 9)


def start_with(site: Site, *writes: FileWrite) -> Launch:
    """A start in a group below the run's, whose controllers are on, with these written to it before."""
    (group,) = site.cgroups.directories(f"{site.token}/{{n}}")
    prepared = tuple(replace(write, path=f"{group}/{write.path}") for write in writes)
    return replace(on_host(agent_bundle(site, "probe")), cgroups=(group,), cgroup_writes=prepared)


def test_workload_is_born_in_its_group_with_controllers_and_never_moved(site: Site) -> None:
    """pids.max refuses a birth and lets a move pass (cgroup-v2.rst, PID), so a refusal shows which it was."""
    launch = start_with(site, FileWrite("cpu.max", "50000 100000"), FileWrite("pids.max", "0"))
    (event,) = batch(site.agent, launch, 1, timeout_s=TIMEOUT_S)
    assert event.status is Status.FAILED
    assert "clone3: Resource temporarily unavailable" in str(event.reason)


def test_workload_finds_itself_in_its_group_with_controllers(site: Site) -> None:
    (event,) = batch(
        site.agent, start_with(site, FileWrite("cpu.max", "50000 100000")), 1, timeout_s=TIMEOUT_S
    )
    assert (event.status, event.reason) == (Status.OK, None)
    assert json.loads(event.output)["cgroup"] == f"0::/{site.token}/0\n"


def test_groups_that_are_not_ours_keep_their_controllers_while_instances_run(site: Site) -> None:
    before = controllers(besides=site.token)
    with held(site, "lxc", Limits(CpuLimit(0.5)), "hold"), held(site, "runc", Limits(CpuLimit(0.5)), "hold"):
        assert controllers(besides=site.token) == before
    assert controllers(besides=site.token) == before


def controllers(*, besides: str) -> dict[Path, str]:
    found = (path for path in ROOT.glob("**/cgroup.subtree_control") if besides not in path.parts)
    return {path: path.read_text() for path in found}


def test_host_is_the_one_these_tests_are_about() -> None:
    assert os.geteuid() == 0
    assert {"cpu", "memory", "pids"} <= set((ROOT / "cgroup.subtree_control").read_text().split())

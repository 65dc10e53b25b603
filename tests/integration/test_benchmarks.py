"""The benchmarks on really started instances. Upper bounds only where other load could push a figure down."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks.contract import Benchmark, Context, Params
from isobench.benchmarks.hostmemory import read_bystanders, read_host
from isobench.benchmarks.ledger import LINES, Ledger
from isobench.benchmarks.memory import Memory, MemoryParams
from isobench.benchmarks.memory_floor import MemoryFloor, MemoryFloorParams
from isobench.benchmarks.processes import read_descendants
from isobench.benchmarks.startup import Startup, StartupParams
from isobench.benchmarks.throttling import Throttling, ThrottlingParams
from isobench.isolators.cgroups import Cgroups
from isobench.isolators.contract import Isolator, Options, Site
from isobench.isolators.registry import REGISTRY
from isobench.isolators.site import open_site
from isobench.model import NO_LIMITS, Bundle, Event, Launch, Limits, Reading, Status

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]

MIB = 1024 * 1024
PROCESSES = ("bare", "chroot", "namespaces", "cgroups", "lxc", "runc")
LIMITED = ("cgroups", "lxc", "runc")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with open_site() as found:
        yield found


def isolator(kind: str, site: Site, **options: object) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    found = cls(kind, cls.Options.model_validate(options))
    readiness = found.probe(site)
    assert readiness.usable, f"{kind}: {readiness.reason}; {readiness.remedy}"
    return found


def measured(benchmark: Benchmark[Any], subject: Isolator[Any], site: Site, params: Params) -> list[Reading]:
    """The readings of all the cells; afterwards none of the processes started is left."""
    context = Context(site, params, block=0, timeout_s=60.0)
    cells = benchmark.cells(subject.name, subject.capabilities, params, 1)
    before = read_descendants(os.getpid())
    readings = [reading for cell in cells for reading in benchmark.measure(cell, subject, context)]
    assert read_descendants(os.getpid()) == before
    return readings


@pytest.mark.parametrize("kind", PROCESSES)
def test_startup_of_every_process_isolator_proves_its_payload_and_orders_its_phases(
    kind: str, site: Site
) -> None:
    found = measured(Startup(), isolator(kind, site), site, StartupParams(starts=3))
    assert [(one.status, one.reason) for one in found] == [(Status.OK, None)] * 4
    for one in found:
        assert one.value == one.phases["ready"]
        order = ("created", "first_instruction", "ready", "exit", "cleaned")
        stamps = [one.phases[name] for name in order if name in one.phases]
        assert stamps == sorted(stamps)
        assert {"first_instruction", "ready", "exit"} <= one.phases.keys()


def assert_account_closes(reading: Reading) -> None:
    lines = [value for name in LINES if (value := reading.detail[name]) is not None]
    assert all(isinstance(value, int) for value in lines)
    assert sum(map(int, lines)) == reading.value
    assert (
        int(reading.detail["host_change"] or 0) - int(reading.detail["bystanders_change"] or 0)
        == reading.value
    )


@pytest.mark.parametrize("kind", PROCESSES)
def test_memory_of_every_process_isolator_finds_the_workloads_and_closes_its_account(
    kind: str, site: Site
) -> None:
    found = measured(Memory(), isolator(kind, site), site, MemoryParams(instances=(1, 3)))
    assert [(one.metric, one.status, one.reason) for one in found] == [
        *[("footprint", Status.OK, None)] * 2,
        ("peak", Status.OK, None),
    ]
    one, three = (reading.detail for reading in found[:2])
    assert 0 < int(one["workload_pss"] or 0) < int(three["workload_pss"] or 0) < MIB
    assert (int(three["helpers_pss"] or 0) > 0) is (kind == "lxc")
    for reading in found[:2]:
        assert_account_closes(reading)


def test_peak_of_a_workload_in_runc_is_not_that_of_the_runtime(site: Site) -> None:
    *_, peak = measured(Memory(), isolator("runc", site), site, MemoryParams(instances=(1,)))
    assert 0 < float(peak.value or 0) < MIB
    charged = int(peak.detail["charged"] or 0)
    assert (charged > MIB, peak.detail["charged_is"]) == (True, "at most")
    # On v2 nobody can make a group forget its peak: nothing is known about the runtime's part.
    forgotten = None if site.cgroups.mode == "v2" else charged
    assert peak.detail["charged_to_runtime"] == forgotten


def test_instance_killed_while_it_is_held_is_a_failed_reading_and_nothing_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(ledger: Ledger, event: Event) -> None:
        assert event.pid is not None
        os.kill(event.pid, signal.SIGKILL)
        add_unharmed(ledger, event)

    add_unharmed = Ledger.add
    monkeypatch.setattr(Ledger, "add", add)
    found = measured(Memory(), isolator("bare", site), site, MemoryParams(instances=(1, 2)))
    assert found[0].status is Status.FAILED
    assert "instance 1: it has ended while it was held" in str(found[0].reason)
    assert all(reading.value is None for reading in found)


@pytest.mark.parametrize("kind", LIMITED)
def test_smallest_memory_of_a_container_is_found_with_less_failing(kind: str, site: Site) -> None:
    params = MemoryFloorParams(resolution_kib=64, confirm=2)
    (found,) = measured(MemoryFloor(), isolator(kind, site), site, params)
    assert (found.status, found.reason) == (Status.OK, None)
    assert found.detail["confirmed"] is True
    # runc's own init has to fit in, a Go program; the workload alone takes 20 pages.
    assert (float(found.value or 0) > MIB) is (kind == "runc")
    assert found.detail["below_how"] in {"runc": {"refused", "oom-kill"}}.get(kind, {"oom-kill"})
    assert int(found.detail["below_bytes"] or 0) == float(found.value or 0) - 64 * 1024


def test_workload_that_no_limit_tried_can_run_has_no_smallest_memory(site: Site) -> None:
    (found,) = measured(MemoryFloor(), isolator("runc", site), site, MemoryFloorParams(most_mib=1))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert str(found.reason).startswith("it does not run with 1024 KiB, the most that was tried: ")


def test_limit_of_memory_that_was_never_set_is_refused(site: Site) -> None:
    forgetful = Forgetful("forgetful", Options())
    (found,) = measured(MemoryFloor(), forgetful, site, MemoryFloorParams())
    assert (found.status, found.value) == (Status.FAILED, None)
    assert "in force is none" in str(found.reason)


def test_ram_of_a_guest_is_limited_and_too_little_ends_it(site: Site) -> None:
    params = MemoryFloorParams(most_mib_vm=96, starts_vm=3, confirm=1)
    (found,) = measured(MemoryFloor(), isolator("qemu", site), site, params)
    assert (found.status, found.reason) == (Status.OK, None)
    assert 16 * MIB < float(found.value or 0) <= 96 * MIB
    assert found.detail["below_how"] in {"ended", "timeout"}
    assert int(found.detail["resolution_bytes"] or 0) % MIB == 0


@pytest.mark.parametrize("kind", LIMITED)
@pytest.mark.parametrize("cpus", [0.25, 0.5])
def test_throttling_reads_back_the_native_limit_and_no_more_than_it_is_used(
    kind: str, cpus: float, site: Site
) -> None:
    (found,) = measured(Throttling(), isolator(kind, site), site, ThrottlingParams(cpus=(cpus,)))
    assert (found.status, found.reason) == (Status.OK, None)
    detail = found.detail
    assert detail["read_back_cpus"] == cpus
    host, inside = float(detail["achieved_host_cpus"] or 0), float(detail["achieved_inside_cpus"] or 0)
    # A tick of 10 ms may be carried over into the window; a full quota at its begin would be 0.1 too much.
    assert 0 < host < cpus * 1.05
    assert 0 < inside < host * 1.05
    assert int(detail["nr_throttled"] or 0) > 0
    assert float(detail["longest_stall_s"] or 0) > 0


def test_virtual_machine_is_measured_in_memory_and_under_a_limit_set_after_its_boot(site: Site) -> None:
    qemu = isolator("qemu", site)
    memory, peak = measured(Memory(), qemu, site, MemoryParams(instances_vm=(1,)))
    assert (memory.status, memory.detail["workload_pss"]) == (Status.OK, None)
    assert 16 * MIB < int(memory.detail["guest_ram_pss"] or 0) <= 128 * MIB
    assert int(memory.detail["helpers_pss"] or 0) > MIB
    assert_account_closes(memory)
    assert int(memory.detail["guest_ram_pss"] or 0) < float(peak.value or 0)
    (limited,) = measured(Throttling(), qemu, site, ThrottlingParams(cpus=(0.5,)))
    assert (limited.status, limited.reason, limited.detail["applied"]) == (Status.OK, None, "after boot")
    assert 0 < float(limited.detail["achieved_host_cpus"] or 0) < 0.525


class Forgetful(Cgroups):
    """Says that it limits, and does not."""

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        assert limits != NO_LIMITS
        with super().prepare(site, bundle, NO_LIMITS, slots) as launch:
            yield launch


def test_limit_that_was_never_set_is_refused(site: Site) -> None:
    (found,) = measured(Throttling(), Forgetful("forgetful", Options()), site, ThrottlingParams(cpus=(0.5,)))
    assert (found.status, found.value) == (Status.FAILED, None)
    assert "but no limit is set on" in str(found.reason)


@contextmanager
def helper(code: str) -> Iterator[int]:
    """A Python process that has run ``code`` and waits; its id."""
    argv = [sys.executable, "-c", f"{code}\nprint('done', flush=True)\ninput()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        yield process.pid
        process.communicate("\n")


def net_bytes(apart: list[int]) -> int:
    return read_host(stacks_mapped=None).used - read_bystanders(apart).own


def test_used_memory_grows_by_what_an_instance_allocates() -> None:
    before = net_bytes([])
    with helper(f"held = bytearray({256 * MIB}); held[::4096] = held[::4096]") as pid:
        grown = net_bytes([pid]) - before
    assert 240 * MIB < grown < 290 * MIB


def test_used_memory_does_not_grow_by_what_is_cached_of_a_file(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(256 * MIB))
    os.sync()
    with large.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        before = net_bytes([])
        while file.read(MIB):
            pass
        grown = net_bytes([]) - before
    assert abs(grown) < 30 * MIB

"""density: its cells, and what a host has room for; tests/integration holds real instances."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from isobench.benchmarks import room
from isobench.benchmarks.density import Density, DensityParams
from isobench.benchmarks.room import MEMORY, Resource, Shortage, parse_limit, shortage, survey
from isobench.isolators import cgroup
from isobench.model import Capabilities

SHARED = Capabilities(phases=frozenset({"invoke", "ready"}))
VM = Capabilities(phases=frozenset({"invoke", "ready"}), shares_kernel=False)


def test_each_level_is_a_cell_of_its_own() -> None:
    cells = Density().cells("x", SHARED, DensityParams(running=(0, 10)), 3)
    assert [(cell.id, cell.blocks) for cell in cells] == [
        ("density/x/hold/running=0", 3),
        ("density/x/hold/running=10", 3),
    ]


def test_virtual_machines_have_levels_of_their_own() -> None:
    cells = Density().cells("x", VM, DensityParams(probes_vm=2), 3)
    assert [cell.params["running"] for cell in cells] == [0, 1, 2, 4]
    assert {cell.blocks for cell in cells} == {2}


@pytest.mark.parametrize(
    "table", [{"running": []}, {"running": [1, 0]}, {"running": [1, 1]}, {"running": [-1]}, {"probes": 0}]
)
def test_levels_ascend_and_there_is_something_to_measure(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DensityParams.model_validate(table)


def test_higher_level_is_expected_to_take_longer() -> None:
    low, high = Density().cells("x", SHARED, DensityParams(running=(1, 100)), 1)
    params = DensityParams()
    assert Density().expected_s(low, SHARED, params) < Density().expected_s(high, SHARED, params)


def resource(used: int, bound: int, reserve: int = 0) -> Resource:
    return Resource(used, bound, reserve, "make room")


def test_more_instances_need_what_those_so_far_have_taken_each() -> None:
    before, now = {"x": resource(100, 1000)}, {"x": resource(180, 1000)}
    assert shortage(before, now, held=2, more=20) is None  # 20 times 40 of 820
    assert shortage(before, now, held=2, more=21) == Shortage("x", 840, now["x"])


def test_reserve_is_not_for_instances() -> None:
    now = {"x": resource(180, 1000, reserve=21)}
    found = shortage({"x": resource(100, 1000)}, now, held=2, more=20)
    assert str(found) == "800 x are needed, 799 are available"


def test_before_the_first_instance_only_a_resource_that_is_used_up_is_short() -> None:
    assert shortage({}, {"x": resource(99, 100)}, held=0, more=50) is None
    assert shortage({}, {"x": resource(100, 100)}, held=0, more=50) is not None
    assert shortage({}, {"x": resource(120, 100)}, held=0, more=50) is not None


def test_what_has_become_less_does_not_count_as_negative_need() -> None:
    assert shortage({"x": resource(50, 100)}, {"x": resource(40, 100)}, held=2, more=1000) is None


def test_memory_is_told_in_mebibytes() -> None:
    lack = Shortage(MEMORY, 3 * 2**30, resource(2**30, 2 * 2**30, 2**29))
    assert str(lack) == "3072 MiB of memory are needed, 512 MiB are available"


LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max open files            1024                 1048576              files
"""


def test_soft_limit_is_read_and_unlimited_is_none() -> None:
    assert parse_limit(LIMITS, "Max open files") == 1024
    assert parse_limit(LIMITS, "Max cpu time") is None
    assert parse_limit("", "Max open files") is None


def test_survey_of_this_host_has_memory_and_the_descriptors_of_the_process() -> None:
    groups = cgroup.detect()
    found = survey(os.getpid(), groups)
    assert 0 < found[MEMORY].used < found[MEMORY].bound
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
    try:
        now = survey(os.getpid(), groups)
    finally:
        for descriptor in held:
            os.close(descriptor)
    name = "file descriptors of the agent (RLIMIT_NOFILE)"
    assert now[name].used - found[name].used == 5


def test_bound_of_a_group_counts_wherever_above_us_it_is_set(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for directory, bound in ((tmp_path, "max"), (tmp_path / "a", "100"), (inner, "max")):
        (directory / "pids.max").write_text(f"{bound}\n")
        (directory / "pids.current").write_text("7\n")
    found = dict(room.group_tasks(inner, tmp_path))
    assert {name: (one.used, one.bound) for name, one in found.items()} == {
        f"processes in {tmp_path / 'a'} (pids.max)": (7, 100)
    }

"""Two sides with real isolators: a delay put in is seen, and the CPU time of it all is the run's own."""

import os
import resource
from pathlib import Path
from statistics import median

import pytest

from isobench import engine
from isobench.journal import read_run
from isobench.lab import this_host
from isobench.matrix import parse_matrix
from isobench.model import Cell, Sample, Side, Status
from isobench.sides import MIN_BLOCKS, Sides, two_sides

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
    pytest.mark.usefixtures("state"),
]


class Silent:
    """An observer that looks away."""

    def planned(self, cells: object, blocks: int, expected_s: float) -> None: ...
    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None: ...
    def cell_finished(self, cell: Cell, samples: object) -> None: ...
    def finished(self, outcome: object) -> None: ...


def values(samples: tuple[Sample, ...], side: Side) -> list[float]:
    return [
        sample.value
        for sample in samples
        if sample.side is side and sample.value is not None and not sample.detail.get("warmup")
    ]


@pytest.mark.parametrize("kind", ["bare", "namespaces", "cgroups", "runc"])
def test_delay_of_one_side_is_in_its_starts_and_not_in_those_of_the_control(
    tmp_path: Path, kind: str
) -> None:
    delay_s = 0.2
    slow = {"kind": "delayed", "name": "slow", "of": kind, "delay_us": round(delay_s * 1e6)}
    tables = {"run": {"benchmarks": ["startup"], "audit": False}, "isolator": [{"kind": kind}, slow]}
    matrix, record = two_sides(parse_matrix(tables, "test"), Sides(kind, "slow", MIN_BLOCKS, starts=1))

    engine.run(matrix, tmp_path / "run", Silent(), this_host(), ab=record)

    run, samples = read_run(tmp_path / "run")
    assert run.status == "finished"
    assert {sample.status for sample in samples} == {Status.OK}
    assert {side: len(values(samples, side)) for side in Side} == dict.fromkeys(Side, MIN_BLOCKS)
    assert min(values(samples, Side.B)) > delay_s
    assert median(values(samples, Side.CONTROL)) < delay_s


@pytest.mark.parametrize("kind", ["cgroups", "lxc", "runc"])
def test_cpu_time_of_a_workload_is_counted_as_the_runs_own(tmp_path: Path, kind: str) -> None:
    """Else a busy workload would pass for a busy host."""
    tables = {
        "run": {"benchmarks": ["throttling"], "blocks": 1, "audit": False},
        "isolator": [{"kind": kind}],
        "throttling": {"cpus": [0.5], "period_us": [100_000]},
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    engine.run(parse_matrix(tables, "test"), tmp_path / "run", Silent(), this_host())

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run, (sample,) = read_run(tmp_path / "run")
    achieved, elapsed = (sample.detail[name] for name in ("achieved_host_cpus", "host_elapsed_s"))
    assert isinstance(achieved, float)
    assert isinstance(elapsed, float)
    own_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert own_s >= achieved * elapsed
    assert run.disturbance is not None
    assert run.disturbance.others_cpu_s is not None
    assert run.disturbance.seconds <= run.wall_s

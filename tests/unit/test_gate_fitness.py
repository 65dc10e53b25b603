"""When a host is unfit: by what was recorded of it, and by its baseline held against itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.ab_runs import Made, ab_run, starts, with_record

from isobench.journal import DisturbanceRecord, StoredRun, TunedSetting
from isobench.model import Side
from isobench.reports.gate import Check, judge
from isobench.reports.gate_policy import DEFAULT_POLICY


def checks(run: StoredRun) -> dict[str, Check]:
    return {check.name: check for check in judge(run, DEFAULT_POLICY).checks}


QUIET = DisturbanceRecord(
    seconds=100.0,
    cpus=2,
    others_cpu_s=4.0,
    steal_s=0.1,
    waited_cpu_s=3.0,
    waited_memory_s=0.0,
    waited_io_s=1.0,
    thermal_throttles=0,
)


def test_quiet_host_passes_all_that_it_has_recorded() -> None:
    run = with_record(ab_run(starts()), disturbance=QUIET, tuned=())

    assert {check.passed for check in checks(run).values()} == {True}


def test_what_was_not_recorded_decides_nothing_and_says_so() -> None:
    run = ab_run(starts())
    record = replace(run.record, host={"hostname": "x"})

    report = judge(replace(run, record=record), DEFAULT_POLICY)

    unknown = [check for check in report.checks if check.passed is None]
    assert {check.found for check in unknown} == {"not recorded", "not watched without --tune"}
    assert report.exit_code == 0


@pytest.mark.parametrize("cpus", [0, -1])
def test_cpu_time_of_a_host_that_tells_no_cpus_is_not_recorded(cpus: int) -> None:
    found = checks(with_record(ab_run(starts()), disturbance=replace(QUIET, cpus=cpus)))

    for name in ("CPU time of others", "stolen by a hypervisor"):
        assert (found[name].passed, found[name].found) == (None, "not recorded")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ({"load": {"1min": 4.2}}, "load as it began"),
        ({"pressure": {"cpu_10s_percent": 61.0}}, "waiting for cpu"),
        ({"pressure": {"memory_10s_percent": 11.0}}, "waiting for memory"),
    ],
)
def test_host_that_was_restless_as_the_run_began_is_unfit(host: Mapping[str, Any], name: str) -> None:
    report = judge(ab_run(starts(), host=host), DEFAULT_POLICY)

    assert [check.name for check in report.unfit] == [name]
    assert report.exit_code == 3


@pytest.mark.parametrize(
    ("counted", "name"),
    [
        (replace(QUIET, waited_cpu_s=51.0), "waiting for cpu"),
        (replace(QUIET, waited_memory_s=11.0), "waiting for memory"),
        (replace(QUIET, waited_io_s=51.0), "waiting for io"),
        (replace(QUIET, others_cpu_s=51.0), "CPU time of others"),
        (replace(QUIET, steal_s=21.0), "stolen by a hypervisor"),
        (replace(QUIET, thermal_throttles=1), "slowed down for heat"),
    ],
)
def test_host_that_was_disturbed_while_it_measured_is_unfit(counted: DisturbanceRecord, name: str) -> None:
    report = judge(with_record(ab_run(starts()), disturbance=counted), DEFAULT_POLICY)

    assert [check.name for check in report.unfit] == [name]


def test_pressure_over_the_run_counts_in_place_of_that_at_its_beginning() -> None:
    run = ab_run(starts(), host={"pressure": {"cpu_10s_percent": 99.0}})

    assert checks(run)["waiting for cpu"].passed is False
    assert checks(with_record(run, disturbance=QUIET))["waiting for cpu"].passed
    assert (
        checks(with_record(run, disturbance=replace(QUIET, seconds=0.0)))["waiting for cpu"].passed is False
    )


def test_setting_that_somebody_else_has_changed_makes_the_host_unfit() -> None:
    run = ab_run(starts())
    kept = TunedSetting("KSM", "/sys/kernel/mm/ksm/run", "1", "0", end="0")

    def of(*tuned: TunedSetting) -> bool | None:
        return checks(replace(run, record=replace(run.record, tuned=tuned)))[
            "settings changed by others"
        ].passed

    assert of(kept)
    assert of(replace(kept, end="1")) is False
    assert of(replace(kept, refused="no", end="1"))


def test_host_on_which_the_later_of_two_alike_is_slower_is_unfit() -> None:
    run = ab_run(starts(noise=0.01))
    # Within a block who comes last pays 12 % more, whichever side it is.
    slow = [
        replace(line, value=line.value * (1 + 0.06 * (line.order % 10)))
        for line in run.samples
        if line.value is not None
    ]

    found = checks(replace(run, samples=tuple(slow)))["order of the sides"]

    assert found.passed is False
    assert "startup/ready" in found.found
    assert checks(run)["order of the sides"].passed


def test_none_is_later_where_the_sides_took_turns() -> None:
    check = checks(ab_run(starts(), in_turns=("startup",)))["order of the sides"]
    assert (check.passed, check.found) == (True, "none is later: they took turns, start by start")
    both = ab_run(starts(), replace(starts(), benchmark="density"), in_turns=("startup",))
    assert "density/ready" in checks(both)["order of the sides"].found


def test_host_whose_blocks_depend_on_each_other_is_unfit() -> None:
    wave = np.exp(0.04 * np.sin(np.arange(40) / 3))
    base = starts(noise=0.002)
    values = {**base.values, Side.B: [v * w for v, w in zip(base.values[Side.B], wave, strict=True) if v]}

    found = checks(ab_run(Made(values)))["block after block"]

    assert found.passed is False
    assert "for B in startup/ready" in found.found


def test_quiet_hosts_are_seldom_called_unfit() -> None:
    unfit = sum(
        bool(judge(ab_run(starts(seed=seed), seed=seed), DEFAULT_POLICY).unfit) for seed in range(150)
    )

    assert unfit <= 3

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import SyntheticRun, synthetic_run

from isobench.errors import UsageError
from isobench.journal import ToolRecord
from isobench.model import Sample, Status
from isobench.reports.compare import chosen, compare
from isobench.reports.compare_values import Comparison, Row, Verdict


@pytest.fixture(scope="module")
def other_run() -> SyntheticRun:
    """Of the same host and the same things, a day later."""
    run = synthetic_run(seed=2)
    return replace(run, record=replace(run.record, run_id="20260302T101500Z-def456"))


@pytest.fixture
def compared(
    made_run: SyntheticRun, other_run: SyntheticRun, tmp_path: Path
) -> Callable[[Callable[[Sample], Sample | None]], Comparison]:
    """The synthetic run against the other, each of whose samples is changed or left out."""

    def compared(change: Callable[[Sample], Sample | None], run: SyntheticRun = other_run) -> Comparison:
        samples = tuple(made for sample in run.samples if (made := change(sample)) is not None)
        base, candidate = (
            made_run.write(tmp_path / "base"),
            replace(run, samples=samples).write(tmp_path / "new"),
        )
        return compare(base, candidate)

    return compared


Compared = Callable[..., Comparison]


def row(found: Comparison, cell: str, metric: str) -> Row:
    return next(one for one in found.rows if (one.cell, one.metric) == (cell, metric))


def slower(isolator: str, factor: float) -> Callable[[Sample], Sample]:
    def change(sample: Sample) -> Sample:
        if sample.isolator != isolator or sample.metric != "ready" or sample.value is None:
            return sample
        return replace(sample, value=sample.value * factor)

    return change


def other_runc(run: SyntheticRun) -> SyntheticRun:
    tools = {**run.record.tools, "runc": ToolRecord("/opt/runc", "runc version 1.2.0", "99" * 32)}
    return replace(run, record=replace(run.record, tools=tools))


def test_isolator_made_slower_is_told_first_with_its_ratio(
    compared: Compared, other_run: SyntheticRun
) -> None:
    found = compared(slower("runc", 3.0), other_runc(other_run))
    first = found.rows[0]
    assert (first.cell, first.verdict, first.word) == ("startup/runc/ready", Verdict.ABOVE, "slower")
    assert first.subject
    assert not first.doubtful
    assert first.change is not None
    assert first.change.interval is not None
    assert 3.0 in first.change.interval
    assert (first.base.n, first.candidate.n) == (20, 20)


def test_errors_of_cpu_limits_have_a_difference_and_no_ratio(compared: Compared) -> None:
    def off(sample: Sample) -> Sample:
        return (
            replace(sample, value=(sample.value or 0) + 0.1) if sample.metric == "cpu_share_error" else sample
        )

    found = compared(off)
    cell = row(found, "throttling/runc/spin/cpus=0.5/period_us=100000", "cpu_share_error")
    assert not cell.relative
    assert cell.change is not None
    assert cell.change.value == pytest.approx(0.1, abs=0.01)
    assert cell.verdict is Verdict.FEW


def test_memory_is_compared_by_what_each_further_instance_takes(compared: Compared) -> None:
    def twice(sample: Sample) -> Sample:
        doubled = sample.metric == "footprint" and sample.isolator == "lxc"
        return replace(sample, value=2 * (sample.value or 0)) if doubled else sample

    cell = row(compared(twice), "memory/lxc/hold", "footprint")
    assert cell.relative
    assert cell.change is not None
    assert cell.change.value == pytest.approx(2.0, rel=0.1)
    assert cell.word == "more"
    assert cell.base.value == pytest.approx((92 + 610) * 1024 + 2.1 * 2**20, rel=0.05)


def test_memory_read_at_other_numbers_of_instances_is_not_comparable(compared: Compared) -> None:
    def first_step(sample: Sample) -> Sample | None:
        return sample if sample.metric != "footprint" or sample.detail["instances"] == 1 else None

    cell = row(compared(first_step), "memory/lxc/hold", "footprint")
    assert cell.verdict is Verdict.REFUSED
    assert cell.change is None
    assert cell.reason == "it was read at 1.0, 2.0, 4.0, 8.0 instances and is at 1.0"


def test_another_unit_is_not_comparable(compared: Compared) -> None:
    found = compared(lambda s: replace(s, unit="minute") if s.metric == "ready" else s)
    cell = row(found, "startup/bare/ready", "ready")
    assert (cell.verdict, cell.reason) == (Verdict.REFUSED, "unit was second and is minute")


def test_unchanged_isolators_are_controls_and_tell_by_how_much_things_move(
    compared: Compared, other_run: SyntheticRun
) -> None:
    found = compared(lambda sample: slower("lxc", 1.5)(slower("runc", 1.4)(sample)), other_runc(other_run))
    lxc, runc = (row(found, f"startup/{name}/ready", "ready") for name in ("lxc", "runc"))
    assert (lxc.control, runc.control) == (True, False)
    assert lxc.changed
    # 40 % is no more than twice the 50 % that happened without any change.
    assert (runc.changed, runc.moved_alike) == (True, True)
    assert found.drift["startup", "ready"].high == pytest.approx(1.5, rel=0.1)


def test_runs_of_the_same_things_have_no_controls_but_tell_how_far_runs_lie_apart(compared: Compared) -> None:
    found = compared(lambda sample: sample)
    assert not any(one.doubtful for one in found.rows)
    assert set(found.drift) >= {("startup", "ready")}


def test_runs_of_two_hosts_tell_no_drift(compared: Compared, other_run: SyntheticRun) -> None:
    record = replace(other_run.record, host={**other_run.record.host, "hostname": "lab-2"})
    assert not compared(lambda sample: sample, replace(other_run, record=record)).drift


def test_cells_of_one_run_only_and_those_that_ended_otherwise_are_listed(compared: Compared) -> None:
    def change(sample: Sample) -> Sample | None:
        if sample.isolator == "chroot":
            return None
        if sample.cell == "startup/lxc/ready":
            return replace(sample, value=None, status=Status.FAILED, reason="lxc-start exited with 1")
        return sample

    found = compared(change)
    assert {one.cell for one in found.only_base} == {
        "startup/chroot/ready",
        "memory/chroot/hold",
        "startup/lxc/ready",
    }
    assert not found.only_candidate
    (ended,) = found.ended_otherwise
    assert (ended.cell, ended.candidate.status) == ("startup/lxc/ready", Status.FAILED)


def test_run_compared_with_itself_is_an_error_that_names_both_folders(run_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"/run and .*/run hold the same run \(20260301T101500Z-abc123\)"):
        compare(run_folder, run_folder)


def test_run_without_a_value_has_nothing_in_common_with_any(compared: Compared) -> None:
    found = compared(lambda _sample: None)
    assert not found.rows
    assert len(found.only_base) > 10


def test_only_the_metrics_asked_for_are_kept(compared: Compared) -> None:
    found = chosen(compared(lambda sample: sample), ["peak"])
    assert {one.metric for one in found.rows} == {"peak"}


def test_metric_that_is_in_neither_run_is_an_error_that_lists_those_there_are(compared: Compared) -> None:
    with pytest.raises(UsageError, match=r"no metric 'raedy' .* cpu_share_error, footprint, peak, ready"):
        chosen(compared(lambda sample: sample), ["raedy"])


def test_same_value_throughout_is_the_same_and_not_a_change(compared: Compared) -> None:
    found = compared(lambda sample: sample)
    peak = row(found, "memory/bare/hold", "peak")
    assert peak.verdict is Verdict.FEW  # two values
    assert peak.change is not None
    assert peak.change.value == 1.0

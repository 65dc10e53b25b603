"""From result files to a summary: which attempts count, and what the figures come to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.errors import ResultsError
from isobench.model import Sample, Status
from isobench.reports.load import summarize
from isobench.reports.summary import Isolator, Summary
from isobench.reports.verdict import cautions

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


def isolator(summary: Summary, name: str) -> Isolator:
    return next(found for found in summary.isolators if found.name == name)


def test_isolators_come_bare_first_then_by_start_then_those_without_one(summary: Summary) -> None:
    names = [found.name for found in summary.isolators]

    assert names == ["bare", "chroot", "cgroups", "namespaces", "lxc", "runc", "qemu-tcg", "crun"]


def test_warmups_and_failed_attempts_enter_no_figure(summary: Summary) -> None:
    bare, guest = isolator(summary, "bare").startup, isolator(summary, "qemu-tcg").startup
    assert bare
    assert guest

    assert len(bare.cell.samples) == 22
    assert bare.ready.n == 20
    assert bare.ready.greatest < 0.0006  # warm-ups take three times as long
    assert (len(guest.cell.samples), guest.ready.n) == (6, 5)
    assert guest.cell.state.status is Status.TIMEOUT


def test_ratio_to_bare_is_one_for_bare_and_about_one_hundred_for_runc(summary: Summary) -> None:
    bare, runc = isolator(summary, "bare").startup, isolator(summary, "runc").startup
    assert bare
    assert bare.to_bare
    assert runc
    assert runc.to_bare

    assert (bare.to_bare.value, bare.to_bare.interval) == (1, None)
    assert 80 < runc.to_bare.value < 250
    assert runc.to_bare.interval
    assert runc.to_bare.value in runc.to_bare.interval


def test_phase_that_was_not_told_apart_is_absent(summary: Summary) -> None:
    runc, guest = isolator(summary, "runc").startup, isolator(summary, "qemu-tcg").startup
    assert runc
    assert guest

    assert list(runc.phases) == ["created", "first_instruction", "ready", "exit"]
    assert "first_instruction" not in guest.phases


def test_memory_slopes_are_those_the_run_was_made_with_and_add_up(summary: Summary) -> None:
    memory = isolator(summary, "lxc").memory
    assert memory

    assert memory.counts == (1, 2, 4, 8)
    slopes = {name: line.slope.value for name, line in memory.lines.items()}
    assert slopes["workload_pss"] == pytest.approx(92 * 1024)
    assert slopes["helpers_pss"] == pytest.approx(2.1 * 1024**2)
    assert sum(slopes.values()) == pytest.approx(memory.total.value)
    constants = sum(line.constant.value for line in memory.lines.values())
    assert constants == pytest.approx(memory.of_total.constant.value)
    assert memory.of_kernel
    kernel = slopes["kernel_slab"] + slopes["kernel_page_tables"]
    assert memory.of_kernel.slope.value == pytest.approx(kernel)


def test_line_the_host_could_not_tell_is_absent(summary: Summary) -> None:
    memory = isolator(summary, "lxc").memory
    assert memory
    assert "kernel_vmalloc" not in memory.lines
    assert memory.each("kernel_vmalloc") is None


def test_peaks_are_medians_and_say_when_they_are_bounds(summary: Summary) -> None:
    runc, lxc = isolator(summary, "runc").memory, isolator(summary, "lxc").memory
    assert runc
    assert lxc
    assert runc.peak
    assert lxc.peak
    assert (runc.peak.resident, runc.peak.charged, runc.peak.bound) == (128 * 1024, 2332 * 1024, True)
    assert lxc.peak.charged is None


def test_workload_of_a_guest_has_no_memory_of_its_own(summary: Summary) -> None:
    memory = isolator(summary, "qemu-tcg").memory
    assert memory

    assert memory.each("workload_pss") is None
    assert memory.each("guest_ram_pss")


def test_memory_step_measured_again_counts_once_and_the_last_time(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    steps = [line for line in made_run.samples if line.cell == "memory/bare/hold"]
    torn = [replace(line, value=1e12, detail={**line.detail, "unattributed": 1e12}) for line in steps[:2]]

    run = replace(made_run, samples=(*torn, *made_run.samples))

    once, again = summarize(made_run.write(tmp_path / "a")), summarize(run.write(tmp_path / "b"))
    before, after = isolator(once, "bare").memory, isolator(again, "bare").memory
    assert before
    assert after
    assert after.total == before.total


def test_readings_taken_before_the_host_came_to_rest_are_counted(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    def restless(line: Sample) -> Sample:
        return replace(line, detail={**line.detail, "steady": line.detail["instances"] != 8})

    samples = tuple(restless(x) if x.cell == "memory/bare/hold" else x for x in made_run.samples)

    memory = isolator(summarize(replace(made_run, samples=samples).write(tmp_path / "a")), "bare").memory
    assert memory
    assert memory.unsteady == 2


def test_memory_of_a_single_number_of_instances_has_no_slope(made_run: SyntheticRun, tmp_path: Path) -> None:
    run = made_run.only(lambda line: line.detail.get("instances", 1) == 1)

    assert not summarize(run.write(tmp_path / "run")).memories


def test_limits_are_sorted_and_the_worst_error_keeps_its_sign(summary: Summary) -> None:
    runc = isolator(summary, "runc")

    assert summary.limits == tuple((cpus, 100_000) for cpus in (0.1, 0.25, 0.5, 1.0, 1.5))
    assert [quota.asked_cpus for quota in runc.quotas] == [0.1, 0.25, 0.5, 1.0, 1.5]
    assert runc.worst_error is not None
    assert -0.06 < runc.worst_error < -0.03
    assert isolator(summary, "bare").worst_error is None


def test_cells_that_did_not_end_ok_keep_reason_and_remedy(summary: Summary) -> None:
    states = {cell.id: cell.state for cell in summary.not_ok}

    assert states["throttling/bare/spin"].status is Status.UNSUPPORTED
    assert states["startup/crun/ready"].remedy == "apt-get install crun"
    assert states["startup/qemu-tcg/ready"].status is Status.TIMEOUT


@pytest.mark.parametrize(
    ("name", "emulated"), [("qemu-tcg", True), ("old-tcg", True), ("qemu-kvm", False), ("tcgx", False)]
)
def test_emulation_is_told_by_the_name_shown(name: str, emulated: bool) -> None:  # noqa: FBT001
    assert Isolator(name, None).emulated is emulated


def test_run_without_bare_has_no_ratios(made_run: SyntheticRun, tmp_path: Path) -> None:
    record = replace(made_run.record, isolators=made_run.record.isolators[1:])
    run = replace(made_run.only(lambda line: line.isolator != "bare"), record=record)

    summary = summarize(run.write(tmp_path / "run"))

    assert summary.bare is None
    assert summary.startups
    assert all(start.to_bare is None for start in summary.startups)


def test_run_in_which_nothing_was_measured_is_a_summary_that_says_so(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    empty = summarize(made_run.only(lambda _: False).write(tmp_path / "empty"))
    lost = summarize(made_run.only(lambda line: line.value is None).write(tmp_path / "lost"))

    assert not empty.measured
    assert not lost.measured
    assert len(lost.not_ok) == 7


def test_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no such folder"):
        summarize(tmp_path / "nowhere")


def test_share_decided_by_other_load_enters_no_figure_and_is_told(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    def held(sample: Sample) -> Sample:
        if sample.isolator != "runc" or sample.metric != "cpu_share_error" or sample.block:
            return sample
        return replace(sample, value=-0.5, detail={**sample.detail, "bound": False})

    run = replace(made_run, samples=tuple(map(held, made_run.samples)))
    found = summarize(run.write(tmp_path / "run"))

    runc = isolator(found, "runc")
    assert [quota.error.n for quota in runc.quotas] == [1] * len(runc.quotas)
    assert all(abs(quota.error.median.value) < 0.1 for quota in runc.quotas)
    assert any("were decided by other load" in caution.title for caution in cautions(found))

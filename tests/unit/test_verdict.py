"""What a run says in words, and what stands against believing it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.ab_runs import ab_run

from isobench.journal import DisturbanceRecord, TunedSetting
from isobench.model import Sample, Status
from isobench.reports import rows
from isobench.reports.findings import Finding, findings
from isobench.reports.load import summarize
from isobench.reports.stats import Estimate, Interval
from isobench.reports.summary import Isolator, Summary
from isobench.reports.verdict import Caution, cautions, names

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture
def changed(made_run: SyntheticRun, tmp_path: Path) -> Callable[..., Summary]:
    """The summary of a run with another host, status, or samples."""

    def make(
        host: dict[str, Any] | None = None,
        status: Literal["running", "interrupted", "finished"] = "finished",
        each: Callable[[Sample], Sample] = lambda line: line,
        tuned: tuple[TunedSetting, ...] | None = None,
    ) -> Summary:
        found = {**made_run.record.host, **(host or {})}
        record = replace(made_run.record, host=found, status=status, tuned=tuned)
        return summarize(
            replace(made_run, record=record, samples=tuple(map(each, made_run.samples))).write(tmp_path / "x")
        )

    return make


def finding(summary: Summary, question: str) -> Finding:
    return next(found for found in findings(summary) if found.question == question)


def caution(summary: Summary, words: str) -> Caution:
    return next(found for found in cautions(summary) if words in found.title)


def titles(summary: Summary) -> str:
    return "; ".join(found.title for found in cautions(summary))


def test_fastest_start_names_the_first_after_bare_and_how_sure_that_is(summary: Summary) -> None:
    found = finding(summary, "Fastest start")

    assert found.answer == "chroot"
    assert "× bare" in found.figure.text
    assert found.evidence.startswith("Next is cgroups, 1.")


def test_starts_that_cannot_be_told_apart_are_called_so(changed: Callable[..., Summary]) -> None:
    def alike(line: Sample) -> Sample:
        if line.isolator == "cgroups" and line.metric == "ready" and line.value:
            return replace(line, value=line.value * 0.63)
        return line

    found = finding(changed(each=alike), "Fastest start")

    assert "cannot be told apart" in found.evidence


def test_cheapest_memory_and_most_exact_limit_are_named(summary: Summary) -> None:
    assert finding(summary, "Cheapest in memory").answer == "runc"

    limit = finding(summary, "Most exact CPU limit")
    assert limit.answer == "cgroups"
    assert "0.1 to 1.5 CPUs" in limit.evidence
    assert limit.evidence.index("lxc") < limit.evidence.index("runc") < limit.evidence.index("qemu-tcg")


def test_limits_are_ranked_by_those_that_all_have_a_figure_of(changed: Callable[..., Summary]) -> None:
    """The hardest limit of the most exact failed: that makes it neither better nor worse."""

    def failed(line: Sample) -> Sample:
        if line.isolator == "cgroups" and line.params.get("cpus") == 1.5:
            return replace(line, value=None, status=Status.FAILED, reason="no quota")
        return line

    limit = finding(changed(each=failed), "Most exact CPU limit")
    assert limit.answer == "cgroups"
    assert "0.1 to 1 CPUs, those of which all have a figure." in limit.evidence


def test_limits_whose_worst_errors_overlap_or_are_too_few_are_called_so(summary: Summary) -> None:
    def sized(value: float, interval: Interval | None) -> Callable[[Isolator], Isolator]:
        def with_error(isolator: Isolator) -> Isolator:
            quotas = tuple(
                replace(quota, error=replace(quota.error, median=Estimate(value, interval)))
                for quota in isolator.quotas
            )
            return replace(isolator, quotas=quotas)

        return with_error

    errors = {
        "cgroups": sized(-0.01, Interval(-0.02, 0.005)),
        "lxc": sized(0.015, Interval(0.011, 0.03)),
        "runc": sized(0.5, Interval(0.4, 0.6)),
        "qemu-tcg": sized(0.0, None),
    }
    isolators = tuple(errors[one.name](one) if one.name in errors else one for one in summary.isolators)

    found = finding(replace(summary, isolators=isolators), "Most exact CPU limit")
    assert found.answer == "cgroups"  # emulation comes last, however exact
    assert "lxc cannot be told apart from it" in found.evidence
    assert "Too few readings to say how sure that is of qemu-tcg." in found.evidence


@pytest.mark.parametrize(
    ("value", "low", "high", "figure"),
    [
        (-41.0, -900.0, 80.0, "at most 80.0 KiB an instance, too little to be told from noise"),
        (41.0, -9.0, 80.0, "at most 80.0 KiB an instance, too little to be told from noise"),
        (41.0, 9.0, 80.0, "41.0 KiB an instance"),
    ],
)
def test_memory_that_cannot_be_told_from_nothing_is_a_bound(
    summary: Summary, value: float, low: float, high: float, figure: str
) -> None:
    total = Estimate(value * 1024, Interval(low * 1024, high * 1024))

    def with_total(isolator: Isolator) -> Isolator:
        memory = isolator.memory
        if isolator.name != "runc" or memory is None:
            return replace(isolator, memory=None)
        return replace(isolator, memory=replace(memory, of_total=replace(memory.of_total, slope=total)))

    changed = replace(summary, isolators=tuple(map(with_total, summary.isolators)))
    assert finding(changed, "Cheapest in memory").figure.text == figure


def test_virtual_machine_is_compared_with_the_slowest_start_on_the_hosts_kernel(summary: Summary) -> None:
    found = finding(summary, "Virtual machine against shared kernel")

    assert found.figure.text == "the start of qemu-tcg against runc"
    assert re.search(r"shares the host's kernel \([\d.]+× to [\d.]+×\)\.", found.evidence)
    assert "software emulation" in found.evidence.lower()


def test_host_that_is_a_virtual_machine_is_cautioned_loudly(changed: Callable[..., Summary]) -> None:
    assert caution(changed(host={"virtual_machine": "kvm"}), "itself a virtual machine (kvm)").loud


def test_settings_unfit_for_times_are_cautioned_but_those_the_run_has_set(
    changed: Callable[..., Summary],
) -> None:
    knobs = {"governor": "powersave", "SMT": "on", "RCU grace periods": "normal", "timer migration": "off"}

    found = caution(changed(host={"knobs": knobs}, tuned=(RCU,)), "not set as on a quiet host")

    assert found.loud
    assert found.title.startswith("governor and SMT: ")
    assert "governor is powersave, better performance: " in found.text
    assert found.remedy


def test_settings_that_all_can_be_set_for_the_run_are_mended_by_tune(changed: Callable[..., Summary]) -> None:
    found = caution(changed(host={"knobs": {"timer migration": "on"}}), "not set as on a quiet host")

    assert found.remedy == "isobench run --tune"


def test_emulation_is_cautioned_loudly_with_what_the_probe_said(summary: Summary) -> None:
    found = caution(summary, "software emulation")

    assert found.loud
    assert "qemu-tcg" in found.title
    assert "/dev/kvm is there" in found.text


@pytest.mark.parametrize(("status", "title"), [("interrupted", "was interrupted"), ("running", "was killed")])
def test_run_that_did_not_finish_is_cautioned_with_how_to_resume(
    changed: Callable[..., Summary], status: str, title: str
) -> None:
    summary = changed(status=status)

    found = caution(summary, title)
    assert found.loud
    assert found.remedy == f"isobench resume {summary.folder}"


@pytest.mark.parametrize(("load", "said"), [(0.4, False), (1.0, True)])
def test_busy_host_is_cautioned_by_its_load_for_each_cpu(
    changed: Callable[..., Summary],
    load: float,
    said: bool,  # noqa: FBT001
) -> None:
    summary = changed(host={"load": {"1min": load}})

    assert ("host was busy" in titles(summary)) is said


def test_start_faster_than_the_floor_is_cautioned(changed: Callable[..., Summary]) -> None:
    def halved(line: Sample) -> Sample:
        return replace(line, value=line.value / 2) if line.isolator == "chroot" and line.value else line

    assert "chroot: started faster than the floor" in titles(changed(each=halved))


def test_quiet_bare_metal_host_with_whole_run_is_not_cautioned(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    record = replace(made_run.record, host={**made_run.record.host, "virtual_machine": "none"})
    run = replace(made_run, record=record).only(
        lambda line: line.isolator != "qemu-tcg" and line.status is Status.OK
    )

    assert cautions(summarize(run.write(tmp_path / "run"))) == ()


def test_run_without_samples_is_cautioned_and_has_no_findings(made_run: SyntheticRun, tmp_path: Path) -> None:
    summary = summarize(made_run.only(lambda _: False).write(tmp_path / "run"))

    assert findings(summary) == ()
    assert caution(summary, "Nothing was measured").remedy == "isobench doctor"


def test_torn_journal_is_cautioned(run_folder: Path) -> None:
    with (run_folder / "samples.jsonl").open("ab") as file:
        file.write(b'{"v":1,"cell":"sta')

    assert "torn" in caution(summarize(run_folder), "journal is damaged").text


def test_gaps_join_isolators_with_one_reason_and_count_attempts(summary: Summary) -> None:
    gaps = {gap.isolators: gap for gap in rows.gaps(summary)}

    assert gaps["bare", "chroot", "namespaces"].where == "throttling"
    assert gaps["crun",].where == "memory, startup, throttling"
    assert gaps["qemu-tcg",].attempts == "1 of 6 attempts"


def test_gap_of_some_limits_names_them_and_what_was_left_behind_is_no_attempt(
    changed: Callable[..., Summary],
) -> None:
    def broken(line: Sample) -> Sample:
        if line.isolator != "runc" or line.params.get("cpus") not in {0.5, 1.5}:
            return line
        return replace(line, value=None, status=Status.FAILED, reason="no quota", metric="residue")

    gap = next(gap for gap in rows.gaps(changed(each=broken)) if gap.isolators == ("runc",))

    assert gap.where == "throttling (0.5, 1.5 CPUs)"
    assert gap.attempts == ""


def test_names_are_joined_as_in_a_sentence() -> None:
    assert [names(("a",)), names(("a", "b")), names(("a", "b", "c"))] == ["a", "a and b", "a, b and c"]


RCU = TunedSetting("RCU grace periods", "/sys/kernel/rcu_expedited", "0", "1", end="1")


def test_tuned_run_says_quietly_what_was_set_and_what_the_host_refused(
    changed: Callable[..., Summary],
) -> None:
    refused = TunedSetting(
        "KSM", "/sys/kernel/mm/ksm/run", "1", "1", refused="Read-only file system", end="1"
    )

    found = caution(changed(tuned=(RCU, refused)), "tuned for this run")

    assert not found.loud
    assert "Set while it went on: RCU grace periods 0 to 1." in found.text
    assert found.text.endswith("The host refused to change KSM (Read-only file system).")


@pytest.mark.parametrize("tuned", [None, ()])
def test_run_for_which_nothing_was_set_is_not_called_tuned(
    changed: Callable[..., Summary], tuned: tuple[TunedSetting, ...] | None
) -> None:
    assert "tuned" not in titles(changed(tuned=tuned))


def test_setting_that_was_changed_while_the_run_went_on_is_cautioned_loudly(
    changed: Callable[..., Summary],
) -> None:
    found = caution(changed(tuned=(replace(RCU, end="0"),)), "changed while the run went on")

    assert found.loud
    assert found.title.startswith("RCU grace periods: ")
    assert "/sys/kernel/rcu_expedited from 1 to 0" in found.text


def test_settings_that_disturb_memory_are_named_with_what_they_do_and_the_commands(
    changed: Callable[..., Summary],
) -> None:
    knobs = {"KSM": "on", "transparent huge pages": "always", "swap": "none", "zswap": "on", "SMT": "on"}

    found = caution(
        changed(host={"knobs": knobs, "memory_now": {"ksm_pages_sharing": 812}}), "disturb figures of memory"
    )

    assert found.loud
    assert found.title.startswith("transparent huge pages and KSM of this host")
    assert "KSM is on: equal pages of virtual machines are merged" in found.text
    assert "812 pages were merged" in found.text
    assert found.remedy == (
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled; echo 0 > /sys/kernel/mm/ksm/run"
    )


@pytest.mark.parametrize(("swapped", "loud"), [(0, False), (4096, True)])
def test_swap_disturbs_memory_loudly_once_something_is_swapped_out(
    changed: Callable[..., Summary],
    swapped: int,
    loud: bool,  # noqa: FBT001
) -> None:
    host = {"knobs": {"swap": "1 in use", "zswap": "on"}, "memory_now": {"swap_used_bytes": swapped}}

    found = caution(changed(host=host), "disturb figures of memory")

    assert found.loud is loud
    assert found.title.startswith("swap and zswap")


def test_run_that_tells_nothing_of_memory_is_not_disturbed_in_it(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    record = replace(made_run.record, host={**made_run.record.host, "knobs": {"KSM": "on"}})
    run = replace(made_run, record=record).only(lambda line: line.benchmark == "startup")

    assert "disturb" not in titles(summarize(run.write(tmp_path / "run")))


def test_every_sentence_with_a_figure_leads_to_a_cell_of_the_run(summary: Summary) -> None:
    found = findings(summary)

    assert all(one.figure.cell in summary.cells for one in found)
    assert {one.place for one in found} == {"startup", "memory", "throttling"}
    assert all(one.cell in summary.cells for each in found for one in each.remarks if "Next is" in one.text)


def ended(isolator: str, seconds: float, *, blocks: int = 6) -> list[Sample]:
    return [
        Sample(
            cell=f"teardown/{isolator}/hold/how=kill",
            isolator=isolator,
            benchmark="teardown",
            workload="hold",
            metric="drained",
            unit="second",
            value=seconds * (1 + block / 100),
            block=block,
            order=block,
            params={"how": "kill"},
        )
        for block in range(blocks)
    ]


@pytest.mark.parametrize(
    ("lxc_s", "blocks", "said"),
    [
        (0.5, 6, "Next is lxc with 512 ms."),
        (0.101, 6, "lxc cannot be told apart from it (104 ms)."),
        (0.5, 3, "Next is lxc with 505 ms; too few ends to say how sure that is."),
    ],
)
def test_cheapest_teardown_names_the_first_that_is_gone_and_the_next(
    made_run: SyntheticRun, tmp_path: Path, lxc_s: float, blocks: int, said: str
) -> None:
    ends = (*ended("bare", 0.001), *ended("runc", 0.1), *ended("lxc", lxc_s, blocks=blocks))
    run = replace(made_run, samples=(*made_run.samples, *ends))

    found = finding(summarize(run.write(tmp_path / "run")), "Cheapest teardown")

    assert found.answer == "runc"
    assert found.figure.text == "102 ms after it was killed"
    assert found.evidence.endswith(said)


def test_run_of_two_sides_has_no_findings(summary: Summary) -> None:
    assert findings(replace(summary, record=replace(summary.record, ab=ab_run().record.ab))) == ()


@pytest.mark.parametrize(("others_s", "said"), [(4.0, False), (80.0, True)])
def test_host_that_others_used_meanwhile_is_cautioned_loudly(
    summary: Summary,
    others_s: float,
    said: bool,  # noqa: FBT001
) -> None:
    used = DisturbanceRecord(seconds=100.0, cpus=2, others_cpu_s=others_s, steal_s=0.0)
    found = cautions(replace(summary, record=replace(summary.record, disturbance=used)))

    others = [one for one in found if one.title.startswith("Others used the host")]
    assert bool(others) is said
    assert all(one.loud and "40.0 % of the CPU time" in one.text for one in others)


def test_run_with_cold_starts_alone_says_so_quietly(summary: Summary) -> None:
    cells = tuple(
        replace(cell, samples=tuple(replace(one, params={"caches": "cold"}) for one in cell.samples))
        for cell in summary.cells
        if cell.benchmark == "startup"
    )
    cold = replace(
        summary,
        cells=cells,
        isolators=tuple(replace(one, startup=None) for one in summary.isolators),
    )

    assert not caution(cold, "cold caches").loud
    assert "cold caches" not in titles(summary)

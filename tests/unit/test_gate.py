"""The verdicts of the gate, one way of going right or wrong each."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.ab_runs import NAMES, Made, ab_run, only_in_a, starts

from isobench.errors import PolicyError, ResultsError
from isobench.journal import StoredRun, load
from isobench.journal_writer import Journal
from isobench.model import Sample, Side, Status
from isobench.reports import gate_rows
from isobench.reports.baseline import figures
from isobench.reports.gate import (
    MIN_BLOCKS,
    GateReport,
    Judgement,
    Outcome,
    Source,
    Verdict,
    candidates,
    judge,
)
from isobench.reports.gate_policy import DEFAULT_POLICY, parse_policy
from isobench.reports.load import summarize

NAME = "startup/ready"
MISSING = (Status.UNAVAILABLE, "runc is not installed")


def judged(run: StoredRun) -> Judgement:
    (found,) = judge(run, DEFAULT_POLICY).judgements
    return found


def confirmed(*made: Made, **more: object) -> StoredRun:
    names = tuple(f"{one.benchmark}/{one.workload}" for one in made)
    return ab_run(*made, confirm=names, **more)  # type: ignore[arg-type]


def where(
    run: StoredRun, change: dict[str, object], side: Side, blocks: Sequence[int] = range(40)
) -> StoredRun:
    """The run with other lines on one side in these blocks."""
    lines = [
        replace(line, **change) if line.side is side and line.block in blocks else line  # type: ignore[arg-type]
        for line in run.samples
    ]
    return replace(run, samples=tuple(lines))


def without(run: StoredRun, side: Side, blocks: Sequence[int] = range(40)) -> StoredRun:
    kept = [line for line in run.samples if line.side is not side or line.block not in blocks]
    return replace(run, samples=tuple(kept))


def test_regression_is_one_that_fresh_blocks_have_confirmed() -> None:
    report = judge(confirmed(starts(1.2)), DEFAULT_POLICY)
    (found,) = report.judgements

    assert found.verdict is Verdict.REGRESSION
    assert found.screen is not None
    assert found.stage is not None
    assert (found.screen.number, found.stage.number) == (1, 2)
    assert found.stage.n == found.screen.n == 20
    assert found.change is not None
    assert found.change.interval is not None
    assert found.change.interval.low < 0.2 < found.change.interval.high
    assert found.cells == {
        Side.A: "startup/old/ready",
        Side.B: "startup/new/ready",
        Side.CONTROL: "startup/old-again/ready",
    }
    assert (report.outcome, report.exit_code) == (Outcome.REGRESSION, 1)


def test_improvement_takes_the_same_and_passes() -> None:
    report = judge(confirmed(starts(0.8)), DEFAULT_POLICY)

    assert [found.verdict for found in report.judgements] == [Verdict.IMPROVEMENT]
    assert (report.outcome, report.exit_code) == (Outcome.PASSED, 0)


def test_candidate_that_fresh_blocks_do_not_confirm_is_no_regression() -> None:
    slow, same = starts(1.2), starts(1.0, seed=2)
    values = {side: [*slow.values[side][:20], *same.values[side][20:]] for side in Side}
    run = confirmed(Made(values))

    found = judged(run)

    assert candidates(run, DEFAULT_POLICY) == (NAME,)
    assert found.verdict is Verdict.EQUIVALENT
    assert "did not confirm" in found.reason
    assert found.screen is not None
    assert found.screen.p_worse < 0.05


def test_candidates_are_those_that_changed_either_way() -> None:
    made = (starts(1.2, workload="slow"), starts(0.8, workload="fast"), starts(1.0, workload="same"))

    assert candidates(ab_run(*made, confirm=None), DEFAULT_POLICY) == ("startup/fast", "startup/slow")


def test_candidate_without_a_second_stage_is_an_error() -> None:
    for confirm, word in ((None, "ended before"), ((), "did not measure it again")):
        report = judge(ab_run(starts(1.2), confirm=confirm), DEFAULT_POLICY)

        assert word in report.judgements[0].reason
        assert [found.verdict for found in report.judgements] == [Verdict.ERROR]
        assert report.exit_code == 4


def test_second_stage_that_is_not_whole_is_an_error() -> None:
    found = judged(where(confirmed(starts(1.2)), {"value": None, "status": Status.TIMEOUT}, Side.B, (21, 30)))

    assert found.verdict is Verdict.ERROR
    assert found.reason.startswith("second stage: 2 of 20 blocks are not whole")


def test_no_change_within_the_threshold_is_equivalent() -> None:
    report = judge(ab_run(starts(1.0)), DEFAULT_POLICY)

    assert [found.verdict for found in report.judgements] == [Verdict.EQUIVALENT]
    assert report.exit_code == 0
    assert report.outcome is Outcome.PASSED


def test_too_much_noise_is_inconclusive_and_says_how_many_blocks_it_would_need() -> None:
    run = ab_run(starts(1.0, noise=0.12, seed=3))
    report = judge(run, DEFAULT_POLICY)
    (found,) = report.judgements

    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.stage is not None
    # delta + 0.57 sd of d, as ratios.
    assert math.log1p(found.stage.detectable) == pytest.approx(
        math.log1p(0.05) + 0.569 * found.stage.spread, rel=0.001
    )
    assert found.needed_blocks is not None
    assert found.needed_blocks > 20
    assert report.exit_code == 0
    assert judge(run, DEFAULT_POLICY.asked(strict=True)).exit_code == 3


def test_baseline_that_differs_from_itself_makes_a_regression_inconclusive() -> None:
    made, other = starts(1.3), starts(1.2, seed=2)
    values = {**made.values, Side.CONTROL: other.values[Side.B]}

    found = judged(confirmed(Made(values)))

    assert found.verdict is Verdict.INCONCLUSIVE
    assert "differs from itself by +19" in found.reason
    assert found.needed_blocks is None
    assert found.stage is not None
    assert not found.stage.control.passed


def test_cell_only_in_a_is_missing_and_fails_unless_it_is_allowed() -> None:
    run = only_in_a(ab_run(starts(1.0), starts(1.0, workload="nginx")), "nginx")

    report = judge(run, DEFAULT_POLICY)

    assert {found.comparison: found.verdict for found in report.judgements} == {
        "startup/nginx": Verdict.MISSING,
        "startup/ready": Verdict.EQUIVALENT,
    }
    assert (report.outcome, report.exit_code) == (Outcome.INCOMPLETE, 4)
    assert judge(run, DEFAULT_POLICY.asked(allow_missing=True)).exit_code == 0


def test_cell_that_b_cannot_do_here_is_missing_with_its_reason() -> None:
    run = where(ab_run(starts()), {"value": None, "status": MISSING[0], "reason": MISSING[1]}, Side.B)

    assert judged(run).verdict is Verdict.MISSING
    assert "runc is not installed" in judged(run).reason


def test_cell_that_only_b_was_to_have_is_told_and_not_judged() -> None:
    planned = {NAME: tuple(Side), "startup/nginx": (Side.B,)}
    run = ab_run(starts(), starts(workload="nginx"), planned=planned)
    lines = [line for line in run.samples if line.side is Side.B or line.workload != "nginx"]

    report = judge(replace(run, samples=tuple(lines)), DEFAULT_POLICY)

    assert [(found.comparison, found.reason) for found in report.unjudged] == [
        ("startup/nginx", "A has no such cell")
    ]
    assert report.exit_code == 0


def test_metric_that_only_b_has_is_told_and_not_judged() -> None:
    both = (
        Made(starts().values, "teardown", "hold", "exit"),
        Made(starts().values, "teardown", "hold", "drained"),
    )
    run = ab_run(*both)
    lines = [line for line in run.samples if line.side is Side.B or line.metric != "drained"]

    report = judge(replace(run, samples=tuple(lines)), DEFAULT_POLICY)

    assert [(found.metric, found.reason) for found in report.unjudged] == [
        ("drained", "A was not measured: there is no attempt at it")
    ]
    assert report.exit_code == 0


@pytest.mark.parametrize("planned", [None, {NAME: tuple(Side), "startup/nginx": tuple(Side)}])
def test_baseline_lost_in_one_of_two_comparisons_is_no_pass(
    planned: Mapping[str, tuple[Side, ...]] | None,
) -> None:
    run = ab_run(starts(), starts(workload="nginx"), planned=planned)
    lines = [line for line in run.samples if line.side is not Side.A or line.workload != "nginx"]

    report = judge(replace(run, samples=tuple(lines)), DEFAULT_POLICY)

    assert {found.comparison: found.verdict for found in report.judgements} == {
        "startup/nginx": Verdict.ERROR,
        NAME: Verdict.EQUIVALENT,
    }
    assert report.judgements[0].reason == "A was not measured: the journal has no line of it"
    assert report.exit_code == 4


def test_baseline_of_which_no_value_counts_is_no_pass() -> None:
    run = ab_run(starts(), starts(workload="nginx"))
    lines = [
        replace(line, detail={"warmup": True}) if line.side is Side.A and line.workload == "nginx" else line
        for line in run.samples
    ]

    report = judge(replace(run, samples=tuple(lines)), DEFAULT_POLICY)

    assert report.judgements[0].reason == "A was not measured: no attempt at it counts"
    assert report.exit_code == 4


def test_comparison_lost_on_all_sides_is_no_pass_and_named() -> None:
    planned = {NAME: tuple(Side), "startup/nginx": tuple(Side), "round-trip/echo": tuple(Side)}
    report = judge(ab_run(starts(), planned=planned), DEFAULT_POLICY)

    assert [found.verdict for found in report.judgements] == [Verdict.EQUIVALENT]
    assert report.faults == ("The journal has no line of what was to be measured: startup/nginx.",)
    assert report.exit_code == 4


def test_cell_that_neither_side_can_do_is_told_and_fails_nothing() -> None:
    run = ab_run(starts(), starts(workload="nginx"))
    lines = [
        replace(line, value=None, status=Status.UNSUPPORTED, reason="by nature")
        if line.workload == "nginx"
        else line
        for line in run.samples
    ]

    report = judge(replace(run, samples=tuple(lines)), DEFAULT_POLICY)

    assert [found.reason for found in report.unjudged] == ["A was not measured: by nature"]
    assert report.exit_code == 0


@pytest.mark.parametrize("side", [Side.A, Side.B, Side.CONTROL])
def test_side_that_failed_throughout_is_no_pass(side: Side) -> None:
    run = where(ab_run(starts()), {"value": None, "status": Status.FAILED, "reason": "exit 1"}, side)
    report = judge(run, DEFAULT_POLICY)

    assert report.exit_code == 4
    assert "exit 1" in report.judgements[0].reason


@pytest.mark.parametrize("side", list(Side))
def test_side_that_is_empty_is_no_pass(side: Side) -> None:
    run = without(ab_run(starts()), side)
    report = judge(run, DEFAULT_POLICY)

    assert report.exit_code == 4
    assert [one.verdict for one in report.judgements] == [Verdict.ERROR]
    assert judge(run, DEFAULT_POLICY.asked(allow_missing=True)).exit_code == 4


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "failed"])
def test_b_that_failed_or_was_lost_is_an_error_whatever_may_be_missing(*, lost: bool) -> None:
    run = ab_run(starts(), starts(workload="nginx"))

    def changed(line: Sample) -> Sample | None:
        if line.side is not Side.B or line.workload != "nginx":
            return line
        return None if lost else replace(line, value=None, status=Status.FAILED, reason="it crashed")

    run = replace(run, samples=tuple(filter(None, map(changed, run.samples))))
    report = judge(run, DEFAULT_POLICY.asked(allow_missing=True))

    (found,) = report.of(Verdict.ERROR)
    assert report.exit_code == 4
    assert found.reason == "A was measured and B was not: " + (
        "the journal has no line of it" if lost else "it crashed"
    )


def test_metric_that_every_side_failed_at_is_an_error_beside_one_that_came_off() -> None:
    run = ab_run(Made(starts().values, metric="freeze", benchmark="freeze"))
    failed = tuple(
        replace(line, metric="thaw", value=None, status=Status.FAILED, reason="it stays frozen")
        for line in run.samples
    )
    report = judge(replace(run, samples=(*run.samples, *failed)), DEFAULT_POLICY)

    assert {one.metric.name: one.verdict for one in report.judgements} == {
        "freeze": Verdict.EQUIVALENT,
        "thaw": Verdict.ERROR,
    }
    assert report.exit_code == 4


@pytest.mark.parametrize(("blocks", "code"), [(1, 0), (2, 4)])
def test_block_in_which_something_was_left_on_the_host_is_not_whole(blocks: int, code: int) -> None:
    run = ab_run(starts())
    first = {line.block: line for line in run.samples if line.side is Side.B}
    failed = [replace(first[n], value=None, status=Status.FAILED) for n in range(blocks)]
    lines = [replace(line, metric="residue", reason="left behind: mount /x") for line in failed]
    report = judge(replace(run, samples=(*run.samples, *lines)), DEFAULT_POLICY)

    assert report.exit_code == code
    assert [gap.reason for gap in report.judgements[0].gaps] == ["left behind: mount /x"] * blocks


def test_alpha_that_no_blocks_can_reach_is_an_error_and_not_a_pass() -> None:
    policy = parse_policy({"gate": {"alpha": 1e-7}})
    report = judge(confirmed(starts(3.0)), policy)

    (found,) = report.judgements
    assert (found.verdict, report.exit_code) == (Verdict.ERROR, 4)
    assert found.reason == "20 blocks cannot show anything at alpha = 1e-07: p is 9.5e-07 at least; 24 can"


def test_more_candidates_than_the_blocks_can_confirm_at_once_are_errors() -> None:
    policy = parse_policy({"gate": {"alpha": 1.5e-6}})
    one, other = starts(3.0), starts(3.0, workload="nginx")

    assert judge(confirmed(one), policy).exit_code == 1
    report = judge(confirmed(one, other), policy)

    assert report.exit_code == 4
    assert "20 blocks cannot show anything of 2 candidates at once" in report.judgements[0].reason


def test_change_far_beyond_what_the_baseline_seems_to_differ_from_itself_by_is_found() -> None:
    made, other = starts(2.0, noise=0.25), starts(1.12, noise=0.25, seed=2)
    values = {**made.values, Side.CONTROL: other.values[Side.B]}

    found = judged(confirmed(Made(values)))

    assert found.stage is not None
    assert not found.stage.control.passed
    assert found.verdict is Verdict.REGRESSION
    assert "can explain" in found.reason


def test_confirmed_change_that_the_control_may_explain_is_not_called_unconfirmed() -> None:
    made, other = starts(1.3), starts(1.2, seed=2)
    values = {**made.values, Side.CONTROL: other.values[Side.B]}

    found = judged(confirmed(Made(values)))

    assert found.verdict is Verdict.INCONCLUSIVE
    assert "on fresh blocks, as the screen had found, but the baseline differs from itself" in found.reason
    assert "did not confirm" not in found.reason


def test_more_blocks_are_advised_where_they_are_a_remedy_and_nowhere_else() -> None:
    made, other = starts(1.3), starts(1.2, seed=2)
    beside_itself = Made({**made.values, Side.CONTROL: other.values[Side.B]})
    unsure = ab_run(starts(1.05, noise=0.12))

    told = [gate_rows.advice(judge(run, DEFAULT_POLICY)) for run in (confirmed(beside_itself), unsure)]

    assert told[0] == "More blocks are no remedy where the baseline differs from itself: isobench doctor."
    assert re.fullmatch(r"More blocks see smaller changes: isobench ab --blocks \d+\.", str(told[1]))


def test_journal_that_is_not_what_was_counted_is_no_pass() -> None:
    run = replace(
        ab_run(starts()), miscounted=("startup/b/ready in block 3 has 2 lines, and 4 were counted",)
    )
    report = judge(run, DEFAULT_POLICY)

    assert report.exit_code == 4
    assert report.faults == (
        "The journal is not what was measured: startup/b/ready in block 3 has 2 lines, and 4 were counted.",
    )


def test_run_without_a_sample_is_no_pass() -> None:
    report = judge(replace(ab_run(starts()), samples=()), DEFAULT_POLICY)

    assert not report.judgements
    assert report.exit_code == 4
    assert report.faults == ("Nothing was compared: no metric was measured on both sides.",)


def test_one_block_in_twenty_may_lack_a_value_and_is_told() -> None:
    run = where(ab_run(starts()), {"value": None, "status": Status.FAILED, "reason": "exit 1"}, Side.B, (7,))

    found = judged(run)

    assert found.verdict is Verdict.EQUIVALENT
    assert found.stage is not None
    assert (found.stage.n, found.stage.planned) == (19, 20)
    assert [(gap.block, gap.side, gap.reason) for gap in found.gaps] == [(7, Side.B, "exit 1")]


def test_unequal_blocks_are_an_error_that_says_how_many() -> None:
    found = judged(without(ab_run(starts()), Side.B, range(10, 20)))

    assert found.verdict is Verdict.ERROR
    assert found.reason == "10 of 20 blocks are not whole, one in 20 may be; the first: no value"


def test_failed_start_among_good_ones_makes_its_block_incomplete() -> None:
    run = ab_run(starts())
    broken = [
        replace(line, value=None, status=Status.FAILED, reason="no first byte")
        for line in run.samples
        if line.block in {3, 4} and line.side is Side.A
    ]

    assert judged(replace(run, samples=(*run.samples, *broken))).verdict is Verdict.ERROR


def test_warm_ups_enter_no_figure() -> None:
    run = ab_run(starts())
    cold = [replace(line, value=10.0, detail={"warmup": True}) for line in run.samples if line.side is Side.B]

    assert judged(replace(run, samples=(*cold, *run.samples))) == judged(run)


def resumed(run: StoredRun, torn: Sample, folder: Path) -> StoredRun:
    """The run as it is read back when its block of that line was broken off behind it and measured again."""
    with Journal.create(folder, run.record) as journal:
        journal.append(torn)
    journal, _ = Journal.reopen(folder)
    with journal:
        for sample in run.samples:
            journal.append(sample)
        journal.pair_done(torn.cell, torn.block)
    return load(folder)


def test_values_of_a_block_that_was_broken_off_and_measured_again_do_not_count(tmp_path: Path) -> None:
    run = ab_run(starts())
    line = next(one for one in run.samples if one.side is Side.A and one.block == 3)

    again = resumed(run, replace(line, value=10.0), tmp_path / "run")

    assert len(again.samples) == len(run.samples) + 1
    assert judged(again) == judged(run)
    assert [dict(figure.values) for figure in figures(again)] == [dict(f.values) for f in figures(run)]
    assert summarize(tmp_path / "run").torn == again.torn == {(line.cell, 3): 1}


def test_attempt_that_failed_before_its_block_was_broken_off_makes_it_incomplete(tmp_path: Path) -> None:
    run = ab_run(starts())
    line = next(one for one in run.samples if one.side is Side.A and one.block == 3)
    failed = replace(line, value=None, status=Status.FAILED, reason="exit 1")

    found = judged(resumed(run, failed, tmp_path / "run"))

    assert [(gap.block, gap.side, gap.reason) for gap in found.gaps] == [(3, Side.A, "exit 1")]


def test_all_values_equal_is_equivalent_and_a_constant_step_a_regression() -> None:
    same: list[float | None] = [1.0] * 40
    step: list[float | None] = [1.1] * 40

    assert (
        judged(ab_run(Made({Side.A: same, Side.B: same, Side.CONTROL: same}))).verdict is Verdict.EQUIVALENT
    )
    assert (
        judged(confirmed(Made({Side.A: same, Side.B: step, Side.CONTROL: same}))).verdict
        is Verdict.REGRESSION
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "a value of 0, of which there is no ratio"),
        (-1.0, "a value of -1"),
        (math.nan, "no number"),
        (math.inf, "infinite"),
    ],
)
def test_values_that_have_no_ratio_are_an_error(value: float, words: str) -> None:
    found = judged(where(ab_run(starts()), {"value": value}, Side.B, (5,)))

    assert found.verdict is Verdict.ERROR
    assert found.reason.startswith("B has ")
    assert words in found.reason
    assert found.reason.endswith("in block 5")


def test_values_beyond_all_reason_are_an_error_and_no_overflow() -> None:
    found = judged(where(ab_run(starts()), {"value": 1e-300}, Side.B))

    assert (found.verdict, found.reason) == (Verdict.ERROR, "A and B are too far apart to be compared")


@pytest.mark.parametrize(("status", "word"), [("running", "killed"), ("interrupted", "interrupted")])
def test_run_that_did_not_finish_is_no_pass(status: str, word: str) -> None:
    run = ab_run(starts())
    record = replace(run.record, status=status)  # type: ignore[arg-type]

    report = judge(replace(run, record=record), DEFAULT_POLICY)

    assert [found.verdict for found in report.judgements] == [Verdict.EQUIVALENT]
    assert report.exit_code == 4
    assert word in report.faults[0]


def test_run_of_too_few_blocks_is_no_pass() -> None:
    report = judge(ab_run(starts(blocks=11), blocks=11), DEFAULT_POLICY)

    assert report.exit_code == 4
    assert str(MIN_BLOCKS) in report.faults[0]


def test_run_that_compares_nothing_is_refused() -> None:
    run = ab_run(starts())

    for function in (judge, candidates):
        with pytest.raises(ResultsError, match="compares nothing"):
            function(replace(run, record=replace(run.record, ab=None)), DEFAULT_POLICY)


def test_unfit_host_outranks_a_regression_and_a_pass() -> None:
    busy = {"load": {"1min": 8.0}}

    for change in (1.0, 1.2):
        report = judge(confirmed(starts(change), host=busy), DEFAULT_POLICY)

        assert (report.outcome, report.exit_code) == (Outcome.UNFIT, 3)
        assert [check.name for check in report.unfit] == ["load as it began"]


def test_regression_outranks_what_is_missing_and_inconclusive() -> None:
    run = confirmed(starts(1.2), starts(workload="gone"), starts(noise=0.12, seed=3, workload="noisy"))
    report = judge(only_in_a(run, "gone"), DEFAULT_POLICY.asked(strict=True))

    assert report.counts == {
        Verdict.REGRESSION: 1,
        Verdict.IMPROVEMENT: 0,
        Verdict.EQUIVALENT: 0,
        Verdict.INCONCLUSIVE: 1,
        Verdict.MISSING: 1,
        Verdict.ERROR: 0,
    }
    assert report.exit_code == 1


def test_holm_asks_more_of_one_where_many_were_found() -> None:
    def weak(count: int) -> GateReport:
        made = [starts(1.06, noise=0.03, seed=4, workload=f"w{number}") for number in range(count)]
        return judge(confirmed(*made), DEFAULT_POLICY)

    (alone,), among = weak(1).judgements, weak(5).judgements

    assert alone.stage is not None
    assert alone.p == alone.stage.p_worse
    assert 0.01 < alone.p < 0.05
    assert [found.p for found in among] == pytest.approx([5 * alone.p] * 5)
    assert alone.verdict is Verdict.REGRESSION
    assert {found.verdict for found in among} == {Verdict.INCONCLUSIVE}


def test_what_the_gate_does_not_know_is_told_and_not_judged() -> None:
    run = ab_run(starts(), Made(starts().values, benchmark="theirs", workload="x"))
    audit = Sample("audit/host/timer", "host", "audit", "timer", "clock_read", "second", 1e-8, 0, 0)
    unknown = [
        replace(line, metric="warmth", unit="kelvin") for line in run.samples if line.benchmark == "startup"
    ]

    report = judge(replace(run, samples=(*run.samples, audit, *unknown)), DEFAULT_POLICY)

    assert {(found.comparison, found.metric) for found in report.unjudged} == {
        ("startup/ready", "warmth"),
        ("theirs/x", ""),
    }
    assert len(report.judgements) == 1


def test_detect_lowers_the_threshold_and_noise_of_the_host_raises_it() -> None:
    def threshold(
        detect: float | None = None, noise: Mapping[str, float] | None = None
    ) -> tuple[float, Source]:
        found = judged(ab_run(starts(base_s=0.002), detect=detect, noise=noise or {})).threshold
        assert found is not None
        return round(found.delta, 2), found.source

    assert threshold() == (0.25, Source.FLOOR)
    assert threshold(detect=0.04) == (0.02, Source.DETECT)
    assert threshold(detect=0.04, noise={NAME: 0.07}) == (0.07, Source.NOISE)
    assert threshold(noise={"startup/other": 0.9}) == (0.25, Source.FLOOR)


def test_noise_above_the_change_asked_for_is_no_pass_for_it() -> None:
    def of(noise: float, change: float = 1.0, detect: float | None = 0.1) -> Judgement:
        return judged(ab_run(starts(change), detect=detect, noise={NAME: noise}))

    hidden = of(0.2, 1.114)

    assert hidden.verdict is of(0.2).verdict is of(0.1).verdict is Verdict.INCONCLUSIVE
    assert "the noise of the host, 20.00 %, hides the 10.00 % asked for" in hidden.reason
    assert hidden.needed_blocks is None
    assert of(0.09).verdict is of(0.2, detect=None).verdict is Verdict.EQUIVALENT


def test_noise_above_the_change_asked_for_hides_no_greater_one() -> None:
    assert judged(confirmed(starts(1.5), detect=0.1, noise={NAME: 0.2})).verdict is Verdict.REGRESSION


def test_threshold_of_gate_toml_counts_for_whom_it_names() -> None:
    made = (starts(1.1, noise=0.01), starts(1.1, noise=0.01, workload="nginx"))
    table = {
        "benchmark": "startup",
        "metric": "ready",
        "workload": "nginx",
        "relative": 0.3,
        "reason": "known",
    }

    report = judge(confirmed(*made), parse_policy({"threshold": [table]}))
    by_name = {found.comparison: found for found in report.judgements}

    assert by_name["startup/ready"].verdict is Verdict.REGRESSION
    nginx = by_name["startup/nginx"]
    assert nginx.verdict is Verdict.EQUIVALENT
    assert nginx.threshold is not None
    assert (nginx.threshold.source, nginx.threshold.reason) == (Source.FILE, "known")


def test_threshold_that_is_about_nothing_in_the_run_is_an_error() -> None:
    table = {"benchmark": "startup", "metric": "ready", "isolator": "nwe", "relative": 0.3, "reason": "known"}

    with pytest.raises(
        PolicyError, match=r'gate.toml: \[\[threshold\]\] 1 isolator: found "nwe" \(did you mean "new"'
    ):
        judge(ab_run(starts()), parse_policy({"threshold": [table]}))


def test_sides_are_known_by_the_name_of_the_matrix_where_cells_bear_another() -> None:
    run = ab_run(starts())
    isolators = [replace(one, shown_as=f"{one.name}-tcg") for one in run.record.isolators]
    lines = [replace(line, isolator=f"{line.isolator}-tcg") for line in run.samples]

    report = judge(
        replace(run, record=replace(run.record, isolators=tuple(isolators)), samples=tuple(lines)),
        DEFAULT_POLICY,
    )

    assert [found.verdict for found in report.judgements] == [Verdict.EQUIVALENT]


def test_sides_can_be_workloads() -> None:
    run = ab_run(starts(1.2), confirm=("startup/runc",))
    assert run.record.ab is not None
    record = replace(run.record, ab=replace(run.record.ab, by="workload"))
    lines = [replace(line, isolator="runc", workload=line.isolator) for line in run.samples]

    (found,) = judge(replace(run, record=record, samples=tuple(lines)), DEFAULT_POLICY).judgements

    assert (found.comparison, found.verdict) == ("startup/runc", Verdict.REGRESSION)


def test_throughput_that_falls_is_worse_and_one_that_rises_is_better() -> None:
    def rate(change: float) -> Made:
        made = starts(change)
        return replace(made, benchmark="startup-concurrency", metric="rate", unit="1/second")

    assert judged(confirmed(rate(0.8))).verdict is Verdict.REGRESSION
    assert judged(confirmed(rate(1.2))).verdict is Verdict.IMPROVEMENT


def test_error_of_a_limit_is_worse_the_further_it_is_off_either_way() -> None:
    def share(error: float) -> Made:
        flat = {Side.A: [0.001] * 40, Side.B: [error] * 40, Side.CONTROL: [0.001] * 40}
        return Made(flat, "throttling", "spin", "cpu_share_error", "ratio", {"cpus": 0.5})

    def of(error: float) -> Verdict:
        run = ab_run(share(error), confirm=("throttling/spin/cpus=0.5",))
        return judged(run).verdict

    assert of(0.03) is of(-0.03) is Verdict.REGRESSION
    assert of(0.009) is of(-0.009) is Verdict.EQUIVALENT


def test_memory_near_nothing_and_below_it_by_noise_is_judged_by_its_difference() -> None:
    quiet = starts(1.0)
    steps = []
    for line in ab_run(quiet).samples:
        each = -2000.0 + 10 * (line.value or 0)
        steps += [
            replace(
                line,
                benchmark="memory",
                metric="footprint",
                unit="byte",
                value=each * count,
                detail={"instances": count},
            )
            for count in (1, 2, 4)
        ]
    run = replace(ab_run(quiet), samples=tuple(steps))

    report: GateReport = judge(run, DEFAULT_POLICY)
    (found,) = report.judgements

    assert found.metric.name == "each"
    assert found.verdict is Verdict.EQUIVALENT
    assert found.stage is not None
    assert found.stage.a < 0
    assert found.threshold is not None
    assert found.threshold.delta == 256 * 1024


def test_journals_warnings_are_passed_on() -> None:
    run = replace(ab_run(starts()), warnings=("the last line is torn",))

    assert judge(run, DEFAULT_POLICY).warnings == ("the last line is torn",)
    assert set(NAMES.values()) == {"old", "new", "old-again"}

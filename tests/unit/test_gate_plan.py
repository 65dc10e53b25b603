"""The plan of a comparison: how many starts it takes, what that shows, and what it rests on."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ab_runs import ab_run, starts

from isobench.errors import OutputError, ResultsError
from isobench.journal import StoredRun
from isobench.model import Side
from isobench.reports import gate_history, gate_stats
from isobench.reports.gate import Verdict, judge
from isobench.reports.gate_history import AAEntry, append_entries, entries_of, read_entries, usual_distance
from isobench.reports.gate_plan import BLOCKS, LEAST_STARTS, MOST_STARTS, Plan, plan, variances
from isobench.reports.gate_policy import DEFAULT_POLICY, Subject, parse_policy
from isobench.reports.gate_values import Source

READY = {"startup/ready": Subject("startup", frozenset({"old", "new"}), frozenset({"ready"}))}


def entry(
    between: float = 0.02, within: float = 0.2, *, a: float = 0.05, theta: float = 0.0, run: str = "r1"
) -> AAEntry:
    """A history whose d scatters by ``between`` however many starts there are, and by ``within`` of each."""
    spreads = {k: math.sqrt(between**2 + within**2 * gate_stats.median_variance(k)) for k in (1, 2, 4, 8)}
    return AAEntry("host", "subject", "startup/ready", "ready", run, 20, a, theta, spreads, 0.03, 0.1)


def planned(
    *entries: AAEntry, blocks: int | None = 20, detect: float | None = 0.1, starts: int | None = None
) -> Plan:
    return plan(entries, READY, DEFAULT_POLICY, blocks=blocks, detect=detect, starts=starts)


def repeated(run: StoredRun, times: int) -> StoredRun:
    """Every attempt ``times`` times, with a scatter of its own."""
    random = Random(3)  # noqa: S311 - made-up figures
    samples = [
        replace(sample, value=sample.value * random.lognormvariate(0, 0.1))
        for sample in run.samples
        for _ in range(times)
        if sample.value is not None
    ]
    return replace(run, samples=tuple(samples))


@given(st.floats(0.001, 0.2), st.floats(0.001, 0.5))
def test_variances_are_found_again_in_the_spreads_they_make(between: float, within: float) -> None:
    found = variances([entry(between, within).spreads])
    assert found[0] == pytest.approx(between**2, rel=0.01, abs=1e-9)
    assert found[1] == pytest.approx(within**2, rel=0.01, abs=1e-9)


def test_one_restless_run_does_not_decide_the_plan() -> None:
    calm = [entry(run=f"r{n}").spreads for n in range(4)]
    restless = entry(1.0, 2.0).spreads
    assert variances([*calm, restless]) == pytest.approx(variances(calm))


def test_variances_are_never_below_zero() -> None:
    growing = {1: 0.1, 8: 0.3}  # chance can make a spread grow with more starts
    assert min(variances([growing])) == 0
    assert variances([{1: 0.0}]) == (0.0, 0.0)


def test_plan_has_the_fewest_starts_that_show_the_change_asked_for() -> None:
    made = planned(entry())
    (line,) = made.lines

    assert made.starts is not None
    assert LEAST_STARTS < made.starts < MOST_STARTS
    assert line.lack is None
    assert line.sure <= 0.1 < planned(entry(), starts=made.starts - 1).lines[0].sure
    assert line.threshold.source is Source.DETECT or line.threshold.delta == pytest.approx(0.05)
    assert line.detectable < line.sure
    assert line.stage_s == pytest.approx(3 * 20 * (0.1 + made.starts * 0.03))


@given(st.floats(0.005, 0.03), st.floats(0.02, 0.3))
def test_a_smaller_change_never_needs_fewer_starts(between: float, within: float) -> None:
    found = [planned(entry(between, within), detect=detect).starts for detect in (0.05, 0.1, 0.2, 0.4)]
    assert all(one is not None for one in found)
    assert found == sorted((one or 0 for one in found), reverse=True)


def test_more_blocks_never_need_more_starts() -> None:
    found = [planned(entry(), blocks=blocks).starts or 0 for blocks in (12, 20, 40)]
    assert found == sorted(found, reverse=True)


def test_change_that_no_number_of_starts_shows_is_told_with_the_blocks_that_would() -> None:
    made = planned(entry(between=0.2))
    (line,) = made.lines
    assert made.starts == MOST_STARTS
    assert line.lack is not None
    assert "the host scatters too much" in line.lack
    assert "blocks would show it" in line.lack


def test_plan_takes_more_blocks_where_more_starts_do_not_help() -> None:
    made = planned(entry(between=0.08), blocks=None)
    assert planned(entry(between=0.08)).lines[0].lack is not None
    assert made.blocks > BLOCKS[0]
    assert made.lines[0].lack is None
    assert made.lines[0].sure <= 0.1 * 1.02


@given(st.floats(0.001, 0.2), st.floats(0.01, 0.5), st.sampled_from([0.05, 0.1, 0.3]))
def test_plan_of_its_own_blocks_shows_the_change_in_the_least_time(
    between: float, within: float, detect: float
) -> None:
    free = planned(entry(between, within), blocks=None, detect=detect)
    fixed = [planned(entry(between, within), blocks=blocks, detect=detect) for blocks in BLOCKS]
    short = [one for one in fixed if one.stage_s <= 2 * fixed[0].stage_s]
    shown = [one.stage_s for one in short if one.lines[0].lack is None]
    assert (free.lines[0].lack is None) is bool(shown)
    assert free.stage_s == min(shown or [one.stage_s for one in short])


@pytest.mark.parametrize(("detect", "starts"), [(None, None), (0.1, 7)])
def test_plan_has_the_usual_blocks_where_no_change_or_the_starts_are_asked_for(
    detect: float | None, starts: int | None
) -> None:
    assert planned(entry(between=0.08), blocks=None, detect=detect, starts=starts).blocks == BLOCKS[0]


def test_change_within_the_threshold_is_told() -> None:
    tables = {"threshold": [{"benchmark": "startup", "metric": "ready", "relative": 0.2, "reason": "noise"}]}
    made = plan((entry(),), READY, parse_policy(tables), blocks=20, detect=0.1)
    assert made.lines[0].lack == "it is within the threshold (noise)"


def test_plan_without_a_change_asked_for_is_for_twice_the_threshold() -> None:
    (line,) = planned(entry(a=0.05), detect=None).lines
    assert line.threshold.delta == pytest.approx(0.05)
    assert line.wanted == pytest.approx(0.1)


def test_starts_asked_for_are_kept_and_their_effect_told() -> None:
    made = planned(entry(), starts=2)
    assert made.starts == 2
    assert made.lines[0].lack == "more starts would show it"


def test_comparison_without_history_has_no_plan() -> None:
    assert planned().lines == ()
    assert planned().starts is None
    assert planned().unknown == ("startup/ready",)


def test_comparison_without_history_is_named_beside_those_that_have_one() -> None:
    def subject(benchmark: str) -> Subject:
        return Subject(benchmark, frozenset({"old", "new"}), frozenset({"ready"}))

    there = {**READY, "memory/ready": subject("memory"), "timer/host": subject("timer")}
    made = plan((entry(),), there, DEFAULT_POLICY, blocks=20)
    assert [line.comparison for line in made.lines] == ["startup/ready"]
    assert made.unknown == ("memory/ready",)  # of what is not judged there is nothing to be known


def test_plan_keeps_its_promise_in_simulated_runs() -> None:
    """A change of what was asked for is found by one stage about as often as a plan says."""
    between, within, change, runs = 0.02, 0.2, 0.1, 400
    made = planned(entry(between, within), detect=change)
    assert made.starts is not None
    spread = math.sqrt(between**2 + within**2 * gate_stats.median_variance(made.starts))
    random = Random(11)  # noqa: S311 - made-up figures
    limit = math.log1p(made.lines[0].threshold.delta)
    found = 0
    for _ in range(runs):
        d = [random.gauss(math.log1p(change), spread) for _ in range(made.blocks)]
        found += float(gate_stats.p_above(gate_stats.walsh(d), limit)) < DEFAULT_POLICY.gate.alpha
    assert found / runs > 0.98  # the exact test cannot use up its alpha


def test_plan_made_of_runs_keeps_its_promise_in_both_stages() -> None:
    """Three earlier runs of 20 starts know their spread to a fifth; what is planned by them is found."""

    def measured(count: int, seed: int, change: float = 1.0) -> StoredRun:
        draw = np.random.default_rng(seed)

        def side(factor: float) -> np.ndarray:
            block = draw.normal(0, 0.02 / math.sqrt(2), (40, 1))
            return np.exp(math.log(0.05 * factor) + block + draw.normal(0, 0.12, (40, count)))

        values = {Side.A: side(1), Side.B: side(change), Side.CONTROL: side(1)}
        run = ab_run(starts(blocks=40), confirm=("startup/ready",), seed=seed)
        lines = [replace(line, value=float(v)) for line in run.samples for v in values[line.side][line.block]]
        return replace(run, samples=tuple(lines))

    found = []
    for seed in range(20):
        made = planned(*(entries_of(measured(20, 100 * seed + part))[0] for part in range(3)))
        assert made.starts is not None
        report = judge(measured(made.starts, 9000 + seed, change=1.1), DEFAULT_POLICY)
        found.append(report.judgements[0].verdict is Verdict.REGRESSION)

    assert sum(found) >= 19


def test_control_of_a_run_tells_how_far_things_alike_lie_apart() -> None:
    run = repeated(ab_run(starts(noise=0.03, blocks=40), blocks=40), 8)
    (found,) = entries_of(run)

    assert (found.comparison, found.metric, found.blocks) == ("startup/ready", "ready", 40)
    assert set(found.spreads) == {1, 2, 4, 8}
    assert abs(found.theta) < 0.05
    assert found.spreads[1] == pytest.approx(math.hypot(0.03, 0.1 * 2**0.5), rel=0.4)
    assert found.spreads[8] < found.spreads[1]


def test_both_other_sides_tell_where_something_is_compared_with_itself() -> None:
    ab = ab_run(starts()).record.ab
    assert ab is not None
    assert gate_history.alike(ab) == (Side.A, Side.CONTROL)
    assert gate_history.alike(replace(ab, b="old.again")) == (Side.A, Side.CONTROL, Side.B)


def test_run_that_compares_nothing_has_no_history() -> None:
    run = ab_run(starts())
    assert entries_of(replace(run, record=replace(run.record, ab=None))) == ()


def test_history_is_kept_once_a_run_and_torn_lines_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "alike.jsonl"
    assert read_entries(file) == ()
    append_entries(file, [entry(run="r1")])
    append_entries(file, [entry(run="r1"), entry(run="r2")])
    with file.open("ab") as torn:
        torn.write(b'{"v": 1, "host": "h')

    assert read_entries(file) == (entry(run="r1"), entry(run="r2"))


def test_line_of_a_newer_isobench_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "alike.jsonl"
    append_entries(file, [entry(run="r1"), replace(entry(run="r2"), v=99)])

    assert read_entries(file) == (entry(run="r1"),)


@pytest.mark.parametrize("wrong", ["history/alike.jsonl", "history"])
def test_history_that_cannot_be_read_is_told_with_what_to_move_away(wrong: str, tmp_path: Path) -> None:
    file, found = tmp_path / "history" / "alike.jsonl", tmp_path / wrong
    if found == file:
        file.mkdir(parents=True)
    else:
        found.write_text("")

    with pytest.raises(ResultsError, match=f"{file}: the history of comparisons cannot be read") as caught:
        read_entries(file)

    assert caught.value.exit_code == 2
    assert caught.value.remedy == f"mv {found} {found}.old, and a new one begins"


def test_history_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="history of comparisons cannot be written"):
        append_entries(tmp_path / "file" / "alike.jsonl", [entry()])


@pytest.mark.parametrize(("thetas", "known"), [([0.01] * 4, False), ([0.01] * 4 + [-0.03], True)])
def test_usual_distance_needs_five_runs(thetas: Sequence[float], known: bool) -> None:  # noqa: FBT001
    found = usual_distance([entry(theta=theta) for theta in thetas], 8)
    assert (found is not None) == known
    assert found is None or 0.01 < found <= math.expm1(0.03)


def test_usual_distance_leaves_pilots_out() -> None:
    pilots = [replace(entry(theta=0.5), pilot=True) for _ in range(9)]
    assert usual_distance(pilots, 8) is None


def test_usual_distance_leaves_runs_of_far_fewer_starts_out() -> None:
    few = [entry(theta=0.5)] * 9  # of 8 starts
    many = [replace(entry(theta=0.01), spreads={1: 0.2, 32: 0.03})] * 5
    assert usual_distance(few, 17) is None
    assert usual_distance(few, 16) == usual_distance(few, None) == pytest.approx(math.expm1(0.5))
    assert usual_distance([*few, *many], 32) == pytest.approx(math.expm1(0.01))


def test_usual_distance_is_that_of_the_newest_twenty_runs() -> None:
    restless, quiet = [entry(theta=0.5)] * 40, [entry(theta=0.01)] * 20
    assert usual_distance([*restless, *quiet], 8) == pytest.approx(math.expm1(0.01))
    assert usual_distance([*restless, *quiet[:10]], 8) == pytest.approx(math.expm1(0.5))


def test_noise_of_earlier_runs_is_a_threshold_of_its_own() -> None:
    made = planned(*(entry(theta=0.08, run=f"r{n}") for n in range(6)), starts=8)
    (line,) = made.lines
    assert line.threshold.source is Source.NOISE
    assert made.noise == {"startup/ready": line.threshold.delta}


def test_change_that_the_noise_of_few_starts_hides_is_looked_for_with_more_than_twice_as_many() -> None:
    made = planned(*(entry(0.01, theta=0.08, run=f"r{n}") for n in range(6)))
    assert made.starts is not None
    assert 16 < made.starts < MOST_STARTS
    assert made.lines[0].threshold.source is Source.DEFAULT
    assert made.noise == {}


@pytest.mark.parametrize(
    ("comparison", "workload", "metric", "a"),
    [("memory/hold", "hold", "each", 2e6), ("teardown/hold", "hold", "cleaned", 0.05)],
)
def test_noise_raises_no_threshold_that_the_verdict_does_not_raise(
    comparison: str, workload: str, metric: str, a: float
) -> None:
    """Of differences in bytes, and of the second metric of a benchmark."""
    rows = [
        replace(entry(a=a, theta=0.08 * a, run=f"r{n}"), comparison=comparison, metric=metric)
        for n in range(6)
    ]
    benchmark = comparison.partition("/")[0]
    subjects = {comparison: Subject(benchmark, frozenset({"old", "new"}), frozenset({workload}))}

    made = plan(rows, subjects, DEFAULT_POLICY, blocks=20)

    (line,) = made.lines
    assert (line.noise, made.noise) == (None, {})
    assert line.threshold.source in {Source.DEFAULT, Source.FLOOR}
    assert line.threshold.delta == pytest.approx(256 * 1024 if metric == "each" else 0.05)


def test_tuned_host_is_the_same_before_it_is_tuned_and_in_the_run() -> None:
    before = {"kernel": "6.1", "knobs": {"RCU grace periods": "normal", "SMT": "off"}}
    during = {"kernel": "6.1", "knobs": {"RCU grace periods": "expedited", "SMT": "off"}}
    other = {"kernel": "6.1", "knobs": {"RCU grace periods": "expedited", "SMT": "on"}}

    tuned = [gate_history.host_digest(host, tuned=True) for host in (before, during, other)]
    assert tuned[0] == tuned[1] != tuned[2]
    left = [gate_history.host_digest(host, tuned=False) for host in (before, during)]
    assert left[0] != left[1]


def test_host_and_baseline_are_told_by_what_matters() -> None:
    host = {"hostname": "a", "kernel": "6.1", "load": {"1min": 0.1}}
    same = gate_history.host_digest({**host, "load": {"1min": 3.0}}, tuned=False)
    assert same == gate_history.host_digest(host, tuned=False)
    assert same != gate_history.host_digest({**host, "kernel": "6.2"}, tuned=False)
    assert same != gate_history.host_digest(host, tuned=True)
    matrix = {"isolator": [{"kind": "runc", "name": "old"}, {"kind": "runc", "name": "new", "binary": "./r"}]}
    digests = {name: gate_history.subject_digest(matrix, "isolator", name) for name in ("old", "new")}
    assert digests["old"] != digests["new"]
    renamed = {"isolator": [{"kind": "runc", "name": "other"}]}
    assert gate_history.subject_digest(renamed, "isolator", "other") == digests["old"]

"""What has to hold for the gate whatever the figures are."""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ab_runs import Made, ab_run, starts
from tests.perf.gate_simulation import ALPHA, LIMIT, World, drawn, found, screen_and_confirm

from isobench.journal import StoredRun
from isobench.model import Side, Status
from isobench.reports import gate_stats
from isobench.reports.gate import GateReport, Judgement, Verdict, judge
from isobench.reports.gate_policy import DEFAULT_POLICY

BLOCKS = 12
NAME = "startup/ready"
SECONDS = st.floats(1e-4, 10)
STAGES = st.lists(SECONDS, min_size=2 * BLOCKS, max_size=2 * BLOCKS)
FACTORS = st.lists(st.floats(0.5, 3), min_size=2 * BLOCKS, max_size=2 * BLOCKS)


def run_of(a: Sequence[float], b: Sequence[float]) -> StoredRun:
    """One comparison whose control is the baseline to the last digit, both stages measured."""
    values = {Side.A: a, Side.B: b, Side.CONTROL: a}
    return ab_run(Made(values), blocks=BLOCKS, confirm=(NAME,))


def verdict(a: Sequence[float], b: Sequence[float]) -> Judgement:
    (judgement,) = judge(run_of(a, b), DEFAULT_POLICY).judgements
    return judgement


def times(values: Sequence[float], factors: Sequence[float]) -> list[float]:
    return [value * factor for value, factor in zip(values, factors, strict=True)]


@given(STAGES, FACTORS)
def test_swapping_the_sides_turns_a_regression_into_an_improvement(
    a: list[float], factors: list[float]
) -> None:
    b = times(a, factors)
    mirrored = {
        Verdict.REGRESSION: Verdict.IMPROVEMENT,
        Verdict.IMPROVEMENT: Verdict.REGRESSION,
    }

    there, back = verdict(a, b), verdict(b, a)

    assert back.verdict is mirrored.get(there.verdict, there.verdict)
    assert there.threshold is not None
    assert back.threshold is not None
    assert back.threshold.delta == there.threshold.delta


@given(STAGES, st.floats(0.85, 1.2), st.floats(0, 0.1), st.floats(1, 1.5), st.randoms(use_true_random=False))
def test_a_slower_candidate_never_gets_a_softer_verdict(
    a: list[float], change: float, noise: float, slower: float, random: Random
) -> None:
    b = [value * change * random.uniform(1 - noise, 1 + noise) for value in a]

    before, after = verdict(a, b).verdict, verdict(a, [value * slower for value in b]).verdict

    assert before is not Verdict.REGRESSION or after is Verdict.REGRESSION
    assert before is Verdict.IMPROVEMENT or after is not Verdict.IMPROVEMENT


@given(STAGES, FACTORS, FACTORS)
def test_a_candidate_slower_in_some_blocks_only_does_not_get_away_either(
    a: list[float], factors: list[float], more: list[float]
) -> None:
    b = times(a, factors)
    slower = times(b, [max(1.0, factor) for factor in more])

    if verdict(a, b).verdict is Verdict.REGRESSION:
        assert verdict(a, slower).verdict is Verdict.REGRESSION


@given(STAGES)
def test_a_baseline_against_itself_is_equivalent(a: list[float]) -> None:
    found = verdict(a, a)

    assert found.verdict is Verdict.EQUIVALENT
    assert found.change is not None
    assert found.change.value == 0


@given(STAGES, FACTORS, st.randoms(use_true_random=False))
def test_order_of_blocks_and_of_lines_does_not_matter(
    a: list[float], factors: list[float], random: Random
) -> None:
    run = run_of(a, times(a, factors))
    moved = [*random.sample(range(BLOCKS), BLOCKS), *random.sample(range(BLOCKS, 2 * BLOCKS), BLOCKS)]
    lines = [replace(line, block=moved[line.block]) for line in run.samples]
    random.shuffle(lines)

    there = judge(run, DEFAULT_POLICY)
    shuffled = judge(replace(run, samples=tuple(lines)), DEFAULT_POLICY)

    assert shuffled.judgements == there.judgements


@given(STAGES, FACTORS)
def test_every_finding_has_passed_both_stages_by_itself(a: list[float], factors: list[float]) -> None:
    found = verdict(a, times(a, factors))

    if found.verdict in {Verdict.REGRESSION, Verdict.IMPROVEMENT}:
        assert found.screen is not None
        assert found.stage is not None
        for stage in (found.screen, found.stage):
            p = stage.p_worse if found.verdict is Verdict.REGRESSION else stage.p_better
            assert p < ALPHA
        assert found.stage.p_adjusted is not None
        assert found.p == found.stage.p_adjusted < ALPHA


@given(
    st.sampled_from(list(Side)),
    st.integers(0, BLOCKS - 1),
    st.sampled_from((math.nan, math.inf, -math.inf, 0.0, -1.0)),
    st.sampled_from((1.0, 1.3)),
)
def test_one_value_that_is_none_is_an_error_and_never_a_pass(
    side: Side, block: int, wrong: float, change: float
) -> None:
    run = ab_run(starts(change, blocks=2 * BLOCKS), blocks=BLOCKS, confirm=(NAME,))
    lines = [
        replace(line, value=wrong) if line.side is side and line.block == block else line
        for line in run.samples
    ]

    report = judge(replace(run, samples=tuple(lines)), DEFAULT_POLICY)

    assert [judgement.verdict for judgement in report.judgements] == [Verdict.ERROR]
    assert report.exit_code == 4


@given(
    st.sampled_from(list(Side)), st.sets(st.integers(0, 19), min_size=2), st.sampled_from(("failed", "gone"))
)
def test_more_than_one_block_in_twenty_that_is_not_whole_is_an_error(
    side: Side, blocks: set[int], how: str
) -> None:
    run = ab_run(starts(1.0, blocks=20), blocks=20)
    hit = [line.side is side and line.block in blocks for line in run.samples]
    kept = [
        replace(line, value=None, status=Status.FAILED, reason="it broke") if gone else line
        for line, gone in zip(run.samples, hit, strict=True)
        if how == "failed" or not gone
    ]

    report = judge(replace(run, samples=tuple(kept)), DEFAULT_POLICY)

    assert report.exit_code == 4
    assert not report.of(Verdict.EQUIVALENT)


def alarms(report: GateReport) -> list[bool]:
    return [judgement.verdict is Verdict.REGRESSION for judgement in report.judgements]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_simulated_gate_is_the_gate(seed: int) -> None:
    world = World(change=0.08, changed=0.05, slope=0.0, step=0.0)
    random = np.random.default_rng(seed)
    first, second = drawn(random, world, 1), drawn(random, world, 1)
    cells = [
        Made(
            {
                Side.A: [1.0] * 40,
                Side.B: np.exp([*first.d[0, cell], *second.d[0, cell]]).tolist(),
                Side.CONTROL: np.exp([*first.control[0, cell], *second.control[0, cell]]).tolist(),
            },
            workload=f"w{cell:02}",
        )
        for cell in range(first.d.shape[1])
    ]
    names = tuple(f"startup/w{cell:02}" for cell in range(len(cells)))

    report = judge(ab_run(*cells, confirm=names), DEFAULT_POLICY)

    assert alarms(report) == screen_and_confirm(first, lambda: second)[0].tolist()
    assert any(alarms(report))


def test_2000_families_that_are_all_exactly_at_the_limit_stay_within_alpha() -> None:
    # The limit itself is the hardest case: every comparison is as bad as one may be that is no regression.
    random, families, cells = np.random.default_rng(20_110), 2000, 20
    false = 0
    for _ in range(families // 200):
        screened = gate_stats.p_above(gate_stats.walsh(random.normal(LIMIT, 0.1, (200, cells, 20))), LIMIT)
        for candidates in screened < ALPHA:
            if count := int(candidates.sum()):
                fresh = random.normal(LIMIT, 0.1, (count, 20))
                confirmed = gate_stats.holm(gate_stats.p_above(gate_stats.walsh(fresh), LIMIT))
                false += bool((confirmed < ALPHA).any())

    assert false / families <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / families)


def test_families_in_which_nothing_changed_raise_no_alarm_and_a_change_of_10_percent_is_found() -> None:
    nothing = found("screen, confirm fresh with Holm", World(), 50, 1)
    changed = found("screen, confirm fresh with Holm", World(spread=0.05, changed=0.1), 100, 1)

    assert not nothing.any()
    assert changed[:, 0].mean() > 0.9

"""What the samples themselves say: found where it is there, and hardly ever where it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest

from isobench.journal import CellState
from isobench.model import Sample, Status
from isobench.reports.diagnose import diagnose
from isobench.reports.diagnostics import (
    BlocksDiffer,
    Diagnostic,
    Drift,
    FewBlocks,
    Outliers,
    OutlyingReadings,
    Quantised,
    Severity,
    SlowFirstStart,
    TwoModes,
)
from isobench.reports.load import summarize
from isobench.reports.stats import distribution
from isobench.reports.summary import CellSummary, Isolator, Startup, Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tests.conftest import SyntheticRun

    Floats: TypeAlias = NDArray[np.float64]

READY = distribution([1, 2], [0, 1])
"""Stands in the way of no diagnostic, and takes no bootstrap in each of hundreds of runs."""
TYPICAL_S = 0.02


def startup(name: str, seconds: Floats, blocks: Sequence[int]) -> Startup:
    """Starts of which a hundredth passes until spawned and the rest until ready."""
    samples = tuple(
        Sample(
            *(f"startup/{name}/ready", name, "startup", "ready", "ready", "second", value, block, 0),
            phases={"spawned": TYPICAL_S / 100, "ready": value, "exit": 2 * value},
        )
        for value, block in zip(seconds.tolist(), blocks, strict=True)
    )
    cell = CellSummary(
        f"startup/{name}/ready", name, "startup", CellState(Status.OK, len(seconds), 0), samples
    )
    rows = tuple(range(1, len(seconds) + 1))
    return Startup(name, cell, tuple(seconds.tolist()), tuple(blocks), rows, READY, None, {})


@pytest.fixture
def run(made_run: SyntheticRun, tmp_path: Path) -> Callable[[Sequence[Startup]], Summary]:
    """A run of nothing but these starts."""
    empty = summarize(made_run.write(tmp_path / "run"))

    def of(startups: Sequence[Startup]) -> Summary:
        return replace(empty, isolators=tuple(Isolator(s.isolator, None, startup=s) for s in startups))

    return of


Of: TypeAlias = "Callable[[Sequence[Startup]], Summary]"


def grid(blocks: int, starts: int) -> list[int]:
    """The block of each start."""
    return [block for block in range(blocks) for _ in range(starts)]


def calm(random: np.random.Generator, n: int, *, spread: float = 0.08) -> Floats:
    """Lognormal starts."""
    return np.asarray(TYPICAL_S * np.exp(random.normal(0, spread, n)))


def only(found: Sequence[Diagnostic]) -> Diagnostic:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(("blocks", "starts"), [(5, 4), (10, 2), (10, 10)])
@pytest.mark.parametrize("lognormal", [False, True], ids=["normal", "lognormal"])
def test_undisturbed_runs_of_eight_isolators_seldom_raise_anything(
    run: Of,
    blocks: int,
    starts: int,
    lognormal: bool,  # noqa: FBT001
) -> None:
    random, alarms = np.random.default_rng(1), 0  # fixed seed: the count is always the same
    for _ in range(100):
        seconds = [
            calm(random, blocks * starts)
            if lognormal
            else TYPICAL_S * random.normal(1, 0.15, blocks * starts)
            for _ in range(8)
        ]
        found = diagnose(run([startup(f"i{k}", s, grid(blocks, starts)) for k, s in enumerate(seconds)]))
        alarms += bool(found)

    assert alarms < 5


def test_starts_that_go_two_ways_a_third_apart_are_told_with_both_medians_and_their_share(run: Of) -> None:
    random, found = np.random.default_rng(1), 0
    for _ in range(20):
        slow = random.random(100) < 0.4
        seconds = calm(random, 100, spread=0.04) * np.where(slow, 1.3, 1)
        others = [startup(f"i{k}", calm(random, 100), grid(10, 10)) for k in range(7)]
        modes = diagnose(run([startup("x", seconds, grid(10, 10)), *others]))
        for one in modes:
            assert isinstance(one, TwoModes)
            assert one.isolators == ("x",)
            assert one.parting == ("spawned", "ready")
            assert one.low_s == pytest.approx(TYPICAL_S, rel=0.03)
            assert one.high_s == pytest.approx(1.3 * TYPICAL_S, rel=0.03)
            assert one.share_high == pytest.approx(slow.mean(), abs=0.03)
            assert len(one.samples) == pytest.approx(min(slow.sum(), 100 - slow.sum()), abs=6)
        found += bool(modes)

    assert found >= 18


def test_two_levels_of_blocks_are_blocks_that_differ_and_not_two_modes(run: Of) -> None:
    groups = grid(10, 10)
    level = np.array([1, 1.3, 1, 1.3, 1.3, 1, 1, 1.3, 1, 1.3])[groups]

    one = only(
        diagnose(run([startup("x", calm(np.random.default_rng(1), 100, spread=0.03) * level, groups)]))
    )

    assert isinstance(one, BlocksDiffer)
    assert one.shares[0] > 0.6
    assert one.spread == pytest.approx(0.3, abs=0.05)
    assert {sample.block for sample in one.samples} & {0, 2, 5, 6, 8}
    assert {sample.block for sample in one.samples} & {1, 3, 4, 7, 9}


def test_host_that_changes_from_block_to_block_is_told_once_for_all_isolators(run: Of) -> None:
    random, groups = np.random.default_rng(1), grid(10, 10)
    level = np.exp(random.normal(0, 0.2, 10))[groups]

    one = only(diagnose(run([startup(f"i{k}", calm(random, 100) * level, groups) for k in range(8)])))

    assert isinstance(one, BlocksDiffer)
    assert len(one.isolators) == len(one.shares) == 8


def test_drift_of_ten_percent_is_the_hosts_when_all_isolators_follow_it(run: Of) -> None:
    random, found = np.random.default_rng(1), 0
    groups = grid(10, 10)
    rise = 1 + 0.1 * np.array(groups) / 9
    for _ in range(20):
        drifts = diagnose(run([startup(f"i{k}", calm(random, 100) * rise, groups) for k in range(8)]))
        for one in drifts:
            assert isinstance(one, Drift)
            assert one.of_host
            assert one.change == pytest.approx(0.1, abs=0.05)
            assert {sample.block for sample in one.samples} == {0, 9}
        found += bool(drifts)

    assert found >= 17


def test_drift_of_a_single_isolator_is_its_own(run: Of) -> None:
    random, groups = np.random.default_rng(1), grid(10, 10)
    fall = 1 - 0.1 * np.array(groups) / 9
    startups = [startup(f"i{k}", calm(random, 100), groups) for k in range(7)]

    one = only(diagnose(run([startup("x", calm(random, 100, spread=0.02) * fall, groups), *startups])))

    assert isinstance(one, Drift)
    assert one.isolators == ("x",)
    assert not one.of_host
    assert one.change == pytest.approx(-0.1, abs=0.03)
    assert "11 % faster over 10 blocks" in one.text


def test_first_start_that_is_slower_in_each_of_five_blocks_is_told(run: Of) -> None:
    groups = grid(5, 4)
    seconds = calm(np.random.default_rng(1), 20, spread=0.02)
    seconds[::4] *= 1.2

    one = only(diagnose(run([startup("x", seconds, groups)])))

    assert isinstance(one, SlowFirstStart)
    assert one.excess == pytest.approx(0.2, abs=0.03)
    assert [sample.row for sample in one.samples] == [1, 5, 9, 13, 17]
    assert "warmups" in one.advice


def test_outlier_is_told_with_its_place_and_stays_in_the_figures(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    place = next(
        place
        for place, line in enumerate(made_run.samples)
        if line.cell == "startup/chroot/ready" and not line.detail.get("warmup")
    )
    slow = replace(made_run.samples[place], value=0.5, phases={})
    samples = (*made_run.samples[:place], slow, *made_run.samples[place + 1 :])
    summary = summarize(replace(made_run, samples=samples).write(tmp_path / "run"))

    one = next(one for one in diagnose(summary) if isinstance(one, Outliers) and "chroot" in one.isolators)
    chroot = next(found.startup for found in summary.isolators if found.name == "chroot")

    assert chroot
    assert chroot.ready.greatest == 0.5
    assert one.seconds == (0.5,)
    (sample,) = one.samples
    assert sample.block == slow.block
    assert chroot.cell.samples[sample.row - 1].value == 0.5
    assert str(sample) == f"startup/chroot/ready#{sample.row}"


def test_reading_of_memory_off_the_line_is_told_with_its_place(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    readings = [line for line in made_run.samples if line.cell == "memory/bare/hold"]
    blocks = [replace(line, block=line.block + 2 * more) for more in (0, 1, 2) for line in readings]
    blocks = [replace(line, value=(line.value or 0) + 1000 * place) for place, line in enumerate(blocks)]
    blocks[5] = replace(blocks[5], value=1e9)
    run = replace(made_run, samples=(*made_run.only(lambda line: line not in readings).samples, *blocks))

    summary = summarize(run.write(tmp_path / "run"))
    one = only([one for one in diagnose(summary) if isinstance(one, OutlyingReadings)])

    assert one.isolators == ("bare",)
    assert [(str(sample), sample.block) for sample in one.samples] == [
        ("memory/bare/hold#6", blocks[5].block)
    ]
    assert f"1 of {sum(line.metric == 'footprint' for line in blocks)} readings" in one.text


def test_clock_that_advances_in_steps_is_told(run: Of) -> None:
    seconds = np.round(calm(np.random.default_rng(1), 40), 3)

    one = only(
        [d for d in diagnose(run([startup("x", seconds, grid(10, 4))])) if not isinstance(d, Outliers)]
    )

    assert isinstance(one, Quantised)
    assert one.step_s == pytest.approx(0.001)


def test_intervals_that_rest_on_four_blocks_are_told_and_those_on_five_are_not(run: Of) -> None:
    random = np.random.default_rng(1)
    ready = distribution(range(20), grid(4, 5))
    four = replace(startup("x", calm(random, 20), grid(4, 5)), ready=ready)
    five = replace(startup("y", calm(random, 20), grid(5, 4)), ready=ready)

    one = only(diagnose(run([four, five])))

    assert isinstance(one, FewBlocks)
    assert (one.isolators, one.blocks, one.severity) == (("x",), 4, Severity.WARNING)


def test_run_without_starts_says_nothing(run: Of) -> None:
    assert diagnose(run([])) == ()


def test_warnings_come_before_notes_and_each_has_a_sentence_and_advice(run: Of) -> None:
    groups = grid(10, 10)
    seconds = calm(np.random.default_rng(1), 100, spread=0.02)
    seconds[50] *= 50
    seconds *= 1 + np.array(groups) / 9

    found = diagnose(run([startup("x", seconds, groups)]))

    assert [type(one) for one in found] == [Drift, Outliers]
    assert [one.severity for one in found] == sorted((one.severity for one in found), reverse=True)
    assert all(one.text.endswith(".") and one.advice.endswith(".") and one.title for one in found)

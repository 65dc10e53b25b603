"""What of which benchmark is judged, and how a block comes to one number."""

import math
from collections.abc import Mapping, Sequence

import pytest

from isobench.benchmarks.registry import AUDITS, REGISTRY
from isobench.model import Sample, Scalar
from isobench.reports.gate_metrics import METRICS, Rule, judged
from isobench.reports.gate_values import Scale


def rule(benchmark: str, metric: str) -> Rule:
    return next(one for one in METRICS[benchmark].rules if one.metric.name == metric)


def lines(
    values: Sequence[float | None], details: Sequence[Mapping[str, Scalar]] | None = None
) -> list[Sample]:
    return [
        Sample(
            "c",
            "i",
            "b",
            "w",
            "m",
            "second",
            value,
            0,
            number,
            detail=(details or [{}] * len(values))[number],
        )
        for number, value in enumerate(values)
    ]


def test_every_benchmark_there_is_has_an_entry_and_none_has_one_that_is_not() -> None:
    assert tuple(METRICS) == tuple(REGISTRY.builtin)


def test_what_is_not_about_a_side_is_not_judged_and_says_so() -> None:
    host = [name for name in REGISTRY.builtin if REGISTRY.load(name).subject == "host"]

    for name in (*host, *AUDITS):
        assert METRICS[name].why_not
        assert not METRICS[name].rules


def test_all_others_have_a_metric_that_is_about_them_with_a_threshold() -> None:
    for name, found in METRICS.items():
        assert bool(found.rules) != bool(found.why_not), name
        names = [one.metric.name for one in found.rules]
        assert len(set(names)) == len(names)
        for one in found.rules:
            assert one.relative or one.floor
            # A difference has to have a threshold where there is nothing to be relative to.
            assert one.floor > 0 or one.metric.scale is Scale.RATIO


def test_benchmark_of_another_package_is_not_judged() -> None:
    assert judged("theirs").why_not


def test_starts_of_a_block_come_to_their_median() -> None:
    assert rule("startup", "ready").reduce(lines([3.0, 1.0, 20.0])) == 3.0
    assert rule("startup", "ready").reduce(lines([])) is None


def test_memory_of_a_block_comes_to_the_slope_over_its_steps() -> None:
    steps: list[dict[str, Scalar]] = [{"instances": n} for n in (1, 2, 4, 8)]
    reduce = rule("memory", "each").reduce

    assert reduce(lines([110.0, 210.0, 410.0, 810.0], steps)) == pytest.approx(100)
    # A step that was read again after an interruption counts once, as it was read last.
    assert reduce(lines([999.0, 110.0, 210.0], [steps[0], *steps[:2]])) == pytest.approx(100)


def test_memory_of_a_single_step_has_no_slope_and_one_that_is_no_number_is_passed_on() -> None:
    reduce = rule("memory", "each").reduce

    assert reduce(lines([110.0], [{"instances": 1}])) is None
    assert reduce(lines([110.0, 120.0])) is None
    assert reduce(lines([110.0, math.inf], [{"instances": 1}, {"instances": 2}])) == math.inf


def test_errors_come_to_their_size_whichever_way_they_point() -> None:
    assert rule("throttling", "cpu_share_error").reduce(lines([-0.03, 0.01, 0.02])) == 0.02
    assert rule("limits", "limit_error").reduce(lines([-0.03])) == 0.03
    assert rule("accounting", "accounting_error").reduce(lines([0.001, -0.02])) == 0.02


def test_shares_come_to_the_furthest_from_its_promise() -> None:
    reduce = rule("weights", "share_error").reduce
    shares: list[dict[str, Scalar]] = [{"got": 0.30, "promised": 0.25}, {"got": 0.70, "promised": 0.75}]

    # 20 % more of a quarter is 5 hundredths of all there is.
    assert reduce(lines([0.2, -0.067], shares)) == pytest.approx(0.05)
    assert reduce(lines([0.2])) is None

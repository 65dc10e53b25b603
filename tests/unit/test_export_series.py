"""The reduction that all exports share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.errors import ResultsError
from isobench.journal import StoredRun
from isobench.model import Sample, Status
from isobench.reports.exports.figures import EACH_INSTANCE, figures_of
from isobench.reports.exports.series import of_attempts, series_of, unique
from isobench.reports.load import counts, summarize

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


def sample(value: float | None, block: int = 0, **changes: Any) -> Sample:  # noqa: ANN401 - any field
    plain = Sample(
        cell="startup/runc/ready",
        isolator="runc",
        benchmark="startup",
        workload="ready",
        metric="ready",
        unit="second",
        value=value,
        block=block,
        order=0,
    )
    return replace(plain, **changes)


def test_series_has_the_values_the_report_has(made_run: SyntheticRun, tmp_path: Path) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    found = {series.name: series for series in series_of(made_run.samples)}
    for startup in summary.startups:
        series = found[f"startup/{startup.isolator}/ready:ready"]
        assert (series.values, series.blocks) == (startup.seconds, startup.blocks)


def test_readings_at_different_counts_of_instances_are_series_of_their_own(stored: StoredRun) -> None:
    found = {s.name: s for s in series_of(stored.samples) if s.cell == "memory/runc/hold"}
    assert list(found) == [
        *(f"memory/runc/hold/instances={n}:footprint" for n in (1, 2, 4, 8)),
        "memory/runc/hold:peak",
    ]
    four = found["memory/runc/hold/instances=4:footprint"]
    assert dict(four.params) == {"instances": 4}
    assert len(four.values) == 2


def test_blocks_of_a_series_have_their_own_values_and_warmups() -> None:
    lines = [
        sample(9.0, 1, detail={"warmup": True}),
        sample(2.0, 1),
        sample(8.0, 0, detail={"warmup": True}),
        sample(1.0, 0),
        sample(3.0, 1),
        sample(7.0, 2, detail={"warmup": True}),
    ]
    (series,) = series_of(lines)
    assert list(series.by_block()) == [(0, (1.0,), (8.0,)), (1, (2.0, 3.0), (9.0,))]


def test_series_of_warmups_alone_is_none() -> None:
    assert series_of([sample(1.0, detail={"warmup": True})]) == ()


def test_two_units_of_one_metric_in_a_cell_are_refused() -> None:
    with pytest.raises(
        ResultsError, match="startup/runc/ready: the metric ready has values in byte and in second"
    ):
        series_of([sample(1.0), sample(1.0, unit="byte")])


def test_names_that_look_alike_after_cleaning_stay_apart() -> None:
    found = series_of([sample(1.0, cell="a\x00"), sample(2.0, cell="a\x01")])
    assert [series.name for series in found] == ["a\ufffd:ready", "a\ufffd:ready_2"]


def test_unique_counts_on_until_a_name_is_free() -> None:
    taken = {"a", "a_2"}
    assert [unique(name, taken) for name in ("b", "a", "a")] == ["b", "a_3", "a_4"]


@given(
    st.lists(
        st.builds(
            sample,
            st.none() | st.floats(-10, 10),
            st.integers(0, 3),
            cell=st.sampled_from("abc"),
            metric=st.sampled_from(["ready", "exit"]),
            status=st.sampled_from([Status.OK, Status.OK, Status.FAILED]),
            detail=st.sampled_from([{}, {"warmup": True}, {"bound": False}]),
        )
    )
)
def test_every_value_that_counts_is_in_one_series_and_no_other_is(lines: list[Sample]) -> None:
    found = series_of(lines)
    assert Counter(value for series in found for value in series.values) == Counter(
        line.value for line in lines if counts(line)
    )
    assert len({series.name for series in found}) == len(found)
    for series in found:
        assert series.values
        assert [(b, v) for b, values, _ in series.by_block() for v in values] == sorted(
            zip(series.blocks, series.values, strict=True), key=lambda point: point[0]
        )


def test_what_is_lost_of_attempts_is_told_with_numbers() -> None:
    lines = [
        sample(1.0, phases={"ready": 1.0}),
        sample(1.0, detail={"warmup": True}),
        sample(1.0, detail={"bound": False}),
        sample(None, status=Status.FAILED),
        sample(None, status=Status.TIMEOUT),
    ]
    assert [str(omission) for omission in of_attempts(lines)] == [
        "2 attempts without a value (1 failed, 1 timeout): it has no place for them",
        "1 warm-up: they do not count",
        "1 value: they do not count: something else than the limit decided",
        "phases and details of 3 attempts: it has no place for them",
    ]
    assert not [one for one in of_attempts(lines, warmups=True) if "warm-up" in one.what]


def test_figures_are_medians_and_what_each_instance_takes(made_run: SyntheticRun, tmp_path: Path) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    figures = {(figure.place, figure.metric): figure for figure in figures_of(made_run.samples)}
    for startup in summary.startups:
        figure = figures[f"startup/{startup.isolator}/ready", "ready"]
        assert figure.estimate == startup.ready.median
        assert (figure.spread["min"], figure.spread["max"]) == (startup.ready.least, startup.ready.greatest)
        assert figure.spread.get("p90") == (startup.ready.p90 and startup.ready.p90.value)
    for memory in summary.memories:
        figure = figures[f"memory/{memory.isolator}/hold", EACH_INSTANCE]
        assert (figure.estimate, figure.spread) == (memory.total, {})
    peak = figures["memory/runc/hold", "peak"]
    assert peak.estimate.value == median([128.0 * 1024] * 2)

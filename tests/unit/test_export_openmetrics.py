"""A run as OpenMetrics text, read by the parsers of prometheus-client."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from isobench.journal import StoredRun
from isobench.reports.exports import export
from isobench.reports.load import cells_of, summarize

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


def text(run: StoredRun) -> str:
    return export(run, "openmetrics").data.decode()


def read(run: StoredRun) -> dict[str, Metric]:
    """Name → family; the parser refuses what OpenMetrics forbids, samples that are there twice among it."""
    families = list(openmetrics.text_string_to_metric_families(text(run)))  # type: ignore[no-untyped-call]
    found = {family.name: family for family in families}
    assert len(found) == len(families)
    for family in families:
        assert family.type == "gauge"
        assert family.documentation
        assert not family.unit or family.name.endswith(f"_{family.unit}")
    return found


def values(family: Metric, **labels: str) -> dict[str, float]:
    """``stat`` → value of the samples with these labels."""
    return {
        sample.labels["stat"]: sample.value
        for sample in family.samples
        if labels.items() <= sample.labels.items()
    }


def test_medians_intervals_and_percentiles_are_those_of_the_report(
    made_run: SyntheticRun, stored: StoredRun, tmp_path: Path
) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    family = read(stored)["isobench_startup_ready_seconds"]
    assert family.unit == "seconds"
    for startup in summary.startups:
        ready = startup.ready
        assert ready.median.interval
        p90 = {"p90": ready.p90.value} if ready.p90 else {}
        assert values(family, isolator=startup.isolator) == {
            "median": ready.median.value,
            "low": ready.median.interval.low,
            "high": ready.median.interval.high,
            "min": ready.least,
            "max": ready.greatest,
            **p90,
        }


def test_memory_each_instance_takes_is_a_slope_in_bytes(
    made_run: SyntheticRun, stored: StoredRun, tmp_path: Path
) -> None:
    family = read(stored)["isobench_memory_each_instance_bytes"]
    for memory in summarize(made_run.write(tmp_path / "run")).memories:
        assert values(family, isolator=memory.isolator)["slope"] == memory.total.value


def test_parameters_are_labels(stored: StoredRun) -> None:
    families = read(stored)
    shares = families["isobench_throttling_cpu_share_error_ratio"]
    assert set(values(shares, isolator="runc", param_cpus="0.5", param_period_us="100000")) >= {"median"}
    footprints = families["isobench_memory_footprint_bytes"]
    assert values(footprints, cell="memory/runc/hold", param_instances="4")


def test_state_and_attempts_of_every_cell_are_told(stored: StoredRun) -> None:
    families = read(stored)
    states = {one.labels["cell"]: one.labels["state"] for one in families["isobench_cell_state"].samples}
    assert states == {cell.id: cell.state.status.value for cell in cells_of(stored.samples)}
    attempts = families["isobench_cell_attempts"].samples
    counted = {
        one.labels["result"]: one.value for one in attempts if one.labels["cell"] == "startup/qemu-tcg/ready"
    }
    assert counted == {"ok": 5, "not_ok": 1}


def test_run_is_told_with_its_host_and_its_time(stored: StoredRun) -> None:
    families = read(stored)
    (info,) = families["isobench_run_info"].samples
    assert (info.value, info.labels["run"], info.labels["kernel"]) == (
        1,
        "20260301T101500Z-abc123",
        "6.1.0-18-cloud-amd64",
    )
    (started,) = families["isobench_run_started_timestamp_seconds"].samples
    assert started.value == 1772360100


def test_readers_of_the_older_text_find_the_same_samples(stored: StoredRun) -> None:
    """As node_exporter takes it from a text file, and the Pushgateway: types they know, no time stamps."""
    older = {sample for family in prometheus_text(text(stored)) for sample in _plain(family)}
    newer = {sample for family in read(stored).values() for sample in _plain(family)}
    assert older == newer


def _plain(family: Metric) -> list[tuple[object, ...]]:
    assert all(sample.timestamp is None for sample in family.samples)
    return [(sample.name, *sorted(sample.labels.items()), sample.value) for sample in family.samples]


def test_run_in_which_nothing_worked_tells_the_states(stored: StoredRun) -> None:
    families = read(replace(stored, samples=tuple(one for one in stored.samples if one.value is None)))
    assert set(families) == {
        "isobench_run_info",
        "isobench_run_started_timestamp_seconds",
        "isobench_cell_state",
        "isobench_cell_attempts",
    }


def test_metrics_whose_names_become_alike_are_families_of_their_own(stored: StoredRun) -> None:
    first = next(one for one in stored.samples if one.metric == "peak")
    found = read(
        replace(stored, samples=(replace(first, metric="a-b"), replace(first, metric="A b", value=7.0)))
    )
    assert {name for name in found if "a_b" in name} == {
        "isobench_memory_a_b_bytes",
        "isobench_memory_a_b_2_bytes",
    }


def test_hostile_labels_come_back_as_they_were(hostile: StoredRun, stored: StoredRun) -> None:
    families = read(hostile)
    isolators = {one.labels["isolator"] for one in families["isobench_startup_ready_seconds"].samples}
    wanted = {one.isolator.replace("\ud800", "?") for one in hostile.samples if one.benchmark == "startup"}
    assert isolators == wanted - {one for one in wanted if one.endswith("crun")}
    assert "isobench_run_started_timestamp_seconds" not in families
    assert len(families) == len(read(stored)) - 1

"""What the project itself spends its time in, by pytest-benchmark: ``make perf``.

Among the other tests each runs once, untimed, so that it cannot rot.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count, cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ab_runs import ab_run, starts

from isobench.journal import StoredRun, load
from isobench.model import Cell
from isobench.reports.compare import compare
from isobench.reports.exports import FORMATS, export
from isobench.reports.gate import Verdict, judge
from isobench.reports.gate_policy import DEFAULT_POLICY
from isobench.reports.gate_stats import hodges_lehmann
from isobench.reports.html import write_report
from isobench.reports.stats import distribution, ratio_of_medians
from isobench.schedule import schedule

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture
    from tests.conftest import SyntheticRun


def test_schedule_of_a_thousand_cells_in_twenty_blocks(benchmark: BenchmarkFixture) -> None:
    cells = [Cell("bare", "startup", f"workload-{n}", blocks=20) for n in range(1000)]
    blocks = benchmark(schedule, cells, 7)
    assert sum(map(len, blocks)) == 20_000


def test_thousand_samples_appended_to_a_journal(
    benchmark: BenchmarkFixture, made_run: SyntheticRun, tmp_path: Path
) -> None:
    run = replace(made_run, samples=tuple(islice(cycle(made_run.samples), 1000)))
    folders = (tmp_path / str(n) for n in count())
    folder = benchmark(lambda: run.write(next(folders)))
    assert len((folder / "samples.jsonl").read_text().splitlines()) == 1000


def test_journal_read(benchmark: BenchmarkFixture, made_run: SyntheticRun, tmp_path: Path) -> None:
    run = benchmark(load, made_run.write(tmp_path / "run"))
    assert len(run.samples) == len(made_run.samples)


def test_distribution_of_two_thousand_starts(benchmark: BenchmarkFixture) -> None:
    values = [1.0 + n / 1000 for n in range(2000)]
    found = benchmark(distribution, values, [n % 10 for n in range(2000)])
    assert found.median.value == pytest.approx(1.9995)


def test_hodges_lehmann_of_forty_blocks(benchmark: BenchmarkFixture) -> None:
    found = benchmark(hodges_lehmann, [(n - 19.5) / 100 for n in range(40)])
    assert found.value == pytest.approx(0.0)


def test_comparison_of_two_runs(benchmark: BenchmarkFixture, made_run: SyntheticRun, tmp_path: Path) -> None:
    other = replace(made_run, record=replace(made_run.record, run_id="20260302T101500Z-abc124"))
    folders = made_run.write(tmp_path / "base"), other.write(tmp_path / "candidate")
    found = benchmark(compare, *folders)
    assert found.rows


def test_verdict_on_sixty_comparisons_of_twenty_blocks(benchmark: BenchmarkFixture) -> None:
    run = ab_run(*(starts(seed=n, workload=f"workload-{n}") for n in range(60)))
    report = benchmark(judge, run, DEFAULT_POLICY)
    assert len(report.judgements) == 60
    assert not report.of(Verdict.ERROR)


def test_ratio_of_two_thousand_starts_each(benchmark: BenchmarkFixture) -> None:
    values = [1.0 + n / 1000 for n in range(2000)]
    blocks = [n % 10 for n in range(2000)]
    found = benchmark(ratio_of_medians, values, blocks, values, blocks)
    assert found.value == pytest.approx(1.0)


def test_report_of_a_quick_run(benchmark: BenchmarkFixture, made_run: SyntheticRun, tmp_path: Path) -> None:
    folder = made_run.write(tmp_path / "run")
    output = tmp_path / "report.html"
    benchmark(write_report, [folder], output)
    assert output.stat().st_size > 0


@pytest.mark.parametrize("name", FORMATS)
def test_export_of_a_quick_run(name: str, benchmark: BenchmarkFixture, made_run: SyntheticRun) -> None:
    done = benchmark(export, StoredRun(made_run.record, made_run.samples), name)
    assert done.data

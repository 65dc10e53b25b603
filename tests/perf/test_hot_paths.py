"""What the project itself spends its time in, by pytest-benchmark: ``make perf``.

Among the other tests each runs once, untimed, so that it cannot rot.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.journal import StoredRun, load
from isobench.model import Cell
from isobench.reports.exports import FORMATS, export
from isobench.reports.html import write_report
from isobench.reports.stats import ratio_of_medians
from isobench.schedule import schedule

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture
    from tests.conftest import SyntheticRun


def test_schedule_of_a_thousand_cells_in_twenty_blocks(benchmark: BenchmarkFixture) -> None:
    cells = [Cell("bare", "startup", f"workload-{n}", blocks=20) for n in range(1000)]
    blocks = benchmark(schedule, cells, 7)
    assert sum(map(len, blocks)) == 20_000


def test_journal_written_and_read(
    benchmark: BenchmarkFixture, made_run: SyntheticRun, tmp_path: Path
) -> None:
    folders = (tmp_path / str(n) for n in count())
    run = benchmark(lambda: load(made_run.write(next(folders))))
    assert len(run.samples) == len(made_run.samples)


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

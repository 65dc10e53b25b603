"""The parts of a report about the ledger and about the smallest memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.section_samples import floor

from isobench.reports.load import summarize
from isobench.reports.section import NO_FIGURE, Section, Table
from isobench.reports.sections import memory_floor, memory_lines
from isobench.reports.summary import KERNEL_LINES, MEMORY_LINES, Summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture
def summary(made_run: SyntheticRun, tmp_path: Path) -> Summary:
    return summarize(made_run.write(tmp_path / "run"))


def row(table: Table, name: str) -> dict[str, str]:
    (found,) = (row for row in table.rows if row.name == name)
    return dict(zip((c.title for c in table.columns), (f.text for f in found.figures), strict=True))


def test_each_line_has_a_column_and_what_cannot_be_told_a_dash(summary: Summary) -> None:
    found = memory_lines.section(summary)
    assert found
    each, once, _ = found.tables
    assert [table.title for table in (each, once)] == [
        "Each further instance",
        "Once, with the first instance",
    ]
    lxc = row(each, "lxc")
    assert lxc["helpers"] == "2.10 MiB"
    assert lxc["guest RAM"] == NO_FIGURE.text
    assert row(each, "qemu-tcg")["workload"] == NO_FIGURE.text
    assert "vmalloc" not in lxc


def test_columns_of_a_terminal_without_room_for_the_kernels_parts_add_up_to_the_total(
    summary: Summary,
) -> None:
    found = memory_lines.section(summary)
    assert found
    shown = [column.title for column in found.tables[0].columns if column.room <= 90]
    parts = ["workload", "guest RAM", "helpers", "daemons", "kernel", "unattributed"]
    assert shown == ["total", *parts]
    for isolator in summary.memories:
        known = [isolator.lines[name] for name in MEMORY_LINES if name in isolator.lines]
        assert isolator.of_kernel
        outside = [isolator.lines[n] for n in MEMORY_LINES if n in isolator.lines and n not in KERNEL_LINES]
        for lines in (known, [*outside, isolator.of_kernel]):
            total = sum(line.slope.value for line in lines)
            assert total == pytest.approx(isolator.total.value)


def test_peak_of_a_group_that_may_be_the_runtimes_is_shown_as_a_bound(summary: Summary) -> None:
    found = memory_lines.section(summary)
    assert found
    assert row(found.tables[2], "runc") == {"resident": "128 KiB", "charged": "≤ 2.28 MiB"}
    assert row(found.tables[2], "lxc")["charged"] == NO_FIGURE.text


def test_run_without_memory_has_no_such_part(made_run: SyntheticRun, tmp_path: Path) -> None:
    found = summarize(made_run.only(lambda line: line.benchmark == "startup").write(tmp_path / "run"))
    assert memory_lines.section(found) is None
    assert memory_floor.section(found) is None


@pytest.fixture
def floors(made_run: SyntheticRun, tmp_path: Path) -> Section:
    lines = (
        floor("cgroups", 80),
        floor("cgroups", 84, 1, monotonic=False),
        floor("runc", 2232, below_how="refused", confirmed=False),
    )
    run = replace(made_run, samples=(*made_run.samples, *lines))
    found = memory_floor.section(summarize(run.write(tmp_path / "run")))
    assert found
    return found


def test_smallest_memory_is_what_sufficed_in_every_block(floors: Section) -> None:
    (table,) = floors.tables
    assert row(table, "cgroups") == {
        "smallest that runs": "84.0 KiB",
        "in doubt": "not monotonic",
        "worked": "3 times",
        "fails with": "80.0 KiB",
        "how": "killed by the kernel",
    }
    assert table.rows[0].figures[0].small == "80.0 KiB in another block"


def test_answer_that_was_not_confirmed_says_so(floors: Section) -> None:
    runc = row(floors.tables[0], "runc")
    assert (runc["how"], runc["in doubt"]) == ("the runtime refused", "unconfirmed")

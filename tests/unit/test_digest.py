"""A run in about ten lines."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from tests.ab_runs import ab_run, starts
from tests.hostile_run import hostile
from tests.section_samples import sample

from isobench.cli import main
from isobench.reports.digest import render_digest
from isobench.reports.load import summarize
from isobench.reports.summary import Summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


def printed(summary: Summary, width: int = 1000, *, terminal: bool = False) -> str:
    file = io.StringIO()
    render_digest(summary, Console(file=file, width=width, force_terminal=terminal))
    return file.getvalue()


@pytest.fixture(scope="module")
def with_ends(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A summary with all findings there are."""
    ends = [
        sample(f"teardown/{isolator}/ready/how=kill", "drained", value)
        for isolator, value in (("chroot", 0.001), ("runc", 0.03))
    ]
    run = replace(made_run, samples=(*made_run.samples, *ends))
    return summarize(run.write(tmp_path_factory.mktemp("ends") / "run"))


@pytest.mark.parametrize("width", [80, 120])
def test_digest_of_a_run_with_all_findings_and_reasons_is_ten_lines(with_ends: Summary, width: int) -> None:
    lines = printed(replace(with_ends, folder=Path("run")), width).splitlines()

    assert len(lines) == 10
    assert any(line.startswith("cheapest teardown     chroot") for line in lines)
    assert any(line.startswith("with care") and line.endswith(" more") for line in lines)


def test_digest_says_verdict_host_cautions_cells_and_where_the_rest_is(summary: Summary) -> None:
    lines = printed(summary).splitlines()

    said = {line[:22].strip(): line[22:] for line in lines}
    assert said["host"].startswith("lab-1, Debian")
    assert said["fastest start"].startswith("chroot: ")
    assert "cannot be told" in said["claims"]
    assert said["with care"].startswith("qemu-tcg: software emulation (TCG); ")
    assert said["run"] == f"{summary.record.run_id}, finished, 33 of 40 cells ok"
    assert said["more"].startswith(f"isobench report {summary.folder} --tables")


@pytest.mark.parametrize("width", [30, 80, 120])
def test_digest_fits_the_console_and_has_colours_in_a_terminal_alone(summary: Summary, width: int) -> None:
    text = printed(replace(summary, folder=Path("run")), width)

    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "\x1b" in printed(summary, width, terminal=True)


def test_digest_of_two_sides_leads_with_the_verdict_and_names_no_fastest(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    run = ab_run(starts())
    text = printed(summarize(replace(made_run, record=run.record, samples=run.samples).write(tmp_path / "x")))

    assert text.splitlines()[2].startswith("verdict  ")
    assert "fastest" not in text
    assert "claims" not in text


def test_digest_of_a_run_without_a_figure_says_so(made_run: SyntheticRun, tmp_path: Path) -> None:
    text = printed(summarize(made_run.only(lambda _: False).write(tmp_path / "run")))

    assert "Nothing was measured" in text
    assert "0 of 0 cells ok" in text


def test_foreign_text_neither_steers_the_terminal_nor_goes_on_for_ever(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    text = printed(summarize(hostile(made_run, "\x1b[31m\u202e[red]" * 1000).write(tmp_path / "evil")), 80)

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 8_000


def test_command_prints_digest_or_tables_and_writes_no_page(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run_folder), "--summary"]) == 0
    digest = capsys.readouterr().out
    assert main(["report", str(run_folder), "--tables"]) == 0
    tables = capsys.readouterr().out

    assert "fastest start" in digest
    assert "Each limit" in tables or "limit error" in tables
    assert not (run_folder / "report.html").exists()

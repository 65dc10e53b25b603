"""A run in a terminal and as Markdown."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from isobench.reports.load import summarize
from isobench.reports.summary import Summary
from isobench.reports.table import as_markdown, render_summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

EVIL = "[red]x[/red]\x1b[31m|`<b>\u202e"


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture
def evil(made_run: SyntheticRun, tmp_path: Path) -> Summary:
    """A run whose isolator, cell and reasons try to steer the terminal."""
    isolators = tuple(replace(found, shown_as=found.shown_as + EVIL) for found in made_run.record.isolators)
    samples = tuple(
        replace(line, isolator=line.isolator + EVIL, reason=line.reason and line.reason + EVIL)
        for line in made_run.samples
    )
    record = replace(made_run.record, isolators=isolators)
    return summarize(replace(made_run, record=record, samples=samples).write(tmp_path / "evil"))


def printed(summary: Summary, width: int = 100, *, terminal: bool = False) -> str:
    file = io.StringIO()
    render_summary(summary, Console(file=file, width=width, force_terminal=terminal))
    return file.getvalue()


def row(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def test_table_shows_every_measured_isolator_with_its_figures(summary: Summary) -> None:
    text = printed(summary)

    assert "isolator    ready p50    95 % interval" in text
    assert " 1.00×" in row(text, "bare")
    assert row(text, "qemu-tcg").split()[1:3] == ["3.44", "s"]
    assert not any(line.startswith("crun") for line in text.splitlines())


@pytest.mark.parametrize("width", [60, 80, 100, 10_000])
def test_lines_fit_the_console_and_are_not_filled_up_to_it(summary: Summary, width: int) -> None:
    lines = printed(summary, width).splitlines()

    assert max(map(len, lines)) <= width
    assert max(len(line) - len(line.rstrip()) for line in lines) < 60


def test_narrow_console_keeps_start_ratio_memory_and_limit(summary: Summary) -> None:
    wide, narrow = printed(summary, 100), printed(summary, 60)

    assert "95 % interval" in wide
    assert "95 % interval" not in narrow
    assert all(title in narrow for title in ("ready p50", "× bare", "memory each", "limit error"))


def test_pipe_gets_no_colours_and_a_terminal_does(summary: Summary) -> None:
    assert "\x1b" not in printed(summary)
    assert "\x1b" in printed(summary, terminal=True)


def test_cells_that_did_not_end_ok_are_told_with_reason_and_remedy(summary: Summary) -> None:
    text = printed(summary)

    assert "unsupported bare, chroot and namespaces: throttling" in text
    assert "1 of 6 attempts: not ready within 60 s" in text
    assert "mend: apt-get install crun" in text


def test_what_the_samples_say_is_told_in_a_line_each(summary: Summary) -> None:
    said = printed(summary, 200).partition("What the samples themselves say\n")[2]

    assert said.startswith("  7 isolators: few blocks. Intervals rest on 2 blocks:")


def test_emulation_is_told_below_the_table(summary: Summary) -> None:
    assert "qemu-tcg: software emulation (TCG)" in printed(summary)


def test_run_without_a_figure_has_no_table_and_says_so(made_run: SyntheticRun, tmp_path: Path) -> None:
    text = printed(summarize(made_run.only(lambda _: False).write(tmp_path / "run")))

    assert "ready p50" not in text
    assert "Nothing was measured" in text


def test_foreign_text_neither_steers_the_terminal_nor_is_taken_for_markup(evil: Summary) -> None:
    text = printed(evil, 10_000)

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "bare[red]x[/red]" in text


def test_markdown_has_a_row_an_isolator_and_the_caution_of_emulation(summary: Summary) -> None:
    text = as_markdown(summary)

    assert "| isolator | ready p50 | 95 % interval |" in text
    assert "| bare | 212 µs |" in text
    assert "| limit error | 0.1 CPUs |" in text
    assert "**qemu-tcg: software emulation (TCG).**" in text


def test_markdown_escapes_foreign_text(evil: Summary) -> None:
    text = as_markdown(evil)
    columns = {line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("| ")}

    assert columns == {4, 7, 9, 11}
    assert r"\[red\]" in text
    assert "<b>" not in text.replace(r"\<b\>", "")

"""A comparison in a terminal, as Markdown and as JSON."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.conftest import SyntheticRun, synthetic_run

from isobench.journal import ToolRecord, TunedSetting
from isobench.model import Sample
from isobench.reports.compare import compare
from isobench.reports.compare_text import MARKDOWN_LIMIT, as_json, as_markdown, render
from isobench.reports.compare_values import Comparison

EVIL = "[red]x[/red]\x1b[31m|`<b>\u202e"


def changed(run: SyntheticRun) -> SyntheticRun:
    """A newer runc, whose starts take three times as long."""

    def change(sample: Sample) -> Sample:
        if sample.isolator == "runc" and sample.metric == "ready":
            return replace(sample, value=3 * (sample.value or 0))
        return sample

    tools = {**run.record.tools, "runc": ToolRecord("/opt/runc", "runc version 1.2.0", "99" * 32)}
    record = replace(run.record, run_id="20260302T101500Z-def456", tools=tools)
    return replace(run, record=record, samples=tuple(map(change, run.samples)))


@pytest.fixture(scope="module")
def found(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("two")
    return compare(made_run.write(folder / "base"), changed(synthetic_run(2)).write(folder / "new"))


@pytest.fixture(scope="module")
def evil(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two runs in which all that is foreign tries to steer the terminal or to be markup."""
    folder = tmp_path_factory.mktemp("evil")

    def bad(run: SyntheticRun, host: str) -> SyntheticRun:
        samples = tuple(
            replace(s, isolator=s.isolator + EVIL, cell=s.cell + EVIL, reason=s.reason and s.reason + EVIL)
            for s in run.samples
        )
        record = replace(run.record, host={**run.record.host, "hostname": host + EVIL, "kernel": EVIL + host})
        return replace(run, record=record, samples=samples)

    return compare(
        bad(made_run, "a").write(folder / "base"), bad(changed(made_run), "b").write(folder / "new")
    )


def printed(found: Comparison, width: int = 120, *, everything: bool = False) -> str:
    file = io.StringIO()
    render(found, Console(file=file, width=width), everything=everything)
    return file.getvalue()


def test_terminal_shows_the_change_its_interval_and_what_differs(found: Comparison) -> None:
    text = printed(found)
    assert "runc (subject): runc version 1.1.5 (abababababab) → runc version 1.2.0 (999999999999)" in text
    line = next(line for line in text.splitlines() if line.startswith("startup/runc/ready"))
    assert re.search(r"slower .*2\.\d+×|slower .*3\.\d+×", line)
    assert " to " in line
    assert line.split()[-1] == "20"


def test_terminal_shows_only_what_changed_and_counts_the_rest(found: Comparison) -> None:
    text, whole = printed(found), printed(found, everything=True)
    rest = len(found.rows) - len(found.changed)
    assert f"{rest} figures more, not told apart: --all" in text
    assert "memory/bare/hold" not in text
    assert "memory/bare/hold" in whole
    assert "--all" not in whole


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_lines_fit_the_terminal_and_none_is_filled_with_blanks(found: Comparison, width: int) -> None:
    lines = printed(found, width, everything=True).splitlines()
    assert max(map(len, lines)) <= width
    # A folded first column is padded by rich; the last one never is.
    assert not any(line != line.rstrip() for line in printed(found, 10_000).splitlines())


def test_what_such_a_comparison_cannot_tell_is_said(found: Comparison) -> None:
    for text in (printed(found, 10_000), as_markdown(found)):
        assert "does not know how this host differs from one run to the next" in text
        assert "isobench ab" in text


def test_runs_under_other_conditions_get_a_loud_caution_before_the_figures(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    tuned = (TunedSetting("governor", "/sys/x", "powersave", "performance"),)
    other = changed(made_run)
    record = replace(other.record, host={**other.record.host, "kernel": "6.12.0"}, tuned=tuned)
    found = compare(made_run.write(tmp_path / "a"), replace(other, record=record).write(tmp_path / "b"))
    for text in (printed(found, 10_000), as_markdown(found)):
        title = text.index("not made under the same conditions")
        assert text.index("kernel", title) > title
        assert text.index("tuned", title) > title
        assert title < text.index("startup/runc/ready")


def test_foreign_text_neither_steers_the_terminal_nor_is_taken_for_markup(evil: Comparison) -> None:
    text = printed(evil, everything=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text
    markdown = as_markdown(evil, everything=True)
    assert "<b>" not in markdown.replace("\\<b\\>", "")
    assert not re.search(r"(?<!\\)`", markdown)


def test_markdown_table_has_as_many_entries_in_every_line(evil: Comparison) -> None:
    lines = [line for line in as_markdown(evil, everything=True).splitlines() if line.startswith("| ")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert widths == {5, 8}  # what differs has 4 columns, the figures 7


@pytest.mark.parametrize("limit", [4000, 8000])
def test_markdown_fits_its_limit_and_keeps_the_greatest_changes(found: Comparison, limit: int) -> None:
    rows = tuple(
        replace(row, cell=f"{row.cell}/{number}")
        for number in range(400)
        for row in found.rows
        if row.changed
    )
    many = replace(found, rows=rows)
    text = as_markdown(many, limit=limit)
    shown = [row for row in rows if f"| {row.cell} " in text.replace("\\", "")]
    assert len(text) <= limit
    assert 0 < len(shown) < len(rows)
    assert tuple(shown) == rows[: len(shown)]
    assert f"{len(rows) - len(shown)} figures more, with smaller changes, do not fit here" in text


def test_markdown_of_very_long_names_and_reasons_fits_a_comment(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    def long(sample: Sample) -> Sample:
        return replace(sample, cell=sample.cell + "x" * 70_000, isolator=sample.isolator + "|" * 70_000)

    other = changed(made_run)
    record = replace(other.record, host={**other.record.host, "kernel": "k" * 70_000, "hz": None})
    found = compare(
        replace(made_run, samples=tuple(map(long, made_run.samples))).write(tmp_path / "a"),
        replace(other, record=record, samples=tuple(map(long, other.samples))).write(tmp_path / "b"),
    )
    assert len(as_markdown(found, everything=True)) < MARKDOWN_LIMIT


def test_json_has_every_figure_and_no_number_that_json_lacks(found: Comparison) -> None:
    data = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert len(data["cells"]) == len(found.rows)
    cell = next(cell for cell in data["cells"] if cell["cell"] == "startup/runc/ready")
    assert cell["change"]["kind"] == "ratio"
    assert cell["change"]["low"] < cell["change"]["value"] < cell["change"]["high"]
    assert cell["verdict"] == "slower"
    assert data["likeness"] == "explained"
    assert data["differences"][0]["kind"] == "subject"


def test_run_without_a_figure_is_told_and_not_drawn(made_run: SyntheticRun, tmp_path: Path) -> None:
    empty = replace(changed(made_run), samples=())
    found = compare(made_run.write(tmp_path / "a"), empty.write(tmp_path / "b"))
    assert "Nothing can be compared" in printed(found)
    assert "No value of the candidate counts here." in printed(found)
    assert "Only in the base" in as_markdown(found)
    assert as_json(found)["cells"] == []


def test_base_that_is_the_later_run_is_told(made_run: SyntheticRun, tmp_path: Path) -> None:
    later = replace(made_run.record, run_id="another", started="2027-01-01T00:00:00Z")
    folders = (replace(made_run, record=later).write(tmp_path / "a"), made_run.write(tmp_path / "b"))
    assert "The base was measured after the candidate" in printed(compare(*folders))
    assert "measured after" not in printed(compare(*reversed(folders)))

"""A benchmark's own part of the report, the same figures in the terminal, in Markdown and in HTML."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure as Drawing
from rich.console import Console

from isobench.reports import html, table
from isobench.reports import sections as parts
from isobench.reports.load import summarize
from isobench.reports.section import NO_FIGURE, Column, Figure, Plot, Row, Section, Table, estimated
from isobench.reports.stats import Estimate, Interval
from isobench.reports.summary import Summary
from isobench.reports.units import seconds


def drawn(width: int) -> Drawing:
    figure = Drawing(figsize=(width / 96, 1))
    figure.subplots().plot([1, 2], [1, 2])
    return figure


def part(summary: Summary) -> Section:
    cell = summary.cells[0]
    rows = (
        Row("a <b>row</b>", (Figure("12.0 µs", "11 to 13 µs", cell), NO_FIGURE)),
        Row(summary.isolators[0].name, (Figure("1.00 s"), Figure("2")), summary.isolators[0]),
    )
    tables = (
        Table(
            "Cost", "primitive", (Column("alone", "median"), Column("wide only", room=200)), rows, "A note."
        ),
    )
    return Section(
        "parts", "Parts", "What was measured.", tables, (Plot("cost", "costs", "The costs.", drawn),)
    )


@pytest.fixture
def summary(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Summary:
    monkeypatch.setattr(parts, "NAMES", ("one", "absent"))
    modules = {"one": part, "absent": lambda _: None}
    monkeypatch.setattr(
        parts, "import_module", lambda name: SimpleNamespace(section=modules[name.rpartition(".")[2]])
    )
    return summarize(run_folder)


def printed(summary: Summary, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    table.render_summary(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_section_in_html_has_anchor_link_table_and_picture(summary: Summary) -> None:
    page = html.page(summary)
    assert '<a href="#parts">Parts</a>' in page
    assert '<h2 id="parts">Parts</h2>' in page
    assert "a &lt;b&gt;row&lt;/b&gt;" in page
    assert re.search(r'<a href="#cell-\w+">12.0 µs</a><small>11 to 13 µs</small>', page)
    assert 'aria-label="costs"' in page
    assert '<p class="muted">A note.</p>' in page


def test_section_in_the_terminal_leaves_out_columns_it_has_no_room_for(summary: Summary) -> None:
    narrow, wide = printed(summary, 100), printed(summary, 220)
    assert "a <b>row</b>  12.0 µs" in narrow
    assert "wide only" not in narrow
    assert "wide only" in wide
    assert "A note." in narrow


def test_section_in_markdown_is_a_table_with_its_title(summary: Summary) -> None:
    text = table.as_markdown(summary)
    assert "**Cost**\n\n| primitive | alone | wide only |" in text
    assert r"| a \<b\>row\</b\> | 12.0 µs | – |" in text


def test_estimate_shows_an_interval_only_where_its_limits_differ() -> None:
    assert estimated(None, seconds) == NO_FIGURE
    wide = Estimate(1.0, Interval(0.9, 1.1))
    assert estimated(wide, seconds) == Figure("1.00 s", "900 ms to 1.10 s", None, wide, "second")
    assert estimated(Estimate(1.0, Interval(0.9999, 1.0001)), seconds).small == ""


def test_table_for_those_who_dig_is_left_out_at_the_end_of_a_run_and_told_of(
    summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = replace(part(summary), tables=(replace(part(summary).tables[0], brief=False),))
    monkeypatch.setattr(parts, "import_module", lambda _: SimpleNamespace(section=lambda _: deep))
    console = Console(file=io.StringIO(), width=200)
    table.render_summary(summary, console, brief=True)
    assert isinstance(console.file, io.StringIO)
    assert "Cost" not in console.file.getvalue()
    assert f"2 more tables: isobench report {summary.folder} --tables" in console.file.getvalue()
    assert "Cost" in printed(summary, 200)

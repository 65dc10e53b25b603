"""What a reader does with any table: copy it, save it, sort it, link to a part of it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.reports.load import summarize
from isobench.reports.overview import overview

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page
    from tests.conftest import SyntheticRun
    from tests.web.conftest import Opened

pytestmark = pytest.mark.web


def tools(page: Page, table: str, button: str) -> Locator:
    return page.locator(f".scroll:has(> #{table}) + .tools").get_by_role("button", name=button, exact=True)


def saved(page: Page, table: str, button: str) -> tuple[str, str]:
    """The name of the file a button saves, and what is in it."""
    with page.expect_download() as download:
        tools(page, table, button).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes().decode()


def test_overview_saved_as_csv_has_the_very_numbers_of_the_run(
    opened: Opened, report: Path, made_run: SyntheticRun, tmp_path: Path
) -> None:
    found = overview(summarize(made_run.write(tmp_path / "run")))
    assert found

    name, text = saved(opened(report).page, "overview-table", "CSV")

    assert name == "report-overview-table.csv"
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["Isolator"].split(" (")[0] for row in rows] == [line.isolator.name for line in found.lines]
    for row, line in zip(rows, found.lines, strict=True):
        ready, error = line.entries[0].exact, line.entries[-1].exact
        assert ready
        assert ready.interval
        assert float(row["startup, ready (second)"]) == pytest.approx(ready.value, rel=1e-11)
        assert float(row["startup, ready low (second)"]) == pytest.approx(ready.interval.low, rel=1e-11)
        assert float(row["startup, ready high (second)"]) == pytest.approx(ready.interval.high, rel=1e-11)
        told = row["throttling, limit error, 1.5 CPUs (ratio)"]
        assert told == "" if error is None else float(told) == pytest.approx(error.value, rel=1e-11)


def test_table_saved_as_json_parses_back_and_says_what_it_is(opened: Opened, report: Path) -> None:
    name, text = saved(opened(report).page, "memory-table", "JSON")

    found = json.loads(text)
    assert name == "report-memory-table.json"
    assert found["page"] == "Isolation report: lab-1, 2026-03-01"
    assert found["table"] == "Memory"
    assert len(found["rows"]) == 7
    assert isinstance(found["rows"][0]["Total (byte)"], float)
    assert found["rows"][0]["Guest RAM (byte)"] is None


def test_saved_is_what_filters_have_left_in_the_order_it_is_shown(opened: Opened, report: Path) -> None:
    page = opened(
        report, "?benchmark=startup&isolator=lxc&isolator=runc&sort=overview-table.1.descending"
    ).page

    rows = list(csv.reader(io.StringIO(saved(page, "overview-table", "CSV")[1], newline="")))

    assert [row[0] for row in rows] == ["Isolator", "runc", "lxc"]
    assert {head.partition(",")[0] for head in rows[0][1:]} == {"startup"}


def test_table_is_copied_as_markdown(opened: Opened, report: Path) -> None:
    page = opened(report, permissions=["clipboard-read", "clipboard-write"]).page

    tools(page, "throttling-table", "Copy as Markdown").click()

    page.locator(".tools[data-done=copied]").wait_for()
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert lines[0].startswith("| Isolator | 0.1 CPUs, error | 0.25 CPUs, error |")
    assert lines[1] == "|:--|--:|--:|--:|--:|--:|--:|"
    assert len(lines) == 2 + page.locator("#throttling-table tbody tr").count()
    assert lines[2].startswith("| cgroups | ")
    assert page.get_by_role("status").last.inner_text() == "Copied as Markdown"


def test_markdown_is_laid_out_to_be_taken_where_the_clipboard_is_closed(opened: Opened, report: Path) -> None:
    page = opened(report).page
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('closed')); }")

    tools(page, "startup-table", "Copy as Markdown").click()

    area = page.get_by_label("Markdown", exact=True)
    area.wait_for()
    text = area.input_value()
    assert text.startswith("| Isolator | Starts | Least |")
    assert page.evaluate(
        "document.activeElement.selectionEnd - document.activeElement.selectionStart"
    ) == len(text)


def test_samples_of_a_cell_can_be_sorted_saved_and_linked_to_once_they_are_open(
    opened: Opened, report: Path
) -> None:
    page = opened(report).page
    cell = page.locator("details.cell", has_text="startup/runc/ready")
    fold = cell.locator("details.raw")
    cell.locator("> summary").click()
    assert fold.locator("button").count() == 0

    fold.locator("summary").click()
    fold.locator("thead button", has_text="ready (second)").click()

    values = [float(text) for text in fold.locator("tbody td:nth-child(5)").all_inner_texts()]
    assert values == sorted(values)
    row = fold.locator("tbody tr").first
    row.locator("a").click()
    assert page.evaluate("location.hash") == f"#{row.get_attribute('id')}"


def test_heading_is_a_link_to_itself(opened: Opened, report: Path) -> None:
    page = opened(report).page

    page.get_by_role("link", name="Where the time goes", exact=True).click()

    assert page.evaluate("location.hash") == "#phases"


def test_link_into_a_fold_opens_it(opened: Opened, report: Path) -> None:
    row = opened(report).page.locator("details.cell details.raw tbody tr").nth(4).get_attribute("id")

    page = opened(report, f"#{row}").page

    assert page.locator(f"#{row}").is_visible()


def test_every_table_has_a_name_and_every_figure_a_text_and_a_table(
    opened: Opened, each_report: Path
) -> None:
    page = opened(each_report).page

    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('table')].filter(table => {
          const name = document.getElementById(table.getAttribute('aria-labelledby'));
          return !(name?.textContent.trim() || table.caption?.textContent.trim());
        }).map(table => table.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
    # The small pictures of a cell stand beside its tables: tests/web/test_cells_in_browser.py.
    for figure in page.locator("figure:not(.plate)").all():
        assert figure.locator("svg[role=img][aria-label]").count() == 2
        assert figure.locator("figcaption").inner_text()
        link = figure.locator("figcaption a", has_text="The same as a table")
        if link.count():
            assert page.locator(str(link.get_attribute("href"))).is_visible()
        else:
            figure.locator("details > summary").click()
            assert figure.locator("details table").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_mark_of_a_figure_tells_its_figure_by_pointer_and_by_keyboard(
    opened: Opened, report: Path, scheme: str
) -> None:
    page = opened(report, scheme=scheme).page
    frame = page.locator("#figure-startup .wide")
    frame.scroll_into_view_if_needed()
    mark = frame.locator("use").filter(has=page.locator("title")).nth(3)
    text = mark.locator("title").text_content()

    mark.hover(force=True)
    tip = page.locator(".tip")
    assert tip.inner_text().startswith(str(text).partition(":")[0])
    assert "block" in tip.inner_text()

    frame.focus()
    page.keyboard.press("ArrowRight")
    first = tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert tip.inner_text() != first
    assert page.get_by_role("status").last.inner_text() == tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()

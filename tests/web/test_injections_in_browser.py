"""Strings from outside that want to be more than text, in a page whose every control is used."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.hostile_run import EVERYTHING, INJECTIONS
from tests.in_browser import unfold

from isobench.reports.html import write_report
from isobench.reports.units import plain

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from tests.conftest import SyntheticRun
    from tests.web.conftest import Opened

pytestmark = pytest.mark.web


def nothing_ran(page: Page) -> bool:
    return page.evaluate("window.hit") is None


def test_injected_strings_are_shown_as_they_are_and_run_nothing(opened: Opened, each_evil: Path) -> None:
    watched = opened(each_evil)
    page = watched.page

    assert nothing_ran(page)
    assert watched.said == []
    assert len(watched.asked) == 1
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe, object, form, [onload], [onerror], [onfocus], [style]").count() == 0
    heading = page.get_by_role("heading", level=1).inner_text()
    for one in INJECTIONS:
        assert " ".join(plain(one).split()) in heading
    assert page.locator("main").is_visible()


def test_injected_strings_run_nothing_whatever_a_reader_does(opened: Opened, each_evil: Path) -> None:
    watched = opened(each_evil, permissions=["clipboard-read", "clipboard-write"])
    page = watched.page
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")

    for table in ("#overview-table", ".raw"):
        for button in page.locator(f"{table} thead button").all()[:12]:
            button.focus()  # under names as long as these a pointer does not find it
            page.keyboard.press("Enter")
    boxes = page.locator(".controls input")
    for box in (boxes.first, boxes.last):
        box.click()
    page.get_by_label("Ratios to").select_option(index=2)
    page.locator(".tools button", has_text="Copy").first.click()
    page.locator(".tools[data-done=copied]").first.wait_for()
    page.locator("#figure-startup .wide").focus()
    page.keyboard.press("ArrowRight")
    assert plain(EVERYTHING)[:20] in page.locator(".tip").inner_text()
    page.goto(page.url)

    assert nothing_ran(page)
    assert watched.said == []
    assert {url.partition("?")[0] for url in watched.asked} == {each_evil.as_uri()}


@pytest.mark.parametrize("width", [1200, 390])
def test_long_names_widen_no_page(opened: Opened, each_evil: Path, width: int) -> None:
    page = opened(each_evil, width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") == width

    unfold(page)

    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_names_that_begin_like_a_formula_are_text_to_a_spreadsheet(
    opened: Opened, made_run: SyntheticRun, tmp_path: Path
) -> None:
    names = {found.shown_as: f"=HYPERLINK({found.kind})" for found in made_run.record.isolators}
    isolators = tuple(replace(one, shown_as=names[one.shown_as]) for one in made_run.record.isolators)
    run = replace(
        made_run,
        record=replace(made_run.record, isolators=isolators),
        samples=tuple(replace(one, isolator=names[one.isolator]) for one in made_run.samples),
    )
    write_report([run.write(tmp_path / "run")], tmp_path / "report.html")
    page = opened(tmp_path / "report.html").page

    with page.expect_download() as download:
        page.locator(".scroll:has(> #startup-table) + .tools button", has_text="CSV").click()

    text = Path(download.value.path()).read_bytes().decode()
    first = [row[0] for row in csv.reader(io.StringIO(text, newline=""))]
    assert len(first) == 8
    assert all(name.startswith("'=HYPERLINK(") for name in first[1:])

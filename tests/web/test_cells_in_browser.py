"""The part of a report that goes cell by cell, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.in_browser import complaints

if TYPE_CHECKING:
    from tests.web.conftest import Opened, Overlaps

pytestmark = pytest.mark.web

CELLS = ("startup/runc/ready", "memory/lxc/hold", "startup/crun/ready", "startup/qemu-tcg/ready")


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_open_cells_fit_the_screen_can_be_read_and_axe_finds_nothing_serious(
    opened: Opened, report: Path, overlaps: Overlaps, scheme: str, width: int
) -> None:
    page = opened(report, scheme=scheme, width=width).page
    for cell in CELLS:
        page.locator("details.cell", has_text=cell).evaluate("fold => { fold.open = true; }")

    assert page.locator(".plate:visible").count() == 4 + 2 + 4
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert overlaps(page) == []
    assert complaints(page) == []


def test_pictures_of_a_cell_follow_the_theme_and_say_in_words_what_they_show(
    opened: Opened, report: Path
) -> None:
    dots = set()
    for scheme in ("light", "dark"):
        page = opened(report, scheme=scheme).page
        page.locator("details.cell", has_text="startup/runc/ready").evaluate("fold => { fold.open = true; }")
        picture = page.locator(".plate:visible").first
        dots.add(picture.locator(".dots").evaluate("e => getComputedStyle(e).stroke"))
        said = picture.locator("svg[role=img]").get_attribute("aria-label") or ""
        assert said.startswith("Values: 20 values from ")
        assert "median" in said

    assert len(dots) == 2


def test_raw_samples_are_one_click_away_from_the_figures_of_a_cell(opened: Opened, report: Path) -> None:
    page = opened(report).page
    cell = page.locator("details.cell", has_text="startup/runc/ready")
    cell.locator("> summary").click()
    assert cell.locator("table").first.is_visible()
    assert not cell.locator("details.raw table").is_visible()

    cell.locator("details.raw > summary").click()

    assert cell.locator("details.raw tbody tr").count() == 22


def test_failed_attempt_links_to_its_sample_also_without_javascript(opened: Opened, report: Path) -> None:
    page = opened(report, script=False).page
    cell = page.locator("details.cell", has_text="startup/qemu-tcg/ready")
    cell.locator("> summary").click()

    link = cell.locator(".cell-note", has_text="timeout").locator("a")
    target = str(link.get_attribute("href"))
    link.click()

    page.locator(target).wait_for(state="visible", timeout=5000)
    assert "timeout" in page.locator(target).inner_text()

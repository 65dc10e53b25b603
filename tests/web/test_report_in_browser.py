"""The HTML report in a real browser: quiet, self-contained, readable on any screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.in_browser import unfold

if TYPE_CHECKING:
    from tests.web.conftest import Opened, Overlaps

pytestmark = pytest.mark.web


def test_report_opens_without_a_complaint_and_without_a_request(opened: Opened, each_report: Path) -> None:
    watched = opened(each_report)
    unfold(watched.page)

    assert watched.said == []
    assert watched.asked == [each_report.as_uri()]
    assert watched.page.get_by_role("heading", level=1).inner_text() == "What isolation costs on lab-1"


def test_style_sheet_is_let_through_by_the_policy(opened: Opened, report: Path) -> None:
    page = opened(report).page

    assert page.evaluate("getComputedStyle(document.querySelector('.findings')).display") == "grid"


def test_figures_are_drawn_and_follow_the_theme(opened: Opened, report: Path) -> None:
    inks = set()
    for scheme in ("light", "dark"):
        page = opened(report, scheme=scheme).page
        label = page.locator("figure .wide svg text", has_text="bare").first
        assert label.is_visible()
        inks.add(label.evaluate("e => getComputedStyle(e).fill"))

    assert len(inks) == 2


@pytest.mark.parametrize(("width", "shown", "hidden"), [(1200, "wide", "narrow"), (390, "narrow", "wide")])
def test_page_never_scrolls_sideways_and_shows_the_figures_made_for_its_width(
    opened: Opened, each_report: Path, width: int, shown: str, hidden: str
) -> None:
    page = opened(each_report, width=width).page

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(f"figure .{shown} svg").first.is_visible()
    assert not page.locator(f"figure .{hidden} svg").first.is_visible()
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [1200, 390])
def test_labels_of_a_figure_do_not_overlap_one_another_or_leave_it(
    opened: Opened, each_report: Path, overlaps: Overlaps, width: int
) -> None:
    page = opened(each_report, width=width).page
    unfold(page)

    assert overlaps(page) == []


def test_figure_in_the_table_leads_to_its_raw_samples(opened: Opened, report: Path) -> None:
    page = opened(report).page
    link = page.locator("#startup-table td a").first
    target = link.get_attribute("href")
    assert target

    assert not page.locator(target).is_visible()
    link.click()

    page.locator(target).wait_for(state="visible", timeout=5000)

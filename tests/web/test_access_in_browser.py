"""Who cannot see, point, or run a script reads the same report, and so does who prints it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.in_browser import complaints, unfold

if TYPE_CHECKING:
    from tests.web.conftest import Opened

pytestmark = pytest.mark.web


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_with_everything_open(
    opened: Opened, each_report: Path, scheme: str, width: int
) -> None:
    page = opened(each_report, scheme=scheme, width=width).page
    unfold(page)

    assert complaints(page) == []


def test_theme_is_the_systems_until_the_reader_chooses_one(opened: Opened, report: Path) -> None:
    page = opened(report, scheme="dark").page

    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert paper() == "rgb(18, 22, 29)"
    page.get_by_label("Theme").select_option("light")
    assert paper() == "rgb(255, 255, 255)"
    assert page.evaluate("location.search") == "?theme=light"
    page.get_by_label("Theme").select_option("system")
    assert paper() == "rgb(18, 22, 29)"
    assert page.evaluate("location.search") == ""


def test_first_key_press_offers_to_skip_to_the_content_in_sight(opened: Opened, report: Path) -> None:
    page = opened(report).page

    page.keyboard.press("Tab")

    skip = page.get_by_role("link", name="Skip to the content")
    assert skip.evaluate("e => e === document.activeElement")
    assert skip.bounding_box()["y"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_focus_is_seen(opened: Opened, report: Path) -> None:
    page = opened(report).page

    for _ in range(3):
        page.keyboard.press("Tab")

    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_script_all_is_there_and_no_control_that_would_do_nothing(
    opened: Opened, report: Path
) -> None:
    plain, lively = opened(report, script=False).page, opened(report).page

    assert plain.locator("button, select, input").count() == 0
    assert plain.locator("#overview-table td i").all_inner_texts() == (
        lively.locator("#overview-table td i").all_inner_texts()
    )
    for table in ("#overview-table", "#startup-table", "#memory-table", "#throttling-table", "#gaps-table"):
        rows = plain.locator(f"{table} tbody tr").all_inner_texts()
        told = lively.locator(f"{table} tbody tr").all_inner_texts()
        assert rows
        assert [" ".join(row.split()) for row in rows] == [" ".join(row.split()) for row in told]
    assert plain.locator("figure .wide svg").first.is_visible()
    plain.locator("details.raw summary").first.click()
    assert plain.locator("details.raw table").first.is_visible()


@pytest.mark.parametrize("width", [1200, 390])
def test_columns_of_the_claims_have_names_for_who_cannot_see_at_any_width(
    opened: Opened, report: Path, width: int
) -> None:
    table = opened(report, width=width).page.locator("#claims-table")

    heads = [head.inner_text() for head in table.get_by_role("columnheader").all()]
    assert heads == ["Claim", "On this host", "Because", "Measured here"]
    box = table.locator("thead").bounding_box()
    assert box
    assert (box["height"] <= 1) is (width < 700)


def test_button_of_a_head_that_is_not_shown_is_seen_when_the_keyboard_is_on_it(
    opened: Opened, report: Path
) -> None:
    page = opened(report, width=390).page
    button = page.locator("#claims-table thead button").first

    button.focus()

    box = button.bounding_box()
    assert box
    assert min(box["width"], box["height"]) > 10
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_printed_all_is_open_but_raw_samples_and_controls_are_gone(opened: Opened, each_report: Path) -> None:
    page = opened(each_report, scheme="dark").page

    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) < 40
    assert page.locator("details:not(.raw)[open]").count() < page.locator("details:not(.raw)").count()

    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".controls").is_visible()
    assert not page.locator(".tools").first.is_visible()
    assert page.locator(".data table").first.is_visible()
    assert not page.locator("details.raw").first.is_visible()
    # A table that is wider than the paper would make all else small.
    page.set_viewport_size({"width": 700, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 700

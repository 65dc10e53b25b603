"""The overview in a browser: sorted and filtered by keyboard, held against any row, kept in the address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from tests.web.conftest import Opened

pytestmark = pytest.mark.web

TABLE = "#overview-table"
NAMES = f"{TABLE} tbody tr:visible th"


def names(page: Page) -> list[str]:
    return [found.splitlines()[0] for found in page.locator(NAMES).all_inner_texts()]


def heads(page: Page) -> list[str]:
    found = page.locator(f"{TABLE} thead th:visible").all_inner_texts()
    return [" ".join(text.split()) for text in found]


def column(page: Page, title: str) -> int:
    """Counted from 0, the column of the names included."""
    found = page.locator(f"{TABLE} thead th").all_text_contents()
    return next(place for place, text in enumerate(found) if title in text)


def walk_to(page: Page, selector: str) -> None:
    """By the Tab key alone, from where the focus is."""
    for _ in range(400):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} was not reached")


def test_column_is_sorted_by_keyboard_up_down_and_back_by_the_numbers_behind_it(
    opened: Opened, report: Path
) -> None:
    page = opened(report).page
    place = column(page, "each instance")
    head = page.locator(f"{TABLE} thead th").nth(place)
    before = names(page)
    values = {
        name: float(value.split()[0])
        for name, value in zip(
            before,
            page.locator(f"{TABLE} tbody tr > :nth-child({place + 1})").evaluate_all(
                "all => all.map(cell => cell.dataset.v ?? 'NaN')"
            ),
            strict=True,
        )
        if value != "NaN"
    }
    walk_to(page, f"{TABLE} thead th:nth-child({place + 1}) button")

    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page) == sorted(before, key=lambda name: (name not in values, values.get(name, 0.0)))
    assert page.get_by_role("status").last.inner_text() == "Sorted by memory, each instance, ascending"

    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page) == sorted(before, key=lambda name: (name not in values, -values.get(name, 0.0)))

    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert names(page) == before


def test_rows_without_a_figure_stay_last_whichever_way_a_column_is_sorted(
    opened: Opened, report: Path
) -> None:
    page = opened(report).page
    button = page.locator(f"{TABLE} thead th").nth(column(page, "0.1 CPUs")).locator("button")

    for _ in range(2):
        button.click()
        assert {"bare", "chroot", "namespaces"} == set(names(page)[-3:])


def test_isolators_benchmarks_and_workloads_are_filtered_by_keyboard_and_told(
    opened: Opened, report: Path
) -> None:
    page = opened(report).page
    all_names, all_heads = names(page), heads(page)

    walk_to(page, ".controls input[value='runc']")
    page.keyboard.press("Space")
    assert names(page) == [name for name in all_names if name != "runc"]

    walk_to(page, ".controls input[value='memory']")
    page.keyboard.press("Space")
    assert heads(page) == [head for head in all_heads if not head.startswith("memory")]

    walk_to(page, ".controls input[value='spin']")
    page.keyboard.press("Space")
    assert heads(page) == ["Isolator", "startup ready", "startup to exit"]
    assert page.locator(".count").inner_text() == "6 of 7 isolators, 2 of 9 columns shown"
    assert page.locator(".count").get_attribute("role") == "status"

    page.get_by_role("button", name="Show all").click()
    assert (names(page), heads(page)) == (all_names, all_heads)


def test_ratios_are_told_to_the_row_a_reader_chooses_and_agree_with_those_of_the_page(
    opened: Opened, report: Path
) -> None:
    page = opened(report).page
    ratios = page.locator(f"{TABLE} td i")
    made = ratios.all_inner_texts()
    choice = page.get_by_label("Ratios to")

    choice.select_option("runc")
    assert ratios.all_inner_texts() != made
    assert page.locator(f"{TABLE} tr[data-isolator=runc] td i").all_inner_texts() == ["1.00×"] * 4
    assert "× is the ratio to runc" in page.locator("#overview + p").inner_text()

    choice.select_option("bare")
    assert ratios.all_inner_texts() == made
    assert len(made) == 28


def test_choices_stand_in_the_address_and_come_back_from_it(opened: Opened, report: Path) -> None:
    page = opened(report).page
    page.locator(f"{TABLE} thead th").nth(column(page, "ready")).locator("button").click()
    page.locator(".controls input[value='throttling']").uncheck()
    page.locator(".controls input[value='lxc']").uncheck()
    page.get_by_label("Ratios to").select_option("chroot")
    page.get_by_label("Theme").select_option("dark")
    page.locator("#startup-table thead button").nth(1).click()
    shown = (names(page), heads(page), page.locator(f"{TABLE} td i").all_inner_texts())
    query = page.evaluate("location.search")
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1

    again = opened(report, f"{query}#startup").page

    assert (names(again), heads(again), again.locator(f"{TABLE} td i").all_inner_texts()) == shown
    assert again.evaluate("document.documentElement.dataset.theme") == "dark"
    assert again.locator("#startup-table th[aria-sort=ascending]").inner_text() == "Starts"
    assert again.evaluate("document.getElementById('startup').getBoundingClientRect().top") < 100


def test_address_keeps_a_choice_of_nothing_and_what_belongs_to_others(opened: Opened, report: Path) -> None:
    page = opened(report, "?token=abc").page
    for box in page.locator("fieldset", has_text="Isolators").locator("input").all():
        box.uncheck()
    assert names(page) == []
    query = page.evaluate("location.search")
    assert query == "?token=abc&isolator="

    again = opened(report, query).page
    assert names(again) == []
    again.get_by_role("button", name="Show all").click()
    assert again.evaluate("location.search") == "?token=abc"


@pytest.mark.parametrize(
    "query",
    [
        "?sort=overview-table.99.ascending&sort=overview-table.x.y&sort=.&theme=pink&against=nobody",
        "?isolator=nobody&benchmark=%3Cscript%3E&workload=%00",
        "?sort=overview-table.__proto__.constructor&against=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
    ],
)
def test_address_that_makes_no_sense_is_no_error(opened: Opened, report: Path, query: str) -> None:
    watched = opened(report, query)

    assert watched.said == []
    assert watched.page.locator(TABLE).is_visible()
    assert watched.page.locator("th[aria-sort]").count() == 0
    assert watched.page.evaluate("document.documentElement.dataset.theme ?? ''") == ""


def test_head_and_names_of_a_wide_table_stay_in_sight(opened: Opened, each_report: Path) -> None:
    page = opened(each_report, width=390).page
    page.set_viewport_size({"width": 390, "height": 160})  # so that the rows of any table are too many
    box = page.locator(".scroll.matrix")
    box.scroll_into_view_if_needed()

    box.evaluate("box => box.scrollTo(100, 40)")

    assert box.evaluate("box => [box.scrollLeft, box.scrollTop]") == [100, 40]
    left, top = box.evaluate("box => [box.getBoundingClientRect().left, box.getBoundingClientRect().top]")
    lefts = page.locator(f"{TABLE} tr > :first-child").evaluate_all(
        "all => all.map(cell => cell.getBoundingClientRect().left)"
    )
    assert lefts == pytest.approx([left] * len(lefts), abs=1)
    tops = page.locator(f"{TABLE} thead th").evaluate_all(
        "all => all.map(cell => cell.getBoundingClientRect().top)"
    )
    assert tops == pytest.approx([top] * len(tops), abs=1)


def test_figure_of_the_overview_leads_to_its_samples(opened: Opened, report: Path) -> None:
    page = opened(report).page
    link = page.locator(f"{TABLE} tr[data-isolator=runc] td a").first
    target = link.get_attribute("href")

    link.click()

    page.locator(str(target)).wait_for(state="visible", timeout=5000)

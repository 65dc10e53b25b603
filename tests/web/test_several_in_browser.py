"""The pages over several runs in a browser: quiet, readable, searched by keyboard, deaf to injections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.in_browser import complaints
from tests.several_pages import KINDS, hostile_page, whole_page

from isobench.reports.pages import Page as Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page
    from tests.conftest import SyntheticRun
    from tests.web.conftest import Opened

pytestmark = pytest.mark.web

OPEN_ALL = "for (const fold of document.querySelectorAll('details')) fold.open = true"
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    """Each page, made once."""
    pages: dict[Kind, Path] = {}

    def made(kind: Kind) -> Path:
        if kind not in pages:
            pages[kind] = whole_page(kind, tmp_path_factory.mktemp(kind.value))
        return pages[kind]

    return made


@every_kind
def test_page_opens_without_a_complaint_and_without_a_request(
    opened: Opened, made: Callable[[Kind], Path], kind: Kind
) -> None:
    watched = opened(made(kind))
    watched.page.evaluate(OPEN_ALL)

    assert watched.said == []
    assert watched.asked == [made(kind).as_uri()]
    assert watched.page.get_by_role("heading", level=1).is_visible()


@every_kind
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_with_everything_open(
    opened: Opened, made: Callable[[Kind], Path], kind: Kind, scheme: str, width: int
) -> None:
    page = opened(made(kind), scheme=scheme, width=width).page
    page.evaluate(OPEN_ALL)

    assert complaints(page) == []


@every_kind
@pytest.mark.parametrize("width", [1200, 390])
def test_page_never_scrolls_sideways(
    opened: Opened, made: Callable[[Kind], Path], kind: Kind, width: int
) -> None:
    page = opened(made(kind), width=width).page
    page.evaluate(OPEN_ALL)

    assert page.evaluate("document.documentElement.scrollWidth") == width


@every_kind
def test_every_table_has_a_name_and_every_picture_a_text_or_is_beside_one(
    opened: Opened, made: Callable[[Kind], Path], kind: Kind
) -> None:
    page = opened(made(kind)).page

    for table in page.locator("table").all():
        assert page.locator(f"#{table.get_attribute('aria-labelledby')}").count() == 1
    for picture in page.locator("svg").all():
        assert picture.get_attribute("aria-label") or picture.get_attribute("aria-hidden") == "true"


@every_kind
def test_injected_strings_are_shown_and_run_nothing(
    opened: Opened, made_run: SyntheticRun, tmp_path: Path, kind: Kind
) -> None:
    file = hostile_page(kind, made_run, tmp_path)
    watched = opened(file)
    page = watched.page
    page.evaluate(OPEN_ALL)
    for only_changed in page.locator(".controls input[type=checkbox]").all():
        only_changed.uncheck()
    for button in page.locator("thead button").all()[:20]:
        button.click()
    if page.locator(".controls input").count():
        page.locator(".controls input").first.fill("<script>")

    assert page.evaluate("window.hit") is None
    assert watched.said == []
    assert {url.partition("?")[0] for url in watched.asked} == {file.as_uri()}
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe, object, form, [onload], [onerror], [onfocus], [style]").count() == 0
    assert "<script>window.hit=1</script>" in page.locator("main").inner_text()


def test_comparison_shows_only_what_changed_until_the_box_is_unticked_by_keyboard(
    opened: Opened, made: Callable[[Kind], Path]
) -> None:
    page = opened(made(Kind.COMPARE)).page
    rows = page.locator("#ratios-table tbody tr")
    changed = page.locator("#ratios-table tbody tr[data-kept]")
    controls = page.get_by_role("group", name="What is shown of: Ratios")
    assert 0 < changed.count() < rows.count()
    assert [row.is_visible() for row in rows.all()].count(True) == changed.count()

    controls.get_by_role("checkbox").focus()
    page.keyboard.press("Space")

    assert all(row.is_visible() for row in rows.all())
    assert f"{rows.count()} of {rows.count()} rows shown" in controls.inner_text()
    assert "all-ratios-table=yes" in page.url
    again = opened(made(Kind.COMPARE), query="?all-ratios-table=yes").page
    assert all(row.is_visible() for row in again.locator("#ratios-table tbody tr").all())


def test_table_of_which_no_row_is_shown_has_no_head_alone(
    opened: Opened, made: Callable[[Kind], Path]
) -> None:
    page = opened(made(Kind.COMPARE)).page
    controls = page.get_by_role("group", name="What is shown of: Ratios")
    controls.get_by_role("searchbox").fill("nowhere")

    assert not page.locator("#ratios-table").is_visible()
    assert "0 of" in controls.inner_text()

    controls.get_by_role("searchbox").fill("")

    assert page.locator("#ratios-table").is_visible()


def test_host_is_found_by_its_name_and_the_address_keeps_it(
    opened: Opened, made: Callable[[Kind], Path]
) -> None:
    page = opened(made(Kind.HOSTS)).page
    page.locator("summary#everything-all").click()
    search = page.get_by_role("group", name="What is shown of: Every host").get_by_role("searchbox")
    search.press_sequentially("host-00007")

    shown = [row for row in page.locator("#everything-table tbody tr").all() if row.is_visible()]
    assert [row.locator("th").inner_text() for row in shown] == ["host-00007"]
    assert "find-everything-table=host-00007" in page.url


def test_heat_map_is_shaded_in_both_themes_and_text_tells_the_same(
    opened: Opened, made: Callable[[Kind], Path]
) -> None:
    shades = set()
    for scheme in ("light", "dark"):
        page = opened(made(Kind.HOSTS), scheme=scheme).page
        field = page.locator("tbody.heat td[class^=above]").first
        shades.add(field.evaluate("e => getComputedStyle(e).backgroundColor"))
        assert "▲" in field.inner_text()
    assert len(shades) == 2


def test_heat_map_is_printed_in_light_shades_whatever_theme_is_set(
    opened: Opened, made: Callable[[Kind], Path]
) -> None:
    def shade(page: Page) -> str:
        field = page.locator("tbody.heat td[class^=above]").first
        return str(field.evaluate("e => getComputedStyle(e).backgroundColor"))

    light = shade(opened(made(Kind.HOSTS)).page)
    page = opened(made(Kind.HOSTS)).page
    page.get_by_label("Theme").select_option("dark")
    assert shade(page) != light

    page.emulate_media(media="print")

    assert shade(page) == light


def test_change_of_level_is_marked_in_the_line_and_told_in_the_table(opened: Opened, tmp_path: Path) -> None:
    from tests.perf.fleet import write_fleet

    from isobench.reports.pages import write_page

    folders = write_fleet(tmp_path, 1, 210, runs=16)
    page = opened(write_page(folders, tmp_path / "trend.html")).page

    assert page.locator("#hints-table tbody tr").count() >= 1
    assert page.locator("svg.track .hint").count() == page.locator("#hints-table tbody tr").count()


@every_kind
def test_without_script_all_rows_are_there_and_no_control(
    opened: Opened, made: Callable[[Kind], Path], kind: Kind
) -> None:
    page = opened(made(kind), script=False).page

    assert page.locator("tbody tr[hidden], button, input, select").count() == 0
    assert page.locator("tbody tr").count() > 0


@every_kind
def test_page_is_printed_without_controls(opened: Opened, made: Callable[[Kind], Path], kind: Kind) -> None:
    page = opened(made(kind)).page
    page.emulate_media(media="print")

    assert not any(control.is_visible() for control in page.locator(".controls, .tools, nav").all())
    assert page.pdf().startswith(b"%PDF")

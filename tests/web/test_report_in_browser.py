"""The HTML report in a real browser: quiet, self-contained, readable on any screen, deaf to injections."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from isobench.reports.html import write_report

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

pytestmark = pytest.mark.web

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EVIL = (
    "\"'><img src=x onerror='window.hit=1'><script>window.hit=2</script>"
    "</style><style>*{display:none}</style>"
)


@dataclass
class Watched:
    """A page, and everything it said or asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report([made_run.write(folder / "run")], folder / "report.html")
    return folder / "report.html"


def opened(
    browser: Browser,
    file: Path,
    *,
    width: int = 1200,
    scheme: Literal["light", "dark"] = "light",
    script: bool = True,
) -> Watched:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    watched = Watched(context.new_page())
    watched.page.on("console", lambda message: watched.said.append(message.text))
    watched.page.on("pageerror", lambda error: watched.said.append(str(error)))
    watched.page.on("request", lambda request: watched.asked.append(request.url))
    watched.page.goto(file.as_uri())
    return watched


def test_report_opens_without_a_complaint_and_without_a_request(browser: Browser, report: Path) -> None:
    watched = opened(browser, report)

    assert watched.said == []
    assert watched.asked == [report.as_uri()]
    assert watched.page.get_by_role("heading", level=1).inner_text() == "What isolation costs on lab-1"
    watched.page.context.close()


def test_style_sheet_is_let_through_by_the_policy(browser: Browser, report: Path) -> None:
    page = opened(browser, report).page

    assert page.evaluate("getComputedStyle(document.querySelector('.findings')).display") == "grid"
    page.context.close()


def test_figures_are_drawn_and_follow_the_theme(browser: Browser, report: Path) -> None:
    inks = set()
    for scheme in ("light", "dark"):
        page = opened(browser, report, scheme=scheme).page
        label = page.locator("figure .wide svg text", has_text="bare").first
        assert label.is_visible()
        inks.add(label.evaluate("e => getComputedStyle(e).fill"))
        page.context.close()

    assert len(inks) == 2


@pytest.mark.parametrize(("width", "shown", "hidden"), [(1200, "wide", "narrow"), (390, "narrow", "wide")])
def test_page_never_scrolls_sideways_and_shows_the_figures_made_for_its_width(
    browser: Browser, report: Path, width: int, shown: str, hidden: str
) -> None:
    page = opened(browser, report, width=width).page

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(f"figure .{shown} svg").first.is_visible()
    assert not page.locator(f"figure .{hidden} svg").first.is_visible()
    page.context.close()


@pytest.mark.parametrize("width", [1200, 390])
def test_labels_of_a_figure_do_not_overlap_one_another_or_leave_it(
    browser: Browser, report: Path, width: int
) -> None:
    page = opened(browser, report, width=width).page

    overlaps = page.evaluate(
        """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
          if (!svg.checkVisibility()) return [];
          const box = e => e.getBoundingClientRect(), frame = box(svg);
          const texts = [...svg.querySelectorAll('text')].map(e => [e.textContent, box(e)]);
          const out = texts.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1);
          const both = texts.flatMap(([s, a], i) => texts.slice(i + 1).filter(([, b]) =>
            a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4
          ).map(([t]) => s + ' / ' + t));
          return [...out.map(([s]) => s + ' leaves the figure'), ...both];
        })"""
    )
    assert overlaps == []
    page.context.close()


def test_report_reads_the_same_without_javascript(browser: Browser, report: Path) -> None:
    page = opened(browser, report, script=False).page

    assert page.locator("#overview").is_visible()
    assert page.locator("figure .wide svg").first.is_visible()
    page.context.close()


def test_figure_in_the_table_leads_to_its_raw_samples(browser: Browser, report: Path) -> None:
    page = opened(browser, report).page
    link = page.locator("#overview ~ .scroll td a").first
    target = link.get_attribute("href")
    assert target

    assert not page.locator(target).is_visible()
    link.click()

    page.locator(target).wait_for(state="visible", timeout=5000)
    page.context.close()


def test_injected_strings_are_inert_and_shown_as_they_are(
    browser: Browser, made_run: SyntheticRun, tmp_path: Path
) -> None:
    record = replace(
        made_run.record,
        host={"hostname": EVIL, EVIL: EVIL, "knobs": {EVIL: EVIL}},
        matrix={EVIL: EVIL},
        isolators=tuple(replace(r, shown_as=r.shown_as + EVIL, t0=EVIL) for r in made_run.record.isolators),
    )
    samples = tuple(
        replace(line, isolator=line.isolator + EVIL, cell=line.cell + EVIL, reason=line.reason and EVIL)
        for line in made_run.samples
    )
    run = replace(made_run, record=record, samples=samples).write(tmp_path / "run")
    write_report([run], tmp_path / "report.html")

    watched = opened(browser, tmp_path / "report.html")

    assert watched.page.evaluate("window.hit") is None
    assert watched.said == []
    assert len(watched.asked) == 1
    assert EVIL in watched.page.get_by_role("heading", level=1).inner_text()
    assert watched.page.locator("script, img").count() == 1
    watched.page.context.close()

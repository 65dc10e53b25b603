"""The HTML report in a real browser: quiet, self-contained, readable on any screen, deaf to injections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.reports.html import write_report

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun
    from tests.web.conftest import Opened

pytestmark = pytest.mark.web

EVIL = (
    "\"'><img src=x onerror='window.hit=1'><script>window.hit=2</script>"
    "</style><style>*{display:none}</style>"
)


def test_report_opens_without_a_complaint_and_without_a_request(opened: Opened, report: Path) -> None:
    watched = opened(report)

    assert watched.said == []
    assert watched.asked == [report.as_uri()]
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
    opened: Opened, report: Path, width: int, shown: str, hidden: str
) -> None:
    page = opened(report, width=width).page

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(f"figure .{shown} svg").first.is_visible()
    assert not page.locator(f"figure .{hidden} svg").first.is_visible()


@pytest.mark.parametrize("width", [1200, 390])
def test_labels_of_a_figure_do_not_overlap_one_another_or_leave_it(
    opened: Opened, report: Path, width: int
) -> None:
    page = opened(report, width=width).page

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


def test_report_reads_the_same_without_javascript(opened: Opened, report: Path) -> None:
    page = opened(report, script=False).page

    assert page.locator("#overview").is_visible()
    assert page.locator("figure .wide svg").first.is_visible()


def test_figure_in_the_table_leads_to_its_raw_samples(opened: Opened, report: Path) -> None:
    page = opened(report).page
    link = page.locator("#overview ~ .scroll td a").first
    target = link.get_attribute("href")
    assert target

    assert not page.locator(target).is_visible()
    link.click()

    page.locator(target).wait_for(state="visible", timeout=5000)


def test_injected_strings_are_inert_and_shown_as_they_are(
    opened: Opened, made_run: SyntheticRun, tmp_path: Path
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

    watched = opened(tmp_path / "report.html")

    assert watched.page.evaluate("window.hit") is None
    assert watched.said == []
    assert len(watched.asked) == 1
    assert EVIL in watched.page.get_by_role("heading", level=1).inner_text()
    assert watched.page.locator("script, img").count() == 1

"""Runs that are empty, that gave no value, or whose names are as long as a page, opened in a browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.hostile_run import hostile

from isobench.model import Sample, Status
from isobench.reports.html import write_report

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun
    from tests.web.conftest import Opened

pytestmark = pytest.mark.web
LONG = f"-{'x' * 10_000}"


def empty(run: SyntheticRun) -> SyntheticRun:
    return run.only(lambda _: False)


def failed(run: SyntheticRun) -> SyntheticRun:
    def broken(line: Sample) -> Sample:
        return replace(line, value=None, status=Status.FAILED, reason="it broke", phases={}, detail={})

    return replace(run, samples=tuple(map(broken, run.samples)))


def endless(run: SyntheticRun) -> SyntheticRun:
    return hostile(run, LONG)


SAYS: Mapping[Callable[[SyntheticRun], SyntheticRun], str] = {
    empty: "Nothing was measured",
    failed: "Nothing was measured",
    endless: "software emulation (TCG)",
}


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("made", SAYS)
def test_page_of_a_bad_run_says_what_is_wrong_and_stays_within_its_width(
    opened: Opened,
    made_run: SyntheticRun,
    tmp_path: Path,
    made: Callable[[SyntheticRun], SyntheticRun],
    width: int,
) -> None:
    write_report([made(made_run).write(tmp_path / "run")], tmp_path / "report.html")

    watched = opened(tmp_path / "report.html", width=width)

    assert watched.said == []
    banner = watched.page.locator(".banner")
    assert SAYS[made] in banner.inner_text()
    assert banner.evaluate("e => e.classList.contains('loud')")
    assert watched.page.evaluate("document.documentElement.scrollWidth") == width


def test_reasons_of_the_banner_and_claims_are_read_by_keyboard(opened: Opened, report: Path) -> None:
    page = opened(report).page
    reason = page.locator(".banner summary").first
    reason.focus()
    page.keyboard.press("Enter")

    assert "imitated by software" in page.locator(".banner").inner_text()
    link = page.locator("#claims-table .witness a").first
    target = link.get_attribute("href")
    link.press("Enter")
    assert target
    assert page.locator(f"[id='{target.removeprefix('#')}']").is_visible()

"""Pages of small runs, line by line against those that were looked at: a stored run of the fake isolator, and
made-up ones of several hosts and days.

What matplotlib draws differs between its versions, so figures are left out, and with them the style sheet.
After a change that is meant: ``ISOBENCH_GOLDEN=write pytest tests/unit/test_golden.py``, and look at what
differs.
"""

import os
import re
from pathlib import Path

import pytest
from tests.several_pages import KINDS, small_page

from isobench.reports.html import page
from isobench.reports.load import summarize
from isobench.reports.pages import Page

GOLDEN = Path(__file__).parent / "data" / "golden"
KEPT = GOLDEN / "report.html"


def bones(text: str) -> str:
    """A page without figures, style and script, and without their hashes."""
    text = re.sub(r'<svg (?!class="mark").*?</svg>', "<svg></svg>", text, flags=re.DOTALL)
    text = re.sub(r"<(style|script)>.*?</\1>", r"<\1></\1>", text, flags=re.DOTALL)
    return re.sub(r"sha256-[A-Za-z0-9+/]+=*", "sha256-", text)


def test_page_of_a_stored_run_is_the_one_that_was_looked_at() -> None:
    found = bones(page(summarize(GOLDEN / "run")))

    if os.environ.get("ISOBENCH_GOLDEN") == "write":
        KEPT.write_text(found, encoding="utf-8")
    assert found.splitlines() == KEPT.read_text(encoding="utf-8").splitlines()


def test_page_of_a_stored_run_is_the_same_bytes_each_time() -> None:
    assert page(summarize(GOLDEN / "run")) == page(summarize(GOLDEN / "run"))


@pytest.mark.parametrize("kind", KINDS)
def test_page_over_several_runs_is_the_one_that_was_looked_at(kind: Page, tmp_path: Path) -> None:
    found = bones(small_page(kind, tmp_path).read_text(encoding="utf-8"))
    kept = GOLDEN / f"{kind.value}.html"

    if os.environ.get("ISOBENCH_GOLDEN") == "write":
        kept.write_text(found, encoding="utf-8")
    assert found.splitlines() == kept.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_page_over_several_runs_is_the_same_bytes_each_time(kind: Page, tmp_path: Path) -> None:
    first, again = (small_page(kind, tmp_path / name).read_bytes() for name in "ab")
    assert first == again

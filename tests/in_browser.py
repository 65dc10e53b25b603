"""What tests of several pages do with one that is open in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from playwright.sync_api import Page

GRAVE = {"serious", "critical"}
REFUSED = {"heading-order"}
"""Rules that are kept though axe calls what breaks them moderate."""

_UNFOLD = """() => {
  for (const fold of document.querySelectorAll('details:not(.raw)')) fold.open = true;
  const seen = new Set();
  for (const cell of document.querySelectorAll('details.cell')) {
    const benchmark = cell.querySelector('summary').textContent.trim().split('/')[0];
    if (seen.has(benchmark)) continue;
    seen.add(benchmark);
    cell.open = true;
    if (seen.size < 3) cell.querySelector('details').open = true;
  }
}"""


def unfold(page: Page) -> None:
    """Open everything but the cells, and of each benchmark the first of these; of two the raw samples too."""
    page.evaluate(_UNFOLD)


_CLOSED_CELLS = """() => {
  for (const cell of [...document.querySelectorAll('details.cell:not([open])')].slice(8)) cell.remove();
}"""
"""All but a few: they are alike, and axe takes its time over tens of thousands of elements it cannot see."""


def complaints(page: Page) -> list[tuple[str, str, str | None]]:
    """What axe finds that is serious: rule, element, and what would mend it. The page has then served."""
    page.evaluate(_CLOSED_CELLS)
    return [
        (one["id"], one["nodes"][0]["html"], one["nodes"][0].get("failureSummary"))
        for one in Axe().run(page).response["violations"]
        if one["impact"] in GRAVE or one["id"] in REFUSED
    ]

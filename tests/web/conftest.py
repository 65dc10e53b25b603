"""A headless browser, and pages of reports opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from isobench.reports.html import write_report

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Watched:
    """A page, and everything it said or asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


Opened = Callable[..., Watched]
"""Opens a file: ``opened(file, query="", width=1200, scheme="light", script=True, permissions=None)``."""

Overlaps = Callable[[Page], list[str]]
"""What is wrong with the labels of the pictures in sight."""


@pytest.fixture(scope="session")
def overlaps() -> Overlaps:
    """Labels that lie on one another, or leave their picture."""

    def of(page: Page) -> list[str]:
        found: list[str] = page.evaluate(
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
        return found

    return of


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="session")
def report(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the whole synthetic run."""
    folder = tmp_path_factory.mktemp("report")
    write_report([made_run.write(folder / "run")], folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    contexts: list[BrowserContext] = []

    def open_file(
        file: Path,
        query: str = "",
        *,
        width: int = 1200,
        scheme: str = "light",
        script: bool = True,
        permissions: list[str] | None = None,
    ) -> Watched:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=script,
            permissions=permissions,
        )
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.on("console", lambda message: watched.said.append(message.text))
        watched.page.on("pageerror", lambda error: watched.said.append(str(error)))
        watched.page.on("request", lambda request: watched.asked.append(request.url))
        watched.page.goto(file.as_uri() + query)
        return watched

    yield open_file
    for context in contexts:
        context.close()

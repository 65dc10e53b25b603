"""A headless browser, and pages of reports opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.finished_runs import ATTACKED, FINISHED, page_of
from tests.hostile_run import hostile

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
    """The page of the synthetic run of three benchmarks."""
    return page_of(made_run, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session", params=FINISHED)
def each_report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of each kind of run."""
    return page_of(FINISHED[request.param](), tmp_path_factory.mktemp("each"))


@pytest.fixture(scope="session", params=FINISHED)
def each_evil(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of runs in which every string from outside is an attack."""
    run = hostile(FINISHED[request.param](), change=ATTACKED[request.param])
    return page_of(run, tmp_path_factory.mktemp("evil"))


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

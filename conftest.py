"""What holds for every test: who needs root, and that no skip hides a failure.

In CI (``CI=true``) a skip that tests/allowed_skips.txt does not name fails the session: a machine that
lost a tool would otherwise turn green by testing less.
"""

import os
import signal
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType

import pytest

ALLOWED = Path(__file__).parent / "tests" / "allowed_skips.txt"


@dataclass(frozen=True)
class AllowedSkip:
    """One line of allowed_skips.txt: ``pattern of test ids :: part of the reason``."""

    tests: str
    reason: str

    def covers(self, test: str, reason: str) -> bool:
        """Whether this line allows that test to be skipped for that reason."""
        return fnmatchcase(test, self.tests) and self.reason in reason


def parse_allowed(text: str) -> tuple[AllowedSkip, ...]:
    """The lines of allowed_skips.txt without comments; ValueError for one without ``::``."""
    found = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        tests, separator, reason = line.partition(" :: ")
        if not (separator and reason.strip()):
            raise ValueError(f"{ALLOWED}: {line!r} is not `tests :: reason`")
        found.append(AllowedSkip(tests.strip(), reason.strip()))
    return tuple(found)


class SkipGuard:
    """Collects the skips of a session and fails it for those that are not allowed."""

    def __init__(self, allowed: tuple[AllowedSkip, ...]) -> None:
        self._allowed = allowed
        self._refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that was skipped in its set-up or in its body."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A whole module that was skipped."""
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(line.covers(report.nodeid, reason) for line in self._allowed):
            self._refused.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn refused skips into a failure."""
        if self._refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name them."""
        for skip in self._refused:
            terminalreporter.write_line(f"skip not listed in {ALLOWED.name}: {skip}", red=True)


@pytest.fixture(autouse=True)
def ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same terminal for every test: what rich draws depends on these variables."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def _go_on(_number: int, _frame: FrameType | None) -> None:
    pass


def heed_signals_in_children() -> None:
    """Where signals are ignored (``nohup``, ``&`` in a script) they are not for us, but for what we start.

    An ignored signal stays ignored after exec(2), a handled one does not: what tests start and interrupt
    would never hear of it.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _go_on)


def pytest_configure(config: pytest.Config) -> None:
    """Heed signals; watch the skips in CI."""
    heed_signals_in_children()
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(SkipGuard(parse_allowed(ALLOWED.read_text())))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start real isolators are for root."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("integration"):
            item.add_marker(pytest.mark.skip(reason="starts real isolators: sudo make test"))

"""Baselines of pytest-benchmark: those with cells that were measured on another host are refused."""

from collections.abc import Mapping
from typing import Any

import pytest

from isobench.errors import IsobenchError
from isobench.host import comparable
from isobench.pytest_plugin import running
from isobench.pytest_plugin.clock import KEY

__tracebackhide__ = True


def check_baseline(stored: Mapping[str, Any]) -> None:
    """Raise :class:`pytest.UsageError` when a stored JSON has cells that were measured on another host."""
    lab = running.host()
    try:
        with lab.open_site() as site:
            here = comparable(lab.host(site))
    except (IsobenchError, OSError) as error:
        raise pytest.UsageError(f"isobench cannot tell whose baseline it is: {error}") from error
    for entry in stored["benchmarks"]:
        if found := entry["extra_info"].get(KEY):
            there = found["host"]
            wrong = [key for key in sorted({*here, *there}) if here.get(key) != there.get(key)]
            if wrong:
                lines = [f"  {key}: {there.get(key)!r} there, {here.get(key)!r} here" for key in wrong]
                raise pytest.UsageError(_refusal(entry["fullname"], lines))


def _refusal(test: str, lines: list[str]) -> str:
    return "\n".join(
        (
            f"{test}: the baseline of this cell was measured on another host:",
            *lines,
            "remedy: make a baseline on this host: pytest --benchmark-save=NAME",
        )
    )

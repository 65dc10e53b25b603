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
    """Raise :class:`pytest.UsageError` when a stored JSON has cells of another host, or of none it tells."""
    lab = running.host()
    try:
        with lab.open_site() as site:
            here = comparable(lab.host(site))
    except (IsobenchError, OSError) as error:
        raise pytest.UsageError(f"isobench cannot tell whose baseline it is: {error}") from error
    for entry in stored["benchmarks"]:
        told = entry.get("extra_info", {})
        if KEY in told:
            there = told[KEY].get("host") if isinstance(told[KEY], Mapping) else None
            if not isinstance(there, Mapping):
                raise _refusal(entry, "does not say on which host it was measured", [])
            wrong = [key for key in sorted({*here, *there}) if here.get(key) != there.get(key)]
            if wrong:
                lines = [f"  {key}: {there.get(key)!r} there, {here.get(key)!r} here" for key in wrong]
                raise _refusal(entry, "was measured on another host:", lines)


def _refusal(entry: Mapping[str, Any], why: str, lines: list[str]) -> pytest.UsageError:
    first = f"{entry.get('fullname')}: the baseline of this cell {why}"
    remedy = "remedy: make a baseline on this host: pytest --benchmark-save=NAME"
    return pytest.UsageError("\n".join((first, *lines, remedy)))

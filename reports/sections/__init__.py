"""The parts of a report beyond start-up, memory and CPU limits: one module each, in the order of the page."""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from isobench.reports.section import Section
from isobench.reports.summary import Summary

NAMES: tuple[str, ...] = (
    "workloads",
    "cold",
    "concurrency",
    "density",
    "teardown",
    "memory_lines",
    "memory_floor",
    "throttling_detail",
    "throttling_requests",
    "limits",
    "accounting",
    "freeze",
    "weights",
    "primitives",
    "audit",
)
"""Modules of this package, each with ``section(summary) -> Section | None``; None: there are no figures."""


def sections(summary: Summary) -> tuple[Section, ...]:
    """Those this run has figures for."""
    found = (_of(name)(summary) for name in NAMES)
    return tuple(section for section in found if section)


def _of(name: str) -> Callable[[Summary], Section | None]:
    module = import_module(f"{__name__}.{name}")
    return cast(Callable[[Summary], Section | None], module.section)

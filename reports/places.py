"""What a page says of folders: their names.

A page is forwarded, and a path tells how somebody's disk is laid out; and equal runs give equal bytes
wherever they lie. A terminal says the whole path, which its reader can use.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from isobench.reports.compare_values import Run
from isobench.reports.summary import Summary

Told = TypeVar("Told", Summary, Run)


def name(folder: Path) -> str:
    """``20260301T101500Z-abc123``, also of ``.`` and ``..``."""
    return folder.name if folder.name not in {"", ".."} else folder.resolve().name


def within(text: str, folder: Path) -> str:
    """A message that begins with the folder, or with a file in it, with its name in place of its path."""
    path = str(folder)
    rest = text.removeprefix(path)
    return f"{name(folder)}{rest}" if rest != text and rest[:1] in {"/", ":"} else text


def by_name(found: Told) -> Told:
    """A run as a page tells of it."""
    warnings = tuple(within(one, found.folder) for one in found.warnings)
    return replace(found, folder=Path(name(found.folder)), warnings=warnings)

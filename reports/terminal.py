"""What everything that is printed in a terminal shares: foreign text, tables without frames, folded lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from isobench.reports import units

if TYPE_CHECKING:
    from isobench.reports.verdict import Caution  # it brings scipy, which `isobench history` does without

_MIN_WIDTH = 20
"""Columns a folded text has at least, however narrow the terminal is."""


def text(content: str, style: str = "") -> Text:
    """Foreign text as it is: neither markup nor control characters of it take effect."""
    return Text(units.plain(content), style)


def figure(content: str) -> Text:
    """One entry of a table; where there is no figure it is dim."""
    return text(content, "dim" if content == units.NONE else "")


def new_table(first: str, *others: str) -> Table:
    """A table with names in its first column and figures in the others."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column(text(first), overflow="fold")
    for title in others:
        made.add_column(text(title), justify="right", overflow="fold")
    return made


def print_folded(content: str, console: Console, *, indent: int, style: str = "") -> None:
    """Not by rich's own padding, which fills every line with blanks up to the console's width."""
    for line in text(content, style).wrap(console, max(_MIN_WIDTH, console.width - indent)):
        line.rstrip()
        console.print(text(" " * indent) + line, soft_wrap=True)


def print_caution(caution: Caution, console: Console) -> None:
    """What stands against reading figures as they are, with a line above it."""
    console.print()
    console.print(text(caution.title, "bold yellow" if caution.loud else "bold"))
    print_folded(caution.text, console, indent=2)
    if caution.remedy:
        print_folded(f"mend: {caution.remedy}", console, indent=2)

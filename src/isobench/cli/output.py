"""What all commands share in writing to the terminal: consoles, paragraphs, JSON, log lines.

Colours and line widths are for people: a pipe gets neither, so that ``grep`` finds whole lines. NO_COLOR is
respected (no-color.org). Rich is imported only when something is to be shown with it.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

_PIPE_WIDTH = 10_000
"""Columns when the output is no terminal: nothing is folded or cut."""

_MIN_WIDTH = 20
"""Columns a folded text has at least, however narrow the terminal is."""


def console(*, stderr: bool = False) -> Console:
    """A console for standard output or standard error, as it is at this moment."""
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def columns(to: Console, rows: Sequence[Sequence[Text]], *, indent: int = 0) -> None:
    """Rows of cells in aligned columns; the last cell takes what is left of the line and is folded there.

    Not a table of rich: that fills every line with blanks up to its own width.
    """
    from rich.text import Text

    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        before = Text(" " * indent)
        for cell, width in zip(row[:-1], widths, strict=True):
            before += cell + " " * (width - cell.cell_len + 2)
        room = max(_MIN_WIDTH, to.width - before.cell_len)
        for line in row[-1].wrap(to, room):
            line.rstrip()
            to.print(before + line, soft_wrap=True)
            before = Text(" " * before.cell_len)


def as_json(value: object) -> str:
    """One JSON document, for programs to read."""
    return json.dumps(value, indent=2) + "\n"


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(as_json(value), end="")


def printable(text: str) -> str:
    """Text of tools and workloads without control characters, which could steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def note(text: str) -> None:
    """Something to know besides the result: to standard error, so that results can be piped."""
    print(text, file=sys.stderr, flush=True)


def log_to_stderr(*, debug: bool) -> None:
    """Show warnings and what is set on the host; with ``debug`` the command line of every helper program."""
    logger = logging.getLogger("isobench")
    logger.handlers = [_StderrHandler()]
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    logger.propagate = False
    logging.getLogger("isobench.tuning").setLevel(logging.DEBUG if debug else logging.INFO)


class _StderrHandler(logging.Handler):
    """Writes to whatever ``sys.stderr`` is at the time: a progress bar on the screen puts itself there."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        note(printable(f"{level}{record.getMessage()}"))

"""Tables and text for a pull request or a README, as GitHub shows them."""

import re
from collections.abc import Iterable, Iterator, Sequence

from isobench.reports import units


def table(titles: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table with names in its first column and figures in the others."""
    return "\n".join(_lines(titles, body))


def _lines(titles: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    yield row(titles)
    yield f"|:--{'|--:' * (len(titles) - 1)}|"
    yield from map(row, body)


def row(entries: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(escaped, entries))} |"


def escaped(text: str) -> str:
    """Text that Markdown and HTML in it leave as it is."""
    return re.sub(r"([\\`*_\[\]<>|&#~])", r"\\\1", units.plain(text))

"""Tables and text for a pull request or a README, as GitHub shows them."""

import re
from collections.abc import Iterable, Iterator, Sequence

from isobench.reports import units


def table(titles: Sequence[str], body: Iterable[Sequence[str]], *, names: int = 1) -> str:
    """A table with names in so many columns, and figures in the others."""
    return "\n".join(_lines(titles, body, names))


def _lines(titles: Sequence[str], body: Iterable[Sequence[str]], names: int) -> Iterator[str]:
    yield row(titles)
    yield f"{'|:--' * names}{'|--:' * (len(titles) - names)}|"
    yield from map(row, body)


def row(entries: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(escaped, entries))} |"


def escaped(text: str) -> str:
    """Text that Markdown and HTML in it leave as it is."""
    return re.sub(r"([\\`*_\[\]<>|&#~])", r"\\\1", units.plain(text))

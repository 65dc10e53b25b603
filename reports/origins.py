"""Where the runs of a report over several come from: which folders, of which hosts; and hosts without any."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from isobench.book import BOOK_FILE, Row, read_book
from isobench.journal import RUN_FILE
from isobench.reports.comparability import told

_DEPTH = 2
"""How far below a folder that is no run itself runs are looked for: ``results/<host>/<run>``."""

_HARDWARE = ("machine", "cpu.model", "cpu.count", "memory_bytes")
"""Facts that no reboot and no upgrade changes: hosts of one name that differ in them are two."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One run as it is found, or a host that gave none."""

    folder: Path
    name: str | None = None
    """Of its host: as the book of its batch has it, else as the host calls itself; None: it is not told."""
    run_id: str | None = None
    started: str = ""
    hardware: tuple[str, ...] = ()
    lack: str | None = None
    """Why there is no run, as the book of the batch has it."""


def look(paths: Iterable[Path]) -> tuple[Origin, ...]:
    """What the named folders hold: a run each, a batch, or folders of those.

    A folder in which nothing is found is an origin all the same: reading it will say what is the matter.
    Raises :class:`isobench.errors.ResultsError` for a book of a batch that cannot be read.
    """
    return tuple(found for path in paths for found in (list(_below(path, _DEPTH)) or [Origin(path)]))


def _below(path: Path, depth: int) -> Iterator[Origin]:
    try:
        if (path / RUN_FILE).is_file():
            yield peek(path)
            return
        if (path / BOOK_FILE).is_file():
            yield from _batch(path)
            return
        inside = sorted(entry for entry in path.iterdir() if entry.is_dir()) if depth else []
    except OSError:
        return
    for entry in inside:
        yield from _below(entry, depth - 1)


def _batch(path: Path) -> Iterator[Origin]:
    for name, row in sorted(read_book(path).hosts.items()):
        if row.folder is None:
            yield Origin(path, name, lack=_lack(row))
        else:
            yield peek(path / row.folder, name)


def _lack(row: Row) -> str:
    state = "not measured yet" if row.state == "to do" and not row.reason else row.state
    where = f" ({row.stage})" if row.stage else ""
    return f"{state}{where}: {row.reason}" if row.reason else f"{state}{where}"


def peek(folder: Path, name: str | None = None) -> Origin:
    """A look at run.json without judging it; of a folder without a readable one little is known."""
    try:
        run = from_json((folder / RUN_FILE).read_bytes())
    except (OSError, ValueError):
        run = None
    if not isinstance(run, dict):
        return Origin(folder, name)
    host = run.get("host")
    facts = host if isinstance(host, dict) else {}
    return Origin(
        folder=folder,
        name=name or _text(facts.get("hostname")),
        run_id=_text(run.get("run_id")),
        started=_text(run.get("started")) or "",
        hardware=tuple(told(_fact(facts, key)) for key in _HARDWARE),
    )


def once(origins: Iterable[Origin]) -> tuple[list[Origin], list[tuple[Path, Path]]]:
    """Each run once, and the pairs of folders that hold the same: the first one counts."""
    kept: list[Origin] = []
    twice: list[tuple[Path, Path]] = []
    seen: dict[str, Path] = {}
    for one in origins:
        if one.run_id is not None and one.run_id in seen:
            twice.append((seen[one.run_id], one.folder))
            continue
        if one.run_id is not None:
            seen[one.run_id] = one.folder
        kept.append(one)
    return kept, twice


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _fact(host: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - as run.json has it
    group, _, name = key.partition(".")
    found = host.get(group)
    return found.get(name) if name and isinstance(found, Mapping) else found

"""One matrix on many hosts: what is to be done, what came in, and what became of everyone that was asked.

What is there is never fetched again while its checksums are right; what is not is what the next call is for.
A run is in the book once: a second host that brings the same one is told.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from isobench.book import BOOK_FILE, Book, Lack, MatrixFile, Row, opened, read_book
from isobench.errors import ResultsError, UsageError
from isobench.journal import CellState, StoredRun, cell_states, load
from isobench.journal_writer import now_utc
from isobench.matrix import Matrix, read_matrix
from isobench.model import Status
from isobench.remote import MATRIX_FILE, RESULT_FILES, FileSum, Look, file_sum

_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_HOST = re.compile(r"[^./\0][^/\0]{0,250}")


@dataclass(frozen=True, slots=True)
class Note:
    """What a call has to tell of a host whose run it did not bring."""

    stage: str | None = None
    reason: str | None = None
    remedy: str | None = None
    unreachable: bool = False
    measured: bool = False
    """Its run is complete there, and was not to be fetched."""
    clock_offset_s: float | None = None


def open_batch(folder: Path, matrix: Path) -> tuple[Book, Matrix]:
    """The book of a batch, begun if there is none, and its matrix.

    Raises :class:`isobench.errors.MatrixError` for the matrix, :class:`~isobench.errors.UsageError` when the
    batch was made with another one, :class:`~isobench.errors.OutputError` and
    :class:`~isobench.errors.ResultsError`.
    """
    checked = read_matrix(matrix)
    own = MatrixFile(str(matrix), file_sum(matrix).sha256)
    with opened(folder) as found:
        if found.book is None:
            shutil.copyfile(matrix, folder / MATRIX_FILE)
            return found.begin(own), checked
        if found.book.matrix.sha256 != own.sha256:
            raise UsageError(
                f"{folder}: this batch was made with another matrix than {matrix} as it is now "
                f"(with {found.book.matrix.file}, SHA-256 {found.book.matrix.sha256[:12]}…)",
                remedy="give this batch a name of its own: -e batch=NAME",
            )
        return found.book, checked


def to_do(folder: Path, hosts: Iterable[str]) -> tuple[str, ...]:
    """Those of the hosts whose run is not here, or not as it was fetched; each has a row from now on.

    Raises :class:`isobench.errors.UsageError` for a host whose name can be that of no folder.
    """
    asked = tuple(hosts)
    _check_names(asked)
    with opened(folder) as book:
        rows = dict(book.rows)
        for host in asked:
            rows[host] = _checked(folder, rows.get(host, Row()))
        book.save(rows)
    return tuple(host for host in asked if not rows[host].complete)


def plan(folder: Path, hosts: Iterable[str]) -> Mapping[str, Row]:
    """The rows of these hosts as :func:`to_do` would find them; nothing is written."""
    asked = tuple(hosts)
    _check_names(asked)
    rows = read_book(folder).hosts if (folder / BOOK_FILE).exists() else {}
    return {host: _checked(folder, rows.get(host, Row())) for host in asked}


def _check_names(hosts: Iterable[str]) -> None:
    if bad := [host for host in hosts if not _HOST.fullmatch(host)]:
        raise UsageError(
            f"the host {bad[0]!r}: its results go into a folder of its name, which may hold no / and begin "
            "with no full stop",
            remedy=f"give it an alias in the inventory: NAME ansible_host={bad[0]}",
        )


def take(folder: Path, host: str, incoming: Path, told: Look) -> Row:
    """Move a run that was fetched into its place, checked against what its host has told of it.

    The same run may come again: it is there once. Raises :class:`isobench.errors.ResultsError` when it came
    damaged or is another host's already; then nothing has changed.
    """
    _check_files(host, incoming, told.files)
    stored = load(incoming)
    run_id = stored.record.run_id
    if run_id != told.run_id or not _RUN_ID.fullmatch(run_id):
        raise ResultsError(f"{host}: what came calls itself {run_id!r}, not {told.run_id!r}")
    with opened(folder) as book:
        rows = dict(book.rows)
        for other, row in sorted(rows.items()):
            if other != host and row.complete and row.run_id == run_id:
                raise _claimed_twice(host, other, run_id)
        place = folder / host / run_id
        _move(incoming, place)
        row = replace(
            _row_of(stored),
            folder=str(place.relative_to(folder)),
            files=told.files,
            clock_offset_s=rows.get(host, Row()).clock_offset_s,
            fetched=now_utc(),
        )
        book.save({**rows, host: row})
    return row


def _claimed_twice(host: str, other: str, run_id: str) -> ResultsError:
    return ResultsError(
        f"{host}: its run {run_id} is that of {other} already: one machine under two names, or a copy of its "
        "state folder; it is counted once",
        remedy=f"take {host} or {other} out of the inventory; on a copied machine, as root: "
        "rm -r /var/lib/isobench/batches",
    )


def close(folder: Path, asked: Iterable[str], notes: Mapping[str, Note]) -> Book:
    """Write down what became of every host that was asked; one of which nothing was heard is unreachable."""
    with opened(folder) as book:
        rows = dict(book.rows)
        for host in asked:
            note = notes.get(host, Note(unreachable=True))
            row = rows.get(host, Row())
            if note.clock_offset_s is not None:
                row = replace(row, clock_offset_s=note.clock_offset_s)
            rows[host] = row if row.complete else _fallen_out(row, note)
        return book.save(rows)


def _fallen_out(row: Row, note: Note) -> Row:
    return replace(
        row,
        state="to do" if note.measured else "unreachable" if note.unreachable else "failed",
        stage=note.stage,
        reason=note.reason or "it stopped answering",
        remedy=note.remedy,
    )


def _row_of(stored: StoredRun) -> Row:
    cells = cell_states(stored.samples)
    bad = {name: cell for name, cell in cells.items() if cell.status in {Status.FAILED, Status.TIMEOUT}}
    counts = Counter(str(cell.status) for cell in cells.values())
    return Row(
        state="cells failed" if bad or not counts[Status.OK] else "ok",
        reason=_why(bad, len(cells)) if bad or counts[Status.OK] else "not one cell could be measured there",
        run_id=stored.record.run_id,
        cells=dict(counts),
        lacks=tuple(
            Lack(one.name, one.reason, one.remedy)
            for one in stored.record.isolators
            if one.status is not Status.OK
        ),
    )


def _why(bad: Mapping[str, CellState], count: int) -> str | None:
    if not bad:
        return None
    name, first = next(iter(bad.items()))
    return f"{len(bad)} of {count} cells failed or timed out: {name}: {first.reason}"


def _checked(folder: Path, row: Row) -> Row:
    """The row as it is if its run is here as it was fetched; else the same, to be done again."""
    if row.folder is None:
        return row
    try:
        _check_files(row.folder, folder / row.folder, row.files)
    except ResultsError as error:
        return replace(Row(), reason=str(error), clock_offset_s=row.clock_offset_s)
    return row


def _check_files(what: str, place: Path, files: Mapping[str, FileSum]) -> None:
    for name in RESULT_FILES:
        if (told := files.get(name)) is None:
            raise ResultsError(f"{what}: its host has told of no {name}")
        try:
            found = file_sum(place / name)
        except OSError as error:
            raise ResultsError(f"{what}: {name} is not here: {error.strerror}") from error
        if found.size_bytes != told.size_bytes:
            raise ResultsError(f"{what}: {name} has {found.size_bytes} of its {told.size_bytes} bytes here")
        if found.sha256 != told.sha256:
            raise ResultsError(f"{what}: {name} is not what its host has: the SHA-256 differs")


def _move(incoming: Path, place: Path) -> None:
    """One rename; what was in the place is kept until then."""
    place.parent.mkdir(exist_ok=True)
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    incoming.rename(place)
    shutil.rmtree(old, ignore_errors=True)

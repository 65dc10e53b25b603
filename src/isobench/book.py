"""hosts.json, the book of a batch: one matrix measured on many hosts, each host a row, whatever came of it.

::

    results/<batch>/
        hosts.json               this book
        matrix.toml              what is measured
        <host>/<run-id>/         the result folder of one host, under the name it has in the inventory
        report.html              over all of them

A row says where the run of its host is, or why there is none. docs/lab-hosts.md has the schema. This module
reads and writes; :mod:`isobench.batch` says what becomes of a row.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from isobench.errors import OutputError, ResultsError
from isobench.journal_writer import now_utc, write_whole
from isobench.remote import FileSum

BOOK_FILE = "hosts.json"
VERSION = 1
"""The ``v`` of hosts.json. Newer ones are refused."""

_LOCK = ".lock"

State: TypeAlias = Literal["ok", "cells failed", "failed", "unreachable", "to do"]


@dataclass(frozen=True, slots=True)
class Lack:
    """An isolator of the matrix that a host could not measure."""

    isolator: str
    reason: str | None
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One host of the batch."""

    state: State = "to do"
    """``ok`` and ``cells failed``: its run is complete and here. The others: it is not, and why.

    ``to do`` with a reason: its run is complete on the host, or was damaged here.
    """
    stage: str | None = None
    """Where it fell out: contact, provision, run or fetch."""
    reason: str | None = None
    remedy: str | None = None
    run_id: str | None = None
    folder: str | None = None
    """Of the run, relative to the book."""
    files: Mapping[str, FileSum] = field(default_factory=dict)
    """What is in it, as the host has told."""
    cells: Mapping[str, int] = field(default_factory=dict)
    """How many cells ended in which status."""
    lacks: tuple[Lack, ...] = ()
    clock_offset_s: float | None = None
    """Its clock minus the controller's, with what the question took."""
    fetched: str | None = None

    @property
    def complete(self) -> bool:
        """Nothing is left to do for this host."""
        return self.folder is not None


@dataclass(frozen=True, slots=True)
class MatrixFile:
    """What is measured."""

    file: str
    """As it was called."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Book:
    """hosts.json."""

    batch: str
    matrix: MatrixFile
    updated: str
    hosts: Mapping[str, Row] = field(default_factory=dict)
    v: int = VERSION

    @property
    def folders(self) -> tuple[str, ...]:
        """The result folders to report over, in the order of the hosts' names."""
        return tuple(row.folder for _, row in sorted(self.hosts.items()) if row.folder is not None)


class OpenBook:
    """A book that nobody else changes meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = _read(folder)

    def begin(self, matrix: MatrixFile) -> Book:
        """Write the first page."""
        self.book = Book(self.folder.resolve().name, matrix, now_utc())
        self._write()
        return self.book

    @property
    def rows(self) -> Mapping[str, Row]:
        """Those there are. Raises :class:`isobench.errors.ResultsError` when there is no book."""
        return _demanded(self.folder, self.book).hosts

    def save(self, rows: Mapping[str, Row]) -> Book:
        """Write these rows, if anything has changed."""
        book = _demanded(self.folder, self.book)
        if book.hosts != rows:
            self.book = book = replace(book, hosts=rows, updated=now_utc())
            self._write()
        return book

    def _write(self) -> None:
        path = self.folder / BOOK_FILE
        try:
            write_whole(
                path, json.dumps(asdict(_demanded(self.folder, self.book)), indent=2).encode() + b"\n"
            )
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def opened(folder: Path) -> Iterator[OpenBook]:
    """The book in a folder, held against others that would change it; the folder is made if it is not there.

    Raises :class:`isobench.errors.OutputError` and :class:`isobench.errors.ResultsError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OutputError(
            f"{folder}: results cannot be written there: {error.strerror}",
            remedy="name another folder: -e results=DIR",
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield OpenBook(folder)
    finally:
        os.close(fd)


def read_book(folder: Path) -> Book:
    """The book in a folder. Raises :class:`isobench.errors.ResultsError`."""
    return _demanded(folder, _read(folder))


def _demanded(folder: Path, book: Book | None) -> Book:
    if book is None:
        raise ResultsError(
            f"{folder}: no batch, it has no {BOOK_FILE}",
            remedy="ansible-playbook -i INVENTORY ansible/site.yml -e matrix=MATRIX.toml -e batch=NAME",
        )
    return book


def _read(folder: Path) -> Book | None:
    path = folder / BOOK_FILE
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        if data["v"] > VERSION:
            raise ResultsError(
                f"{path}: written by a newer isobench (v {data['v']}; this one reads up to v {VERSION})"
            )
        return TypeAdapter(Book).validate_python(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, ValidationError) as error:
        raise ResultsError(f"{path}: not the book of a batch: {error}") from error

"""Where a result lake is: a folder of this host, or whatever fsspec reaches by a URL (``s3://bucket/lake``).

Names in a lake are relative, their parts joined by ``/``. What is written appears as a whole or not at all:
in a folder by renaming, in an object store because it does so by itself. Names that begin with a dot are not
there yet.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from isobench.errors import OutputError, ResultsError, UsageError
from isobench.extras import needed
from isobench.journal_writer import put_in_place, write_whole

if TYPE_CHECKING:
    import duckdb

_LOCK = ".isobench-lake.lock"


class Place(ABC):
    """One place, by the name the user gave it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def scratch(self) -> str | None:
        """The folder for files that are still being made; None: wherever temporary files go."""
        return None

    @abstractmethod
    def files(self, below: str = "") -> dict[str, int]:
        """The files below a part of the lake, each with its size in bytes; none where it is not there."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """One file, to read. Raises OSError."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it as a whole."""

    @abstractmethod
    def take(self, file: Path, name: str) -> None:
        """Move a whole file of this host into the lake."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is fine."""

    @abstractmethod
    def url(self, name: str) -> str:
        """A name as DuckDB opens it; ``*`` in it stands for anything but ``/``."""

    @abstractmethod
    def roots(self) -> tuple[str, ...]:
        """The beginnings of all that DuckDB may open here, and of the patterns it may look for."""

    @abstractmethod
    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Teach DuckDB to open what is here."""

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """Keep other writers out while the body runs, as far as the place can; waits for them."""

    def refuse(self, name: str, error: OSError) -> NoReturn:
        """Raise that a file cannot be written."""
        why = error.strerror or str(error) or type(error).__name__
        raise OutputError(
            f"{self.name}/{name}: the lake cannot be written there: {why}",
            remedy="free some space or make it writable, then give the same command again: "
            "what is in the lake already is not added twice",
        ) from error


class Folder(Place):
    """A folder of this host."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._root = Path(name).absolute()

    @property
    def scratch(self) -> str | None:
        return str(self._root)  # so that moving one is renaming it

    def files(self, below: str = "") -> dict[str, int]:
        top = len(str(self._root)) + 1
        found = {}
        for folder, _, names in os.walk(self._root / below, onerror=self._unreadable):
            for name in names:
                if not name.startswith("."):
                    path = f"{folder}/{name}"
                    found[path[top:]] = os.stat(path).st_size  # noqa: PTH116 - tens of thousands of them
        return found

    def _unreadable(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ResultsError(f"{error.filename}: cannot be read: {error.strerror}") from error

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")

    def write(self, name: str, data: bytes) -> None:
        path = self._root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        except OSError as error:
            self.refuse(name, error)

    def take(self, file: Path, name: str) -> None:
        path = self._root / name
        fresh = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, fresh)
            put_in_place(fresh, path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            self.refuse(name, error)

    def remove(self, name: str) -> None:
        path = self._root / name
        path.unlink(missing_ok=True)
        with suppress(OSError):  # until one is not empty
            for folder in path.relative_to(self._root).parents[:-1]:
                (self._root / folder).rmdir()

    def url(self, name: str) -> str:
        return f"{_literally(str(self._root))}/{name}"

    def roots(self) -> tuple[str, ...]:
        return f"{self._root}/", self.url("")

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        return

    @contextmanager
    def held(self) -> Iterator[None]:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            self.refuse(_LOCK, error)
        try:
            with suppress(OSError):  # a file system without locks: whoever shares it has to take turns
                fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


class Remote(Place):
    """A place that fsspec opens."""

    def __init__(self, name: str) -> None:
        super().__init__(name.rstrip("/"))
        with needed("lake", "a lake at a URL"):
            import fsspec  # type: ignore[import-untyped]  # noqa: PLC0415 - a folder needs none
        try:
            self._fs, root = fsspec.core.url_to_fs(name)
        except ImportError as error:
            raise UsageError(
                f"{name}: {error}", remedy="install the package it names beside isobench: pip install …"
            ) from error
        except ValueError as error:
            raise UsageError(
                f"{name}: {error}", remedy="name a folder, or a URL whose scheme fsspec knows"
            ) from error
        self._root = root.rstrip("/")

    def files(self, below: str = "") -> dict[str, int]:
        try:
            found = self._fs.find(self._at(below), detail=True)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ResultsError(f"{self.name}: cannot be read: {error}") from error
        top = len(self._root) + 1
        names = {path[top:]: int(entry.get("size") or 0) for path, entry in found.items()}
        return {name: size for name, size in names.items() if not name.rpartition("/")[2].startswith(".")}

    def open(self, name: str) -> IO[bytes]:
        opened: IO[bytes] = self._fs.open(self._at(name), "rb")
        return opened

    def write(self, name: str, data: bytes) -> None:
        try:
            self._fs.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(self._at(name), data)
        except OSError as error:
            self.refuse(name, error)

    def take(self, file: Path, name: str) -> None:
        try:
            self._fs.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(file), self._at(name))
        except OSError as error:
            self.refuse(name, error)
        file.unlink()

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._at(name))

    def url(self, name: str) -> str:
        return f"{_literally(str(self._fs.unstrip_protocol(self._root)))}/{name}"

    def roots(self) -> tuple[str, ...]:
        return f"{self._fs.unstrip_protocol(self._root)}/", self.url("")

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.register_filesystem(self._fs)

    @contextmanager
    def held(self) -> Iterator[None]:
        yield

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def place(name: str) -> Place:
    """The place of that name: a path, or a URL. A URL of this host's files is a folder as well.

    Raises :class:`isobench.errors.UsageError` for a URL that nothing here can open.
    """
    scheme, found, rest = name.partition("://")
    if not found:
        return Folder(name)
    return Folder(rest) if scheme in {"file", "local"} else Remote(name)


def _literally(text: str) -> str:
    """A path in which no character stands for others."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)

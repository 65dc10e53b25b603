"""Writing the result folder of a run: append-only, and never in a state that cannot be read.

Every line is handed to the kernel as soon as it is known, so a kill of the process loses nothing that was
measured; every block ends with an fsync, so a power cut loses one block at most. A write that fails (a full
disk, a quota, a disk that went away) is taken back to the last whole line and raised as
:class:`isobench.errors.OutputError`.
"""

import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from isobench.errors import InternalError, IsobenchError, OutputError
from isobench.journal import PAIRS_FILE, RUN_FILE, SAMPLES_FILE, RunRecord, StoredRun, load
from isobench.journal_lines import whole_bytes
from isobench.model import SCHEMA_VERSION, Sample


def now_utc() -> str:
    """The time of day as the journal writes it: UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_run_id() -> str:
    """A name for a run that sorts by time and is unique among the runs of many hosts.

    Of 10,000 hosts that begin in one second two get one name in 1 of 20,000 such seconds.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(5)}"


def claim(out: Path) -> None:
    """Make sure that ``out`` is a folder of our own: new or empty, and writable.

    Raises :class:`isobench.errors.OutputError`. Called before anything is probed or measured: nobody
    wants to learn after ten minutes that the results have no place.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = next(out.iterdir(), None)
    except OSError as error:
        _refuse(out, error)
    if taken is not None:
        remedy = "choose a new folder with --out"
        if (out / RUN_FILE).exists():
            remedy += f"; to go on with the run in it: isobench resume {out}"
        raise OutputError(
            f"{out}: the folder for the results is not empty ({taken.name} is in it)", remedy=remedy
        )
    trial = out / f".{RUN_FILE}.new"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        _refuse(out, error)


class Journal:
    """The result folder of a run that is going on; a context manager that closes its files."""

    def __init__(self, folder: Path, lines: Counter[tuple[str, int]]) -> None:
        self.folder = folder
        self._torn = lines.copy()
        self._lines = lines
        self._samples = _Appender(folder / SAMPLES_FILE)
        self._pairs = _Appender(folder / PAIRS_FILE)

    @classmethod
    def create(cls, folder: Path, record: RunRecord) -> Self:
        """Begin the journal of a new run in a folder that is new or empty."""
        claim(folder)
        journal = cls(folder, Counter())
        try:
            journal.write_record(record)
        except IsobenchError:  # leave the folder empty, as it has to be for the next try
            journal.close()
            for name in (SAMPLES_FILE, PAIRS_FILE):
                (folder / name).unlink()
            raise
        return journal

    @classmethod
    def reopen(cls, folder: Path) -> tuple[Self, StoredRun]:
        """Go on with the journal of a run that is not finished; a torn last line is cut off.

        Raises :class:`isobench.errors.ResultsError` when the folder is not a readable run of ours.
        """
        stored = load(folder)
        return cls(folder, Counter((sample.cell, sample.block) for sample in stored.samples)), stored

    def append(self, sample: Sample) -> None:
        """Write one sample."""
        self._samples.append(encode(sample, sample.cell))
        self._lines[sample.cell, sample.block] += 1

    def pair_done(self, cell: str, block: int) -> None:
        """Note that a cell was measured to its end in a block; ``resume`` will not measure it again."""
        torn, samples = self._torn[cell, block], self._lines[cell, block]
        line = {"v": SCHEMA_VERSION, "cell": cell, "block": block, "samples": samples, "torn": torn}
        self._pairs.append(encode(line, cell))

    def sync(self) -> None:
        """Have the disk confirm everything written so far; called at the end of each block."""
        self._samples.sync()
        self._pairs.sync()

    def write_record(self, record: RunRecord) -> None:
        """Replace run.json as a whole: a reader sees the old one or the new one."""
        path = self.folder / RUN_FILE
        text = encode(record, str(path), indent=2)
        try:
            write_whole(path, text)
        except OSError as error:
            _refuse(path, error)

    def close(self) -> None:
        """Close the files; idempotent."""
        self._samples.close()
        self._pairs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def encode(value: object, what: str, *, indent: int | None = None) -> bytes:
    """One dataclass or mapping as a JSON text with its newline, ``v`` first. Never NaN or infinity."""
    try:
        return json.dumps(_plain(value), allow_nan=False, indent=indent).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise InternalError(f"{what}: a value cannot be written to the journal: {error}") from error


def _plain(value: object) -> Any:  # noqa: ANN401 - what json.dumps takes has no narrower type
    if is_dataclass(value) and not isinstance(value, type):
        names = sorted((item.name for item in fields(value)), key=lambda name: name != "v")
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class _Appender:
    """A file that only grows, by whole lines, through unbuffered writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._end = self._cut_torn_line()
        except OSError as error:
            self.close()
            _refuse(path, error)

    def _cut_torn_line(self) -> int:
        """Leave only whole lines, each with its newline; returns the length of the file."""
        found = self._path.read_bytes()
        whole = whole_bytes(found)
        if len(whole) < len(found):
            os.ftruncate(self._fd, len(whole))
        elif len(whole) > len(found):
            os.pwrite(self._fd, b"\n", len(found))
        return len(whole)

    def append(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.pwrite(self._fd, line[written:], self._end + written)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._fd, self._end)
            _refuse(self._path, error)
        self._end += written

    def sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            _refuse(self._path, error)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file as a whole, confirmed by the disk: whoever reads it sees the old one or the new one.

    Raises OSError, and leaves the old one then.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(data)
        put_in_place(fresh, path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise


def put_in_place(fresh: Path, path: Path) -> None:
    """Give a whole file of the same file system another's name, confirmed by the disk. Raises OSError."""
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse(path: Path, error: OSError) -> NoReturn:
    raise OutputError(
        f"{path}: results cannot be written there: {error.strerror}",
        remedy="free some space or make the folder writable, or choose another one with --out; "
        "a run that had begun goes on with: isobench resume DIR",
    ) from error

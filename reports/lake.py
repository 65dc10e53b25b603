"""A result lake: the runs of many hosts as Parquet files, for ``isobench history`` and for other engines.

::

    lake/
        isobench-lake.json                             which layout this is
        runs/host=<host>/date=<day>/<run id>.parquet   one run each, as `isobench history add` has put it
        days/date=<day>/hosts.parquet                  all runs of a day, as `isobench history compact` does

A file of a run has the columns of :mod:`isobench.reports.parquet_schema` but ``host``, which is in its
path, and three more: ``run_status`` and ``finished`` of run.json, and ``source``, a checksum of the result
folder. A file of a day has ``host`` as a column. A run that is in both counts as its own file has it, so that
neither a run that was added again in a longer form nor a compaction that was killed makes one count twice.
docs/adr/0020 has the reasons.

This module names what is in a lake; :mod:`isobench.reports.lake_add` and
:mod:`isobench.reports.lake_compact` write, :mod:`isobench.reports.lake_read` opens it for questions.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from isobench.errors import OutputError, ResultsError
from isobench.journal import RunRecord
from isobench.reports.lake_place import Place, place

MARKER = "isobench-lake.json"
VERSION = 1
"""Of the layout and of all columns; it goes up with isobench.reports.parquet_schema.SCHEMA."""
VERSION_KEY = "isobench.lake"
"""Where in the metadata of each file it is."""

RUNS, DAYS = "runs", "days"
_DAY_FILE = "hosts.parquet"

_RUN = re.compile(rf"{RUNS}/host=([^/]+)/date=(\d{{4}}-\d\d-\d\d)/([^/]+)\.parquet")
_DAY = re.compile(rf"{DAYS}/date=(\d{{4}}-\d\d-\d\d)/{_DAY_FILE}")

_RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")
"""What may be the name of a file anywhere."""

_SLUG_CHARS = 40
_HASH_CHARS = 8


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run that has a file of its own."""

    host: str
    date: str
    """``2026-11-27``, UTC."""
    run_id: str
    nbytes: int = 0

    @property
    def name(self) -> str:
        """The file."""
        return f"{RUNS}/host={self.host}/date={self.date}/{self.run_id}.parquet"


@dataclass(frozen=True, slots=True)
class DayFile:
    """A day whose runs are in one file."""

    date: str
    nbytes: int = 0

    @property
    def name(self) -> str:
        """The file."""
        return f"{DAYS}/date={self.date}/{_DAY_FILE}"


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake that is there and of a version that can be read."""

    place: Place

    def runs(self) -> tuple[RunFile, ...]:
        """The runs that have a file of their own, by host and time."""
        found = ((_RUN.fullmatch(name), size) for name, size in self.place.files(RUNS).items())
        return tuple(
            sorted((RunFile(hit[1], hit[2], hit[3], size) for hit, size in found if hit), key=_order)
        )

    def days(self) -> tuple[DayFile, ...]:
        """The days that have a file of their own, oldest first."""
        found = ((_DAY.fullmatch(name), size) for name, size in self.place.files(DAYS).items())
        return tuple(sorted((DayFile(hit[1], size) for hit, size in found if hit), key=lambda day: day.date))


def open_lake(name: str) -> Lake:
    """The lake at a path or URL.

    Raises :class:`isobench.errors.ResultsError` when there is none, and when it is of a newer isobench.
    """
    where = place(name)
    try:
        with where.open(MARKER) as file:
            text = file.read()
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ResultsError(f"{name}: cannot be read: {error}") from error
        raise ResultsError(
            f"{name}: no result lake is there, it has no {MARKER}",
            remedy="name it with --lake or ISOBENCH_LAKE, or begin one: isobench history add DIR",
        ) from error
    _check_version(text, f"{name}/{MARKER}")
    return Lake(where)


def open_or_begin(name: str) -> Lake:
    """The lake at a path or URL; a new one where there is nothing yet.

    Raises as :func:`open_lake`, and :class:`isobench.errors.OutputError` where one cannot begin: among other
    files it could not be told whose they are.
    """
    where = place(name)
    files = where.files()
    if MARKER in files:
        return open_lake(name)
    if files:
        raise OutputError(
            f"{name}: not a result lake, it has no {MARKER}, and not empty ({min(files)} is in it)",
            remedy="name a new or empty folder with --lake",
        )
    where.write(MARKER, json.dumps({"what": "result lake of isobench", "v": VERSION}).encode() + b"\n")
    return Lake(where)


def _check_version(text: bytes, where: str) -> None:
    try:
        version = json.loads(text)["v"]
    except (ValueError, TypeError, KeyError) as error:
        raise ResultsError(f"{where}: not of isobench: no version in it") from error
    if not isinstance(version, int) or version > VERSION:
        raise ResultsError(
            f"{where}: the lake is of a newer isobench (v {version}; this one reads up to v {VERSION})",
            remedy="pip install --upgrade isobench",
        )


def run_file(record: RunRecord, where: object) -> RunFile:
    """Where in a lake a run belongs; ``where`` is its result folder, for the message.

    Raises :class:`isobench.errors.ResultsError` when its id or its time cannot be part of a path.
    """
    if not _RUN_ID.fullmatch(record.run_id):
        raise ResultsError(
            f"{where}: its run_id {record.run_id[:80]!r} cannot be the name of a file",
            remedy="give it one of letters, digits and . _ + - in its run.json",
        )
    started = moment(record.started)
    if started is None:
        raise ResultsError(f"{where}: when it began is no time: {record.started[:80]!r}")
    return RunFile(host_id(record.host), started.date().isoformat(), record.run_id)


def moment(text: str | None) -> datetime | None:
    """A time of run.json, in UTC; None for what is none."""
    try:
        found = datetime.fromisoformat(text or "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def host_id(host: Mapping[str, Any]) -> str:
    """A name for a host that may be part of a path: its host name, and a hash of that with the machine.

    What an upgrade or a setting changes is not in it (kernel, microcode, CPUs that are switched off, memory
    as the kernel counts it), so that figures before and after are those of one host.
    """
    cpu = host.get("cpu")
    cpu = cpu if isinstance(cpu, Mapping) else {}
    own = [host.get("hostname"), host.get("machine"), host.get("virtual_machine")]
    facts = json.dumps([*own, cpu.get("vendor"), cpu.get("model")], default=str)
    return f"{slug(str(own[0] or ''))}-{hashlib.sha256(facts.encode()).hexdigest()[:_HASH_CHARS]}"


def slug(hostname: str) -> str:
    """A host name as the first part of a host's id: nothing in it that means something in a path."""
    plain = re.sub(r"[^a-z0-9._]+", "-", hostname.lower()).strip("-._")
    return plain[:_SLUG_CHARS].rstrip("-._") or "host"


def hosts_named(wanted: str, known: Collection[str]) -> tuple[str, ...]:
    """Which of the known hosts a user means: the one of that id, else all of that host name."""
    if wanted in known:
        return (wanted,)
    return tuple(sorted(one for one in known if one[: -_HASH_CHARS - 1] == slug(wanted)))


def torn(lake: Lake, name: str, why: str) -> ResultsError:
    """That a file of a lake cannot be read."""
    where = f"{lake.place.name}/{name}"
    return ResultsError(
        f"{where}: a file of the lake that cannot be read: {why}",
        remedy=f"remove it, then add its runs again: rm {shlex.quote(where)}; isobench history add DIR",
    )


def _order(file: RunFile) -> tuple[str, str, str]:
    return file.host, file.date, file.run_id

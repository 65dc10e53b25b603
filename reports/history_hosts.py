"""What is in a lake: its days, its hosts, the runs of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime

from isobench.reports.lake_read import Reader

_HOSTS = """
WITH runs AS (
    SELECT host, run_id, any_value(hostname) AS hostname, any_value(started) AS started,
        any_value(finished) AS finished, any_value(host_facts->>'$.boot') AS boot,
        any_value(host_facts->>'$.os') AS os, any_value(host_facts->>'$.kernel') AS kernel,
        any_value(host_facts->>'$.cpu.model') AS cpu
    FROM samples WHERE $since::DATE IS NULL OR date >= $since GROUP BY host, run_id
), timed AS (
    SELECT *, max(finished) OVER earlier AS busy_until, arg_max(boot, finished) OVER earlier AS boot_then,
        arg_max(run_id, finished) OVER earlier AS run_then
    FROM runs WINDOW earlier AS (
        PARTITION BY host ORDER BY started, run_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
)
SELECT host, arg_max(hostname, started), count(*), min(started), max(started), arg_max(os, started),
    arg_max(kernel, started), arg_max(cpu, started),
    any_value(run_then) FILTER (busy_until > started AND boot_then <> boot),
    any_value(run_id) FILTER (busy_until > started AND boot_then <> boot)
FROM timed GROUP BY host ORDER BY host
"""
_RUNS = """
SELECT run_id, any_value(started), any_value(run_status), any_value(isobench), count(*),
    count(*) FILTER (status IN ('failed', 'timeout')), count(DISTINCT cell)
FROM samples WHERE list_contains($hosts, host) AND ($since::DATE IS NULL OR date >= $since)
GROUP BY host, run_id ORDER BY any_value(started), run_id
"""
_DAYS = """
SELECT date, count(*), list(host) FROM (
    SELECT DISTINCT date, host, run_id FROM days ANTI JOIN own_file USING (host, date, run_id)
) GROUP BY date
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A host of a lake, as its last run describes it."""

    host: str
    hostname: str
    runs: int
    first: datetime
    """When its first run began, UTC."""
    last: datetime
    os: str | None
    kernel: str | None
    cpu: str | None
    overlapping: tuple[str, str] | None
    """Two runs that were going on at once in two boots: two machines have this name, or a clock was off."""


@dataclass(frozen=True, slots=True)
class HostRun:
    """A run of one host."""

    run_id: str
    started: datetime
    """UTC."""
    status: str
    """As run.json says: ``finished``, ``interrupted``, ``running``."""
    isobench: str
    attempts: int
    lost: int
    """Attempts that failed or timed out."""
    cells: int


@dataclass(frozen=True, slots=True)
class Day:
    """What was begun on one day, UTC."""

    date: date
    runs: int
    hosts: int
    own_files: int
    """Runs that have a file of their own."""
    nbytes: int
    """Of all files of the day."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a lake."""

    runs: int
    hosts: int
    nbytes: int
    days: tuple[Day, ...]
    """Oldest first."""


def hosts(reader: Reader, since: date | None = None) -> tuple[Host, ...]:
    """All hosts, by name."""
    rows = reader.ask(_HOSTS, {"since": since})
    names = [field.name for field in fields(Host)]
    return tuple(
        Host(**dict(zip(names, [*facts, (run, other) if run else None], strict=True)))
        for *facts, run, other in rows
    )


def runs_of(reader: Reader, host: str, since: date | None = None) -> tuple[HostRun, ...]:
    """The runs of one host, oldest first.

    Raises :class:`isobench.errors.UsageError` when there is no such host.
    """
    names = reader.hosts_named(host)
    return tuple(HostRun(*row) for row in reader.ask(_RUNS, {"hosts": names, "since": since}))


def contents(reader: Reader, since: date | None = None) -> Contents:
    """All days, or those from one on; no file of a run is opened for it."""
    days = tuple(day for day in _days(reader) if since is None or day.date >= since)
    return Contents(
        runs=sum(day.runs for day in days),
        hosts=len(reader.hosts()),
        nbytes=sum(day.nbytes for day in days),
        days=days,
    )


def _days(reader: Reader) -> Iterator[Day]:
    hosts_on: dict[str, set[str]] = {}
    runs: dict[str, int] = {}
    own: dict[str, int] = {}
    nbytes: dict[str, int] = {}
    for row in reader.ask(_DAYS) if reader.days else []:
        runs[str(row[0])], hosts_on[str(row[0])] = row[1], set(row[2])
    for run in reader.runs:
        hosts_on.setdefault(run.date, set()).add(run.host)
        own[run.date] = own.get(run.date, 0) + 1
    for one in reader.files:
        nbytes[one.date] = nbytes.get(one.date, 0) + one.nbytes
    for day in sorted(nbytes):
        files = own.get(day, 0)
        there = len(hosts_on.get(day, ()))
        yield Day(date.fromisoformat(day), runs.get(day, 0) + files, there, files, nbytes[day])

"""What things alike differ by on one host: the controls of earlier comparisons, kept for later plans.

A line of JSON each, one a run, comparison and metric, in a file that only grows. A line that is torn or of a
newer isobench is passed over: a plan can be made without it.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import expm1
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from isobench.errors import OutputError, ResultsError
from isobench.host import comparable
from isobench.journal import ABRecord, RunRecord, StoredRun
from isobench.journal_writer import encode
from isobench.knobs import SAFE
from isobench.model import Sample, Side, Status
from isobench.reports import gate_stats
from isobench.reports.gate_metrics import Rule, judged
from isobench.reports.gate_pairs import Comparison, comparisons, pairs
from isobench.reports.gate_stage import differences, fault

BY_STARTS = frozenset({"startup", "fake"})
"""Benchmarks of which one may ask for more values of a side and block: more are steadier."""

_VERSION = 1
"""Of a line."""

_MIN_FOR_NOISE = 5
"""Earlier runs, below which the greatest of them says little about what is usual."""
_USUAL = 0.95
_NEWEST = 20
"""Runs that tell what is usual: a host that became quieter is believed in the end."""


@dataclass(frozen=True, slots=True)
class AAEntry:
    """How far A and its control lay apart in one run."""

    host: str
    """Digest of what must be equal for two runs to be of one host."""
    subject: str
    """Digest of what was compared with itself: the isolator or the workload with its options."""
    comparison: str
    metric: str
    run_id: str
    blocks: int
    a: float
    """The median of A's block values, in the metric's unit."""
    theta: float
    """The estimate of the control against A, on the metric's scale."""
    spreads: Mapping[int, float]
    """Robust standard deviation of d, on the metric's scale, with so many values a side and block."""
    value_s: float
    """Seconds that each further value takes."""
    turn_s: float
    """Seconds of a turn besides."""
    pilot: bool = False
    """Measured only to plan another run: with few starts, it lies further apart than that run will."""
    in_turns: bool = False
    """A and its control took turns start by start, and not block by block: they lie closer together."""
    v: int = _VERSION

    @property
    def benchmark(self) -> str:
        """Its name, with which that of a comparison begins."""
        return self.comparison.partition("/")[0]

    @property
    def starts(self) -> int:
        """Values a side and block that it rests on."""
        return max(self.spreads, default=0)


def entries_of(run: StoredRun) -> tuple[AAEntry, ...]:
    """What the control of a run says; nothing where it has none or could not be measured."""
    ab = run.record.ab
    if ab is None:
        return ()
    return tuple(
        found
        for comparison in comparisons(run, ab)
        for rule in judged(comparison.benchmark).rules
        if (found := _entry(run, ab, comparison, rule))
    )


def host_digest(host: Mapping[str, Any], *, tuned: bool) -> str:
    """The same for runs on one host under one set of conditions, from its fingerprint.

    What ``--tune`` sets is one thing before a run and another in it, and tells nothing of the host itself.
    """
    facts = comparable(host)
    set_by_tune = {f"knobs.{setting.name}" for setting in SAFE} if tuned else set[str]()
    return _digest([{key: value for key, value in facts.items() if key not in set_by_tune}, tuned])


def subject_digest(matrix: Mapping[str, Any], by: Literal["isolator", "workload"], name: str) -> str:
    """The same for one baseline, from its table in a matrix of the shape of matrix.toml."""
    tables = [table for table in matrix.get(by, ()) if table.get("name") == name]
    return _digest([{key: value for key, value in table.items() if key != "name"} for table in tables])


def read_entries(file: Path) -> tuple[AAEntry, ...]:
    """All that is kept; nothing where there is no such file yet.

    Raises :class:`isobench.errors.ResultsError` for what is no file, or cannot be read.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        wrong = str(file if os.path.lexists(file) else file.parent)
        raise ResultsError(
            f"{file}: the history of comparisons cannot be read: {error.strerror}",
            remedy=f"{shlex.join(('mv', wrong, f'{wrong}.old'))}, and a new one begins",
        ) from error
    lines: list[AAEntry] = []
    adapter = TypeAdapter(AAEntry)
    for line in data.splitlines():
        with suppress(ValidationError):
            lines.append(adapter.validate_json(line))
    return tuple(line for line in lines if line.v <= _VERSION)


def append_entries(file: Path, entries: Iterable[AAEntry]) -> None:
    """Add to what is kept, those of a run that is in it already left out.

    Raises :class:`isobench.errors.OutputError`, and as :func:`read_entries`.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        known = {(old.run_id, old.comparison, old.metric) for old in read_entries(file)}
        fresh = [one for one in entries if (one.run_id, one.comparison, one.metric) not in known]
        # One write: lines of two runs that end at once do not mix.
        fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, b"".join(encode(one, one.comparison) for one in fresh))
        finally:
            os.close(fd)
    except OSError as error:
        raise OutputError(
            f"{file}: the history of comparisons cannot be written: {error.strerror}"
        ) from error


def usual_distance(entries: Sequence[AAEntry], starts: int | None) -> float | None:
    """How far things alike usually lay apart, as a ratio; None where too few runs tell.

    Of the newest runs, ``entries`` in the order they were made. ``starts``: so many make a value now, and
    runs with less than half of them are left out: their medians scatter by more than 1.4 times as much. None:
    the benchmark has no such.
    """
    apart = [abs(one.theta) for one in entries if not one.pilot and 2 * one.starts >= (starts or 0)]
    if len(apart) < _MIN_FOR_NOISE:
        return None
    return expm1(float(np.quantile(apart[-_NEWEST:], _USUAL)))


def _entry(run: StoredRun, ab: ABRecord, comparison: Comparison, rule: Rule) -> AAEntry | None:
    blocks = range(ab.blocks)
    found = pairs(comparison, rule, blocks)
    if fault(found, rule.metric) or not comparison.has(Side.CONTROL, rule):
        return None
    d = differences(found.a, found.control, rule.metric.scale)
    value_s = _value_s(comparison, rule)
    values = max(1, round(median(_counts(comparison, rule, blocks))))
    turns = sum(len(lines) for lines in comparison.samples.values())
    all_turns = len({(sample.cell, sample.block) for sample in run.samples}) or turns
    return AAEntry(
        host=host_digest(run.record.host, tuned=run.record.tuned is not None),
        subject=subject_digest(run.record.matrix, ab.by, _configured(run.record, ab.a)),
        comparison=comparison.name,
        metric=rule.metric.name,
        run_id=run.record.run_id,
        blocks=len(d),
        a=median(found.a),
        theta=gate_stats.hodges_lehmann(d).value,
        spreads=dict(_spreads(comparison, rule, found.blocks, alike(ab))),
        value_s=value_s,
        turn_s=max(0.0, run.record.wall_s / all_turns - values * value_s),
        pilot=ab.pilot,
        in_turns=comparison.benchmark in ab.in_turns,
    )


def _configured(record: RunRecord, shown: str) -> str:
    """The name in the matrix of what cells know under another."""
    return next((one.name for one in record.isolators if one.shown_as == shown), shown)


def alike(ab: ABRecord) -> tuple[Side, ...]:
    """The sides that are one and the same thing: B too, where something is compared with itself."""
    return (Side.A, Side.CONTROL, *((Side.B,) if ab.itself else ()))


def _counts(comparison: Comparison, rule: Rule, blocks: Iterable[int]) -> Iterator[int]:
    for block in blocks:
        yield len(_values(comparison, rule, Side.A, block))


def _values(comparison: Comparison, rule: Rule, side: Side, block: int) -> list[Sample]:
    return [
        sample
        for sample in comparison.samples.get(side, {}).get(block, ())
        if sample.metric == rule.reads and sample.status is Status.OK and not sample.detail.get("warmup")
    ]


def _value_s(comparison: Comparison, rule: Rule) -> float:
    """From its beginning to its end, with the rest after it."""
    lasted = [
        max(sample.phases.values(), default=0.0)
        for sample in comparison.of(Side.A)
        if sample.metric == rule.reads and sample.status is Status.OK
    ]
    return (median(lasted) if lasted else 0.0) + _PAUSE_S


_PAUSE_S = 0.006
"""Between two starts of a batch, with what the agent needs to begin and to report one."""


def _spreads(
    comparison: Comparison, rule: Rule, blocks: Sequence[int], sides: tuple[Side, ...]
) -> Iterator[tuple[int, float]]:
    """From parts of the values of each block: the first k of them, the next k, and so on."""
    most = min(len(_values(comparison, rule, side, block)) for side in sides for block in blocks)
    sizes = [2**power for power in range(most.bit_length()) if 2**power <= most]
    for size in dict.fromkeys((*sizes, most)) if comparison.benchmark in BY_STARTS else (most,):
        squares = []
        for part in range(most // size):
            made = {
                side: [
                    rule.reduce(_values(comparison, rule, side, block)[part * size : (part + 1) * size])
                    for block in blocks
                ]
                for side in sides
            }
            for at, one in enumerate(sides):
                for other in sides[at + 1 :]:
                    rows = [
                        (x, y)
                        for x, y in zip(made[one], made[other], strict=True)
                        if x is not None and y is not None
                    ]
                    if rows:
                        base, against = zip(*rows, strict=True)
                        d = differences(base, against, rule.metric.scale)
                        squares.append(gate_stats.spread_by_pairs(d) ** 2)
        if squares:
            yield size, float(np.mean(squares) ** 0.5)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]

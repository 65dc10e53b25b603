"""Stored baselines: the block values of a run that passed its gate, to hold later runs of its host against.

Runs that were not measured side by side differ by more than what they measure: by the boot, by what else went
on that day. So this only warns, with thresholds twice those of the gate, and only where everything is equal
that must be for two runs to be of one host under one set of conditions
(:func:`isobench.reports.comparability.conditions`).

A file each, ``<store>/<digest of the conditions>-<name>.json``; its shape is in docs/gate.md.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from isobench.errors import BaselineError, OutputError
from isobench.journal import RunRecord, StoredRun
from isobench.journal_lines import first_wrong
from isobench.journal_writer import encode, now_utc, write_whole
from isobench.model import SCHEMA_VERSION, Sample, Side
from isobench.plugins import did_you_mean
from isobench.reports.comparability import Kind, conditions, unequal
from isobench.reports.gate import judge
from isobench.reports.gate_metrics import judged
from isobench.reports.gate_pairs import settled, value_of
from isobench.reports.gate_policy import Policy
from isobench.reports.gate_values import Verdict

DEFAULT_STORE = Path("baselines")
DEFAULT_NAME = "main"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,47}")
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one cell, a number a block."""

    cell: str
    benchmark: str
    workload: str
    metric: str
    """As gate.toml calls it."""
    unit: str
    values: Mapping[int, float]
    """By block; blocks without a value are left out."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was promoted."""

    name: str
    promoted: str
    """When; UTC, ISO 8601."""
    conditions: Mapping[str, Any]
    """What must be equal in a run that is held against it."""
    record: RunRecord
    """Of the run it was promoted from."""
    figures: tuple[Figure, ...]
    v: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """Of the conditions."""
        return digest(self.conditions)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in a store."""

    baselines: Mapping[Path, Baseline]
    """By name and then by time."""
    faults: Mapping[Path, BaselineError]
    """Of each file that is no baseline, why. Other ones can be used all the same."""


def digest(of_conditions: Mapping[str, Any]) -> str:
    """The same for all runs of one host under one set of conditions."""
    text = json.dumps(of_conditions, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def promote(run: StoredRun, policy: Policy, store: Path, name: str = DEFAULT_NAME) -> Path:
    """Keep the baseline side of a run that passed its gate; one of that name and host is replaced.

    Raises :class:`isobench.errors.BaselineError` for a run that did not pass or of which nothing could be
    told, and for a name unfit for a file,
    :class:`isobench.errors.OutputError` when the store cannot be written, and as
    :func:`isobench.reports.gate.judge` does.
    """
    _check_name(name)
    report = judge(run, policy)
    if not report.ok:
        raise BaselineError(
            f"{report.run_id} did not pass its gate ({report.outcome}): only one that did becomes a baseline",
            remedy="isobench gate DIR",
        )
    if not (report.of(Verdict.EQUIVALENT) or report.of(Verdict.IMPROVEMENT)):
        raise BaselineError(
            f"{report.run_id} becomes no baseline: of none of its figures it could be told if they changed",
            remedy="isobench gate DIR",
        )
    baseline = Baseline(name, now_utc(), conditions(run.record), run.record, tuple(figures(run)))
    path = store / f"{baseline.digest}-{name}.json"
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_whole(path, encode(baseline, name, indent=1))
    except OSError as error:
        raise OutputError(f"{path}: the baseline cannot be written: {error.strerror}") from error
    return path


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BaselineError(
            f'"{name}" cannot be the name of a baseline; allowed: a letter or digit, then up to 47 letters, '
            "digits and characters of ._+-"
        )


def figures(run: StoredRun) -> Iterator[Figure]:
    """What a run says by itself: of one that compares two sides its baseline, of any other all of it."""
    cells: dict[str, dict[int, list[Sample]]] = {}
    for sample in settled(run):
        if _is_baseline(run.record, sample):
            cells.setdefault(sample.cell, {}).setdefault(sample.block, []).append(sample)
    for cell, blocks in sorted(cells.items()):
        first = next(iter(blocks.values()))[0]
        for rule in judged(first.benchmark).rules:
            found = {block: value_of(lines, rule) for block, lines in sorted(blocks.items())}
            values = {block: value for block, value in found.items() if not isinstance(value, str)}
            if values:
                metric = rule.metric
                yield Figure(cell, first.benchmark, first.workload, metric.name, metric.unit, values)


def _is_baseline(record: RunRecord, sample: Sample) -> bool:
    if record.ab is None:
        return sample.side is Side.A
    names = {one.shown_as: one.name for one in record.isolators}
    sides = {
        record.ab.side(name, sample.workload) for name in (sample.isolator, names.get(sample.isolator, ""))
    }
    return Side.A in sides


def find(store: Path, name: str, record: RunRecord) -> Baseline:
    """The baseline of that name for the host of a run.

    Raises :class:`isobench.errors.BaselineError` where there is none, or where it cannot be read; one of
    another host, or of other conditions, is named with everything that differs.
    """
    _check_name(name)
    path = store / f"{digest(conditions(record))}-{name}.json"
    if path.exists():
        one = _wanted(path, name)
        if differing := _differing(one, record):
            raise BaselineError(
                f"{path}: the baseline {name} in it is of another host or of other conditions than its file "
                f"name says: {differing}",
                remedy=_promote(name),
            )
        return one
    raise _not_of_this_host(store, name, record, path)


def _wanted(path: Path, name: str) -> Baseline:
    """The one that was asked for; it has to be readable."""
    try:
        return read(path)
    except BaselineError as error:
        raise BaselineError(str(error), remedy=error.remedy or _promote(name)) from error


def _not_of_this_host(store: Path, name: str, record: RunRecord, path: Path) -> BaselineError:
    """Why there is no file ``path``: what there is of that name instead."""
    kept = stored(store)
    others = {at: one for at, one in kept.baselines.items() if one.name == name}
    for at, one in others.items():
        if not _differing(one, record):
            return BaselineError(
                f"{at}: the baseline {name} of this host, under a file name that is not its own",
                remedy=shlex.join(("mv", str(at), str(path))),
            )
    if others:
        latest = max(others.values(), key=lambda one: one.promoted)
        differing = _differing(latest, record)
        return BaselineError(
            f"{store}: the baseline {name} is of another host or of other conditions: {differing}",
            remedy=_promote(name),
        )
    for at, error in kept.faults.items():
        if at.stem.partition("-")[2] == name:
            return BaselineError(str(error), remedy=error.remedy or _promote(name))
    return _no_such(store, name, kept)


def _differing(one: Baseline, record: RunRecord) -> str:
    """In what a baseline is of another host than a run: by what it was filed under, and by its own run."""
    here = conditions(record)
    found = [
        difference.text
        for facts in (one.conditions, conditions(one.record))
        for difference in unequal(facts, here, Kind.CONDITIONS)
    ]
    return "; ".join(dict.fromkeys(found))


def _no_such(store: Path, name: str, kept: Stored) -> BaselineError:
    known = sorted({one.name for one in kept.baselines.values()})
    there = (
        f"{did_you_mean(name, known)}; there are: {', '.join(known)}" if known else "; there is none at all"
    )
    return BaselineError(
        f'{store}: no baseline "{name}"{there}',
        remedy=_promote(name),
    )


def _promote(name: str) -> str:
    return f"isobench baseline promote DIR --name {name}, with a run on this host that passed its gate"


def stored(store: Path) -> Stored:
    """All in a folder; none where there is no such folder."""
    found: dict[Path, Baseline] = {}
    faults: dict[Path, BaselineError] = {}
    for path in sorted(store.glob("*.json")):
        try:
            found[path] = read(path)
        except BaselineError as error:
            faults[path] = error
    in_order = sorted(found.items(), key=lambda one: (one[1].name, one[1].promoted))
    return Stored(dict(in_order), faults)


def read(path: Path) -> Baseline:
    """One file. Raises :class:`isobench.errors.BaselineError` for what is none of ours, or newer."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read as a baseline: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"{path}: cannot be read as a baseline: {error}") from error
    version = data.get("v") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BaselineError(
            f"{path}: written by a newer isobench (v {version}; this one reads up to v {SCHEMA_VERSION})",
            remedy="read it with the isobench that wrote it, or upgrade this one",
        )
    try:
        return _type().validate_python(data)
    except ValidationError as error:
        raise BaselineError(f"{path}: not a baseline of isobench: {first_wrong(error)}") from error


@cache
def _type() -> TypeAdapter[Baseline]:
    return TypeAdapter(Baseline)

"""Small runs of several hosts for the tests of the lake: values given, the rest made up."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tests.conftest import HOST, synthetic_run

from isobench.journal import IsolatorRecord, RunRecord
from isobench.journal_writer import Journal
from isobench.model import Sample, Status

RUNC, BARE = "startup/runc/ready", "startup/bare/ready"

Made: TypeAlias = tuple[RunRecord, Sequence[Sample]]
"""A run that is not written yet."""

_TEMPLATE = synthetic_run().record


def record(
    run_id: str = "run-1",
    *,
    hostname: str = "lab-1",
    started: str = "2026-03-01T10:15:00Z",
    finished: str | None = "2026-03-01T10:17:00Z",
    status: Literal["running", "interrupted", "finished"] = "finished",
    host: Mapping[str, Any] | None = None,
    isolators: Sequence[str] = ("bare", "runc", "lxc"),
) -> RunRecord:
    """The record of a run whose isolators are each of the kind they are named after."""
    plain = _TEMPLATE.isolators[0]
    kinds: tuple[IsolatorRecord, ...] = tuple(
        replace(plain, name=name, kind=name, shown_as=name) for name in isolators
    )
    return replace(
        _TEMPLATE,
        run_id=run_id,
        started=started,
        finished=finished,
        status=status,
        host={**HOST, "hostname": hostname, **(host or {})},
        isolators=kinds,
    )


def samples(
    values: Mapping[str, Sequence[float | None]], *, metric: str = "ready", unit: str = "second"
) -> tuple[Sample, ...]:
    """Attempts of cells, by their ids; None is one that failed."""
    made = []
    for cell, found in values.items():
        benchmark, isolator, workload = cell.split("/", 2)
        made += [
            Sample(
                cell=cell,
                isolator=isolator,
                benchmark=benchmark,
                workload=workload,
                metric=metric,
                unit=unit,
                value=value,
                block=place,
                order=place,
                status=Status.FAILED if value is None else Status.OK,
                reason="exit status 1" if value is None else None,
            )
            for place, value in enumerate(found)
        ]
    return tuple(made)


def write(folder: Path, of: RunRecord, attempts: Sequence[Sample]) -> Path:
    """The result folder."""
    with Journal.create(folder, of) as journal:
        for sample in attempts:
            journal.append(sample)
    return folder

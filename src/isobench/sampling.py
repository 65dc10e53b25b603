"""Making journal lines of what a benchmark said, of an error it raised, and of what could not be measured."""

import math
from collections.abc import Mapping
from dataclasses import replace

from isobench.errors import IsobenchError
from isobench.model import Readiness, Reading, Sample, Scalar, Status
from isobench.schedule import Turn

NO_METRIC = ""
"""The metric and the unit of a line that has no value and came from no reading."""

RESIDUE = "residue"
"""The metric of a line that tells what a cell has left behind."""


def of_reading(turn: Turn, reading: Reading) -> Sample:
    """One attempt. A value that cannot be one makes it failed: it must not pass for a figure, nor vanish."""
    line = replace(
        _line(turn, reading.status, reading.reason),
        metric=reading.metric,
        unit=reading.unit,
        remedy=reading.remedy,
        phases={name: value for name, value in reading.phases.items() if math.isfinite(value)},
        detail=_finite(reading.detail),
    )
    if reading.status is not Status.OK:
        return line
    if reading.value is None or not math.isfinite(reading.value):
        return replace(line, status=Status.FAILED, reason=f"the benchmark gave {reading.value} as a value")
    return replace(line, value=float(reading.value))


def of_error(turn: Turn, error: Exception) -> Sample:
    """What a benchmark raised: the host's or an isolator's fault, or else a defect with its type."""
    status = Status.TIMEOUT if isinstance(error, TimeoutError) else Status.FAILED
    if isinstance(error, IsobenchError):
        return replace(_line(turn, status, str(error)), remedy=error.remedy)
    if isinstance(error, OSError):
        return _line(turn, status, str(error) or type(error).__name__)
    return _line(turn, status, f"a defect of the benchmark: {type(error).__name__}: {error}")


def of_silence(turn: Turn) -> Sample:
    """A benchmark that yielded nothing at all."""
    return _line(turn, Status.FAILED, "a defect of the benchmark: it gave no reading")


def of_lack(turn: Turn, lack: Readiness) -> Sample:
    """A cell that cannot be measured here, or not at all."""
    return replace(_line(turn, lack.status, lack.reason), remedy=lack.remedy)


def of_loss(turn: Turn, lack: Readiness) -> Sample:
    """A cell of which some blocks were measured, and the others cannot be any more."""
    line = _line(turn, Status.FAILED, f"it could not be measured to its end: {lack.reason}")
    return replace(line, remedy=lack.remedy)


def of_residue(turn: Turn, left: str) -> Sample:
    """One thing that the cell left behind on the host."""
    line = _line(turn, Status.FAILED, f"left behind on the host: {left}")
    return replace(line, metric=RESIDUE, remedy="isobench clean")


def _line(turn: Turn, status: Status, reason: str | None) -> Sample:
    cell = turn.cell
    return Sample(
        cell=cell.id,
        isolator=cell.isolator,
        benchmark=cell.benchmark,
        workload=cell.workload,
        params=cell.params,
        metric=NO_METRIC,
        unit=NO_METRIC,
        value=None,
        block=turn.block,
        order=turn.order,
        side=cell.side,
        status=status,
        reason=reason,
    )


def _finite(detail: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """NaN has no place in JSON; what was not told apart is None."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in detail.items()
    }

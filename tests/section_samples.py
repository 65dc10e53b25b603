"""Samples for the parts of a report that a benchmark has of its own, written down line by line.

And the little of a run that such a part reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from isobench.journal import cell_states
from isobench.model import Sample, Scalar, Status
from isobench.reports.summary import CellSummary, Isolator, Summary

KIB = 1024


def sample(
    cell: str, metric: str, value: float | None, block: int = 0, unit: str = "second", /, **detail: Scalar
) -> Sample:
    """``cell`` is benchmark/isolator/workload[/name=value…]; an attempt without a value failed."""
    benchmark, isolator, workload, *params = cell.split("/")
    pairs = (one.split("=", 1) for one in params)
    return Sample(
        cell=cell,
        isolator=isolator,
        benchmark=benchmark,
        workload=workload,
        metric=metric,
        unit=unit,
        value=value,
        block=block,
        order=block,
        status=Status.FAILED if value is None else Status.OK,
        params={name: _scalar(text) for name, text in pairs},
        detail=detail,
    )


def _scalar(text: str) -> Scalar:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def lost(cell: str, status: Status, reason: str, remedy: str | None = None, block: int = 0) -> Sample:
    """An attempt that gave no value."""
    return replace(sample(cell, "", None, block, ""), status=status, reason=reason, remedy=remedy)


def with_params(of: str, params: Mapping[str, Scalar]) -> str:
    """The id of a cell, as a matrix makes it."""
    return "/".join((of, *(f"{name}={value}" for name, value in sorted(params.items()))))


def cells_of(*samples: Sample) -> tuple[CellSummary, ...]:
    states = cell_states(samples)
    return tuple(
        CellSummary(name, own[0].isolator, own[0].benchmark, states[name], own)
        for name in states
        if (own := tuple(one for one in samples if one.cell == name))
    )


def summary(*samples: Sample) -> Summary:
    """A part reads the cells and their isolators alone."""
    return cast("Summary", _Part(cells_of(*samples)))


class _Part:
    def __init__(self, cells: tuple[CellSummary, ...]) -> None:
        self.cells = cells
        self.isolators = tuple(Isolator(name, None) for name in dict.fromkeys(c.isolator for c in cells))


def closed(isolator: str, k: int, rate: float | None, *starts: float, block: int = 0) -> list[Sample]:
    """Concurrent starts in a closed loop of so many starters."""
    cell = f"startup-concurrency/{isolator}/ready/k={k}/loop=closed"
    return [
        *(sample(cell, "ready", value, block) for value in starts),
        sample(cell, "rate", rate, block, "1/second", offered=len(starts), completed=len(starts)),
    ]


def opened(isolator: str, rate: float, *starts: float, block: int = 0, **window: int) -> list[Sample]:
    """The same in an open loop, due at a rate; what became of them in ``window``."""
    cell = f"startup-concurrency/{isolator}/ready/loop=open/rate={rate}"
    return [
        *(sample(cell, "ready", value, block) for value in starts),
        sample(cell, "rate", rate, block, "1/second", **window),
    ]


def floor(isolator: str, kib: int, block: int = 0, **detail: Scalar) -> Sample:
    """The smallest memory a workload still ran with."""
    told: dict[str, Scalar] = {"worked": 3, "below_bytes": (kib - 4) * KIB, "below_how": "oom-kill", **detail}
    return sample(f"memory-floor/{isolator}/hold", "memory_floor", float(kib * KIB), block, "byte", **told)


SPELL: Mapping[str, Scalar] = {
    "threads": 1,
    "achieved_host_cpus": 0.5,
    "window_s": 1.0,
    "inside_to_host": -0.02,
    "period_use_p10": 0.9,
    "period_use_p50": 1.0,
    "period_use_p90": 1.1,
    "overshoot": 0.3,
    "most_in_10ms_cpus": 1.0,
    "p99_stall_s": 0.05,
    "longest_stall_s": 0.051,
    "nr_throttled": 9,
    "kernel_periods": 10,
    "throttled_s": 0.48,
    "stall_bins": "53:2 102:10",
    "timeline_us": "0:50000-100000 0:150000-200000",
}
"""What is recorded of a window under a CPU limit."""


def spun(
    isolator: str,
    value: float = 0.01,
    block: int = 0,
    *,
    detail: Mapping[str, Scalar] = SPELL,
    **params: Scalar,
) -> Sample:
    """A window under a CPU limit: 0.5 CPUs in 100 ms unless ``params`` say otherwise."""
    cell = with_params(f"throttling/{isolator}/spin", {"cpus": 0.5, "period_us": 100_000, **params})
    return sample(cell, "cpu_share_error", value, block, "ratio", **detail)


def served(isolator: str, p50: float, p99: float, block: int = 0, /, **params: Scalar) -> list[Sample]:
    """Requests under a CPU limit, or under none."""
    cell = with_params(f"throttling/{isolator}/request", params or {"limit": "none"})
    metrics = {"latency_p50": p50, "latency_p99": p99, "latency_p999": None}
    return [
        sample(cell, name, value, block, "second", nr_throttled=30, kernel_periods=400)
        for name, value in metrics.items()
    ]


def frozen(cell: str, value: float, block: int = 0) -> tuple[Sample, ...]:
    """A freeze, and a thaw that takes twice as long."""
    told: dict[str, Scalar] = {"held_s": 0.05, "resolution_s": 0.00001}
    return (
        sample(cell, "freeze", value, block, "second", **told),
        sample(cell, "thaw", 2 * value, block, "second", **told),
    )


def contest(cell: str, block: int, first: float, **detail: Scalar) -> tuple[Sample, ...]:
    """Two siblings that were promised a quarter and the rest; ``first`` is what the one got."""
    pairs = ((1, 0.25, first, 1024), (2, 0.75, 1 - first, 3072))
    found = [sample(cell, "settled", 0.04, block)]
    for number, part, got, weight in pairs:
        told: dict[str, Scalar] = {"sibling": number, "promised": part, "got": got, "weight_in_force": weight}
        found.append(sample(cell, "share_error", got / part - 1, block, "ratio", **told, **detail))
    return tuple(found)


def sequence(name: str = "sequence", **detail: Scalar) -> Iterator[Sample]:
    """Kernel primitives one after the other, and all undone."""
    cell = f"primitives/host/{name}"
    for block in (0, 1):
        yield sample(cell, "process", 100e-6, block, step_s=100e-6)
        yield sample(cell, "mount_namespace", 130e-6, block, step_s=30e-6, **detail)
        yield sample(cell, "exec", 330e-6, block, step_s=200e-6, **detail)
        yield sample(cell, "undone", 900e-6, block)


def audited(part: str, value: float | None, block: int = 0, /, **detail: Scalar) -> Sample:
    """What a part of the instrument costs."""
    return sample(f"audit/host/{part}", part, value, block, **detail)


def timer(value: float, block: int, step: float, gap: float) -> Sample:
    """The clock, its smallest step and the longest gap between two readings."""
    told: dict[str, Scalar] = {"smallest_step_s": step, "largest_step_s": gap}
    return audited("timer", value, block, **told, clock_source="tsc", resolution_s=1e-9)


STARTER = audited("starter", 50e-6, plain_s=190e-6, starter_s=240e-6)
SAMPLER = audited("sampler", 0.02, off_s=200e-6, on_s=204e-6)

"""Runs that compare two sides, made up in memory: what the gate reads, with no host and no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from isobench.journal import ABRecord, IsolatorRecord, RunRecord, StoredRun
from isobench.model import Sample, Scalar, Side, Status

NAMES = {Side.A: "old", Side.B: "new", Side.CONTROL: "old-again"}
HOST: Mapping[str, Any] = {
    "hostname": "lab-1",
    "kernel": "6.1",
    "cpu": {"model": "Some CPU", "usable": 2},
    "load": {"1min": 0.2},
    "pressure": {"cpu_10s_percent": 1.0, "memory_10s_percent": 0.0, "io_10s_percent": 0.5},
}


@dataclass(frozen=True)
class Made:
    """The block values of one comparison; ``None`` is a block in which the attempt failed."""

    values: Mapping[Side, Sequence[float | None]]
    benchmark: str = "startup"
    workload: str = "ready"
    metric: str = "ready"
    unit: str = "second"
    params: Mapping[str, Scalar] = field(default_factory=dict)

    def samples(self, order: Random) -> list[Sample]:
        lines = []
        for block in range(max(len(values) for values in self.values.values())):
            sides = [side for side in self.values if block < len(self.values[side])]
            order.shuffle(sides)
            lines += [self._sample(side, block, 10 * block + place) for place, side in enumerate(sides)]
        return lines

    def _sample(self, side: Side, block: int, order: int) -> Sample:
        value = self.values[side][block]
        tail = "".join(f"/{key}={value}" for key, value in sorted(self.params.items()))
        return Sample(
            cell=f"{self.benchmark}/{NAMES[side]}/{self.workload}{tail}",
            isolator=NAMES[side],
            benchmark=self.benchmark,
            workload=self.workload,
            metric=self.metric,
            unit=self.unit,
            value=value,
            block=block,
            order=order,
            status=Status.FAILED if value is None else Status.OK,
            reason="it broke" if value is None else None,
            side=side,
            params=self.params,
        )


def ab_run(
    *made: Made,
    blocks: int = 20,
    confirm: tuple[str, ...] | None = (),
    host: Mapping[str, Any] | None = None,
    seed: int = 1,
    **ab: object,
) -> StoredRun:
    """A finished run of these comparisons."""
    order = Random(seed)  # noqa: S311 - an order, not a secret
    record = RunRecord(
        run_id="20260301T101500Z-abc123",
        started="2026-03-01T10:15:00Z",
        finished="2026-03-01T10:25:00Z",
        status="finished",
        seed=seed,
        matrix={},
        host={**HOST, **(host or {})},
        tools={},
        isolators=tuple(
            IsolatorRecord(name, "fake", name, {}, "", "", True, Status.OK) for name in NAMES.values()
        ),
        benchmarks=tuple(dict.fromkeys(one.benchmark for one in made)),
        wall_s=600.0,
        timed_s=500.0,
        isobench_version="0.1.0",
        ab=ABRecord(
            by="isolator",
            a=NAMES[Side.A],
            b=NAMES[Side.B],
            control=NAMES[Side.CONTROL],
            blocks=blocks,
            confirm=confirm,
            **ab,  # type: ignore[arg-type]
        ),
    )
    return StoredRun(record, tuple(line for one in made for line in one.samples(order)))


def starts(
    change: float = 1.0,
    *,
    noise: float = 0.02,
    blocks: int = 40,
    seed: int = 1,
    base_s: float = 0.05,
    workload: str = "ready",
) -> Made:
    """Starts whose B takes ``change`` times as long; both stages' worth of blocks."""
    random = Random(seed)  # noqa: S311 - made-up figures

    def side(factor: float) -> list[float | None]:
        return [base_s * factor * random.lognormvariate(0, noise / 2**0.5) for _ in range(blocks)]

    values = {Side.A: side(1), Side.B: side(change), Side.CONTROL: side(1)}
    return Made(values, workload=workload)


def only_in_a(run: StoredRun, workload: str) -> StoredRun:
    """The same run with a matrix in which B has no cells of that workload."""
    assert run.record.ab is not None
    sides = (Side.A, Side.CONTROL)
    kept = tuple(s for s in run.samples if not (s.side is Side.B and s.workload == workload))
    planned = {run.record.ab.comparison(s): sides if s.workload == workload else tuple(Side) for s in kept}
    ab = replace(run.record.ab, planned=planned)
    return replace(with_record(run, ab=ab), samples=kept)


def with_record(run: StoredRun, **changes: object) -> StoredRun:
    """The same run with other entries of its record."""
    return replace(run, record=replace(run.record, **changes))  # type: ignore[arg-type]

"""Which figures of which benchmark the gate judges, and how a block of one side comes to one number.

Benchmarks are named here and not imported: reports read result files only. A test holds the table against the
registry, so that a benchmark without an entry is noticed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from isobench.model import Sample
from isobench.reports.gate_values import Metric, Scale, Worse
from isobench.reports.summary import number

_KIB = 1024.0

Reduce = Callable[[Sequence[Sample]], float | None]
"""From the samples of one side and block that count to their one value; None: they do not make one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one metric is judged."""

    metric: Metric
    reads: str
    """The metric of the journal's samples it is made of."""
    reduce: Reduce
    relative: float | None
    """The change as a ratio up to which nobody cares, by default; None: a ratio of it says nothing."""
    floor: float
    """The same as an absolute change, in the metric's unit."""
    why: str
    """Where the default thresholds come from, for people."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is judged of one benchmark, the metric it is about first; or why nothing is."""

    rules: tuple[Rule, ...] = ()
    not_judged: Mapping[str, str] = field(default_factory=dict)
    """Metrics of its samples that are left out, and why."""
    why_not: str = ""
    """Why nothing is."""

    @property
    def primary(self) -> Rule | None:
        """The metric the benchmark is about: noise of earlier runs is about that one."""
        return self.rules[0] if self.rules else None


def _median(samples: Sequence[Sample]) -> float | None:
    values = [sample.value for sample in samples if sample.value is not None]
    return median(values) if values else None


def _median_size(samples: Sequence[Sample]) -> float | None:
    """Of errors, whichever way they point: a limit that gives too little is no better than one too much."""
    values = [abs(sample.value) for sample in samples if sample.value is not None]
    return median(values) if values else None


def _worst_size(samples: Sequence[Sample]) -> float | None:
    return max((abs(sample.value) for sample in samples if sample.value is not None), default=None)


def _share_missed(samples: Sequence[Sample]) -> float | None:
    """The greatest distance of a sibling's share from the promised one, as a part of all CPU time."""
    pairs = [(number(s.detail.get("got")), number(s.detail.get("promised"))) for s in samples]
    return max((abs(got - due) for got, due in pairs if got is not None and due is not None), default=None)


def _slope(samples: Sequence[Sample]) -> float | None:
    """Of the footprint over the number of instances, by least squares; of a step read twice the last."""
    steps = {
        int(count): sample.value
        for sample in samples
        if sample.value is not None and (count := number(sample.detail.get("instances"))) is not None
    }
    # Not a NaN or an infinity: these are for the gate to find.
    if len(steps) < 2 or not all(math.isfinite(value) for value in steps.values()):  # noqa: PLR2004
        return next((value for value in steps.values() if not math.isfinite(value)), None)
    counts, values = np.array(list(steps)), np.array(list(steps.values()))
    apart = counts - counts.mean()
    return float(apart @ values / (apart @ apart))


def _seconds(
    name: str, title: str, reads: str = "", floor_s: float = 0.0005, reduced: str = "median of the block"
) -> Rule:
    metric = Metric(name, title, "second", Scale.RATIO, Worse.HIGHER, reduced)
    return Rule(metric, reads or name, _median, 0.05, floor_s, f"5 % and {floor_s * 1000:g} ms")


def _bytes(name: str, title: str, reads: str, reduce: Reduce, reduced: str) -> Rule:
    # A difference: what a further instance takes may be next to nothing, and below 0 by noise.
    metric = Metric(name, title, "byte", Scale.DIFFERENCE, Worse.HIGHER, reduced)
    return Rule(metric, reads, reduce, 0.03, 256 * _KIB, "3 % and 256 KiB")


def _error(name: str, title: str, reduce: Reduce, reduced: str) -> Rule:
    metric = Metric(name, title, "ratio", Scale.DIFFERENCE, Worse.HIGHER, reduced)
    return Rule(metric, name, reduce, None, 0.01, "1 percentage point")


_READY = _seconds("ready", "time to ready", reduced="median of the starts of a block")
_HOST = Judged(why_not="it is about the host, not about a side")

METRICS: Mapping[str, Judged] = {
    "audit": _HOST,
    "round-trip": Judged(why_not="it is the cost of the instrument, not of a side"),
    "startup": Judged((_READY,)),
    "memory": Judged(
        (
            _bytes(
                "each",
                "memory of each further instance",
                "footprint",
                _slope,
                "slope of the footprint over the number of instances of a block",
            ),
            _bytes("peak", "peak memory of an instance", "peak", _median, "median of the block"),
        )
    ),
    "memory-floor": Judged(
        (_bytes("memory_floor", "least memory it runs with", "memory_floor", _median, "median of the block"),)
    ),
    "throttling": Judged(
        (
            _error(
                "cpu_share_error",
                "error of a CPU limit",
                _median_size,
                "median size of the errors of a block",
            ),
            _seconds("latency_p50", "median latency under a CPU limit"),
            _seconds("latency_p99", "99th percentile of the latency under a CPU limit"),
        ),
        not_judged={"latency_p999": "the 99.9th percentile of one block rests on a handful of requests"},
    ),
    "teardown": Judged(
        (
            _seconds("exit", "time to the end of the process"),
            _seconds("cleaned", "time until it is removed"),
            # Looked at every millisecond.
            _seconds("drained", "time until the kernel is done with it", floor_s=0.001),
            Rule(
                Metric(
                    "residue",
                    "things left behind",
                    "count",
                    Scale.DIFFERENCE,
                    Worse.HIGHER,
                    "those of the block",
                ),
                "residue",
                _median,
                None,
                0.5,
                "a thing more or less",
            ),
        )
    ),
    "density": Judged(
        (
            _READY,
            _bytes("footprint", "memory of those that run", "footprint", _median, "median of the block"),
        )
    ),
    "startup-concurrency": Judged(
        (
            Rule(
                Metric(
                    "rate",
                    "instances a second",
                    "1/second",
                    Scale.RATIO,
                    Worse.LOWER,
                    "that of the block's window",
                ),
                "rate",
                _median,
                0.03,
                0.0,
                "3 %",
            ),
            _READY,
        )
    ),
    "primitives": _HOST,
    "limits": Judged(
        (_error("limit_error", "error of a limit", _median_size, "median size of the errors of a block"),)
    ),
    "accounting": Judged(
        (
            _error(
                "accounting_error",
                "error of an account",
                _worst_size,
                "the greatest error of a block's files",
            ),
        )
    ),
    "freeze": Judged((_seconds("freeze", "time to freeze"), _seconds("thaw", "time to thaw"))),
    "weights": Judged(
        (
            _error(
                "share_error",
                "share of CPU time missed",
                _share_missed,
                "the greatest distance of a sibling's share from the promised one, of all CPU time",
            ),
            # Looked at every 10 ms.
            _seconds("settled", "time until the shares settle", floor_s=0.01),
        )
    ),
    "fake": Judged((_READY,)),
}
"""By benchmark, in the order of the report."""


def judged(benchmark: str) -> Judged:
    """What is judged of a benchmark; of one that another package brought, nothing."""
    return METRICS.get(benchmark) or Judged(why_not="the gate does not know what its figures mean")

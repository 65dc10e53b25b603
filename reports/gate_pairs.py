"""From the journal of a run that compares two sides to one number a side and block.

A block is whole for a metric when A, B and the control each have a value in it and no attempt at one failed.
The order of lines in the journal does not matter, but of two readings of one step the later one counts, and
values of a block that was broken off and measured again do not.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from isobench.journal import ABRecord, RunRecord, StoredRun
from isobench.model import Sample, Side, Status
from isobench.reports.gate_metrics import Rule
from isobench.reports.gate_policy import Subject
from isobench.reports.gate_values import Gap, Scale
from isobench.reports.summary import held_back

RESIDUE = "residue"
"""The metric of a line that tells what a cell has left behind on the host."""

_NEVER = {Status.UNSUPPORTED, Status.UNAVAILABLE}
"""Nobody failed: it cannot be measured."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The samples of one comparison, by side and block."""

    name: str
    subject: Subject
    cells: Mapping[Side, str]
    samples: Mapping[Side, Mapping[int, Sequence[Sample]]]

    @property
    def benchmark(self) -> str:
        """Whose rules decide."""
        return self.subject.benchmark

    def of(self, side: Side) -> Iterator[Sample]:
        """All samples of a side."""
        return (sample for lines in self.samples.get(side, {}).values() for sample in lines)

    def metrics(self) -> tuple[str, ...]:
        """Those that have a value on any side."""
        found = (s.metric for side in Side for s in self.of(side) if s.status is Status.OK)
        return tuple(dict.fromkeys(found))

    def has(self, side: Side, rule: Rule) -> bool:
        """Whether a side has any value of a metric."""
        return any(_counts(sample) and sample.metric == rule.reads for sample in self.of(side))

    def tried(self, side: Side, rule: Rule) -> bool:
        """Whether a side has any attempt at a metric, whatever came of it."""
        return any(sample.metric == rule.reads for sample in self.of(side))

    def lack(self, side: Side, rule: Rule | None = None) -> tuple[bool, str]:
        """Of a side without a value: whether that is a failure, and the reason.

        What cannot be measured has a line that says so, once. So a side without any has lost them.
        """
        bad = [s for s in self.of(side) if s.status is not Status.OK]
        own = [s for s in bad if rule is None or s.metric in {"", rule.reads}]
        for sample in (*own, *bad):
            if sample.status not in _NEVER:
                return True, _reason(sample)
        if bad:
            return False, _reason((*own, *bad)[0])
        lines = tuple(self.of(side))
        if not lines:
            return True, "the journal has no line of it"
        if rule and any(sample.metric == rule.reads for sample in lines):
            return True, "no attempt at it counts"
        return False, "there is no attempt at it"


@dataclass(frozen=True, slots=True)
class Pairs:
    """The blocks of one stage in which all three sides have a value, in their order."""

    planned: int
    blocks: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    control: tuple[float, ...]
    gaps: tuple[Gap, ...]
    a_last: tuple[bool, ...]
    """Whether A ran after its control."""
    fault: str | None = None
    """Why these values cannot be compared at all."""


def comparisons(run: StoredRun, ab: ABRecord) -> tuple[Comparison, ...]:
    """All comparisons, in the order of the run's benchmarks and then of their names."""
    found: dict[str, dict[Side, list[Sample]]] = {}
    configured = {one.shown_as: one.name for one in run.record.isolators}
    for sample in settled(run):
        side = _side(sample, ab, configured)
        if side is not None:
            found.setdefault(ab.comparison(sample), {}).setdefault(side, []).append(sample)
    order = {name: place for place, name in enumerate(run.record.benchmarks)}
    made = [_comparison(name, sides, ab, run.record) for name, sides in found.items()]
    return tuple(sorted(made, key=lambda one: (order.get(one.benchmark, len(order)), one.name)))


def settled(run: StoredRun) -> Iterator[Sample]:
    """The samples without the values of what was broken off: the block has them of one time and no other.

    Failures in it stay: no attempt is repeated until it is green.
    """
    seen: Counter[tuple[str, int]] = Counter()
    for sample in run.samples:
        pair = sample.cell, sample.block
        seen[pair] += 1
        if sample.status is not Status.OK or seen[pair] > run.torn.get(pair, 0):
            yield sample


def _side(sample: Sample, ab: ABRecord, configured: Mapping[str, str]) -> Side | None:
    """Cells may bear a name that tells more than the one in the matrix."""
    side = ab.side(sample.isolator, sample.workload)
    if side is None and ab.by == "isolator" and sample.isolator in configured:
        side = ab.side(configured[sample.isolator], sample.workload)
    return side


def _comparison(
    name: str, sides: Mapping[Side, Sequence[Sample]], ab: ABRecord, record: RunRecord
) -> Comparison:
    lines = [sample for found in sides.values() for sample in found]
    configured = {one.shown_as: one.name for one in record.isolators}
    isolators = {s.isolator for s in lines} | {configured.get(s.isolator, s.isolator) for s in lines}
    workloads = {s.workload for s in lines}
    # A side that was not measured is compared all the same.
    both = {ab.a, ab.b, ab.control}
    subject = Subject(
        benchmark=lines[0].benchmark,
        isolators=frozenset(isolators | both if ab.by == "isolator" else isolators),
        workloads=frozenset(workloads | both if ab.by == "workload" else workloads),
    )
    return Comparison(
        name=name,
        subject=subject,
        cells={side: sides[side][0].cell for side in Side if side in sides},
        samples={side: _by_block(found) for side, found in sides.items()},
    )


def _by_block(samples: Iterable[Sample]) -> dict[int, list[Sample]]:
    found: dict[int, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.block, []).append(sample)
    return found


def pairs(comparison: Comparison, rule: Rule, blocks: range) -> Pairs:
    """The values of one metric in these blocks."""
    gaps: list[Gap] = []
    rows: list[tuple[int, float, float, float]] = []
    for block in blocks:
        values = {side: value_of(comparison.samples.get(side, {}).get(block, ()), rule) for side in Side}
        lacking = [Gap(block, side, value) for side, value in values.items() if isinstance(value, str)]
        gaps += lacking
        if not lacking:
            a, b, control = (float(values[side]) for side in (Side.A, Side.B, Side.CONTROL))
            rows.append((block, a, b, control))
    whole = tuple(row[0] for row in rows)
    return Pairs(
        planned=len(blocks),
        blocks=whole,
        a=tuple(row[1] for row in rows),
        b=tuple(row[2] for row in rows),
        control=tuple(row[3] for row in rows),
        gaps=tuple(gaps),
        a_last=tuple(_a_last(comparison, block) for block in whole),
        fault=_fault(comparison, rule, blocks),
    )


def value_of(samples: Sequence[Sample], rule: Rule) -> float | str:
    """The one number that the samples of a side and block come to, or why there is none."""
    own = [sample for sample in samples if sample.metric in {"", rule.reads}]
    # Whatever was measured beside it: a side that leaves things behind has not done its work.
    left = [sample for sample in samples if sample.metric == RESIDUE]
    bad = [sample for sample in (*own, *left) if sample.status is not Status.OK]
    if bad:
        return _reason(bad[0])
    value = rule.reduce([sample for sample in own if _counts(sample)])
    if value is not None:
        return value
    if any(map(held_back, own)):
        return "other load kept it below its limit"
    others = [sample for sample in samples if sample.status is not Status.OK]
    return _reason(others[0]) if others else "no value"


def _fault(comparison: Comparison, rule: Rule, blocks: range) -> str | None:
    for side in Side:
        for block in blocks:
            for sample in comparison.samples.get(side, {}).get(block, ()):
                if sample.metric == rule.reads and _counts(sample) and (wrong := _wrong(sample, rule)):
                    return f"{_who(side)} has {wrong} in block {block}"
    return None


def _wrong(sample: Sample, rule: Rule) -> str | None:
    value = sample.value
    if value is None or math.isnan(value):
        return "a value that is no number"
    if math.isinf(value):
        return "an infinite value"
    if rule.metric.scale is Scale.RATIO and value <= 0:
        return f"a value of {value:g}, of which there is no ratio,"
    return None


def _who(side: Side) -> str:
    return "the control" if side is Side.CONTROL else side.value


def _counts(sample: Sample) -> bool:
    """Whether an attempt enters the figures: as :func:`isobench.reports.load.counts`, but zeros are told."""
    return (
        sample.status is Status.OK
        and sample.value is not None
        and not sample.detail.get("warmup")
        and not held_back(sample)
    )


def _a_last(comparison: Comparison, block: int) -> bool:
    first, other = (
        max(sample.order for sample in comparison.samples[side][block]) for side in (Side.A, Side.CONTROL)
    )
    return first > other


def _reason(sample: Sample) -> str:
    return sample.reason or f"it ended {sample.status.value}"

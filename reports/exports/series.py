"""The one reduction that all exports share: from attempts to series of values, and what is lost on the way.

A series is what may be put into one sample: the values of one metric of one cell, under one condition. Which
attempts count is the report's rule (:func:`isobench.reports.load.counts`), so an export has the values that
the report of the same run has.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from isobench.errors import CellsFailedError, ResultsError
from isobench.model import Sample, Scalar, Status
from isobench.reports.conditions import condition, placed
from isobench.reports.load import counts
from isobench.reports.units import plain


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one metric of one cell under one condition, in the order of the journal."""

    cell: str
    """The id of the cell."""
    place: str
    """The same; with a condition, as if that were a parameter: ``memory/runc/hold/instances=4``."""
    name: str
    """The place and the metric, ``startup/runc/ready:ready``: unique within a run."""
    isolator: str
    benchmark: str
    workload: str
    params: Mapping[str, Scalar]
    """Those of the cell, and the condition."""
    metric: str
    unit: str
    values: tuple[float, ...]
    """Of the attempts that count, at least one."""
    blocks: tuple[int, ...]
    """In which block of the run each was measured."""
    warmups: tuple[tuple[int, float], ...] = ()
    """(block, value) of the warm-ups, which do not count."""

    def by_block(self) -> Iterator[tuple[int, tuple[float, ...], tuple[float, ...]]]:
        """(block, values, warm-ups) of each block with a value, blocks ascending."""
        values, warmups = _grouped(zip(self.blocks, self.values, strict=True)), _grouped(self.warmups)
        for block in sorted(values):
            yield block, tuple(values[block]), tuple(warmups.get(block, ()))


@dataclass(frozen=True, slots=True)
class Omission:
    """What a format cannot hold."""

    what: str
    """With how many of them there are."""
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


NO_PLACE = "it has no place for them"
RECORD = Omission("run.json (host, matrix, tools, isolators)", NO_PLACE)
REST_OF_RECORD = Omission("what run.json has besides the host (matrix, tools, isolators)", NO_PLACE)


@dataclass(frozen=True, slots=True)
class Export:
    """A run in another tool's format."""

    data: bytes
    values: int
    """How many values of attempts are in it, or stand behind the figures that are."""
    left_out: tuple[Omission, ...] = ()


def series_of(samples: Iterable[Sample]) -> tuple[Series, ...]:
    """All series that have a value, by name.

    Raises :class:`isobench.errors.ResultsError` when one metric of a cell has values in two units.
    """
    found: dict[tuple[str, str, tuple[Scalar, ...]], list[Sample]] = {}
    for sample in samples:
        if counts(sample) or _is_warmup(sample):
            under = tuple(_condition(sample).values())
            found.setdefault((sample.cell, sample.metric, under), []).append(sample)
    taken: set[str] = set()
    whole = (_series(lines, taken) for lines in found.values() if any(counts(line) for line in lines))
    return tuple(sorted(whole, key=lambda one: one.name))


def holding(
    series: Sequence[Series], units: Collection[str], why: str
) -> tuple[tuple[Series, ...], tuple[Omission, ...]]:
    """The series in one of these units, and what of the others is left out."""
    kept = tuple(one for one in series if one.unit in units)
    return kept, of_series([one for one in series if one.unit not in units], why)


def of_series(series: Iterable[Series], why: str) -> tuple[Omission, ...]:
    """Series that are left out for one reason, metric by metric."""
    lost: Counter[tuple[str, str]] = Counter()
    for one in series:
        lost[plain(one.metric), plain(one.unit)] += len(one.values)
    return tuple(
        Omission(f"{number(n, 'value')} of {metric} ({unit})", why)
        for (metric, unit), n in sorted(lost.items())
    )


def of_attempts(samples: Sequence[Sample], *, warmups: bool = False) -> tuple[Omission, ...]:
    """What a format of values leaves out of attempts; ``warmups``: it holds those too."""
    return (*_uncounted(samples, warmups=warmups), *of_details(samples))


def of_details(samples: Sequence[Sample]) -> tuple[Omission, ...]:
    """What attempts have besides their values."""
    n = sum(bool(sample.phases or sample.detail) for sample in samples)
    return (Omission(f"phases and details of {number(n, 'attempt')}", NO_PLACE),) if n else ()


def number(n: int, word: str) -> str:
    """``1 value``, ``1,240 values``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def insist(kept: Sequence[object], format_name: str, left_out: Iterable[Omission]) -> None:
    """Raise :class:`isobench.errors.CellsFailedError` when there is nothing to write."""
    if not kept:
        why = "".join(f"\nleft out: {one}" for one in left_out)
        raise CellsFailedError(f"nothing to export: the run has no value that {format_name} can hold{why}")


def unique(name: str, taken: set[str], joint: str = "_") -> str:
    """That name, or with a number behind it where it is taken already; it is taken afterwards."""
    found, tries = name, 1
    while found in taken:
        tries += 1
        found = f"{name}{joint}{tries}"
    taken.add(found)
    return found


def _grouped(points: Iterable[tuple[int, float]]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for block, value in points:
        found.setdefault(block, []).append(value)
    return found


def _series(lines: Sequence[Sample], taken: set[str]) -> Series:
    first = lines[0]
    units = sorted({line.unit for line in lines})
    if len(units) > 1:
        raise ResultsError(
            f"{first.cell}: the metric {first.metric} has values in {' and in '.join(units)}: "
            "they are no one series"
        )
    under = _condition(first)
    place = placed(first.cell, under)
    own = [line for line in lines if counts(line)]
    return Series(
        cell=first.cell,
        place=place,
        name=unique(plain(f"{place}:{first.metric}").strip(), taken),
        isolator=first.isolator,
        benchmark=first.benchmark,
        workload=first.workload,
        params={**first.params, **under},
        metric=first.metric,
        unit=first.unit,
        values=tuple(line.value for line in own if line.value is not None),
        blocks=tuple(line.block for line in own),
        warmups=tuple((w.block, w.value) for w in lines if _is_warmup(w) and w.value is not None),
    )


def _condition(sample: Sample) -> Mapping[str, Scalar]:
    return condition(sample.benchmark, sample.metric, sample.detail)


def _is_warmup(sample: Sample) -> bool:
    return sample.status is Status.OK and sample.value is not None and bool(sample.detail.get("warmup"))


def _uncounted(samples: Sequence[Sample], *, warmups: bool) -> Iterator[Omission]:
    without = Counter(sample.status.value for sample in samples if sample.value is None)
    if without:
        told = ", ".join(f"{n:,} {status}" for status, n in sorted(without.items()))
        yield Omission(f"{number(without.total(), 'attempt')} without a value ({told})", NO_PLACE)
    warm = sum(_is_warmup(sample) for sample in samples)
    if warm and not warmups:
        yield Omission(number(warm, "warm-up"), "they do not count")
    other = sum(s.value is not None and not counts(s) and not _is_warmup(s) for s in samples)
    if other:
        yield Omission(number(other, "value"), "they do not count: something else than the limit decided")

"""The figures of a run, for formats that hold one number a line: medians, and memory an instance takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isobench.model import Sample, Scalar
from isobench.reports.exports.series import Omission, Series, number, series_of
from isobench.reports.load import FOOTPRINT, cells_of, counts, memory_of
from isobench.reports.stats import MIN_FOR_P90, MIN_FOR_P99, Estimate, median

EACH_INSTANCE = "each_instance"
"""The metric of a memory cell that the report leads with: bytes of the host for each further instance."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that stands for many values."""

    cell: str
    place: str
    """Both as in a series."""
    isolator: str
    benchmark: str
    workload: str
    params: Mapping[str, Scalar]
    metric: str
    unit: str
    estimate: Estimate
    """The median of the values with its interval, or a slope."""
    n: int
    """Values behind it."""
    spread: Mapping[str, float]
    """``min``, ``max`` and the percentiles that so many values carry; empty for a slope."""


def figures_of(samples: Sequence[Sample]) -> tuple[Figure, ...]:
    """All figures, by place and metric."""
    found = [*map(_median, series_of(samples)), *_slopes(samples)]
    return tuple(sorted(found, key=lambda figure: (figure.place, figure.metric)))


def values_behind(figures: Sequence[Figure]) -> int:
    """The values of attempts behind these figures; slopes are made of the same ones."""
    return sum(figure.n for figure in figures if figure.metric != EACH_INSTANCE)


def of_values(figures: Sequence[Figure]) -> tuple[Omission, ...]:
    """What a format of figures leaves out of the values behind them."""
    n = values_behind(figures)
    return (Omission(f"{number(n, 'single value')}", "it holds the median and its interval"),) if n else ()


def _median(series: Series) -> Figure:
    values = np.array(series.values)
    parts = {"p90": (0.9, MIN_FOR_P90), "p99": (0.99, MIN_FOR_P99)}
    return Figure(
        cell=series.cell,
        place=series.place,
        isolator=series.isolator,
        benchmark=series.benchmark,
        workload=series.workload,
        params=series.params,
        metric=series.metric,
        unit=series.unit,
        estimate=median(series.values, series.blocks),
        n=values.size,
        spread={
            "min": float(values.min()),
            **{
                name: float(np.quantile(values, part))
                for name, (part, least) in parts.items()
                if values.size >= least
            },
            "max": float(values.max()),
        },
    )


def _slopes(samples: Sequence[Sample]) -> Iterator[Figure]:
    for cell in cells_of(sample for sample in samples if sample.benchmark == "memory"):
        memory = memory_of(cell)
        if memory is None:
            continue
        first = cell.samples[0]
        yield Figure(
            cell=cell.id,
            place=cell.id,
            isolator=cell.isolator,
            benchmark=cell.benchmark,
            workload=cell.workload,
            params=first.params,
            metric=EACH_INSTANCE,
            unit="byte",
            estimate=memory.total,
            n=sum(counts(sample) and sample.metric == FOOTPRINT for sample in cell.samples),
            spread={},
        )

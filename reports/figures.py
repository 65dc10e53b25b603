"""The one figure that stands for a metric of a cell where many cells, runs or hosts stand side by side.

It is the median, but for a ledger of memory: there it is the slope, what each further instance takes. A
median over one instance and eight would be of nothing.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from isobench.reports.light import Series
from isobench.reports.stats import Estimate, median
from isobench.reports.stats_lines import slopes
from isobench.reports.stats_resample import RESAMPLES
from isobench.reports.stats_runs import sen_slope

_TOTAL = "total"

_WORDS = {"second": ("slower", "faster"), "1/second": ("faster", "slower")}
_MORE_LESS = ("more", "less")


@dataclass(frozen=True, slots=True)
class Steps:
    """The readings of a ledger, each step of a block once."""

    blocks: Sequence[int]
    instances: Sequence[float]
    values: Sequence[float]


def steps(series: Series) -> Steps | None:
    """The readings of a ledger that has a slope; None for any other series.

    Of a step measured again after an interruption the last counts: its block is whole.
    """
    last = {
        (block, count): value
        for block, count, value in zip(series.blocks, series.instances, series.values, strict=False)
        if count
    }
    counts: dict[int, int] = {}
    for block, _ in last:
        counts[block] = counts.get(block, 0) + 1
    if not any(many > 1 for many in counts.values()):
        return None
    return Steps([block for block, _ in last], [count for _, count in last], list(last.values()))


def slope(found: Steps) -> Estimate:
    """What each further instance takes, in bytes; as the report of one run says it."""
    lines = slopes(found.blocks, found.instances, {_TOTAL: found.values}, _TOTAL)
    return lines.lines[_TOTAL].slope


def estimate(series: Series, resamples: int = RESAMPLES) -> Estimate:
    """The figure and its interval within the run."""
    ledger = steps(series)
    return median(series.values, series.blocks, resamples) if ledger is None else slope(ledger)


def quick(series: Series) -> float:
    """The figure without an interval, for a thousand hosts; a slope is Sen's, not the robust line's."""
    ledger = steps(series)
    if ledger is not None:
        found = sen_slope(ledger.blocks, ledger.instances, ledger.values)
        if found is not None:
            return found
    return middle(series.values)


def middle(values: Sequence[float]) -> float:
    """The median alone; for the few values of a cell faster than numpy's."""
    return statistics.median(values)


def words(unit: str) -> tuple[str, str]:
    """What a figure above and below another of its unit is called."""
    return _WORDS.get(unit, _MORE_LESS)

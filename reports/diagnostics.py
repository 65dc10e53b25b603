"""What the samples themselves say against a figure, as typed values with advice; nothing is dropped for it.

Each kind of diagnostic is looked for in all isolators of a run, so the level of its test is divided by their
number (Bonferroni). With the levels below a run of undisturbed starts, normal or lognormal, raises any
diagnostic at all in fewer than 5 of 100 cases; docs/statistics.md has the simulation. A difference of less
than :data:`MIN_CHANGE` is not worth a word, however sure it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
from scipy import special

from isobench.reports import units
from isobench.reports.stats_blocks import block_medians, first_of_block, levels, trend
from isobench.reports.stats_modes import two_modes
from isobench.reports.summary import Startup, Summary

MODES_LEVEL = 0.05
"""The dip test's null is the uniform distribution: others with one peak reach its level far more seldom."""
DRIFT_LEVEL = 0.005
"""For the host as a whole, and again for all isolators together."""
FIRST_LEVEL = LEVELS_LEVEL = OUTLIERS_LEVEL = 0.01

MIN_CHANGE = 0.05
MIN_BLOCK_SHARE = 0.5
"""Of the variance: from here on a start's block says more about it than all else."""
MIN_BLOCKS = 5
"""For an interval that covers 90 times in 100 where blocks differ; see :mod:`isobench.reports.stats`."""
MIN_FOR_OUTLIERS = 10
MIN_TIES = 0.5
"""Part of the values that equal another from which on the clock's steps are in sight."""

_MAD = 0.6745
_MAD_FREEDOM = 0.37
"""Efficiency of the median absolute deviation for normal values: it knows a spread as well as a standard
deviation of so many times the values (Rousseeuw and Croux, JASA 88 (1993))."""


class Severity(StrEnum):
    """How much it matters."""

    WARNING = "warning"
    """The figures may mislead."""
    NOTE = "note"
    """The figures stand; there is more to know."""


@dataclass(frozen=True, slots=True)
class SampleId:
    """One line of a cell's raw samples."""

    cell: str
    row: int
    """From 1, in the order they were recorded."""
    block: int

    def __str__(self) -> str:
        return f"{self.cell}#{self.row}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing the samples say."""

    title: ClassVar[str]
    severity: ClassVar[Severity]
    advice: ClassVar[str]
    """What to do: an action, a command or an entry of the matrix."""

    isolators: tuple[str, ...]
    samples: tuple[SampleId, ...]
    """Those it is about."""

    @property
    def text(self) -> str:
        """A sentence with figures and units."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TwoModes(Diagnostic):
    """Starts go two ways; ``samples`` are those of the smaller mode."""

    title = "Two modes"
    severity = Severity.WARNING
    advice = (
        "Read the two medians, not the one between them; compare the phases of the linked starts with the "
        "others to see which step goes two ways."
    )

    low_s: float
    high_s: float
    share_high: float
    p_value: float

    @property
    def text(self) -> str:
        return (
            f"{_percent(1 - self.share_high)} of the starts take about {units.seconds(self.low_s)}, "
            f"{_percent(self.share_high)} about {units.seconds(self.high_s)}, and few lie between "
            f"(dip test, {_p(self.p_value)}). Both kinds occur within blocks."
        )


@dataclass(frozen=True, slots=True)
class Drift(Diagnostic):
    """Starts took longer and longer, or less and less; ``samples`` are those of the first and last block."""

    title = "Drift"
    severity = Severity.WARNING
    advice = (
        "isobench clean --dry-run shows what earlier runs left behind; let the host come to rest, see "
        "isobench doctor, and run again."
    )

    change: float
    """Ratio less 1 from the first block to the last."""
    blocks: int
    p_value: float
    of_host: bool
    """All isolators together, so it is the host that changed."""

    @property
    def text(self) -> str:
        who = "All isolators together" if self.of_host else "Starts"
        return (
            f"{who} became {_percent(abs(self.change))} {'slower' if self.change > 0 else 'faster'} "
            f"over {self.blocks} blocks (Kendall's test of block medians, {_p(self.p_value)})."
        )


@dataclass(frozen=True, slots=True)
class BlocksDiffer(Diagnostic):
    """The block decides more than the start; ``samples`` are those of the fastest and slowest block."""

    title = "Blocks differ"
    severity = Severity.NOTE
    advice = "The interval knows of it. Raise blocks in [run]: more starts in a block do not narrow it."

    shares: tuple[float, ...]
    """Of each isolator, the part of the variance that lies between its blocks."""
    spread: float
    """The greatest block median over the least, less 1, at most."""
    blocks: int
    p_value: float
    """At most."""

    @property
    def text(self) -> str:
        shares = dict.fromkeys((_percent(min(self.shares)), _percent(max(self.shares))))
        return (
            f"{' to '.join(shares)} of the variance lies between {self.blocks} blocks; the slowest block's "
            f"median is {'up to ' if len(shares) > 1 else ''}{_percent(self.spread)} above the fastest's "
            f"(Kruskal-Wallis test, {_p(self.p_value)})."
        )


@dataclass(frozen=True, slots=True)
class SlowFirstStart(Diagnostic):
    """The first start of a block that counts is slower than the rest; ``samples`` are these first ones."""

    title = "Slow first start"
    severity = Severity.WARNING
    advice = "Raise warmups in [startup] (warmups_vm for virtual machines) by one."

    excess: float
    blocks: int
    p_value: float

    @property
    def text(self) -> str:
        return (
            f"The first start of a block took {_percent(self.excess)} longer than the others of its block, "
            f"in the median of {self.blocks} blocks (rank test, {_p(self.p_value)})."
        )


@dataclass(frozen=True, slots=True)
class Outliers(Diagnostic):
    """Starts far from the others; ``samples`` are these."""

    title = "Outliers"
    severity = Severity.NOTE
    advice = "They are in every figure. See what else the host did at that time: isobench doctor."

    seconds: tuple[float, ...]
    starts: int
    furthest_ratio: float
    """The one furthest off, over the median."""

    @property
    def text(self) -> str:
        places = ", ".join(f"{sample.row} (block {sample.block})" for sample in self.samples[:_NAMED])
        more = f" and {len(self.samples) - _NAMED} more" if len(self.samples) > _NAMED else ""
        return (
            f"{len(self.seconds)} of {self.starts} starts lie far from the others, the furthest at "
            f"{units.times(self.furthest_ratio)} the median: attempt {places}{more}."
        )


@dataclass(frozen=True, slots=True)
class Quantised(Diagnostic):
    """The clock's steps are in sight; ``samples`` are none in particular."""

    title = "Quantised"
    severity = Severity.NOTE
    advice = "Differences below a step mean nothing; see the clock source of the host."

    ties: float
    """Part of the values that equal another."""
    step_s: float

    @property
    def text(self) -> str:
        return (
            f"{_percent(self.ties)} of the starts took exactly as long as another: the clock advances in "
            f"steps of {units.seconds(self.step_s)}."
        )


@dataclass(frozen=True, slots=True)
class FewBlocks(Diagnostic):
    """Intervals rest on few blocks; ``samples`` are none in particular."""

    title = "Few blocks"
    severity = Severity.WARNING
    advice = f"Run at least {MIN_BLOCKS} blocks: blocks = 10 in [run], or isobench run without --quick."

    blocks: int

    @property
    def text(self) -> str:
        return (
            f"Intervals rest on {self.blocks} {'block' if self.blocks == 1 else 'blocks'}: they cannot tell "
            "how much blocks differ, and are too narrow where they do."
        )


def diagnose(summary: Summary) -> tuple[Diagnostic, ...]:
    """All that the starts of a run say, warnings first; nothing is said twice in other words."""
    found = [one for look in _LOOKS for one in look(summary.startups)]
    told = [one for one in found if not any(_covers(other, one) for other in found)]
    return tuple(sorted(told, key=lambda one: one.severity is not Severity.WARNING))


def _covers(one: Diagnostic, other: Diagnostic) -> bool:
    """Whether ``one`` says why there is the other."""
    match one, other:
        case ((TwoModes() | SlowFirstStart()), Outliers()):
            return set(other.samples) <= set(one.samples)
        case Drift(), BlocksDiffer():
            return set(other.isolators) <= set(one.isolators)
        case _:
            return False


def _modes(startups: Sequence[Startup]) -> Iterator[Diagnostic]:
    for startup in startups:
        modes = two_modes(startup.seconds, startup.blocks)
        if modes is None or modes.of_blocks or modes.p_value >= MODES_LEVEL / len(startups):
            continue
        smaller = modes.share_high <= 1 / 2
        yield TwoModes(
            (startup.isolator,),
            _ids(startup, [upper is smaller for upper in modes.upper]),
            modes.low,
            modes.high,
            modes.share_high,
            modes.p_value,
        )


def _drift(startups: Sequence[Startup]) -> Iterator[Diagnostic]:
    host = _host_drift(startups)
    if host:
        yield host
    for startup in startups:
        found = trend(startup.seconds, startup.blocks)
        if (
            found
            and found.p_value < DRIFT_LEVEL / len(startups)
            and abs(found.change) >= MIN_CHANGE
            and not (host and (host.change > 0) == (found.change > 0))  # said already
        ):
            ends = _ends(startup)
            yield Drift((startup.isolator,), ends, found.change, found.blocks, found.p_value, of_host=False)


def _host_drift(startups: Sequence[Startup]) -> Drift | None:
    """A trend of what all isolators of the same blocks have in common: the median of their block medians."""
    blocks = max((set(startup.blocks) for startup in startups), key=len, default=set())
    alike = [startup for startup in startups if set(startup.blocks) == blocks]
    if len(alike) < _MIN_ISOLATORS:
        return None
    columns = np.log([block_medians(startup.seconds, startup.blocks)[1] for startup in alike])
    common = np.exp(np.median(columns - columns.mean(axis=1, keepdims=True), axis=0))
    found = trend(common.tolist(), sorted(blocks))
    if not found or found.p_value >= DRIFT_LEVEL or abs(found.change) < MIN_CHANGE:
        return None
    samples = tuple(sample for startup in alike for sample in _ends(startup))
    names = tuple(startup.isolator for startup in alike)
    return Drift(names, samples, found.change, found.blocks, found.p_value, of_host=True)


def _levels(startups: Sequence[Startup]) -> Iterator[Diagnostic]:
    """One for all isolators: mostly it is the host that differs."""
    differing = [
        (startup, found)
        for startup in startups
        if (found := levels(startup.seconds, startup.blocks))
        and found.p_value < LEVELS_LEVEL / len(startups)
        and found.share >= MIN_BLOCK_SHARE
        and found.spread >= MIN_CHANGE
    ]
    if differing:
        yield BlocksDiffer(
            tuple(startup.isolator for startup, _ in differing),
            tuple(sample for startup, _ in differing for sample in _extremes(startup)),
            tuple(found.share for _, found in differing),
            max(found.spread for _, found in differing),
            max(found.blocks for _, found in differing),
            max(found.p_value for _, found in differing),
        )


def _firsts(startups: Sequence[Startup]) -> Iterator[Diagnostic]:
    for startup in startups:
        found = first_of_block(startup.seconds, startup.blocks)
        if found and found.p_value < FIRST_LEVEL / len(startups) and found.excess >= MIN_CHANGE:
            firsts = [block not in startup.blocks[:place] for place, block in enumerate(startup.blocks)]
            yield SlowFirstStart(
                (startup.isolator,), _ids(startup, firsts), found.excess, found.blocks, found.p_value
            )


def _outliers(startups: Sequence[Startup]) -> Iterator[Diagnostic]:
    level = OUTLIERS_LEVEL / max(1, sum(len(startup.seconds) for startup in startups))
    for startup in startups:
        far = _far_out(startup.seconds, level)
        if not any(far):
            continue
        typical = float(np.median(startup.seconds))
        outside = tuple(value for value, is_far in zip(startup.seconds, far, strict=True) if is_far)
        ratios = [value / typical for value in outside]
        furthest = max(ratios, key=lambda ratio: max(ratio, 1 / ratio))
        yield Outliers((startup.isolator,), _ids(startup, far), outside, len(startup.seconds), furthest)


def _far_out(values: Sequence[float], level: float) -> list[bool]:
    """Which values undisturbed ones, normal or lognormal, would exceed with a chance of ``level`` each.

    Distances from the median in robust standard deviations, of the values and of their logarithms: the lesser
    counts, and the wider of both sides' spread and its own, as starts have a longer upper tail. Against
    Student's quantile, as the spread is itself an estimate.
    """
    if len(values) < MIN_FOR_OUTLIERS:
        return [False] * len(values)
    limit = float(special.stdtrit(_MAD_FREEDOM * (len(values) - 1), 1 - level / 2))
    distances = np.full(len(values), np.inf)
    for column in (np.asarray(values), np.log(values)):
        from_middle = column - np.median(column)
        away = np.abs(from_middle)
        for side in (from_middle >= 0, from_middle < 0):
            if side.any():
                spread = max(float(np.median(away)), float(np.median(away[side]))) / _MAD
                distances[side] = np.minimum(distances[side], away[side] / spread if spread > 0 else 0)
    return [bool(far) for far in distances > limit]


def _steps(startups: Sequence[Startup]) -> Iterator[Diagnostic]:
    for startup in startups:
        found, counts = np.unique(startup.seconds, return_counts=True)
        ties = float(counts[counts > 1].sum() / counts.sum())
        if len(startup.seconds) >= MIN_FOR_OUTLIERS and ties >= MIN_TIES and found.size > 1:
            yield Quantised((startup.isolator,), (), ties, float(np.diff(found).min()))


def _few_blocks(startups: Sequence[Startup]) -> Iterator[Diagnostic]:
    few = [s for s in startups if s.ready.median.interval and len(set(s.blocks)) < MIN_BLOCKS]
    if few:
        least = min(len(set(startup.blocks)) for startup in few)
        yield FewBlocks(tuple(startup.isolator for startup in few), (), least)


_LOOKS: tuple[Callable[[Sequence[Startup]], Iterator[Diagnostic]], ...] = (
    _few_blocks,
    _drift,
    _modes,
    _firsts,
    _levels,
    _outliers,
    _steps,
)
_MIN_ISOLATORS = 3
"""Of fewer it cannot be told whether the host or one of them changed."""
_NAMED = 3


def _ids(startup: Startup, chosen: Sequence[bool]) -> tuple[SampleId, ...]:
    return tuple(
        SampleId(startup.cell.id, row, block)
        for row, block, is_chosen in zip(startup.rows, startup.blocks, chosen, strict=True)
        if is_chosen
    )


def _ends(startup: Startup) -> tuple[SampleId, ...]:
    """The samples of the first and the last block."""
    ends = {min(startup.blocks), max(startup.blocks)}
    return _ids(startup, [block in ends for block in startup.blocks])


def _extremes(startup: Startup) -> tuple[SampleId, ...]:
    """The samples of the fastest and the slowest block."""
    names, medians = block_medians(startup.seconds, startup.blocks)
    ends = {names[medians.index(min(medians))], names[medians.index(max(medians))]}
    return _ids(startup, [block in ends for block in startup.blocks])


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"  # noqa: PLR2004 - three decimals are told

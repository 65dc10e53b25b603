"""What the samples themselves say against a figure, as typed values with advice; nothing is dropped for it.

:mod:`isobench.reports.diagnose` finds them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from isobench.reports import units
from isobench.reports.stats_lines import OUTLYING

MIN_BLOCKS = 5
"""For an interval that covers 90 times in 100 where blocks differ; see :mod:`isobench.reports.stats`."""

_NAMED = 3
"""Outliers that are named one by one."""


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
    """What to do."""
    remedy: ClassVar[str | None] = None
    """A command that helps with it."""

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
        "Read the two medians, not the one between them. On a busy host the slow ones may have waited for "
        "a CPU: see what else runs."
    )
    remedy = "ps -eo pcpu,pid,args --sort=-pcpu"

    low_s: float
    high_s: float
    share_high: float
    p_value: float
    parting: tuple[str, str] | None
    """The phases between which most of the difference arises; None where none has half of it."""

    @property
    def text(self) -> str:
        where = ""
        if self.parting:
            begin, end = (phase.replace("_", " ") for phase in self.parting)
            where = f" They part between {begin} and {end}."
        return (
            f"{_percent(1 - self.share_high)} of the starts take about {units.seconds(self.low_s)}, "
            f"{_percent(self.share_high)} about {units.seconds(self.high_s)}, and few lie between "
            f"(dip test, {_p(self.p_value)}). Both kinds occur within blocks.{where}"
        )


@dataclass(frozen=True, slots=True)
class Drift(Diagnostic):
    """Starts took longer and longer, or less and less; ``samples`` are those of the first and last block."""

    title = "Drift"
    severity = Severity.WARNING
    advice = "See what earlier runs left behind, let the host come to rest, and run again."
    remedy = "isobench clean --dry-run"

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
    advice = "They are in every figure. See what of the host disturbs measurements."
    remedy = "isobench doctor"

    seconds: tuple[float, ...]
    starts: int
    furthest_ratio: float
    """The one furthest off, over the median."""

    @property
    def text(self) -> str:
        return (
            f"{len(self.seconds)} of {self.starts} starts lie far from the others, the furthest at "
            f"{units.times(self.furthest_ratio)} the median: {_places(self.samples)}."
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


@dataclass(frozen=True, slots=True)
class OutlyingReadings(Diagnostic):
    """Readings of memory that do not agree with the others; ``samples`` are these."""

    title = "Outlying readings"
    severity = Severity.NOTE
    advice = (
        "Something else took or freed memory meanwhile: see ps -eo rss,pid,args --sort=-rss and run again."
    )

    readings: int
    """Of the same cell, these included."""

    @property
    def text(self) -> str:
        return (
            f"{len(self.samples)} of {self.readings} readings of memory lie off the line through the others "
            f"and weigh less than {OUTLYING:g} in it: {_places(self.samples)}."
        )


def _places(samples: tuple[SampleId, ...]) -> str:
    named = ", ".join(f"{sample.row} (block {sample.block})" for sample in samples[:_NAMED])
    more = f" and {len(samples) - _NAMED} more" if len(samples) > _NAMED else ""
    return f"attempt {named}{more}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"  # noqa: PLR2004 - three decimals are told

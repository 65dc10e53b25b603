"""Looks for what the samples of a run say against its figures.

Each kind of diagnostic is looked for in all isolators of a run, so the level of its test is divided by their
number (Bonferroni). With the levels below a run of undisturbed starts, normal or lognormal, raises any
diagnostic at all in fewer than 5 of 100 cases; docs/statistics.md has the simulation. A difference of less
than :data:`MIN_CHANGE` is not worth a word, however sure it is.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from scipy import special

from isobench.model import PHASES
from isobench.reports.diagnostics import (
    MIN_BLOCKS,
    BlocksDiffer,
    Diagnostic,
    Drift,
    FewBlocks,
    Outliers,
    OutlyingReadings,
    Quantised,
    SampleId,
    Severity,
    SlowFirstStart,
    TwoModes,
)
from isobench.reports.stats_blocks import block_medians, first_of_block, levels, trend
from isobench.reports.stats_modes import Modes, two_modes
from isobench.reports.summary import Memory, Startup, Summary

MODES_LEVEL = 0.05
"""The dip test's null is the uniform distribution: others with one peak reach its level far more seldom."""
DRIFT_LEVEL = 0.005
"""For the host as a whole, and again for all isolators together."""
FIRST_LEVEL = LEVELS_LEVEL = OUTLIERS_LEVEL = 0.01

MIN_CHANGE = 0.05
MIN_BLOCK_SHARE = 0.5
"""Of the variance: from here on a start's block says more about it than all else."""
MIN_FOR_OUTLIERS = 10
MIN_TIES = 0.5
"""Part of the values that equal another from which on the clock's steps are in sight."""

_MAD = 0.6745
_MAD_FREEDOM = 0.37
"""Efficiency of the median absolute deviation for normal values: it knows a spread as well as a standard
deviation of so many times the values (Rousseeuw and Croux, JASA 88 (1993))."""
_MIN_ISOLATORS = 3
"""Of fewer it cannot be told whether the host or one of them changed."""

_INVOKE, _READY = PHASES[0], "ready"


def diagnose(summary: Summary) -> tuple[Diagnostic, ...]:
    """All that the samples of a run say, warnings first; nothing is said twice in other words."""
    found = [one for look in _LOOKS for one in look(summary.startups)]
    found += _outlying_readings(summary.memories)
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
            _parting(startup, modes),
        )


def _parting(startup: Startup, modes: Modes) -> tuple[str, str] | None:
    """Of the steps of a start that all of them tell apart, the one in which most of the difference arises."""
    stamps = [startup.cell.samples[row - 1].phases for row in startup.rows]
    told = [phase for phase in PHASES if all(phase in each for each in stamps)]
    upto_ready = told[: told.index(_READY) + 1] if _READY in told else told
    upper = np.array(modes.upper)
    reached = {_INVOKE: np.zeros(len(stamps))}
    reached |= {phase: np.array([each[phase] for each in stamps]) for phase in upto_ready}
    gaps = {
        step: float(np.median(taken[upper]) - np.median(taken[~upper]))
        for step in pairwise(reached)
        if (taken := reached[step[1]] - reached[step[0]]).size
    }
    widest = max(gaps, key=lambda step: gaps[step], default=None)
    return widest if widest and gaps[widest] >= (modes.high - modes.low) / 2 else None


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
        far = far_out(startup.seconds, level)
        if not any(far):
            continue
        typical = float(np.median(startup.seconds))
        outside = tuple(value for value, is_far in zip(startup.seconds, far, strict=True) if is_far)
        ratios = [value / typical for value in outside]
        furthest = max(ratios, key=lambda ratio: max(ratio, 1 / ratio))
        yield Outliers((startup.isolator,), _ids(startup, far), outside, len(startup.seconds), furthest)


def far_out(values: Sequence[float], level: float) -> list[bool]:
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


def _outlying_readings(memories: Sequence[Memory]) -> Iterator[Diagnostic]:
    for memory in memories:
        if memory.outlying:
            samples = memory.cell.samples
            found = tuple(SampleId(memory.cell.id, row, samples[row - 1].block) for row in memory.outlying)
            yield OutlyingReadings((memory.isolator,), found, memory.blocks * len(memory.counts))


_LOOKS: tuple[Callable[[Sequence[Startup]], Iterator[Diagnostic]], ...] = (
    _few_blocks,
    _drift,
    _modes,
    _firsts,
    _levels,
    _outliers,
    _steps,
)


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

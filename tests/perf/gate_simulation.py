"""What rules of a gate do, by simulation with the very statistics of ours; prints tables, asserts nothing.

    python -m tests.perf.gate_simulation [--families 1000] [--seed 20110]

A family is one run: 60 comparisons of 20 blocks. ln of a value is a drift of the host, alike for all that is
measured at that time, and noise of its own. The noise is heavy-tailed, nine parts normal and one part three
times as wide, where nothing else is said. The standard deviation of a comparison's d is drawn evenly in the
logarithm from 1 to 30 %, or given. Within a block the sides stand in a random order, a slot each; the host
drifts by a random walk from slot to slot and by a straight line over the run.

A few minutes on two CPUs.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats
from tests.ab_runs import Made, ab_run

from isobench.journal import StoredRun
from isobench.model import Side
from isobench.reports import gate_stats
from isobench.reports.gate_history import entries_of
from isobench.reports.gate_plan import plan
from isobench.reports.gate_policy import DEFAULT_POLICY, Subject

CELLS, BLOCKS, ALPHA = 60, 20, 0.05
DELTA = 0.05
LIMIT = math.log1p(DELTA)

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

_WIDE_SHARE, _WIDE = 0.1, 3.0
_UNIT = math.sqrt(1 - _WIDE_SHARE + _WIDE_SHARE * _WIDE**2)
"""Standard deviation of the mixture before it is scaled to 1."""
_CHUNK = 50
"""Families simulated at once: some 50 MB."""


@dataclass(frozen=True)
class World:
    """How values come about."""

    spread: float | None = None
    """Standard deviation of d of every comparison; None: from 1 to 30 %."""
    tails: bool = True
    """Heavy ones; else the noise is normal."""
    change: float = 0.0
    """Of all comparisons, as a ratio."""
    changed: float = 0.0
    """Of the first comparison besides."""
    step: float = 0.002
    """Of the random walk, a slot."""
    slope: float = 0.2
    """Of the straight line, over a stage."""


@dataclass(frozen=True)
class Stage:
    """ln B/A and ln A'/A: family x comparison x block."""

    d: Floats
    control: Floats


def noise(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Heavy-tailed, of standard deviation 1."""
    wide = np.where(random.random(shape) < _WIDE_SHARE, _WIDE, 1.0)
    return np.asarray(random.normal(size=shape) * wide / _UNIT)


def drawn(random: np.random.Generator, world: World, families: int, blocks: int = BLOCKS) -> Stage:
    """One stage of so many families."""
    shape = (families, CELLS, blocks, 3)
    walk = np.cumsum(random.normal(0, world.step, (families, 1, blocks * 3)), axis=-1)
    line = np.linspace(0, world.slope, blocks * 3)
    drift = np.broadcast_to((walk + line).reshape(families, 1, blocks, 3), shape)
    order = np.argsort(random.random(shape), axis=-1)
    sds = np.exp(random.uniform(math.log(0.01), math.log(0.3), (families, CELLS)))
    if world.spread:
        sds[:] = world.spread
    made = noise(random, shape) if world.tails else random.normal(size=shape)
    own = made * sds[:, :, None, None] / math.sqrt(2)
    values = np.take_along_axis(drift, order, axis=-1) + own
    values[..., 1] += math.log1p(world.change)
    values[:, 0, :, 1] += math.log1p(world.changed)
    return Stage(values[..., 1] - values[..., 0], values[..., 2] - values[..., 0])


def rejected(d: Floats, limit: float) -> Floats:
    """The p-values of "not worse than the limit"."""
    return gate_stats.p_above(gate_stats.walsh(d), limit)


def point_median(first: Stage, _: Callable[[], Stage]) -> Flags:
    """The median is more than 5 % off."""
    return np.asarray(np.median(first.d, axis=-1) > LIMIT)


def significant_and_large(first: Stage, _: Callable[[], Stage]) -> Flags:
    """With p < .05 of no change at all, and a median of more than 5 %."""
    return point_median(first, _) & (rejected(first.d, 0.0) < ALPHA)


def holm_over_all(first: Stage, _: Callable[[], Stage]) -> Flags:
    """By the p-value of not more than 5 %, Holm over all comparisons."""
    return np.asarray(gate_stats.holm(rejected(first.d, LIMIT)) < ALPHA)


def screen_and_confirm(first: Stage, second: Callable[[], Stage]) -> Flags:
    """Ours, controls included; a test holds it against :func:`isobench.reports.gate.judge`."""
    averages = gate_stats.walsh(first.d)
    worse, better = gate_stats.p_above(averages, LIMIT), gate_stats.p_below(averages, -LIMIT)
    candidates = (worse < ALPHA) | (better < ALPHA)
    found = np.zeros(candidates.shape, np.bool_)
    if not candidates.any():
        return found
    fresh = second()
    for family in np.flatnonzero(candidates.any(axis=-1)):
        chosen = np.flatnonzero(candidates[family])
        averages = gate_stats.walsh(fresh.d[family, chosen])
        p_worse, p_better = gate_stats.p_above(averages, LIMIT), gate_stats.p_below(averages, -LIMIT)
        slower = worse[family, chosen] < ALPHA
        confirmed = gate_stats.holm(np.where(slower, p_worse, p_better)) < ALPHA
        found[family, chosen] = confirmed & slower & _controlled(fresh.control[family, chosen])
    return found


def _controlled(control: Floats) -> Flags:
    averages = gate_stats.walsh(control)
    p = np.minimum(gate_stats.p_above(averages, LIMIT), gate_stats.p_below(averages, -LIMIT))
    return np.asarray((p >= ALPHA) & (np.abs(np.median(averages, axis=-1)) <= LIMIT))


RULES: dict[str, Callable[[Stage, Callable[[], Stage]], Flags]] = {
    "point median > 5 %": point_median,
    "no change p < .05, median > 5 %": significant_and_large,
    "not above 5 %, Holm over all 60": holm_over_all,
    "screen, confirm fresh with Holm": screen_and_confirm,
}


def found(rule: str, world: World, families: int, seed: int, blocks: int = BLOCKS) -> Flags:
    """Which comparisons of which family a rule calls worse; the same data for every rule of a seed."""
    random = np.random.default_rng(seed)
    parts = []
    for done in range(0, families, _CHUNK):
        count = min(_CHUNK, families - done)
        first, second = (drawn(random, world, count, blocks) for _ in range(2))
        parts.append(RULES[rule](first, lambda second=second: second))  # type: ignore[misc]
    return np.concatenate(parts)


def rules_table(families: int, seed: int) -> Table:
    """GATE's question: any false alarm, and power."""
    table = Table(title=f"{CELLS} comparisons, {BLOCKS} blocks, {families} families", title_justify="left")
    table.add_column("rule")
    for title in (
        "any false alarm, no change",
        "any, all exactly at +5 %",
        "one of 60 is +10 %, sd 5 %: found",
        "heavy tails",
        "sd 10 %",
    ):
        table.add_column(title, justify="right")
    worlds = (
        World(tails=False, spread=0.05, changed=0.1),
        World(spread=0.05, changed=0.1),
        World(spread=0.1, changed=0.1),
    )
    for rule in RULES:
        table.add_row(
            rule,
            _share(found(rule, World(), families, seed).any(axis=-1)),
            _share(found(rule, World(change=DELTA), families, seed).any(axis=-1)),
            *(_share(found(rule, world, families, seed)[:, 0]) for world in worlds),
        )
    return table


def drift_table(families: int, seed: int) -> Table:
    """One comparison, nothing changed, on a host that drifts: A first and then B, or paired in blocks."""
    random = np.random.default_rng(seed)
    table = Table(title=f"False alarms at .05 under drift, {families} runs a row", title_justify="left")
    table.add_column("drift")
    for title in ("A then B, t", "A then B, Mann-Whitney", "paired, no change", "paired, not above 5 %"):
        table.add_column(title, justify="right")
    for name, step, slope in (("none", 0.0, 0.0), ("random walk", 0.01, 0.0), ("walk and line", 0.01, 0.1)):
        slots = 2 * BLOCKS
        walk = np.cumsum(random.normal(0, step, (families, slots)), axis=-1)
        host = walk + np.linspace(0, slope, slots)
        values = np.exp(host + 0.05 * noise(random, host.shape))
        a, b = values[:, :BLOCKS], values[:, BLOCKS:]
        t = stats.ttest_ind(b, a, axis=-1, equal_var=False, alternative="greater").pvalue
        u = stats.mannwhitneyu(b, a, axis=-1, alternative="greater").pvalue
        # The same values in blocks of two, which of them is A thrown for each.
        flip = np.where(random.random((families, BLOCKS)) < 0.5, 1, -1)
        d = flip * np.diff(np.log(values).reshape(families, BLOCKS, 2), axis=-1)[..., 0]
        tests = (t, u, rejected(d, 0.0), rejected(d, LIMIT))
        table.add_row(name, *(_share(p < ALPHA) for p in tests))
    return table


def interval_table(samples: int, seed: int) -> Table:
    """How often the exact interval holds the true value, and a change of the detectable size is found."""
    random = np.random.default_rng(seed)
    table = Table(title=f"The interval, and the detectable change, {samples} comparisons a row")
    table.title_justify = "left"
    for title in (
        "blocks",
        "holds it, normal",
        "heavy tails",
        "skewed",
        "detectable, in sd of d",
        "found, normal",
        "heavy tails",
    ):
        table.add_column(title, justify="right")
    for blocks in (12, 16, 20, 30, 40):
        shape = (samples, blocks)
        factor = gate_stats.detectable_factor(blocks, alpha=ALPHA)
        normal, heavy = random.normal(size=shape), noise(random, shape)
        # Differences of two skewed values, as of start-up times: symmetric again, which pairing brings about.
        skewed = np.subtract(*random.lognormal(0, 0.5, (2, *shape)))
        table.add_row(
            str(blocks),
            *(_share(_covered(d)) for d in (normal, heavy, skewed)),
            f"{factor:.3f}",
            *(_share(rejected(d + factor, 0.0) < ALPHA) for d in (normal, heavy)),
        )
    return table


def _covered(d: Floats) -> Flags:
    low, high = gate_stats.interval(gate_stats.walsh(d))
    return np.asarray((low <= 0) & (high >= 0))


def plan_table(histories: int, seed: int) -> Table:
    """What plans for +10 % ask for by a history of three runs, and how often both stages then find it."""
    table = Table(
        title=f"Plans for +10 %, {BLOCKS} blocks, {histories} histories a row", title_justify="left"
    )
    for title in (
        "sd of a start in its block",
        "sd that blocks add",
        "planned starts, 5 of 100",
        "median",
        "95 of 100",
        "found by both stages, 5 of 100",
        "median",
    ):
        table.add_column(title, justify="right")
    subjects = {"startup/ready": Subject("startup", frozenset({"old"}), frozenset({"ready"}))}
    for within, between in ((0.05, 0.03), (0.12, 0.02), (0.3, 0.0)):
        planned = []
        for number in range(histories):
            runs = [_starts(within, between, seed + 3 * number + part) for part in range(3)]
            known = [entry for run in runs for entry in entries_of(run)]
            made = plan(known, subjects, DEFAULT_POLICY, blocks=BLOCKS, detect=0.1)
            planned.append(made.starts or 1)
        low, middle, high = (int(value) for value in np.percentile(planned, [5, 50, 95]))
        random = np.random.default_rng(seed)
        powers = [f"{_both_stages(random, within, between, starts):.3f}" for starts in (low, middle)]
        table.add_row(f"{within:g}", f"{between:g}", str(low), str(middle), str(high), *powers)
    return table


def _starts(within: float, between: float, seed: int, count: int = 20) -> StoredRun:
    """A run of so many starts a side and block, in which nothing changed."""
    random = np.random.default_rng(seed)
    shape = (3, 2 * BLOCKS, count)
    values = np.exp(
        random.normal(0, between / math.sqrt(2), (*shape[:2], 1)) + random.normal(0, within, shape)
    )
    run = ab_run(Made({side: [1.0] * 2 * BLOCKS for side in Side}), seed=seed)
    sides = list(Side)
    lines = [
        replace(line, value=float(value))
        for line in run.samples
        for value in values[sides.index(line.side), line.block]
    ]
    return replace(run, samples=tuple(lines))


def _both_stages(
    random: np.random.Generator, within: float, between: float, starts: int, runs: int = 1000
) -> float:
    """How often a B that is 10 % slower is found, with that many starts a side and block."""

    def side() -> Floats:
        own = np.median(random.normal(0, within, (runs, BLOCKS, starts)), axis=-1)
        return np.asarray(own + random.normal(0, between / math.sqrt(2), (runs, BLOCKS)))

    def found(a: Floats) -> Flags:
        return np.asarray(rejected(side() + math.log1p(0.1) - a, LIMIT) < ALPHA)

    fresh = side()
    return float(np.mean(found(side()) & found(fresh) & _controlled(side() - fresh)))


def _share(flags: Flags | np.bool) -> str:
    return f"{np.mean(flags):.3f}"


def tables(families: int, seed: int) -> Iterator[Table]:
    """All of them."""
    yield rules_table(families, seed)
    yield drift_table(4 * families, seed)
    yield interval_table(10 * families, seed)
    yield plan_table(max(10, families // 40), seed)


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20_110)
    asked = parser.parse_args()
    console = Console(width=120)
    console.print(f"seed {asked.seed}")
    for table in tables(asked.families, asked.seed):
        console.print(table)


if __name__ == "__main__":
    main()

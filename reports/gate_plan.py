"""How many blocks and starts a comparison needs to see what it is asked to see, by how things alike differed.

The median of K starts scatters less than one start, but not without end: blocks differ too, and then only
more of them help. So the variance of d is taken as ``blocks + starts * v(K)``, v(K) that of the median of K
normal values, both parts fitted to the spreads that earlier runs had with fewer and more starts. A plan asks
for more than the gate's own "detectable" (4 times in 5): a change is to be found 19 times in 20, by both
stages (docs/adr/0018).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy import optimize

from isobench.reports import gate_stats
from isobench.reports.gate_history import BY_STARTS, AAEntry, usual_distance
from isobench.reports.gate_metrics import Rule, judged
from isobench.reports.gate_policy import Policy, Subject
from isobench.reports.gate_stage import off_scale, on_scale
from isobench.reports.gate_threshold import is_noisy, threshold
from isobench.reports.gate_values import Metric, Threshold

SURE = 0.998
"""Chance that one stage finds the change asked for, if the history knew its spread exactly. It knows it to a
fifth. Of the plans by three simulated runs that asked for the fewest starts, 5 of 100, both stages found it
in 95 of 100; with 0.975, which would be 0.95 for both, in 83 (docs/adr/0018)."""
BLOCKS = (20, 24, 30, 40, 60, 80, 120, 160, 240)
"""That a plan chooses from: the first where nothing is asked for, else the least time that shows it."""
_LONGER = 2
"""Times what the first of these takes: a job must not grow to hours for the metric that scatters most."""
MOST_STARTS = 200
"""A side and block. More blocks do as much as more starts then, and bear a bad minute better."""
LEAST_STARTS = 3
"""A median of fewer is no protection against one odd start."""


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What is planned for one metric of one comparison."""

    comparison: str
    metric: Metric
    runs: int
    """Earlier ones that it rests on."""
    starts: int | None
    """Starts a side and block; None: the benchmark has no such."""
    a: float
    """The median of A's block values before, in the metric's unit."""
    threshold: Threshold
    noise: float | None
    """How far things alike usually lay apart, as a ratio; None: not known, or it raises no threshold here."""
    spread: float
    """Expected robust standard deviation of d, on the metric's scale."""
    detectable: float
    """The change found 4 times in 5, as a ratio or in the metric's unit."""
    sure: float
    """The change found 19 times in 20, by both stages."""
    wanted: float
    """The change it is planned for."""
    stage_s: float
    """Seconds that one stage takes, all three sides."""
    lack: str | None = None
    """Why the change wanted would not be seen, whatever is planned; None: it would."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Of a whole run."""

    blocks: int
    starts: int | None
    """Starts a side and block, the most that any comparison needs; None: as the matrix has it."""
    lines: tuple[PlanLine, ...]
    unknown: tuple[str, ...] = ()
    """The comparisons nothing is known of yet; they have no line."""

    @property
    def stage_s(self) -> float:
        """Seconds of the first stage; a second one takes as long at most."""
        # Metrics of one comparison come out of the same turns.
        return sum({line.comparison: line.stage_s for line in self.lines}.values())

    @property
    def noise(self) -> dict[str, float]:
        """By comparison, as :class:`isobench.journal.ABRecord` keeps it for the verdict."""
        return {line.comparison: line.noise for line in self.lines if line.noise is not None}


def plan(
    entries: Sequence[AAEntry],
    subjects: Mapping[str, Subject],
    policy: Policy,
    *,
    blocks: int | None = None,
    detect: float | None = None,
    starts: int | None = None,
) -> Plan:
    """The plan for comparisons; ``subjects`` has them by name. Those without a history are only named.

    ``detect``: the change as a ratio to be seen; None: twice the threshold of each metric. ``blocks``,
    ``starts``: so many are asked for. Without either, a plan for a change that is asked for has the blocks
    and starts that show it in the least time: starts divide what varies from one to the next, blocks all.
    It takes no longer than twice what the fewest blocks would.
    """
    asked = [
        _asked(name, subject, rule, tuple(one for one in entries if _is_about(one, name, rule)))
        for name, subject in subjects.items()
        for rule in judged(subject.benchmark).rules
    ]
    free = blocks is None and starts is None and detect is not None
    numbers = BLOCKS if free else (blocks or BLOCKS[0],)
    made = [_plan(asked, policy, number, detect, starts) for number in numbers]
    short = [one for one in made if one.stage_s <= _LONGER * made[0].stage_s]
    return min(short, key=lambda one: (sum(line.lack is not None for line in one.lines), one.stage_s))


def _plan(
    asked: Sequence["_Asked"], policy: Policy, blocks: int, detect: float | None, starts: int | None
) -> Plan:
    """With so many blocks."""
    known = [one for one in asked if one.entries]
    if starts is None:
        needed = [k for one in known if (k := one.starts(policy, blocks, detect)) is not None]
        starts = max(needed, default=None)
    lines = tuple(one.line(policy, blocks, detect, starts) for one in known)
    with_history = {one.comparison for one in known}
    unknown = dict.fromkeys(one.comparison for one in asked if one.comparison not in with_history)
    return Plan(blocks, starts, lines, tuple(unknown))


def _is_about(entry: AAEntry, comparison: str, rule: Rule) -> bool:
    return (entry.comparison, entry.metric) == (comparison, rule.metric.name)


def _asked(name: str, subject: Subject, rule: Rule, entries: tuple[AAEntry, ...]) -> "_Asked":
    parts = variances([one.spreads for one in entries]) if entries else (0.0, 0.0)
    return _Asked(name, subject, rule, entries, parts)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One metric of one comparison, and what is known of it."""

    comparison: str
    subject: Subject
    rule: Rule
    entries: tuple[AAEntry, ...]
    variances: tuple[float, float]
    """Of d: the part that more starts leave, and the part they divide."""

    @property
    def by_starts(self) -> bool:
        return self.subject.benchmark in BY_STARTS

    @property
    def a(self) -> float:
        return median(one.a for one in self.entries)

    def noise(self, starts: int | None) -> float | None:
        """Of earlier runs with about so many starts, where it raises the threshold of the verdict too."""
        if not is_noisy(self.subject.benchmark, self.rule):
            return None
        return usual_distance(self.entries, starts if self.by_starts else None)

    def threshold(self, policy: Policy, detect: float | None, starts: int | None) -> Threshold:
        return threshold(
            self.rule,
            (self.a, self.a),
            override=policy.override(self.subject, self.rule.metric.name),
            detect=detect,
            noise=self.noise(starts),
        )

    def spread(self, starts: int | None) -> float:
        """Expected with so many starts."""
        if not self.by_starts or starts is None:
            return median(one.spreads[max(one.spreads)] for one in self.entries)
        between, within = self.variances
        return math.sqrt(between + within * gate_stats.median_variance(starts))

    def wanted(self, limit: Threshold, detect: float | None) -> float:
        """The change to be seen, as the threshold is given."""
        if detect is None or self.rule.relative is None:
            return 2 * limit.delta
        return detect if self.ratio else detect * self.a

    @property
    def ratio(self) -> bool:
        return on_scale(1.0, self.rule.metric.scale) != 1.0

    def beyond(self, limit: Threshold, detect: float | None) -> float:
        """How far the change wanted lies beyond the threshold, on the metric's scale."""
        scale = self.rule.metric.scale
        return on_scale(self.wanted(limit, detect), scale) - on_scale(limit.delta, scale)

    def starts(self, policy: Policy, blocks: int, detect: float | None) -> int | None:
        """The fewest that do; MOST_STARTS where none do; None where the benchmark has no such."""
        if not self.by_starts:
            return None
        factor = gate_stats.detectable_factor(blocks, alpha=policy.gate.alpha, power=SURE)
        between, within = self.variances

        def show_it(count: int) -> bool:
            room = self.beyond(self.threshold(policy, detect, count), detect) / factor
            return room > 0 and between + within * gate_stats.median_variance(count) <= room * room

        return next(filter(show_it, range(LEAST_STARTS, MOST_STARTS)), MOST_STARTS)

    def line(self, policy: Policy, blocks: int, detect: float | None, starts: int | None) -> PlanLine:
        scale, alpha = self.rule.metric.scale, policy.gate.alpha
        limit, spread = self.threshold(policy, detect, starts), self.spread(starts)
        size = on_scale(limit.delta, scale)
        shown, sure = (
            off_scale(size + gate_stats.detectable_factor(blocks, alpha=alpha, power=power) * spread, scale)
            for power in (gate_stats.POWER, SURE)
        )
        wanted = self.wanted(limit, detect)
        own = starts if self.by_starts else None
        values = own or 1
        turn_s = median(one.turn_s + values * one.value_s for one in self.entries)
        return PlanLine(
            comparison=self.comparison,
            metric=self.rule.metric,
            runs=len({one.run_id for one in self.entries}),
            starts=own,
            a=self.a,
            threshold=limit,
            noise=self.noise(starts),
            spread=spread,
            detectable=shown,
            sure=sure,
            wanted=wanted,
            stage_s=3 * blocks * turn_s,
            lack=None if sure <= wanted * _NEARLY else self._lack(policy, blocks, detect, limit),
        )

    def _lack(self, policy: Policy, blocks: int, detect: float | None, limit: Threshold) -> str:
        beyond = self.beyond(limit, detect)
        if beyond <= 0:
            return f"it is within the threshold ({limit.reason})"
        needed = gate_stats.blocks_for(beyond / self.spread(MOST_STARTS), alpha=policy.gate.alpha, power=SURE)
        return (
            f"the host scatters too much; {needed} blocks would show it"
            if needed > blocks
            else ("more starts would show it")
        )


_NEARLY = 1.02
"""A plan rounds its starts up and its forecast is no more exact than this."""


def variances(histories: Sequence[Mapping[int, float]]) -> tuple[float, float]:
    """The part of the variance of d that more starts leave, and the part they divide, both 0 or more.

    Least squares on relative errors: a spread is known to a part of itself (Lawson and Hanson, Solving Least
    Squares Problems (1974), chapter 23). The median over histories: one restless run does not decide.
    """
    fits = [_fit(history) for history in histories]
    middle = [float(np.median([fit[at] for fit in fits])) for at in (0, 1)]
    return middle[0], middle[1]


def _fit(history: Mapping[int, float]) -> tuple[float, float]:
    rows = [(starts, spread) for starts, spread in history.items() if spread > 0]
    if not rows:
        return 0.0, 0.0
    weights = np.array([1 / spread**2 for _, spread in rows])
    design = np.array([[1.0, gate_stats.median_variance(starts)] for starts, _ in rows])
    found, _ = optimize.nnls(design * weights[:, None], np.ones(len(rows)))
    return float(found[0]), float(found[1])

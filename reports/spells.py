"""The readings of one CPU limit as the report sees them: errors, and the stalls they tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from isobench.model import Sample
from isobench.reports.stats import Estimate
from isobench.reports.stats import median as estimate
from isobench.reports.summary import CellSummary, Isolator, number


@dataclass(frozen=True, slots=True)
class Spell:
    """One cell: an isolator under one limit, with the readings that count."""

    isolator: Isolator
    cell: CellSummary
    samples: tuple[Sample, ...]

    @property
    def limit(self) -> tuple[float, int, int, int | None]:
        """CPUs, period in µs, burst in µs, threads where they were asked for."""
        params = self.cell.samples[0].params
        threads = number(params.get("threads"))
        return (
            number(params.get("cpus")) or 0.0,
            int(number(params.get("period_us")) or 0),
            int(number(params.get("burst_us")) or 0),
            None if threads is None else int(threads),
        )

    @property
    def error(self) -> Estimate:
        """The signed error, its median."""
        return estimate([one.value or 0.0 for one in self.samples], [one.block for one in self.samples])

    def values(self, key: str) -> list[float]:
        """One entry of the detail, of those that have it."""
        return [found for one in self.samples if (found := number(one.detail.get(key))) is not None]

    def middle(self, key: str) -> float | None:
        """Its median."""
        found = self.values(key)
        return median(found) if found else None

    def timeline(self) -> dict[int, list[tuple[float, float]]]:
        """Stalls by thread over the first periods of the first reading, in s."""
        found: dict[int, list[tuple[float, float]]] = {}
        threads = int(number(self.samples[0].detail.get("threads")) or 1)
        found |= {number: [] for number in range(min(threads, SHOWN_THREADS))}
        for thread, begin, end in _told(_SPAN, self.samples[0], "timeline_us"):
            found.setdefault(thread, []).append((begin / 1e6, end / 1e6))
        return found

    def stall_bins(self) -> dict[int, float]:
        """Stalls a second of each bin, over all readings; ``bin_begin`` tells where a bin begins."""
        found: Counter[int] = Counter()
        for one in self.samples:
            for place, times in _told(_BIN, one, "stall_bins"):
                found[place] += times
        seconds = sum(self.values("window_s")) or 1.0
        return {place: times / seconds for place, times in sorted(found.items())}


_SPAN = re.compile(r"(\d{1,3}):(\d{1,15})-(\d{1,15})", re.ASCII)
_BIN = re.compile(r"(\d{1,3}):(\d{1,15})", re.ASCII)


def _told(form: re.Pattern[str], sample: Sample, key: str) -> Iterator[tuple[int, ...]]:
    """The numbers of each word of that form; others are not the agent's, and the report has a run to show."""
    for word in str(sample.detail.get(key) or "").split():
        if found := form.fullmatch(word):
            yield tuple(map(int, found.groups()))


SHOWN_THREADS = 4
"""So many threads of a workload tell their stalls one by one."""

SHOWN_PERIODS = 3
"""Of the timeline."""


def bin_begin(place: int) -> float:
    """The shortest stall of that bin, in s: four bins an octave of ns."""
    return float(2 ** (place // 4) * (1 + place % 4 / 4)) / 1e9


def worst(spells: Sequence[Spell]) -> dict[tuple[float, int], float]:
    """The error by CPUs and period: without burst; of several thread counts that furthest from 0."""
    found: dict[tuple[float, int], float] = {}
    for spell in spells:
        cpus, period_us, burst_us, _ = spell.limit
        if not burst_us:
            key = (cpus, period_us)
            found[key] = max(found.get(key, 0.0), spell.error.value, key=abs)
    return found


def runs(stalls: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """What lies between stalls, from 0 to the end."""
    found, at = [], 0.0
    for begin, until in sorted(stalls):
        if begin > at:
            found.append((at, min(begin, end)))
        at = max(at, until)
    return [*found, (at, end)] if at < end else found

"""When the starts of an open loop are due, and what came of a window: arithmetic over the agent's events.

Times are CLOCK_MONOTONIC of the host in ns, unless a name says otherwise.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Literal, TypeAlias

from isobench.model import Event
from isobench.starter import Load

_NS_PER_S = 1e9

Arrivals: TypeAlias = Literal["even", "poisson"]


def due(rate: float, count: int, arrivals: Arrivals, seed: str) -> tuple[int, ...]:
    """When each of ``count`` starts is due, in ns since the beginning of the window, ``rate`` a second.

    ``even``: the i-th after i / rate, the first at once. ``poisson``: exponential gaps drawn from ``seed``,
    as independent users make them; the same seed gives the same gaps.
    """
    if arrivals == "even":
        return tuple(round(number / rate * _NS_PER_S) for number in range(count))
    draw = Random(seed)  # noqa: S311 - arrivals, not a secret
    gaps = (draw.expovariate(rate) for _ in range(count))
    return tuple(round(at * _NS_PER_S) for at in accumulate(gaps))


@dataclass(frozen=True, slots=True)
class Window:
    """What came of the starts of one window."""

    seconds: float
    """How long it was: as asked for, or until the last of a limited number of starts was begun."""
    begun: int
    offered: int
    """Starts that were to be begun: in a closed loop those that were."""
    late: int
    """Begun late, for all workers were busy when they were due."""
    missed: int
    """Never begun: still waiting when the window ended."""
    completed: int
    """Ended well and were cleaned up before the window's end."""
    failed: int
    in_flight_max: int
    """Most instances between invoke and cleaned at one moment."""
    drain_s: float
    """From the window's end until the last instance was gone."""

    @property
    def rate(self) -> float:
        """Completed starts a second."""
        return self.completed / self.seconds


def account(load: Load, begin_ns: int, events: Sequence[Event], ok: Sequence[bool]) -> Window:
    """The window that began at ``begin_ns``, from its ``attempt`` events; ``ok`` says which of them count.

    Where the number of starts is limited and was reached, the window ends as the last of them is begun:
    afterwards fewer and fewer are in flight, which says nothing about the rate with all of them.
    """
    end_ns = begin_ns + round(load.window_s * _NS_PER_S)
    if load.due_ns is None and len(events) == load.starts:
        end_ns = max(event.invoke_ns for event in events)
    offered = len(events) if load.due_ns is None else len(load.due_ns)
    return Window(
        seconds=(end_ns - begin_ns) / _NS_PER_S,
        begun=len(events),
        offered=offered,
        late=sum(event.late for event in events),
        missed=offered - len(events),
        completed=sum(well and gone_ns(event) <= end_ns for event, well in zip(events, ok, strict=True)),
        failed=len(events) - sum(ok),
        in_flight_max=in_flight_max(events),
        drain_s=max(0.0, max(map(gone_ns, events), default=end_ns) - end_ns) / _NS_PER_S,
    )


def gone_ns(event: Event) -> int:
    """When an instance was over: the last thing about it that was stamped."""
    return event.invoke_ns + max(event.phases_ns.values(), default=0)


def in_flight_max(events: Sequence[Event]) -> int:
    """Most instances alive at one moment; one that ends in the moment another begins is over by then."""
    return max(accumulate(change for _, change in sorted(_changes(events))), default=0)


def _changes(events: Sequence[Event]) -> Iterator[tuple[int, int]]:
    for event in events:
        yield event.invoke_ns, 1
        # One that could not even be started was there for no time at all.
        yield max(gone_ns(event), event.invoke_ns + 1), -1


def count_within(rate: float, window_s: float, most: int) -> int:
    """How many starts an open loop has in a window, the last due before its end; ``most`` at most."""
    return min(most, max(1, math.ceil(rate * window_s)))

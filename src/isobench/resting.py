"""The waits of a run: before each turn until the kernel has cleaned up after the turn before."""

from collections.abc import Callable
from dataclasses import replace

from isobench.isolators.drain import Drained
from isobench.journal import RestRecord

LIMIT_S = 1.0
"""A host that others keep busy never comes to rest; a usual drain takes a twentieth of this."""

_MOST_TOLD = 5


class Rests:
    """The waits of one run."""

    def __init__(self, wait: Callable[[float], Drained], before: RestRecord | None = None) -> None:
        """``before``: what a run that goes on has waited for already."""
        self._wait = wait
        self.record = before or RestRecord(limit_s=LIMIT_S)

    def take(self) -> None:
        """Wait until the host has come to rest, LIMIT_S at most."""
        drained = self._wait(LIMIT_S)
        old = self.record
        self.record = replace(
            old,
            waits=old.waits + 1,
            seconds=old.seconds + drained.seconds,
            longest_s=max(old.longest_s, drained.seconds),
            unfinished=old.unfinished + bool(drained.left),
            left=tuple(dict.fromkeys((*old.left, *drained.left)))[:_MOST_TOLD],
            lingering=old.lingering + drained.lingering,
        )

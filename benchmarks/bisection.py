"""The search for the least limit that works, where the same limit may work once and fail the next time."""

from collections import Counter
from dataclasses import dataclass, field
from math import isqrt

_GEOMETRIC = 4
"""While the ends are further apart than this ratio their geometric mean is tried, then their mean."""


@dataclass(slots=True)
class Bisection:
    """Limits are whole numbers of steps. Ask for the ``next`` one, tell how it went with ``add``.

    A limit that failed once does not work, however often it did besides: the search then goes on above it.
    It ends when the least limit that works has worked ``confirm`` times and the one below has failed, or
    after ``budget`` attempts.
    """

    most: int
    confirm: int
    budget: int
    successes: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)

    @property
    def attempts(self) -> int:
        """Those made so far."""
        return self.successes.total() + self.failures.total()

    @property
    def below(self) -> int:
        """The greatest limit that failed; 0: none did."""
        return max(self.failures, default=0)

    @property
    def least(self) -> int | None:
        """The least limit that works as far as is known; None: none does."""
        return min((limit for limit in self.successes if limit > self.below), default=None)

    @property
    def confirmed(self) -> bool:
        """The limit has worked often enough, and with one step less it failed (or there is no step less)."""
        least = self.least
        return least is not None and least - self.below == 1 and self.successes[least] >= self.confirm

    @property
    def monotonic(self) -> bool:
        """No limit failed that worked too, or with less."""
        return min(self.successes, default=self.below + 1) > self.below

    def next(self) -> int | None:
        """The limit to try; None: the search is over."""
        if self.attempts >= self.budget or self.confirmed:
            return None
        least = self.least
        if least is None:
            return self.most if self.below < self.most else None
        return least if least - self.below == 1 else self._middle(least)

    def _middle(self, least: int) -> int:
        low = max(1, self.below)
        middle = isqrt(low * least) if least > _GEOMETRIC * low else (self.below + least) // 2
        return min(max(middle, self.below + 1), least - 1)

    def add(self, limit: int, *, worked: bool) -> None:
        """The outcome of one attempt."""
        (self.successes if worked else self.failures)[limit] += 1

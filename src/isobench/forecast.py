"""How long the rest of a run will take: the benchmark's guess, then what its blocks took."""

from collections.abc import Iterable, Mapping


class Forecast:
    """The turns of a run that are still to come, with the seconds each is expected to take."""

    def __init__(self, expected_s: Mapping[str, float], turns: Iterable[str]) -> None:
        """``expected_s`` is the first guess by cell id; ``turns`` names the cell of each turn to come."""
        self._guess = dict(expected_s)
        self._took: dict[str, list[float]] = {}
        self._left: dict[str, int] = {}
        for cell in turns:
            self._left[cell] = self._left.get(cell, 0) + 1

    def took(self, cell: str, seconds: float) -> None:
        """One turn of the cell is over."""
        self._took.setdefault(cell, []).append(seconds)
        self._left[cell] -= 1

    def left_s(self) -> float:
        """Seconds until the end of the run."""
        return sum(count * self._one_s(cell) for cell, count in self._left.items())

    def _one_s(self, cell: str) -> float:
        took = self._took.get(cell)
        return sum(took) / len(took) if took else self._guess[cell]

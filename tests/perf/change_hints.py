"""How often a hint of a change of level comes from nothing, and how often a change is found; asserts nothing.

    python -m tests.perf.change_hints [SERIES]

Of so many simulated series (2000 unless said) of normal values, in percent: those with a hint though nothing
had changed, where values are independent and where each leans on the one before (correlation 0.5); and those
with a hint within a run of a change in their middle, of 1, 2 and 4 standard deviations. Two minutes.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from isobench.reports.changes import changes

RUNS = (8, 12, 20, 30, 50, 100)
STEPS = (1.0, 2.0, 4.0)
LEANING = 0.5
SEED = 11

_Floats = NDArray[np.float64]


def still(random: np.random.Generator, runs: int) -> _Floats:
    """Nothing changes, and no run knows of another."""
    return random.normal(size=runs)


def leaning(random: np.random.Generator, runs: int) -> _Floats:
    """Nothing changes, but a slow host tends to be slow tomorrow."""
    new = random.normal(size=runs)
    values = new.copy()
    for at in range(1, runs):
        values[at] = LEANING * values[at - 1] + np.sqrt(1 - LEANING**2) * new[at]
    return values


def percent(series: int, hit: Callable[[], bool]) -> float:
    """In how many of so many series it happened."""
    return 100 * sum(hit() for _ in range(series)) / series


def hinted(values: _Floats) -> bool:
    """A change is hinted at anywhere."""
    return bool(changes(values.tolist()))


def changed(random: np.random.Generator, runs: int, step: float) -> bool:
    """The one in the middle is, where the level changes by so many standard deviations."""
    values, middle = still(random, runs), runs // 2
    values[middle:] += step
    return any(abs(change.at - middle) <= 1 for change in changes(values.tolist()))


def row(random: np.random.Generator, runs: int, series: int) -> Iterator[float]:
    """All figures for series of so many runs."""
    yield percent(series, lambda: hinted(still(random, runs)))
    yield percent(series, lambda: hinted(leaning(random, runs)))
    for step in STEPS:
        yield percent(series, partial(changed, random, runs, step))


def main(series: int = 2000) -> None:
    """Print the table."""
    table = Table("runs", "independent", "leaning", *(f"{step:g} sd" for step in STEPS))
    random = np.random.default_rng(SEED)
    for runs in RUNS:
        table.add_row(str(runs), *(f"{share:.1f}" for share in row(random, runs, series)))
    Console().print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

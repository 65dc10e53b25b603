"""How often the interval of a comparison of two runs holds the truth, when nothing changed; asserts nothing.

    python -m tests.perf.runs_apart [PAIRS]

Of so many simulated pairs of runs (2000 unless said) whose values scatter by 10 %, by 5 % between blocks, and
besides by so much from run to run. The table of :mod:`isobench.reports.stats_runs`; a minute.
"""

import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from isobench.reports.stats_runs import ratio_between_runs

SHAPES = ((5, 20), (10, 20), (20, 10))
"""Blocks, and values in each."""
APART = (0.0, 0.02, 0.05)
WITHIN, BETWEEN_BLOCKS = 0.10, 0.05
SEED = 13
RESAMPLES = 500


def one_run(random: np.random.Generator, blocks: int, values: int, apart: float) -> list[float]:
    """Its values, block after block; the truth is 1."""
    own = random.normal(0, apart)
    of_blocks = np.repeat(random.normal(0, BETWEEN_BLOCKS, blocks), values)
    drawn: list[float] = np.exp(own + of_blocks + random.normal(0, WITHIN, blocks * values)).tolist()
    return drawn


def holds(random: np.random.Generator, blocks: int, values: int, apart: float) -> bool:
    """The interval of the ratio of two such runs has 1 in it."""
    names = [block for block in range(blocks) for _ in range(values)]
    one, other = (one_run(random, blocks, values, apart) for _ in range(2))
    found = ratio_between_runs(one, names, other, names, RESAMPLES).interval
    return found is not None and found.low <= 1 <= found.high


def main() -> None:
    """Print the table."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    table = Table(title=f"The interval holds the truth, of 100 ({pairs} pairs a cell)", title_justify="left")
    for title in ("blocks x values", *(f"{apart:.0%} apart" for apart in APART)):
        table.add_column(title, justify="right")
    random = np.random.default_rng(SEED)
    for blocks, values in SHAPES:
        found = (sum(holds(random, blocks, values, apart) for _ in range(pairs)) / pairs for apart in APART)
        table.add_row(f"{blocks} x {values}", *(f"{100 * share:.1f}" for share in found))
    Console().print(table)


if __name__ == "__main__":
    main()

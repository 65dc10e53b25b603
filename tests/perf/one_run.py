"""What a report of one long run takes, and a comparison of two.

``python -m tests.perf.one_run``: the report of runs of 1,000, 10,000 and 100,000 samples (the aim for the
last is 10 s and 600 MiB), and what changed between two runs of 1,000 and of 10,000 (the aim is 2 s), in the
terminal and as a page. The runs are made up by ``tests/perf/fleet.py``; each command is a process of its own.
It prints, and judges nothing.
"""

import tempfile
from pathlib import Path

from rich.table import Table
from tests.perf import costs

LONG = (1_000, 10_000, 100_000)
PAIRS = (1_000, 10_000)


def made_up(folder: Path, samples: int, runs: int) -> list[Path]:
    """Result folders of one host. Not by this process: what it takes would count as its children's memory."""
    costs.measured("tests.perf.fleet", folder, "1", str(samples), str(runs))
    return sorted(folder.glob("*/*"))


def reports(scratch: Path) -> Table:
    """A row a length of a run."""
    table = costs.table("Report of one run", "samples")
    page = scratch / "report.html"
    for samples in LONG:
        runs = made_up(scratch / f"one-{samples}", samples, 1)
        table.add_row(f"{samples:,}", *costs.isobench("report", *runs, "-o", page).cells(page))
    return table


def comparisons(scratch: Path) -> Table:
    """Two rows a length of the runs."""
    table = costs.table("Two runs compared", "samples each", "command")
    page = scratch / "compare.html"
    for samples in PAIRS:
        runs = made_up(scratch / f"two-{samples}", samples, 2)
        table.add_row(f"{samples:,}", "compare", *costs.isobench("compare", *runs).cells())
        cost = costs.isobench("report", *runs, "-o", page)
        table.add_row(f"{samples:,}", "report", *cost.cells(page))
    return table


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as scratch:
        for made in (reports, comparisons):
            print(costs.conditions())
            costs.show(made(Path(scratch)))


if __name__ == "__main__":
    main()

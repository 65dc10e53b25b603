"""What the lake and the page over many hosts take as fleets grow, and where their limit lies.

``python -m tests.perf.fleet_scale [FOLDER]`` makes up fleets of 100, 1,000 and 10,000 hosts of 200 samples,
and of 1,000 hosts of 1,000 (``--fleet 500x200`` others; may be repeated), and runs on each of them what a lab
would: adding to the lake, questions before and after compaction, the report. Each command is a process of its
own. What is written stays below FOLDER, or is removed at the end where none is given (2.5 GB). It prints, and
judges nothing; a busy host changes the times much more than the CPU times.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.perf import costs

FLEETS = ("100x200", "1000x200", "10000x200", "1000x1000")
CELL = "startup/runc/ready"
QUESTIONS = (
    ("trend", CELL, "--host", "host-00007"),
    ("trend", CELL),
    ("fleet", CELL, "--to-bare"),
    ("outliers", CELL),
    ("hosts",),
    ("list",),
    ("sql", "SELECT isolator, median(value) FROM samples WHERE counts GROUP BY isolator"),
)


def rows(folder: Path, hosts: int, samples: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table, each as soon as it is measured."""
    results, lake, page = folder / "results", folder / "lake", folder / "hosts.html"
    made = costs.measured("tests.perf.fleet", results, str(hosts), str(samples))
    yield "making the fleet up", *made.cells(results)
    yield "history add", *costs.isobench("history", "add", results, "--lake", lake).cells(lake)
    yield "history add, once more", *costs.isobench("history", "add", results, "--lake", lake).cells()
    yield from _questions(lake, "a file a run")
    yield "history compact", *costs.isobench("history", "compact", "--lake", lake).cells(lake)
    yield "history add, once more", *costs.isobench("history", "add", results, "--lake", lake).cells()
    yield from _questions(lake, "compacted")
    yield "report", *costs.isobench("report", results, "-o", page).cells(page)


def _questions(lake: Path, state: str) -> Iterator[tuple[str, ...]]:
    for words in QUESTIONS:
        shown = " ".join(("history", words[0], *(word for word in words[2:] if "-" in word)))
        yield f"{shown} ({state})", *costs.isobench("history", *words, "--lake", lake).cells()


def main() -> None:
    """Print a table a fleet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where to write, a new folder")
    parser.add_argument("--fleet", action="append", metavar="HOSTSxSAMPLES")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = wanted.folder or Path(scratch)
        for fleet in wanted.fleet or FLEETS:
            hosts, samples = map(int, fleet.split("x"))
            print(costs.conditions(), flush=True)
            table = costs.table(f"{hosts:,} hosts of {samples:,} samples", "command")
            for row in rows(folder / fleet, hosts, samples):
                print(*row, sep="  ", file=sys.stderr, flush=True)  # it takes minutes
                table.add_row(*row)
            costs.show(table)


if __name__ == "__main__":
    main()

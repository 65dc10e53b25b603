"""What the recorder of stalls in ``spin`` costs and sees, against stops of known length.

Another thread of the agent stops the one that records, by a signal whose handler notes by the same clock from
when to when it kept the thread. Whatever the kernel needs to deliver the signal lengthens the gap, not the
stop: a stop shorter than the threshold may be seen for that.

``python -m tests.perf.gaps``; it prints, and judges nothing.
"""

import json
import subprocess
from typing import Any

from rich.console import Console
from rich.table import Table

from isobench.isolators.rootfs import agent_binary

COUNT = 300


def measured(threshold_us: int) -> list[dict[str, Any]]:
    """A line for each length of a stop."""
    argv = [str(agent_binary()), "gaps", "--count", str(COUNT), "--threshold-us", str(threshold_us)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def gap_table() -> Table:
    """Stops seen, and by how much their gaps are longer."""
    table = Table(title="Stops of a thread, and what its own record shows", title_justify="left")
    for title in ("threshold", "stop", "seen", "longest missed", "gap longer by, p50", "p99", "a reading"):
        table.add_column(title, justify="right")
    for threshold_us in (10, 50):
        for line in measured(threshold_us):
            table.add_row(
                f"{threshold_us} µs",
                f"{line['length_ns'] / 1e3:g} µs",
                f"{line['seen']} of {line['stops']}",
                f"{line['longest_missed_ns'] / 1e3:.1f} µs" if line["longest_missed_ns"] else "none",
                f"{line['excess_p50_ns'] / 1e3:.1f} µs",
                f"{line['excess_p99_ns'] / 1e3:.1f} µs",
                f"{line['run_ns'] / max(1, line['readings']):.1f} ns",
            )
    return table


if __name__ == "__main__":
    Console(width=110).print(gap_table())

"""Check that the newest run has samples of every isolator: ``check_samples.py [RESULTS]``.

`make bench` succeeds with whatever a host has, as it should; in CI an isolator that drops out is a failure.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ISOLATORS = ("bare", "chroot", "namespaces", "cgroups", "lxc", "runc", "qemu")
BENCHMARKS = ("startup", "memory", "throttling")
UNSUPPORTED = {("bare", "throttling"), ("chroot", "throttling"), ("namespaces", "throttling")}
"""These have no CPU limit of their own, by nature."""


def count_ok(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    """(isolator, benchmark) → samples with a figure, warm-ups left out.

    ``qemu-tcg`` and ``qemu-kvm`` count as qemu.
    """
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        sample = json.loads(line)
        warmup = (sample.get("detail") or {}).get("warmup", False)
        if sample["status"] == "ok" and sample["value"] is not None and not warmup:
            isolator = "qemu" if sample["isolator"].startswith("qemu") else sample["isolator"]
            found[isolator, sample["benchmark"]] += 1
    return found


def missing(found: Counter[tuple[str, str]]) -> list[str]:
    """``benchmark/isolator`` of every cell that should have a sample and has none."""
    return [
        f"{benchmark}/{isolator}"
        for benchmark in BENCHMARKS
        for isolator in ISOLATORS
        if (isolator, benchmark) not in UNSUPPORTED and not found[isolator, benchmark]
    ]


def duration(run: Path) -> str:
    """How long the run took, and how much of that was measuring; to be read, never judged."""
    try:
        record = json.loads((run / "run.json").read_text())
        wall_s, timed_s = float(record["wall_s"]), float(record["timed_s"])
    except (OSError, ValueError, KeyError) as error:
        return f"duration unknown: {type(error).__name__}: {error}"
    share = f"{timed_s / wall_s:.0%}" if wall_s else "nothing"
    return f"wall time {wall_s:.1f} s, {share} of it in timed sections"


def main(results: Path) -> int:
    """Print a table of counts and the duration; 1 when something is missing."""
    journals = sorted(results.glob("*/samples.jsonl"), key=lambda path: path.stat().st_mtime)
    if not journals:
        print(f"check_samples: no run in {results}", file=sys.stderr)
        return 1
    found = count_ok(journals[-1].read_text().splitlines())
    print(f"samples in {journals[-1].parent}")
    for isolator in ISOLATORS:
        counts = "  ".join(f"{name} {found[isolator, name]:4}" for name in BENCHMARKS)
        print(f"  {isolator:<11} {counts}")
    print(duration(journals[-1].parent))
    if lacking := missing(found):
        print(f"check_samples: no samples of {', '.join(lacking)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("results")))

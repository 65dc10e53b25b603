"""Check that the newest run has samples of every isolator and no failure: ``check_samples.py [RESULTS]``.

`make bench` succeeds with whatever a host has, as it should; in CI an isolator that drops out is a failure.
The other way round it fails when a single start did not come off, as it should too; but once in a great
while an emulated guest hangs in its boot (docs/isolators/qemu.md), which is no fault of a change that CI is
to judge. One such start is told, a second is a failure.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ISOLATORS = ("bare", "chroot", "namespaces", "cgroups", "lxc", "runc", "qemu")
BENCHMARKS = ("startup", "memory", "throttling")
UNSUPPORTED = {("bare", "throttling"), ("chroot", "throttling"), ("namespaces", "throttling")}
"""These have no CPU limit of their own, by nature."""

_HUNG_AT_MOST = 1


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


def broken(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """``cell: reason`` of the attempts that did not come off: guests hung in their boot, and all others."""
    hung, others = list[str](), list[str]()
    for line in lines:
        sample = json.loads(line)
        if sample["status"] not in ("failed", "timeout"):
            continue
        reason = str(sample["reason"])
        boot = sample["isolator"] == "qemu-tcg" and reason.startswith("not ready in time")
        (hung if boot and sample["status"] == "timeout" else others).append(f"{sample['cell']}: {reason}")
    return hung, others


def unfinished(run: Path) -> str | None:
    """What a run lacks that came to its end and was reported; None: nothing."""
    record = json.loads((run / "run.json").read_text())
    if record["status"] != "finished":
        return f"the run is {record['status']}"
    return None if (run / "report.html").is_file() else "there is no report.html"


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
    record = json.loads((run / "run.json").read_text())
    wall_s, timed_s = float(record["wall_s"]), float(record["timed_s"])
    share = f"{timed_s / wall_s:.0%}" if wall_s else "nothing"
    return f"wall time {wall_s:.1f} s, {share} of it in timed sections"


def faults(run: Path, lines: list[str], found: Counter[tuple[str, str]]) -> Iterator[str]:
    """Why this run is none to pass with, one sentence each."""
    if lack := unfinished(run):
        yield lack
    if lacking := missing(found):
        yield f"no samples of {', '.join(lacking)}"
    hung, others = broken(lines)
    yield from others
    if len(hung) > _HUNG_AT_MOST:
        yield f"{len(hung)} guests hung in their boot: {'; '.join(hung)}"


def main(results: Path) -> int:
    """Print a table of counts and the duration; 1 when something is missing or failed."""
    journals = sorted(results.glob("*/samples.jsonl"), key=lambda path: path.stat().st_mtime)
    if not journals:
        print(f"check_samples: no run in {results}", file=sys.stderr)
        return 1
    run, lines = journals[-1].parent, journals[-1].read_text().splitlines()
    found = count_ok(lines)
    print(f"samples in {run}")
    for isolator in ISOLATORS:
        counts = "  ".join(f"{name} {found[isolator, name]:4}" for name in BENCHMARKS)
        print(f"  {isolator:<11} {counts}")
    print(duration(run))
    for start in broken(lines)[0]:
        print(f"hung in its boot: {start}")
    told = list(faults(run, lines, found))
    for fault in told:
        print(f"check_samples: {fault}", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("results")))

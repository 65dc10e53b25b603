"""Result folders of many hosts, made up and written fast: what merging, the lake and reports are tried on.

A fleet has the shape that the quick matrix gives, in figures that depend on nothing but the seed. Its hosts
are of four builds (CPU and kernel), differ by some 10 % from one another and now and then by much; every
fiftieth has a cell that failed. ``python -m tests.perf.fleet FOLDER HOSTS SAMPLES [RUNS]`` writes one.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from isobench.journal import PAIRS_FILE, RUN_FILE, SAMPLES_FILE, IsolatorRecord, RunRecord, ToolRecord
from isobench.journal_writer import encode
from isobench.model import Status

BLOCKS = 5
FIRST = datetime(2026, 1, 1, 2, tzinfo=UTC)
BUILDS = (
    ("Xeon Gold 6330 @ 2.00GHz", "6.1.0-18-amd64", 1.0),
    ("EPYC 7543", "6.1.0-18-amd64", 0.8),
    ("EPYC 7543", "6.12.9-amd64", 0.75),
    ("Neoverse-N1", "6.8.0-45-generic", 1.3),
)
"""CPU, kernel, and how many times a start takes as long as on the first."""

STARTS = {
    "bare": 0.0002,
    "chroot": 0.00025,
    "namespaces": 0.0009,
    "cgroups": 0.0004,
    "lxc": 0.006,
    "runc": 0.025,
}
"""Seconds from invoke to ready."""
SHARES = {"cgroups": -0.002, "lxc": 0.004, "runc": -0.011}
"""Error of a CPU limit."""
CPUS = (0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """What all lines of a cell have in common, and around what its values lie."""

    id: str
    isolator: str
    benchmark: str
    workload: str
    metric: str
    unit: str
    params: str
    """As JSON."""
    middle: float
    relative: bool = True
    """The values scatter in proportion to the middle, and a slow host has greater ones."""


def cells() -> Iterator[Cell]:
    """Those of every host."""
    for name, seconds in STARTS.items():
        yield Cell(f"startup/{name}/ready", name, "startup", "ready", "ready", "second", "{}", seconds)
        yield Cell(f"round-trip/{name}/echo", name, "round-trip", "echo", "round_trip", "second", "{}", 6e-5)
    for name, error in SHARES.items():
        for cpus in CPUS:
            params = {"cpus": cpus, "period_us": 100000}
            tail = "".join(f"/{key}={value}" for key, value in params.items())
            text = json.dumps(params)
            where = f"throttling/{name}/spin{tail}"
            yield Cell(
                where, name, "throttling", "spin", "cpu_share_error", "ratio", text, error, relative=False
            )


def write_fleet(folder: Path, hosts: int, samples: int, *, runs: int = 1, seed: int = 1) -> tuple[Path, ...]:
    """Write the runs of so many hosts, each of about so many samples; returns their result folders.

    They are ``folder/<host>/<run id>``, host by host and by time within each; runs of one host are a day
    apart. From the middle of three runs or more on, ``runc`` starts take 20 % longer on every tenth host.
    """
    found = []
    for number in range(hosts):
        for day in range(runs):
            random = Random(f"{seed}/{number}/{day}")  # noqa: S311 - made-up figures
            late = runs > 2 and day >= runs // 2
            found.append(_write_run(folder, number, day, samples, late=late, random=random))
    return tuple(found)


def _write_run(folder: Path, number: int, day: int, samples: int, *, late: bool, random: Random) -> Path:
    # What belongs to the host must not change from run to run.
    own = Random(number)  # noqa: S311 - made-up figures
    build = BUILDS[own.randrange(len(BUILDS))]
    slow = build[2] * own.lognormvariate(0, 0.1) * (3.0 if own.random() < 0.01 else 1.0)
    started = FIRST + timedelta(days=day, seconds=number)
    record = _record(f"host-{number:05d}", build, started, number)
    out = folder / str(record.host["hostname"]) / record.run_id
    out.mkdir(parents=True)
    changed = late and number % 10 == 0
    lines = list(_lines(samples, slow, changed=changed, broken=number % 50 == 49, random=random))
    (out / SAMPLES_FILE).write_text("".join(lines))
    (out / PAIRS_FILE).touch()
    (out / RUN_FILE).write_bytes(encode(record, RUN_FILE, indent=2))
    return out


def _lines(samples: int, slow: float, *, changed: bool, broken: bool, random: Random) -> Iterator[str]:
    wanted = list(cells())
    each = [len(range(place, samples, len(wanted))) for place in range(len(wanted))]
    order = 0
    for block in range(BLOCKS):
        for cell, count in zip(wanted, each, strict=True):
            middle = cell.middle * (slow if cell.relative else 1.0)
            if changed and cell.id == "startup/runc/ready":
                middle *= 1.2
            for _ in range(len(range(block, count, BLOCKS))):
                scatter = random.lognormvariate(0, 0.08)
                value = middle * scatter if cell.relative else middle + random.gauss(0, 0.002)
                failed = broken and cell.id == "startup/lxc/ready" and block == BLOCKS - 1
                yield _line(cell, block, order, None if failed else value)
            order += 1


def _line(cell: Cell, block: int, order: int, value: float | None) -> str:
    """One line of a journal, as :func:`isobench.journal_writer.encode` writes it, in less time."""
    status = '"ok", "reason": null' if value is not None else '"failed", "reason": "lxc-start exited with 1"'
    figure = "null" if value is None else repr(value)
    phases = "{}"
    if cell.metric == "ready" and value is not None:
        phases = f'{{"spawned": {value * 0.7!r}, "ready": {value!r}, "exit": {value * 1.1!r}}}'
    return (
        f'{{"v": 1, "cell": "{cell.id}", "isolator": "{cell.isolator}", "benchmark": "{cell.benchmark}", '
        f'"workload": "{cell.workload}", "metric": "{cell.metric}", "unit": "{cell.unit}", '
        f'"value": {figure}, "block": {block}, "order": {order}, "status": {status}, '
        f'"remedy": null, "side": "A", "params": {cell.params}, "phases": {phases}, "detail": {{}}}}\n'
    )


def _record(hostname: str, build: tuple[str, str, float], started: datetime, number: int) -> RunRecord:
    model, kernel, _ = build
    host: dict[str, Any] = {
        "hostname": hostname,
        "boot": f"{number:016x}",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": kernel,
        "machine": "aarch64" if model.startswith("Neoverse") else "x86_64",
        "hz": 250,
        "virtual_machine": "none",
        "container": "none",
        "memory_bytes": 64 << 30,
        "cpu": {"model": model, "count": 32, "usable": 32, "cores": 16},
        "knobs": {"governor": "performance", "SMT": "on", "transparent huge pages": "madvise"},
        "mitigations": {"spectre_v2": "Mitigation: Retpolines", "meltdown": "Not affected"},
        "cgroup_mode": "v2",
        "load": {"1min": 0.1, "5min": 0.1, "15min": 0.1},
    }
    isolator = IsolatorRecord(
        "", "", "", {}, "just before the clone", "", shares_kernel=True, status=Status.OK
    )
    return RunRecord(
        run_id=f"{started:%Y%m%dT%H%M%SZ}-{number:06x}",
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        finished=f"{started + timedelta(seconds=140):%Y-%m-%dT%H:%M:%SZ}",
        status="finished",
        seed=number,
        matrix={"run": {"blocks": BLOCKS, "timeout_s": 60.0}, "startup": {"starts": 20, "caches": ["warm"]}},
        host=host,
        tools={"runc": ToolRecord("/usr/sbin/runc", "runc version 1.1.5", "ab" * 32)},
        isolators=tuple(replace(isolator, name=name, kind=name, shown_as=name) for name in STARTS),
        benchmarks=("startup", "round-trip", "throttling"),
        wall_s=140.0,
        timed_s=120.0,
        isobench_version="0.1.0",
    )


if __name__ == "__main__":
    target, wide, deep, *often = sys.argv[1:]
    print(len(write_fleet(Path(target), int(wide), int(deep), runs=int(often[0]) if often else 1)))

"""One finished run with samples for every part of a report, figures as a small machine gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

from tests.conftest import KIB, KINDS, SyntheticRun, synthetic_run
from tests.section_samples import (
    SAMPLER,
    SPELL,
    STARTER,
    closed,
    contest,
    floor,
    frozen,
    lost,
    opened,
    sample,
    sequence,
    served,
    spun,
    timer,
)

from isobench.journal import DisturbanceRecord, RestRecord, RunRecord, TunedSetting, WorkloadRecord
from isobench.model import Sample, Scalar, Status

BLOCKS = (0, 1, 2)
LIMITED = tuple(kind.name for kind in KINDS if kind.quota_error is not None)
CROWDED = ("bare", "cgroups", "lxc", "runc")
"""Isolators of which many are held or started at once."""

BENCHMARKS = (
    *("startup", "startup-concurrency", "density", "teardown", "memory", "memory-floor", "throttling"),
    *("limits", "accounting", "freeze", "weights", "round-trip", "primitives", "audit"),
)
TWO_THREADS: Mapping[str, Scalar] = {
    **SPELL,
    "threads": 2,
    "timeline_us": "0:20000-100000 0:130000-200000 1:40000-100000 1:150000-200000 1:260000-300000",
    "stall_bins": "52:40 53:700 60:3 99:20 102:10",
}


def full_run(seed: int = 1) -> SyntheticRun:
    """The synthetic run with everything else that isobench can measure."""
    plain = synthetic_run(seed)
    random = Random(seed)  # noqa: S311 - made-up figures
    samples = [
        *map(_detailed, plain.samples),
        *_starts(random),
        *_ends(random),
        *_limits(random),
        *_host(random),
    ]
    return SyntheticRun(
        _record(plain.record), tuple(replace(line, order=n) for n, line in enumerate(samples))
    )


def _record(record: RunRecord) -> RunRecord:
    ready: Sequence[Mapping[str, object]] = ({"port": 80}, {"line": "^up$"})
    workloads = [
        {"name": name, "rootfs": f"/srv/{name}.tar", "ready": one}
        for name, one in zip(("web", "job"), ready, strict=True)
    ]
    return replace(
        record,
        benchmarks=BENCHMARKS,
        matrix={**record.matrix, "workload": workloads},
        workloads={name: WorkloadRecord("ef" * 32, (f"/bin/{name}", "--now")) for name in ("web", "job")},
        host={
            **record.host,
            "load": {"1min": 1.4, "5min": 0.9},
            "pressure": {"cpu_10s_percent": 4.0, "memory_10s_percent": 0.0, "io_10s_percent": 0.5},
            "knobs": {**record.host["knobs"], "KSM": "on"},
            "memory_now": {"ksm_pages_sharing": 812, "swap_used_bytes": 4 * KIB * KIB},
            "cgroup_mounts": {"cpu": "/sys/fs/cgroup/cpu,cpuacct", "unified": "/sys/fs/cgroup"},
        },
        tuned=(
            TunedSetting("RCU grace periods", "/sys/kernel/rcu_expedited", "0", "1", end="0"),
            TunedSetting("KSM", "/sys/kernel/mm/ksm/run", "1", "1", refused="Read-only file system", end="1"),
        ),
        rests=RestRecord(2.0, 40, 9.5, 2.0, 1, ("a network namespace on its way out",), 4),
        disturbance=DisturbanceRecord(130.0, 2, 90.0, 4.0, 30.0, 0.5, 2.0, 3.0),
    )


def _detailed(line: Sample) -> Sample:
    """A window under a CPU limit tells its stalls."""
    if line.metric != "cpu_share_error" or line.value is None:
        return line
    more = TWO_THREADS if (line.params["cpus"] or 0) == 1.5 else SPELL
    return replace(line, detail={**more, **line.detail})


def _near(random: Random, middle: float, spread: float = 0.1) -> float:
    return middle * random.lognormvariate(0, spread)


def _starts(random: Random) -> Iterator[Sample]:
    """The user's workloads, cold caches, starts while others start, starts beside others that run."""
    for kind in KINDS:
        for block in BLOCKS:
            for name, more_s in (("web", 0.02), ("job", 0.3)):
                cell = f"startup/{kind.name}/{name}"
                if (kind.name, name) == ("namespaces", "web"):
                    yield lost(cell, Status.FAILED, "the workload exited 1: no port 80", block=block)
                else:
                    yield sample(cell, "ready", _near(random, kind.ready_s + more_s), block)
            yield sample(
                f"startup/{kind.name}/ready/caches=cold", "ready", _near(random, 6 * kind.ready_s), block
            )
        if kind.name in CROWDED:
            yield from _crowd(kind.name, kind.ready_s, random)
        yield from _beside(kind.name, kind.ready_s, (0, 1, 4) if kind.own_kernel else (0, 10, 100), random)


def _crowd(name: str, ready_s: float, random: Random) -> Iterator[Sample]:
    for block in BLOCKS:
        for k in (1, 4, 16):
            slow = ready_s * (1 + k / 6)
            many = 40 if name == "bare" else 8  # of the one so many that it has a 99th percentile
            yield from closed(name, k, k / slow, *(_near(random, slow) for _ in range(many)), block=block)
        window = {"offered": 11, "completed": 8, "late": 3, "missed": 2, "failed": 1, "in_flight_max": 4}
        yield from opened(name, 50.0, *(_near(random, 2 * ready_s) for _ in range(8)), block=block, **window)


def _beside(name: str, ready_s: float, levels: Sequence[int], random: Random) -> Iterator[Sample]:
    for running in levels:
        cell = f"density/{name}/hold/running={running}"
        if (name, running) == ("lxc", 100):
            reason = "840 tasks are needed, 799 are available"
            yield lost(cell, Status.UNAVAILABLE, reason, "raise pids.max of /user.slice")
            continue
        for block in BLOCKS:
            yield sample(cell, "ready", _near(random, ready_s * (1 + running / 50)), block)
            if running:
                yield sample(
                    cell, "footprint", _near(random, running * 400.0 * KIB), block, "byte", steady=True
                )


def _ends(random: Random) -> Iterator[Sample]:
    """Ends and what is left behind, and the smallest memory."""
    for kind in KINDS:
        for how in ("exit", "kill"):
            cell = f"teardown/{kind.name}/hold/how={how}"
            for block in BLOCKS:
                yield sample(cell, "exit", _near(random, 0.2 * kind.ready_s), block)
                yield sample(cell, "cleaned", _near(random, 0.4 * kind.ready_s), block)
                yield sample(cell, "drained", _near(random, 0.05), block, lingering_groups=0)
                yield _left(cell, block, 13 if (kind.name, how, block) == ("lxc", "kill", 1) else 0)
    for name in LIMITED:
        for block in BLOCKS:
            yield floor(name, 80 + 4 * block, block, monotonic=block < 2)
    yield floor("runc", 2232, below_how="refused", confirmed=False)


def _left(cell: str, block: int, count: int) -> Sample:
    told: dict[str, Scalar] = {"instances": 5, "after_the_first": count, "names": "", "unnamed": ""}
    if count:
        told |= {"cgroup_count": count - 1, "file_count": 1, "lingering_groups": 0, "unnamed_count": 1}
        told |= {
            "names": "cgroup /sys/fs/cgroup/blkio/(run)-lxc; file /run/lxc/lock",
            "unnamed": "link veth9",
        }
    return sample(cell, "residue", float(count), block, "count", **told)


REQUESTS: Sequence[Mapping[str, Scalar]] = (
    {},
    {"cpus": 0.3, "period_us": 10_000},
    {"cpus": 0.3, "period_us": 100_000},
)


def _limits(random: Random) -> Iterator[Sample]:
    """Limits in detail, promises, accounts, freezes, weights."""
    for name in LIMITED:
        for block in BLOCKS:
            for cpus in (0.25, 0.5, 1.0):
                yield spun(name, random.gauss(0.02, 0.04), block, cpus=cpus, period_us=10_000)
            yield spun(name, random.gauss(0.0, 0.02), block, burst_us=50_000, threads=2, detail=TWO_THREADS)
            for limit in REQUESTS:
                found = served(name, _near(random, 0.0004), _near(random, 0.01), block, **limit)
                yield from (line for line in found if line.value is not None)
            yield from _promises(name, block, random)
            yield from _accounts(name, block, random)
            yield from _contests(name, block, random)
        for how in ("file", "tool") if name in {"lxc", "runc"} else ("file",):
            for tasks in (1, 10, 100):
                for block in BLOCKS:
                    cell = f"freeze/{name}/herd/how={how}/tasks={tasks}"
                    yield from frozen(cell, _near(random, 0.001 + tasks * 1e-5), block)
    reason = "frozen tasks went on: they counted 3 in 0.05 s"
    yield replace(lost("freeze/lxc/herd/how=tool/tasks=1", Status.FAILED, reason), metric="freeze")


PROMISES: Mapping[str, tuple[float, float, str, str]] = {
    "cpu": (0.01, 0.5, "cpu", "throttle"),
    "cpuset": (0.0, 1.0, "cpus", "confined"),
    "memory": (-0.02, 2.0**26, "byte", "oom-kill"),
    "pids": (0.0, 32.0, "processes", "EAGAIN"),
    "io": (0.2, 2.0**20, "byte/s", "throttle"),
}
"""Error, what was asked for, its unit, and how an overrun ends."""


def _promises(name: str, block: int, random: Random) -> Iterator[Sample]:
    for limit, (error, asked, unit, ends) in PROMISES.items():
        told: dict[str, Scalar] = {
            "asked": asked,
            "got": asked * (1 + error),
            "amount_unit": unit,
            "ends": ends,
            "ran_outside": "1" if (name, limit, block) == ("qemu-tcg", "cpuset", 1) else "",
            "outside_before_p99_s": _near(random, 1e-4),
            "outside_during_p99_s": _near(random, 2e-3),
        }
        if (name, limit) == ("lxc", "cpu"):
            told["bound"] = False
        yield sample(f"limits/{name}/appetite/limit={limit}", "excess", error, block, "ratio", **told)


def _accounts(name: str, block: int, random: Random) -> Iterator[Sample]:
    for account in ("cpu", "memory", "anonymous", "io", "pids"):
        kind = "memory" if account == "anonymous" else account
        cell = f"accounting/{name}/appetite/account={kind}"
        yield sample(cell, f"{account}_error", random.gauss(0.005, 0.01), block, "ratio", account=account)


def _contests(name: str, block: int, random: Random) -> Iterator[Sample]:
    yield from contest(f"weights/{name}/appetite/on=one/ratio=1:3", block, random.gauss(0.25, 0.01))
    together: Mapping[str, Scalar] = {"cpus": 2, "cpus_together": 1.5 if name == "runc" else 1.95}
    cell = f"weights/{name}/appetite/on=all/ratio=1:3"
    yield from contest(cell, block, random.gauss(0.3, 0.01), **together)


PRIMITIVES = ("clock", "process", "exec", "uts_namespace", "network_namespace", "bind_mount", "veth_pair")


def _host(random: Random) -> Iterator[Sample]:
    """Kernel primitives and the instrument."""
    for place, name in enumerate(PRIMITIVES, start=1):
        for block in BLOCKS:
            yield sample(f"primitives/host/{name}", "alone", _near(random, place * 9e-6), block)
            yield sample(f"primitives/host/{name}", "undone", _near(random, place * 3e-5), block)
    yield sample("primitives/host/network_namespace/form=drained", "drained", 0.03, resolution_s=6e-5)
    reason = "mount: Operation not permitted"
    yield lost("primitives/host/overlay_mount", Status.UNAVAILABLE, reason, "modprobe overlay")
    yield from sequence(left_out="overlay_mount")
    yield from sequence("sequence_user", left_out="veth_pair; cgroup_create")
    for block in BLOCKS:
        yield timer(_near(random, 22e-9), block, 20e-9, 9e-6)
        yield replace(STARTER, block=block, value=_near(random, 5e-5))
        yield replace(SAMPLER, block=block, value=random.gauss(0.02, 0.05))
    for kind in KINDS:
        for _ in range(6):
            yield sample(f"round-trip/{kind.name}/echo", "round_trip", _near(random, 2e-5))

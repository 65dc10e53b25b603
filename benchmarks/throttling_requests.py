"""Requests served under a CPU limit: what it adds to the latency of work that on average is within it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from isobench.benchmarks.cpulimit import Limited, TrialError
from isobench.benchmarks.payload import PayloadError, Served, served
from isobench.benchmarks.processes import read_steal_s
from isobench.isolators.cgroup import CpuStat
from isobench.model import CpuLimit, Reading, Scalar

WORK_US, MEAN_US = 200, 1_000
"""The work of a request, and the mean time between two that are due."""
LOAD = WORK_US / MEAN_US
"""The CPUs they need on average."""
_FULL = 0.97
"""Of a limit: who has used that much of it over all the time had no idle time that a queue could drain in."""
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Requests:
    """What is asked of one cell."""

    limit: CpuLimit | None
    count: int

    @property
    def command(self) -> tuple[str, ...]:
        return (
            "request",
            *("--work-us", str(WORK_US)),
            *("--mean-us", str(MEAN_US)),
            *("--count", str(self.count)),
        )

    @property
    def expected_s(self) -> float:
        return self.count * MEAN_US / 1_000_000


def serve(limited: Limited, requests: Requests, timeout_s: float) -> Iterator[Reading]:
    """Three readings: the median, the 99th and the 99.9th percentile. Raises TrialError, CgroupError."""
    read_back = limited.read_back()
    before, steal_s = limited.view.cpu_stat(), read_steal_s()
    used_ns = limited.view.cpu_usage_ns() if read_back else 0
    begun = time.monotonic()
    limited.go()
    event = limited.result(timeout_s + requests.expected_s)
    timed_s = time.monotonic() - begun
    try:
        found = served(event.output)
    except PayloadError as error:
        raise TrialError(str(error)) from None
    if found.requests != requests.count:
        raise TrialError(f"the workload served {found.requests} requests of {requests.count}")
    stat = limited.view.cpu_stat() if read_back else before
    cpus = (limited.view.cpu_usage_ns() - used_ns) / max(1, found.wall_ns) if read_back else None
    detail = _detail(found, before, stat) | {
        "asked_cpus": requests.limit.cpus if requests.limit else None,
        "read_back_cpus": read_back.cpus if read_back else None,
        "burst_us": read_back.burst_us if read_back else None,
        "applied": limited.applied,
        "achieved_host_cpus": cpus,
        "overloaded": bool(read_back and cpus and cpus >= _FULL * read_back.cpus),
        "host_steal_s": read_steal_s() - steal_s,
    }
    values = {"latency_p50": found.p50_ns, "latency_p99": found.p99_ns, "latency_p999": found.p999_ns}
    for metric, ns in values.items():
        yield Reading(metric, "second", ns / _NS_PER_S, detail=detail, timed_s=timed_s)
        timed_s = 0.0


def _detail(found: Served, before: CpuStat, after: CpuStat) -> dict[str, Scalar]:
    return {
        "requests": found.requests,
        "work_s": found.work_ns / _NS_PER_S,
        "wall_s": found.wall_ns / _NS_PER_S,
        "inside_cpu_s": found.cpu_ns / _NS_PER_S,
        "latency_mean_s": found.mean_ns / _NS_PER_S,
        "latency_max_s": found.max_ns / _NS_PER_S,
        "kernel_periods": after.nr_periods - before.nr_periods,
        "nr_throttled": after.nr_throttled - before.nr_throttled,
        "throttled_s": (after.throttled_ns - before.throttled_ns) / _NS_PER_S,
    }

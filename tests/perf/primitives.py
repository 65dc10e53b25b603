"""Are the figures of ``primitives`` right? Checks by ways that share no clock or code with it (root).

1. Long calls by the kernel's own stamps at entry and exit (perf-trace(1)), in a run that is traced; short
   ones, which tracing would make several times as long, as part of a thousand in a row from Python.
2. The steps of the sequence, added up, against what the isolator ``namespaces`` needs more than ``bare``.
3. The drain of a network namespace by the worker that does it, seen in /proc, against the kernel's count.

``python tests/perf/primitives.py``; it prints, and judges nothing.
"""

import ctypes
import json
import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from isobench.benchmarks.primitives import place
from isobench.isolators.bare import Bare
from isobench.isolators.contract import Isolator, Options, Site, agent_bundle
from isobench.isolators.namespaces import Namespaces, NamespacesOptions
from isobench.isolators.site import open_site
from isobench.starter import batch

COUNT = 30
LONG = {"network_namespace": "unshare", "seccomp_profile": "seccomp"}
"""Primitives that are one system call of some 100 µs, and its name."""
SHORT = {"uts_namespace": 0x0400_0000, "cgroup_namespace": 0x0200_0000}
"""The same of a few µs, and the flag of unshare(2)."""
IN_A_ROW = 1000
STEPS = (
    *("mount_namespace", "uts_namespace", "ipc_namespace", "network_namespace", "cgroup_namespace"),
    *("private_mounts", "bind_mount", "proc_mount", "pivot_root"),
)
"""What ``namespaces`` does more than ``bare``; the PID namespace, less its process, comes to that."""


def said(
    site: Site, name: str, *options: str, before: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], str]:
    """The agent's lines, and what the program before it has written."""
    with place(site) as words:
        argv = [*before, str(site.agent), "primitives", name, "--iterations", str(COUNT), *words, *options]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def p50_us(site: Site, name: str) -> float:
    (alone, _), _ = said(site, name)
    return float(statistics.median(alone["ns"])) / 1e3


def by_the_kernel(site: Site) -> None:
    if not shutil.which("perf"):
        print("left out: the kernel's own stamps\n  mend it with: apt-get install linux-perf")
        return
    for name, call in LONG.items():
        _, trace = said(site, name, before=("perf", "trace", "-f", "-e", call))
        kernel_us = [float(ms) * 1e3 for ms in re.findall(rf"\(\s*([\d.]+) ms\):.*{call}\(", trace)]
        print(f"{name}: {p50_us(site, name):.1f} µs, the kernel's {statistics.median(kernel_us):.1f} µs")


def by_a_row_of_calls(site: Site) -> None:
    """Each call of the row also lets go of the namespace that the one before has made."""
    for name, flag in SHORT.items():
        print(f"{name}: {p50_us(site, name):.2f} µs, of {IN_A_ROW} in a row {row_us(flag):.2f} µs each")


def row_us(flag: int) -> float:
    """In a child, which may leave our namespaces; less what a call costs from Python."""
    read_end, write_end = os.pipe()
    if (child := os.fork()) == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        os.write(write_end, f"{timed_us(libc.unshare, flag) - timed_us(libc.abs, flag)}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    text = os.read(read_end, 100)
    os.close(read_end)
    return float(text)


def timed_us(call: Callable[[int], int], argument: int) -> float:
    begun = time.perf_counter()
    for _ in range(IN_A_ROW):
        call(argument)
    return (time.perf_counter() - begun) / IN_A_ROW * 1e6


def by_an_isolator(site: Site) -> None:
    """The isolator makes all namespaces in one clone3(2), so the sum may be a little larger.

    Lower quartiles: on a busy host every new process waits for its turn now and then.
    """
    lines, _ = said(site, "sequence")
    own, before = {}, [0] * COUNT
    for line in lines[:-1]:
        own[line["primitive"]] = lower(b - a for a, b in zip(before, line["ns"], strict=True))
        before = line["ns"]
    spaces = starts(site, Namespaces("namespaces", NamespacesOptions()))
    bare = starts(site, Bare("bare", Options()))
    total_us = (sum(own[step] for step in STEPS) + own["pid_namespace"] - own["process"]) / 1e3
    print(f"steps added up {total_us:.0f} µs, namespaces less bare {(spaces - bare) / 1e3:.0f} µs")


def lower(values: Iterable[float]) -> float:
    """The lower quartile."""
    return statistics.quantiles(values, n=4)[0]


def starts(site: Site, isolator: Isolator[Any]) -> float:
    """The time to ready in ns, lower quartile."""
    with isolator.prepare(site, agent_bundle(site, "ready")) as launch:
        return lower(event.phases_ns["ready"] for event in batch(site.agent, launch, COUNT, timeout_s=60))


def works_on_networks() -> bool:
    """A kworker's name ends in what it works on while it does (wq_worker_comm in kernel/workqueue.c)."""
    return any("+netns" in name for name in map(read_name, Path("/proc").glob("[0-9]*/comm")))


def read_name(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def wait(until: Callable[[], bool], limit_s: float = 1.0) -> None:
    deadline = time.monotonic() + limit_s
    while not until() and time.monotonic() < deadline:
        pass


def by_the_worker(site: Site) -> None:
    """From the end of a process in a network namespace to when no worker is on it any more."""
    (drained,), _ = said(site, "network_namespace", "--drained")
    seen_ms = []
    for _ in range(COUNT):
        wait(lambda: not works_on_networks())
        subprocess.run(["unshare", "--net", "true"], check=True)
        begun = time.monotonic()
        wait(works_on_networks, 0.02)
        wait(lambda: not works_on_networks())
        seen_ms.append((time.monotonic() - begun) * 1e3)
    counted = statistics.median(drained["ns"]) / 1e6
    seen = statistics.median(seen_ms)
    print(f"network namespace drained: by the count {counted:.1f} ms, by the worker {seen:.1f} ms")


def main() -> None:
    """All of them."""
    with open_site() as site:
        by_the_kernel(site)
        by_a_row_of_calls(site)
        by_an_isolator(site)
        by_the_worker(site)


if __name__ == "__main__":
    main()

"""The starter's own stamps against those strace(1) takes of the same starts: another observer, another clock.

strace stops the agent at the entry of a system call and writes down CLOCK_REALTIME. Of one start it sees
the clone3(2) of the first process, just after ``invoke``, and the read(2) of the workload's first byte, just
after ``ready``: between these two lies what we say a start took. Each start is compared with itself, so that
noise of the host, and what strace costs, are in both figures.
"""

import re
import shlex
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isobench.isolators.contract import Site
from isobench.model import Launch, Status
from isobench.starter import batch

_CALL = re.compile(r"^(?P<at>\d+\.\d+) (?P<name>clone3|read)\((?P<rest>.*)$")


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both observers say about the same starts, in seconds, start by start."""

    ours_s: tuple[float, ...]
    strace_s: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Ours to strace's, ascending."""
        return sorted(ours / other for ours, other in zip(self.ours_s, self.strace_s, strict=True))

    @property
    def median(self) -> float:
        """Of the ratios."""
        return statistics.median(self.ratios)


def agreement(site: Site, launch: Launch, count: int) -> Agreement:
    """Start ``count`` instances under the eyes of strace."""
    with tempfile.TemporaryDirectory() as scratch, _watched(site.agent, Path(scratch)) as (agent, trace):
        events = list(batch(agent, launch, count, timeout_s=120))
        if bad := [event for event in events if event.status is not Status.OK]:
            raise SystemExit(f"a start failed: {bad[0].reason} {bad[0].stderr}")
        clones = len(launch.steps) + (launch.spawn is not None) + len(launch.cleanup)
        seen = tuple(starts(trace.read_text(), clones))
    if len(seen) != count:
        raise SystemExit(f"strace has seen {len(seen)} of {count} starts")
    return Agreement(tuple(event.phases_ns["ready"] / 1e9 for event in events), seen)


def starts(trace: str, clones: int) -> Iterator[float]:
    """Seconds from the first of the ``clones`` clone3 of each start to the read of its workload's output."""
    begin, seen = None, 0
    for line in trace.splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        if call["name"] == "clone3":
            begin = float(call["at"]) if seen % clones == 0 else begin
            seen += 1
        # Over a serial line the first read may hold the first byte alone; a console never begins with it.
        elif ', "{' in call["rest"] and begin is not None:
            yield float(call["at"]) - begin
            begin = None


@contextmanager
def _watched(agent: Path, scratch: Path) -> Iterator[tuple[Path, Path]]:
    """An agent that runs under strace, and where the trace goes."""
    trace, wrapper = scratch / "trace", scratch / "agent"
    watch = ("strace", "-qq", "-ttt", "-e", "trace=clone3,read", "-e", "signal=none", "-o", str(trace))
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(watch)} {shlex.quote(str(agent))} "$@"\n')
    wrapper.chmod(0o755)
    yield wrapper, trace

"""A workload under a CPU limit that is known to be in force: started, found on the host, read back.

The limit is read back from the cgroup the workload is really in, before the go-ahead and once more at the
end, as somebody else on the host may change it, freeze the group or remove it.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isobench import starter
from isobench.benchmarks.payload import PayloadError, hello
from isobench.benchmarks.processes import PROC, read_descendants, split_by_argv, workload_argv
from isobench.errors import CgroupGoneError
from isobench.isolators.cgroup import CgroupView
from isobench.isolators.cgroup.files import write_file
from isobench.isolators.contract import Site
from isobench.model import CpuLimit, Event, Launch, Move, Status

_TOLERANCE = 0.01
"""Of quota and period: the quota is rounded to µs."""


class TrialError(Exception):
    """No figure came of a trial; ``status`` is how its reading ends, ``remedy`` what mends it."""

    def __init__(self, message: str, status: Status = Status.FAILED, remedy: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Limited:
    """A workload that waits for its go-ahead, and the group that holds it."""

    session: starter.Session
    site: Site
    pid: int
    """Of the process, or of a thread, that the limit covers."""
    view: CgroupView
    asked: CpuLimit | None
    applied: str

    def read_back(self) -> CpuLimit | None:
        """The limit in force. Raises TrialError when it is not the one asked for."""
        if self.asked is None:
            return None
        found = self.view.cpu_limit()
        if why := refusal(self.asked, found, self.view.directory("cpu")):
            raise why
        return found

    def go(self) -> int:
        """Give the go-ahead; CLOCK_MONOTONIC just before."""
        at = time.monotonic_ns()
        self.session.send(0)
        return at

    def result(self, timeout_s: float) -> Event:
        """The workload's result line, once the limit is seen to be still the same. Raises TrialError."""
        try:
            event = self.session.next(timeout_s)
        except TimeoutError:
            self._thaw()
            raise TrialError(f"no result within {timeout_s:g} s after the window", Status.TIMEOUT) from None
        with suppress(CgroupGoneError):  # it has ended: what it wrote tells how
            self._still_held()
        return event

    def _still_held(self) -> None:
        if self.asked is not None:
            why = refusal(self.asked, self.view.cpu_limit(), self.view.directory("cpu"))
            if why:
                raise TrialError(f"the limit was changed in mid-run: {why}")

    def _thaw(self) -> None:
        """A frozen process can be killed on v2 only: let the run's own groups go on, lest they stay."""
        thaw = self.site.cgroups.of(self.pid).thaw()
        if thaw is None:
            return
        if self.site.token in thaw.path:
            write_file(Path(thaw.path), thaw.value)
        raise TrialError(f"{thaw.path}: the group was frozen by someone else in mid-run")


def start(session: starter.Session, launch: Launch, site: Site, verb: str, asked: CpuLimit | None) -> Limited:
    """Start the workload, and apply and read back its limit. Raises TrialError, CgroupError."""
    _check(session.start(), verb)
    for write in launch.late_writes:
        write_file(Path(write.path.replace("{n}", "0")), write.value)
    pid = _workload_pid(session, launch)
    for move in launch.late_moves:
        pid = _moved(pid, move)
    view = site.cgroups.of(pid)
    found = Limited(session, site, pid, view, asked, "after boot" if launch.late_writes else "before start")
    if asked is not None:
        _check_accounts(view)
    return found


def refusal(asked: CpuLimit, found: CpuLimit | None, group: Path) -> TrialError | None:
    """Why the limit found in force is not the one asked for (by more than 1 %); None when it is."""
    if found is None:
        return TrialError(f"asked for {_words(asked)}, but no limit is set on {group}")
    off = max(abs(found.cpus / asked.cpus - 1), abs(found.period_us / asked.period_us - 1))
    if off > _TOLERANCE:
        return TrialError(f"asked for {_words(asked)}, but {_words(found)} is set on {group}")
    if found.burst_us == asked.burst_us:
        return None
    return TrialError(
        f"asked for a burst of {asked.burst_us} µs, but {found.burst_us} µs is set on {group}",
        Status.UNAVAILABLE if asked.burst_us and not found.burst_us else Status.FAILED,
        "use a version of the tool that can set a burst (runc: 1.2), or leave it out of [throttling]",
    )


def _words(limit: CpuLimit) -> str:
    return f"{limit.cpus:g} CPUs in periods of {limit.period_us} µs"


def _check(event: Event, verb: str) -> None:
    if event.status is not Status.OK:
        raise TrialError(event.reason or "not ready", event.status)
    try:
        hello(event.output, verb)
    except PayloadError as error:
        raise TrialError(str(error)) from None


def _workload_pid(session: starter.Session, launch: Launch) -> int:
    argv = workload_argv(launch, 0)
    found, _ = split_by_argv(read_descendants(session.pid), [argv])
    if not found:
        raise TrialError(f"no process with the workload's command line {argv} is found on the host")
    return found[0].pid


def _moved(pid: int, move: Move, proc: Path = PROC) -> int:
    """Put the process, or its threads of that name, into the group; the id of one that was."""
    ids = [pid] if move.threads is None else threads_named(pid, move.threads, proc)
    if not ids:
        raise TrialError(f"process {pid} has no thread whose name begins with {move.threads!r}")
    for one in ids:
        write_file(Path(move.path.replace("{n}", "0")), str(one))
    return ids[0]


def threads_named(pid: int, begin: str, proc: Path = PROC) -> list[int]:
    """The threads of a process whose names (proc_pid_comm(5)) begin so, ascending."""
    tasks = (proc / str(pid) / "task").iterdir()
    return sorted(int(task.name) for task in tasks if (task / "comm").read_text().startswith(begin))


def _check_accounts(view: CgroupView) -> None:
    group, accounts = view.directory("cpu"), view.directory("cpuacct")
    if accounts.name != group.name:
        raise TrialError(f"the limit is on {group}, but CPU time is accounted for in {accounts}")

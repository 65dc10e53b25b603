"""The agent's `start --workers`: instances many at a time, in a closed and in an open loop."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from isobench.errors import StarterError
from isobench.model import Event, Launch, Status
from isobench.starter import Load, concurrent, parse_event

TIMEOUT_S = 20.0
NS = 1_000_000_000


def run(argv: tuple[str, ...], load: Load, agent: Path, timeout_s: float = TIMEOUT_S) -> list[Event]:
    return list(concurrent(agent, Launch(host_argv=argv, spawn=argv), load, timeout_s=timeout_s))


def ready(agent: Path) -> tuple[str, ...]:
    return (str(agent), "ready")


def sh(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def is_gone(pid: int) -> bool:
    """Gone, or dead and only waiting for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not all(map(is_gone, pids)):
        assert time.monotonic() < deadline, f"still there: {[pid for pid in pids if not is_gone(pid)]}"
        time.sleep(0.01)


def test_limited_number_of_starts_is_shared_by_all_workers(agent: Path) -> None:
    *attempts, end = run(ready(agent), Load(5, 60.0, starts=40), agent)
    assert [event.kind for event in attempts] == ["attempt"] * 40
    assert {event.status for event in attempts} == {Status.OK}
    assert end.kind == "end"
    assert len({event.pid for event in attempts}) == 40
    assert {event.slot for event in attempts} <= set(range(5))
    assert min(event.invoke_ns for event in attempts) >= end.t_ns > 0
    assert all(event.intended_ns == 0 and not event.late for event in attempts)


def test_worker_has_one_instance_at_a_time_and_all_of_them_are_busy_at_once(agent: Path) -> None:
    *attempts, _ = run(sh("echo x; exec sleep 0.2"), Load(6, 60.0, starts=18), agent)
    for slot in range(6):
        spans = sorted(
            (event.invoke_ns, event.invoke_ns + event.phases_ns["exit"])
            for event in attempts
            if event.slot == slot
        )
        assert spans
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    first = sorted(attempts, key=lambda event: event.invoke_ns)[:6]
    assert {event.slot for event in first} == set(range(6))
    assert max(event.invoke_ns for event in first) < min(e.invoke_ns + e.phases_ns["exit"] for e in first)


def test_no_start_is_begun_after_the_window_and_those_begun_run_to_their_end(agent: Path) -> None:
    *attempts, end = run(sh("echo x; exec sleep 0.3"), Load(3, 0.4), agent)
    assert len(attempts) > 3
    assert all(end.t_ns <= event.invoke_ns < end.t_ns + 0.4 * NS for event in attempts)
    assert {event.status for event in attempts} == {Status.OK}
    assert max(event.invoke_ns + event.phases_ns["exit"] for event in attempts) > end.t_ns + 0.4 * NS


def test_arrival_is_never_begun_before_it_is_due_and_each_is_begun_once(agent: Path) -> None:
    due = tuple(round(n * 0.01 * NS) for n in range(30))
    *attempts, end = run(ready(agent), Load(30, 60.0, due_ns=due), agent)
    assert sorted(event.intended_ns - end.t_ns for event in attempts) == list(due)
    assert all(event.invoke_ns >= event.intended_ns for event in attempts)


def test_arrivals_while_all_workers_are_busy_are_late_and_those_after_the_window_are_never_begun(
    agent: Path,
) -> None:
    """Two workers, each busy for 0.2 s, and an arrival every 10 ms."""
    due = tuple(range(0, NS // 2, NS // 100))
    *attempts, end = run(sh("echo x; exec sleep 0.2"), Load(2, 0.5, due_ns=due), agent)
    assert len(attempts) < len(due)
    by_due = sorted(attempts, key=lambda event: event.intended_ns)
    assert [event.intended_ns - end.t_ns for event in by_due] == list(due[: len(attempts)])
    assert [event.late for event in by_due] == [False, False] + [True] * (len(attempts) - 2)
    assert all(event.invoke_ns - event.intended_ns > NS // 20 for event in by_due[2:])
    assert all(event.invoke_ns < end.t_ns + 0.5 * NS + NS // 10 for event in attempts)


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("exit 3", Status.FAILED, "the workload exited 3 before it was ready"),
        ("head -c 200000 /dev/urandom; exit 3", Status.FAILED, "the workload exited 3"),
        ("exec sleep 60", Status.TIMEOUT, "not ready in time"),
        ("echo x; sleep 60 & exec sleep 60", Status.TIMEOUT, "not ended in time"),
    ],
)
def test_bad_workloads_fail_each_by_itself_and_leave_nothing(
    agent: Path, script: str, status: Status, reason: str
) -> None:
    *attempts, end = run(sh(script), Load(4, 60.0, starts=8), agent, timeout_s=0.3)
    assert [(event.status, event.reason) for event in attempts] == [(status, reason)] * 8
    assert end.kind == "end"
    assert all(len(event.output) <= 4096 for event in attempts)
    assert all(is_gone(event.pid) for event in attempts if event.pid)


def test_failing_starts_do_not_end_the_others(agent: Path) -> None:
    *attempts, _ = run(sh("test {n} != 1 || exit 1; echo x; sleep 0.05"), Load(3, 0.5), agent)
    assert {event.status for event in attempts if event.slot == 1} == {Status.FAILED}
    assert {event.status for event in attempts if event.slot != 1} == {Status.OK}


def test_hundred_and_more_instances_are_held_at_once(agent: Path) -> None:
    *attempts, _ = run(sh("echo x; exec sleep 2"), Load(120, 60.0, starts=120), agent)
    assert {event.status for event in attempts} == {Status.OK}
    last_begun = max(event.invoke_ns for event in attempts)
    assert all(event.invoke_ns + event.phases_ns["exit"] > last_begun for event in attempts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--workers", "0", "--window-ms", "9"), "--workers: '0' is not an integer from 1 to 512"),
        (("--workers", "513", "--window-ms", "9"), "--workers: '513' is not an integer from 1 to 512"),
        (("--workers", "2"), "--workers and --window-ms go together"),
        (("--window-ms", "2"), "--workers and --window-ms go together"),
        (("--workers", "2", "--window-ms", "9", "--interactive"), "--workers: goes neither with"),
        (("--due", "/dev/null"), "--due: goes with --workers only"),
        (("--workers", "2", "--window-ms", "9", "--due", "/dev/null"), "/dev/null: holds no time at all"),
        (("--workers", "2", "--window-ms", "9", "--due", "/nonexistent"), "read /nonexistent: No such file"),
    ],
)
def test_options_that_cannot_be_obeyed_are_refused(agent: Path, options: tuple[str, ...], words: str) -> None:
    argv = [str(agent), "start", *options, "--spawn", "1", "/bin/true"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert words in done.stderr


@contextmanager
def begun(
    agent: Path, directory: Path, workers: int
) -> Iterator[tuple["subprocess.Popen[bytes]", list[int]]]:
    """A running agent, and the ids of its instances, all of which wait for long."""
    script = "echo $$ > {n}.new; mv {n}.new {n}; echo x; exec sleep 60"
    options = ("--workers", str(workers), "--window-ms", "60000", "--count", "99")
    cleanup = ("--cleanup", "-", "2", "/bin/rm", "{n}")
    argv = [str(agent), "start", *options, *cleanup, "--spawn", "3", "/bin/sh", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, cwd=directory) as process:
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while sum(path.suffix == "" for path in directory.iterdir()) < workers:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield process, [int(path.read_text()) for path in directory.iterdir()]
        finally:
            if process.poll() is None:
                process.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_all_instances_cleans_up_and_tells_of_each(
    agent: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with begun(agent, tmp_path, 5) as (process, pids):
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    *attempts, end = (parse_event(line) for line in output.splitlines())
    assert [(event.status, event.reason) for event in attempts] == [(Status.FAILED, "interrupted")] * 5
    assert end.kind == "end"
    assert process.returncode == 128 + signal.SIGTERM
    assert all(map(is_gone, pids))
    assert list(tmp_path.iterdir()) == []


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_killed_agent_leaves_no_instance_and_its_workers_clean_up(agent: Path, tmp_path: Path) -> None:
    with begun(agent, tmp_path, 5) as (process, pids):
        workers = children(process.pid)
        process.kill()
        process.communicate(timeout=TIMEOUT_S)
    assert len(workers) == 5
    wait_until_gone([*pids, *workers])
    assert list(tmp_path.iterdir()) == []


def test_killed_worker_ends_the_others_and_is_an_error(agent: Path, tmp_path: Path) -> None:
    with begun(agent, tmp_path, 3) as (process, pids):
        os.kill(children(process.pid)[1], signal.SIGKILL)
        output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert b"a worker ended before its work was done" in errors
    attempts = [event for line in output.splitlines() if (event := parse_event(line)).kind == "attempt"]
    assert [(event.slot, event.reason) for event in attempts] == [(0, "interrupted"), (2, "interrupted")]
    wait_until_gone(pids)


def test_generator_closed_early_leaves_no_process(agent: Path) -> None:
    before = children(os.getpid())
    argv = ready(agent)
    events = concurrent(
        agent, Launch(host_argv=argv, spawn=argv), Load(8, 60.0, starts=20), timeout_s=TIMEOUT_S
    )
    next(events)
    events.close()
    assert children(os.getpid()) == before


def test_agent_that_refuses_is_quoted(agent: Path) -> None:
    with pytest.raises(StarterError, match="'513' is not an integer from 1 to 512"):
        run(ready(agent), Load(513, 1.0), agent)

"""The agent's `start`, one instance after another: stamps, output, ends, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench.model import Event, Status
from isobench.starter import parse_event

TIMEOUT_S = 30


def start(agent: Path, *arguments: str, code: int = 0) -> list[Event]:
    argv = [str(agent), "start", *arguments]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == code, done.stderr
    return [parse_event(line) for line in done.stdout.splitlines()]


def spawn(*words: str) -> tuple[str, ...]:
    return ("--spawn", str(len(words)), *words)


def sh(script: str) -> tuple[str, ...]:
    return spawn("/bin/sh", "-c", script)


def one(agent: Path, *arguments: str) -> Event:
    (event,) = start(agent, *arguments)
    return event


def user_namespaces_work() -> bool:
    return subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False).returncode == 0


in_user_namespace = pytest.mark.skipif(
    not user_namespaces_work(), reason="this host lets us make no user namespace"
)
ISOLATED = [
    (),
    pytest.param(("--namespaces", "user,pid"), marks=in_user_namespace, id="shared memory until exec"),
    pytest.param(("--namespaces", "user,time"), marks=in_user_namespace, id="copy-on-write"),
]
"""Every way the agent makes a process."""


def is_gone(pid: int) -> bool:
    """Gone, or dead and only waiting for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def test_each_start_is_reported_as_one_attempt_in_order(agent: Path) -> None:
    events = start(agent, "--count", "5", "--pause-ms", "1", *spawn(str(agent), "ready"))
    assert [event.kind for event in events] == ["attempt"] * 5
    assert {event.status for event in events} == {Status.OK}
    assert [event.invoke_ns for event in events] == sorted(event.invoke_ns for event in events)
    assert len({event.pid for event in events}) == 5


def test_start_on_request_waits_until_it_is_asked_for_and_then_rests(agent: Path) -> None:
    argv = [
        str(agent),
        "start",
        "--count",
        "9",
        "--on-request",
        "--pause-ms",
        "20",
        *spawn(str(agent), "ready"),
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin
        assert process.stdout
        for wait_s in (0.1, 0):
            time.sleep(wait_s)
            asked_ns = time.monotonic_ns()
            process.stdin.write(b"\n")
            event = parse_event(process.stdout.readline())
            assert event.invoke_ns >= asked_ns + 20_000_000
        process.stdin.close()  # nobody asks any more: that is the end
        assert process.stdout.read() == b""
        assert process.wait(TIMEOUT_S) == 0


def test_agent_that_waits_for_a_request_ends_when_it_is_told_to(agent: Path) -> None:
    argv = [str(agent), "start", "--on-request", *spawn(str(agent), "ready")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(TIMEOUT_S) == 0
    with subprocess.Popen([*argv[:2], "--count", "2", *argv[2:]], stdin=subprocess.PIPE) as process:
        time.sleep(0.1)
        process.terminate()
        assert process.wait(TIMEOUT_S) == 128 + signal.SIGTERM


@pytest.mark.parametrize("other", [("--interactive",), ("--workers", "2", "--window-ms", "9")])
def test_requests_go_with_one_start_after_the_other_only(agent: Path, other: tuple[str, ...]) -> None:
    assert start(agent, "--on-request", *other, *spawn(str(agent), "ready"), code=2) == []


def test_phases_come_in_order_and_only_those_that_are_told_apart(agent: Path) -> None:
    event = one(agent, *spawn(str(agent), "ready"))
    said = json.loads(event.output)
    first_instruction_ns = said["t"] - event.invoke_ns
    assert list(event.phases_ns) == ["spawned", "ready", "exit"]
    assert 0 < event.phases_ns["spawned"] <= event.phases_ns["ready"] <= event.phases_ns["exit"]
    assert 0 < first_instruction_ns <= event.phases_ns["ready"]
    assert (event.exit_code, event.term_signal, event.pid) == (0, None, said["pid"])


def test_stamps_agree_with_the_clock_of_a_workload_that_is_not_ours(agent: Path) -> None:
    clock = "import time; print(time.monotonic_ns(), flush=True); time.sleep(0.05)"
    event = one(agent, *spawn(sys.executable, "-c", clock))
    stamp = int(event.output) - event.invoke_ns
    assert event.phases_ns["spawned"] < stamp < event.phases_ns["ready"]
    assert event.phases_ns["exit"] >= stamp + 50_000_000


def test_steps_run_before_the_workload_and_stamp_the_phase_they_are_given(
    agent: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    step = ("--step", "created", "3", "/bin/sh", "-c", f"echo step >> {notes}")
    cleanup = ("--cleanup", "-", "3", "/bin/sh", "-c", f"echo cleanup >> {notes}")
    event = one(agent, *step, *cleanup, *sh(f"echo workload >> {notes}; echo x"))
    assert notes.read_text() == "step\nworkload\ncleanup\n"
    assert list(event.phases_ns) == ["created", "spawned", "ready", "exit", "cleaned"]
    assert list(event.phases_ns.values()) == sorted(event.phases_ns.values())


def test_adopted_process_is_the_one_the_steps_wrote_down(agent: Path, tmp_path: Path) -> None:
    script = f"(echo ready; sleep 0.05; exit 3) & echo $! > {tmp_path}/pid"
    event = one(agent, "--step", "-", "3", "/bin/sh", "-c", script, "--adopt", str(tmp_path / "pid"))
    assert event.pid == int((tmp_path / "pid").read_text())
    assert (event.status, event.reason, event.exit_code) == (
        Status.FAILED,
        "the workload exited 3",
        3,
    )
    assert "spawned" not in event.phases_ns


@pytest.mark.parametrize(("content", "words"), [("", "no process id in"), ("x\n", "no process id in")])
def test_adopting_from_a_file_without_a_process_fails_and_names_the_file(
    agent: Path, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "pid").write_text(content)
    event = one(agent, "--step", "-", "1", "/bin/true", "--adopt", str(tmp_path / "pid"))
    assert event.status is Status.FAILED
    assert event.reason == f"{words} {tmp_path}/pid"


def test_slot_number_replaces_n_in_every_word(agent: Path) -> None:
    event = one(agent, *spawn("/bin/echo", "{n}", "a{n}b{n}", "{m}"))
    assert event.output == "0 a0b0 {m}\n"


def test_every_byte_a_workload_can_write_comes_back(agent: Path, tmp_path: Path) -> None:
    every = bytes(range(256)) * 2
    (tmp_path / "bytes").write_bytes(every)
    event = one(agent, *sh(f"cat {tmp_path}/bytes; cat {tmp_path}/bytes >&2"))
    assert event.output.encode("latin-1") == every
    assert event.stderr.encode("latin-1") == every
    assert event.output_bytes == 512


def test_output_above_64_kib_is_cut_and_counted_in_full(agent: Path) -> None:
    event = one(agent, *sh("head -c 100000 /dev/zero"))
    assert (event.status, len(event.output), event.output_bytes) == (Status.OK, 64 * 1024, 100_000)


def test_output_above_16_mib_fails_and_ends_the_workload(agent: Path) -> None:
    event = one(agent, *spawn("/bin/cat", "/dev/zero"))
    assert (event.status, event.reason) == (Status.FAILED, "the workload wrote more than 16 MiB")
    assert event.term_signal == signal.SIGKILL


def test_of_standard_error_the_last_4_kib_are_kept(agent: Path) -> None:
    event = one(agent, *sh("head -c 70000 /dev/zero >&2; echo last words >&2; echo x"))
    assert len(event.stderr) == 4096
    assert event.stderr.endswith("last words\n")


@pytest.mark.parametrize(
    ("script", "reason", "exit_code", "term_signal"),
    [
        ("echo x; exit 3", "the workload exited 3", 3, None),
        ("echo x; kill -9 $$", "the workload was killed by signal 9", None, 9),
        ("exit 0", "the workload ended without a word", 0, None),
        ("exit 4", "the workload exited 4 before it was ready", 4, None),
    ],
)
def test_bad_end_is_a_failure_with_its_reason(
    agent: Path, script: str, reason: str, exit_code: int | None, term_signal: int | None
) -> None:
    event = one(agent, *sh(script))
    assert (event.status, event.reason) == (Status.FAILED, reason)
    assert (event.exit_code, event.term_signal) == (exit_code, term_signal)


@pytest.mark.parametrize("namespaces", ISOLATED)
@pytest.mark.parametrize(
    ("program", "why"),
    [("/nonexistent", "No such file or directory"), ("/etc/passwd", "Permission denied")],
)
def test_program_that_cannot_be_executed_fails_with_call_and_errno(
    agent: Path, namespaces: tuple[str, ...], program: str, why: str
) -> None:
    event = one(agent, *namespaces, *spawn(program))
    assert event.status is Status.FAILED
    assert event.reason == f"start '{program}': exec: {why}"
    assert event.exit_code == 127
    assert "spawned" not in event.phases_ns


@in_user_namespace
def test_root_that_is_not_there_fails_with_call_and_errno(agent: Path) -> None:
    event = one(agent, "--namespaces", "user,mount", "--pivot-root", "/nonexistent", *spawn("/x"))
    assert event.reason == "start '/x': bind-mount the root: No such file or directory"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (("/bin/false",), "step '/bin/false' exited 1"),
        (("/nonexistent",), "step '/nonexistent': exec: No such file or directory"),
        (("/bin/sh", "-c", "kill -9 $$"), "step '/bin/sh' was killed by signal 9"),
    ],
)
def test_failed_step_fails_the_start_before_the_workload(
    agent: Path, step: tuple[str, ...], reason: str
) -> None:
    event = one(agent, "--step", "created", str(len(step)), *step, *sh("echo never"))
    assert (event.status, event.reason, event.output) == (Status.FAILED, reason, "")
    assert event.phases_ns == {}


def test_failing_cleanup_fails_a_start_that_was_well(agent: Path) -> None:
    event = one(agent, "--cleanup", "-", "1", "/bin/false", *sh("echo x"))
    assert (event.status, event.reason) == (Status.FAILED, "cleanup '/bin/false' exited 1")


def test_failing_cleanup_does_not_hide_the_first_failure(agent: Path) -> None:
    event = one(agent, "--cleanup", "-", "1", "/bin/false", *sh("exit 7"))
    assert event.reason == "the workload exited 7 before it was ready"


def test_step_that_does_not_end_is_a_timeout_of_that_step(agent: Path) -> None:
    event = one(agent, "--timeout-ms", "100", "--step", "-", "2", "/bin/sleep", "60", *sh("echo x"))
    assert (event.status, event.reason) == (Status.TIMEOUT, "step '/bin/sleep' did not end in time")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("trap '' TERM; sleep 60", "not ready in time"),
        ("exec >&-; sleep 60", "not ready in time: it has closed its output and runs on"),
        ("echo x; exec >&- 2>&-; sleep 60", "not ended in time"),
        ("echo x; sleep 60 & sleep 60", "not ended in time"),
    ],
)
def test_workload_that_does_not_end_is_killed_and_a_timeout(agent: Path, script: str, reason: str) -> None:
    event = one(agent, "--timeout-ms", "150", *sh(script))
    assert (event.status, event.reason) == (Status.TIMEOUT, reason)
    assert event.phases_ns["exit"] >= 150_000_000
    assert event.pid
    assert is_gone(event.pid)


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        (
            "printf 'booting\\n[ 0.5] stuck here\\r\\n\\n' >&3; sleep 60",
            Status.TIMEOUT,
            "not ready in time; last on its console: [ 0.5] stuck here",
        ),
        (
            "printf 'a\\tb \\033[7m\\303' >&3; exit 5",
            Status.FAILED,
            "the workload exited 5 before it was ready; last on its console: a?b ?[7m?",
        ),
        (
            "head -c 5000 /dev/zero | tr '\\0' y >&3; exit 5",
            Status.FAILED,
            f"the workload exited 5 before it was ready; last on its console: {256 * 'y'}",
        ),
        ("printf '\\n\\n' >&3; sleep 60", Status.TIMEOUT, "not ready in time"),
        ("sleep 60", Status.TIMEOUT, "not ready in time"),
    ],
)
def test_machine_that_is_never_ready_is_told_with_the_last_line_of_its_console(
    agent: Path, script: str, status: Status, reason: str
) -> None:
    event = one(agent, "--timeout-ms", "300", "--console", *sh(script))
    assert (event.status, event.reason) == (status, reason)


def test_attempts_after_a_failed_one_go_on(agent: Path, tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/once || {{ touch {tmp_path}/once; exit 1; }}; echo x"
    events = start(agent, "--count", "3", *sh(script))
    assert [event.status for event in events] == [Status.FAILED, Status.OK, Status.OK]


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1] + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        while True:
            os.write(2, b"x" * 65536)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.001)
print("ready")
"""


def test_orphan_of_a_workload_is_killed_however_much_it_writes(agent: Path, tmp_path: Path) -> None:
    event = one(agent, *spawn(sys.executable, "-c", DAEMON, str(tmp_path / "pid")))
    assert (event.status, event.output) == (Status.OK, "ready\n")
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_workload_inherits_no_descriptor_no_ignored_signal_and_no_blocked_one(agent: Path) -> None:
    event = one(agent, *sh("ls -l /proc/self/fd; grep -E '^Sig(Ign|Blk)' /proc/self/status"))
    # 3 is the directory that ls itself reads.
    assert {line.split()[8] for line in event.output.splitlines() if "->" in line} <= {"0", "1", "2", "3"}
    masks = dict(line.split(":\t") for line in event.output.splitlines() if line.startswith("Sig"))
    # 32 and 33 are glibc's own; its posix_spawn, and so every make(1), leaves them ignored in its children.
    assert int(masks["SigIgn"], 16) & ~(0b11 << 31) == 0
    assert int(masks["SigBlk"], 16) == 0


def popen(agent: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    argv = [str(agent), "start", *arguments]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def wait_for_pid(file: Path) -> int:
    deadline = time.monotonic() + TIMEOUT_S
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(file.read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_the_agent_ends_the_instance_cleans_up_and_is_reported(
    agent: Path, tmp_path: Path, number: signal.Signals
) -> None:
    cleanup = ("--cleanup", "-", "2", "/bin/touch", str(tmp_path / "cleaned"))
    script = f"echo $$ > {tmp_path}/pid; trap '' TERM INT HUP; sleep 60"
    with popen(agent, "--count", "9", *cleanup, *sh(script)) as process:
        pid = wait_for_pid(tmp_path / "pid")
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    (event,) = (parse_event(line) for line in output.splitlines())
    assert (event.status, event.reason) == (Status.FAILED, "interrupted")
    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "cleaned").exists()
    assert is_gone(pid)


def test_signal_in_the_pause_between_two_starts_ends_at_once(agent: Path) -> None:
    with popen(agent, "--count", "2", "--pause-ms", "60000", *spawn(str(agent), "ready")) as process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
        assert process.wait(TIMEOUT_S) == 128 + signal.SIGTERM


def test_reader_that_goes_away_ends_the_agent(agent: Path, tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; echo x"
    with popen(agent, "--count", "1000000", *sh(script)) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(TIMEOUT_S) != 0


@pytest.mark.parametrize("namespaces", ISOLATED)
def test_killed_agent_takes_the_instance_with_it(
    agent: Path, tmp_path: Path, namespaces: tuple[str, ...]
) -> None:
    # The id as the host sees it: inside a PID namespace $$ is 1.
    script = f"read -r pid rest < /proc/self/stat; echo $pid > {tmp_path}/pid; sleep 60"
    with popen(agent, *namespaces, *sh(script)) as process:
        pid = wait_for_pid(tmp_path / "pid")
        process.kill()
        process.wait(TIMEOUT_S)
    wait_until_gone(pid)


def test_killed_parent_of_the_agent_ends_the_agent(agent: Path, tmp_path: Path) -> None:
    words = [str(agent), "start", *sh(f"echo $$ > {tmp_path}/pid; sleep 60")]
    parent = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *words],
        {},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    pid = wait_for_pid(tmp_path / "pid")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_until_gone(pid)

"""The agent's `start --interactive`: instances held at once, on command."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import pytest

from isobench.model import Event, Status
from isobench.starter import parse_event

TIMEOUT_S = 30


class Held:
    """A running agent and its two ends."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.commands = cast(IO[bytes], process.stdin)
        self.events = cast(IO[bytes], process.stdout)

    def say(self, command: str) -> None:
        self.commands.write(command.encode() + b"\n")

    def event(self) -> Event:
        return parse_event(self.events.readline())

    def start(self) -> Event:
        self.say("start")
        return self.event()

    def rest(self) -> list[Event]:
        return [parse_event(line) for line in self.events]

    def end(self) -> list[Event]:
        self.say("end")
        return self.rest()


@contextmanager
def hold(agent: Path, *arguments: str) -> Iterator[Held]:
    argv = [str(agent), "start", "--interactive", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield Held(process)
        finally:
            if process.poll() is None:
                process.terminate()


def spawn(*words: str) -> tuple[str, ...]:
    return ("--spawn", str(len(words)), *words)


def sh(script: str) -> tuple[str, ...]:
    return spawn("/bin/sh", "-c", script)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_gone(pid: int | None) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_held_instances_live_at_once_and_end_on_command(agent: Path) -> None:
    with hold(agent, "--count", "3", *spawn(str(agent), "hold")) as held:
        ready = [held.start() for _ in range(3)]
        assert [(event.kind, event.slot, event.status) for event in ready] == [
            ("ready", slot, Status.OK) for slot in range(3)
        ]
        for event in ready:
            assert not is_gone(event.pid)
            assert json.loads(event.output)["pid"] == event.pid
        *exits, end = held.end()
        assert [(event.kind, event.slot, event.status) for event in exits] == [
            ("exit", slot, Status.OK) for slot in range(3)
        ]
        assert [event.exit_code for event in exits] == [0, 0, 0]
        assert end.kind == "end"
        assert held.process.wait(TIMEOUT_S) == 0
        assert all(is_gone(event.pid) for event in ready)


def test_send_lets_one_instance_go_on_and_its_lines_come_with_slot_and_stamp(agent: Path) -> None:
    script = "echo ready {n}; read -r line; echo done {n}; echo part; read -r line"
    with hold(agent, "--count", "2", *sh(script)) as held:
        first, second = held.start(), held.start()
        assert (first.output, second.output) == ("ready 0\n", "ready 1\n")
        before = time.monotonic_ns()
        held.say("send 1")
        line = held.event()
        assert (line.kind, line.slot, line.output) == ("line", 1, "done 1")
        assert before < line.t_ns < time.monotonic_ns()
        assert held.event().output == "part"
        exits = [event for event in held.end() if event.kind == "exit"]
        assert [event.output for event in exits] == ["ready 0\ndone 0\npart\n", "ready 1\ndone 1\npart\n"]


def test_line_that_comes_in_pieces_is_reported_once_it_is_whole(agent: Path) -> None:
    script = "printf re; sleep 0.05; printf 'ady\\nne'; read -r line; echo xt; read -r line"
    with hold(agent, *sh(script)) as held:
        ready = held.start()
        assert ready.output.startswith("ready\n")
        held.say("send 0")
        assert held.event().output == "next"


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("sleep 60", Status.TIMEOUT, "not ready in time"),
        ("printf 'no line'; sleep 60", Status.TIMEOUT, "not ready in time"),
        ("exec >&-; sleep 60", Status.TIMEOUT, "not ready in time: it has closed its output and runs on"),
        ("exit 3", Status.FAILED, "the workload ended before it was ready"),
        ("cat /dev/zero", Status.FAILED, "the workload wrote more than 16 MiB"),
    ],
)
def test_instance_that_never_is_ready_fails_and_the_others_go_on(
    agent: Path, script: str, status: Status, reason: str
) -> None:
    """The second slot only: the first and the third are well."""
    first_line = f"if [ {{n}} = 1 ]; then {script}; exit; fi; echo x; read -r line"
    timeout_ms = "1500" if status is Status.TIMEOUT else "60000"
    with hold(agent, "--count", "3", "--timeout-ms", timeout_ms, *sh(first_line)) as held:
        well, bad, next_one = held.start(), held.start(), held.start()
        assert (well.status, next_one.status) == (Status.OK, Status.OK)
        assert (bad.kind, bad.status, bad.reason) == ("ready", status, reason)
        assert is_gone(bad.pid) or reason.endswith("was ready")
        assert not is_gone(well.pid)
        assert [event.status for event in held.end()[:-1]] == [Status.OK, status, Status.OK]


def test_line_before_the_end_of_a_short_workload_still_counts_as_ready(agent: Path) -> None:
    with hold(agent, *spawn(str(agent), "ready")) as held:
        assert held.start().status is Status.OK


def test_held_instance_that_crashed_meanwhile_is_reported_as_failed(agent: Path) -> None:
    with hold(agent, *sh("echo x; read -r line; exit 5")) as held:
        assert held.start().status is Status.OK
        held.say("send 0")
        exit_event, _ = held.end()
        assert (exit_event.status, exit_event.reason) == (Status.FAILED, "the workload exited 5")


def test_instance_that_heeds_nothing_is_killed_at_the_end_which_is_no_failure(agent: Path) -> None:
    with hold(agent, "--grace-ms", "50", *sh("trap '' TERM; echo x; exec sleep 60")) as held:
        pid = held.start().pid
        exit_event, _ = held.end()
        assert (exit_event.status, exit_event.term_signal) == (Status.OK, signal.SIGKILL)
        assert is_gone(pid)


def test_supervisor_whose_workload_was_killed_has_time_to_clean_up(agent: Path, tmp_path: Path) -> None:
    script = f"sleep 60 & echo x; wait; touch {tmp_path}/cleaned"
    with hold(agent, "--supervised", "--grace-ms", "0", *sh(script)) as held:
        assert held.start().status is Status.OK
        held.end()
        assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_stopped_instance_ends_alone_is_cleaned_up_and_its_slot_can_be_used_again(
    agent: Path, tmp_path: Path, how: str
) -> None:
    cleanup = ("--cleanup", "-", "2", "/bin/touch", f"{tmp_path}/cleaned-{{n}}")
    with hold(agent, "--count", "3", *cleanup, *spawn(str(agent), "hold")) as held:
        first, second, third = (held.start() for _ in range(3))
        before = time.monotonic_ns()
        held.say(f"stop 1 {how}")
        ended = held.event()
        assert (ended.kind, ended.slot, ended.status, ended.pid) == ("exit", 1, Status.OK, second.pid)
        assert (ended.exit_code, ended.term_signal) == (
            (0, None) if how == "exit" else (None, signal.SIGKILL)
        )
        stopped_ns = ended.stop_ns - ended.invoke_ns
        assert before < ended.stop_ns
        assert ended.phases_ns["ready"] < stopped_ns < ended.phases_ns["exit"] < ended.phases_ns["cleaned"]
        assert is_gone(second.pid)
        assert {path.name for path in tmp_path.iterdir()} == {"cleaned-1"}
        assert not is_gone(first.pid)
        assert not is_gone(third.pid)

        held.say("start 1")
        again = held.event()
        assert (again.kind, again.slot, again.status) == ("ready", 1, Status.OK)
        assert again.pid != second.pid
        *exits, end = held.end()
        assert [(event.slot, event.status) for event in exits] == [(slot, Status.OK) for slot in range(3)]
        assert end.kind == "end"


def test_slot_that_is_named_is_used_and_those_below_stay_free(agent: Path) -> None:
    with hold(agent, "--count", "9", *spawn(str(agent), "hold")) as held:
        for slot in (7, 2):
            held.say(f"start {slot}")
            assert held.event().slot == slot
        assert held.start().slot == 8
        assert [event.slot for event in held.end()[:-1]] == [2, 7, 8]


def test_stopping_an_instance_that_has_crashed_tells_how_it_ended(agent: Path) -> None:
    with hold(agent, "--count", "2", *sh("echo x; read -r line; exit 5")) as held:
        held.start()
        held.start()
        held.say("send 0")
        held.say("stop 0 exit")
        ended = held.event()
        assert (ended.status, ended.reason) == (Status.FAILED, "the workload exited 5")
        assert [event.slot for event in held.end()[:-1]] == [1]


def test_instance_that_does_not_heed_being_told_to_end_is_a_timeout_and_killed(agent: Path) -> None:
    with hold(agent, "--timeout-ms", "1500", *sh("echo x; exec sleep 60")) as held:
        pid = held.start().pid
        held.say("stop 0 exit")
        ended = held.event()
        assert (ended.status, ended.reason) == (Status.TIMEOUT, "not ended in time")
        assert ended.phases_ns["exit"] + ended.invoke_ns >= ended.stop_ns + 1_500_000_000
        assert is_gone(pid)
        assert [event.kind for event in held.end()] == ["end"]


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_what_a_stopped_instance_leaves_behind_goes_and_what_others_have_stays(agent: Path, how: str) -> None:
    script = "sleep 60 >&- 2>&- & echo $!; read -r line; exit 0"
    with hold(agent, "--count", "2", *sh(script)) as held:
        theirs, other = (int(held.start().output) for _ in range(2))
        held.say(f"stop 0 {how}")
        assert held.event().status is Status.OK
        assert is_gone(theirs)
        assert not is_gone(other)
        held.end()
        assert is_gone(other)


def test_orphan_another_instance_has_made_before_is_left_alone(agent: Path) -> None:
    """A daemon of the second: its parent has ended, it is a child of ours now and of no instance's tree."""
    script = "daemon=$(sleep 60 >&- 2>&- & echo $!); echo $daemon; read -r line; exit 0"
    with hold(agent, "--count", "2", *sh(script)) as held:
        held.start()
        orphan = int(held.start().output)
        assert parent_of(orphan) == held.process.pid
        held.say("stop 0 kill")
        assert held.event().status is Status.OK
        assert not is_gone(orphan)
        held.end()
        assert is_gone(orphan)


def test_ping_gives_as_many_round_trips_as_asked_each_within_the_time_they_took(agent: Path) -> None:
    with hold(agent, "--count", "2", *spawn(str(agent), "echo")) as held:
        held.start()
        held.start()
        before = time.monotonic_ns()
        held.say("ping 1 300")
        pinged = held.event()
        took_ns = time.monotonic_ns() - before
        assert (pinged.kind, pinged.slot, pinged.status) == ("pinged", 1, Status.OK)
        assert len(pinged.round_trips_ns) == 300
        assert min(pinged.round_trips_ns) > 0
        assert sum(pinged.round_trips_ns) < took_ns
        *exits, _ = held.end()
        assert [event.exit_code for event in exits] == [0, 0]
        assert [event.output.count("\n") for event in exits] == [1, 1]


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("read -r line", Status.TIMEOUT, "no answer in time"),
        ("head -c 1 > /dev/null; printf 'no'; read -r line", Status.FAILED, "what it was not asked"),
        ("head -c 1 > /dev/null; exit 0", Status.FAILED, "the workload ended before it had answered"),
        ("exec <&-; sleep 0.2", Status.FAILED, ""),
    ],
)
def test_ping_without_its_answer_fails_that_instance_and_no_other(
    agent: Path, script: str, status: Status, reason: str
) -> None:
    first_line = f"echo x; if [ {{n}} = 0 ]; then {script}; exit; fi; read -r line"
    with hold(agent, "--count", "2", "--timeout-ms", "1500", *sh(first_line)) as held:
        held.start()
        held.start()
        held.say("ping 0 5")
        pinged = held.event()
        assert (pinged.kind, pinged.slot, pinged.status) == ("pinged", 0, status)
        assert reason in (pinged.reason or "")
        assert len(pinged.round_trips_ns) == 0
        assert [event.status for event in held.end()[:-1]] == [status, Status.OK]


def test_end_of_its_input_ends_all(agent: Path, tmp_path: Path) -> None:
    cleanup = ("--cleanup", "-", "2", "/bin/touch", f"{tmp_path}/cleaned-{{n}}")
    with hold(agent, "--count", "2", *cleanup, *spawn(str(agent), "hold")) as held:
        pids = [held.start().pid for _ in range(2)]
        held.commands.close()
        assert [event.kind for event in held.rest()] == ["exit", "exit", "end"]
        assert all(is_gone(pid) for pid in pids)
        assert {path.name for path in tmp_path.iterdir()} == {"cleaned-0", "cleaned-1"}


def test_signal_ends_all_at_once_and_cleans_up(agent: Path, tmp_path: Path) -> None:
    cleanup = ("--cleanup", "-", "2", "/bin/touch", f"{tmp_path}/cleaned-{{n}}")
    words = sh("trap '' TERM; echo x; exec sleep 60")
    with hold(agent, "--count", "2", "--grace-ms", "60000", *cleanup, *words) as held:
        pids = [held.start().pid for _ in range(2)]
        held.process.send_signal(signal.SIGTERM)
        exits = held.rest()[:-1]
        assert [(event.status, event.reason) for event in exits] == [(Status.FAILED, "interrupted")] * 2
        assert held.process.wait(TIMEOUT_S) == 128 + signal.SIGTERM
        assert all(is_gone(pid) for pid in pids)
        assert {path.name for path in tmp_path.iterdir()} == {"cleaned-0", "cleaned-1"}


@pytest.mark.parametrize(
    "command",
    [
        *("start", "start 0", "start 1", "start x", "send 1", "send", "send x", "send -1", "send 0 0"),
        *(
            "stop",
            "stop 0",
            "stop 0 now",
            "stop 1 kill",
            "stop 0 kill 9",
            "ping 0",
            "ping 0 0",
            "ping 0 100001",
        ),
        *("ping 1 1", "end 0", "dance", "", " ", "x" * 500),
    ],
)
def test_command_that_cannot_be_obeyed_ends_all_in_order_and_says_which(
    agent: Path, tmp_path: Path, command: str
) -> None:
    cleanup = ("--cleanup", "-", "2", "/bin/touch", str(tmp_path / "cleaned"))
    with hold(agent, "--count", "1", *cleanup, *spawn(str(agent), "hold")) as held:
        pid = held.start().pid
        held.say(command)
        assert [event.kind for event in held.rest()] == ["exit", "end"]
        assert held.process.wait(TIMEOUT_S) == 2
        assert held.process.stderr
        assert f"command '{command[:60]}" in held.process.stderr.read().decode()
        assert is_gone(pid)
        assert (tmp_path / "cleaned").exists()


def test_start_without_a_file_descriptor_left_fails_and_the_others_go_on(agent: Path) -> None:
    limited = ("/bin/sh", "-c", 'ulimit -n 24; exec "$@"', "sh")
    words = [*limited, str(agent), "start", "--interactive", "--count", "9", *spawn(str(agent), "hold")]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, bufsize=0, stdin=pipe, stdout=pipe) as process:
        held = Held(process)
        events = [held.start() for _ in range(9)]
        failed = [event for event in events if event.status is not Status.OK]
        assert events[0].status is Status.OK
        assert failed
        for event in failed:
            assert event.reason
            assert event.reason.startswith("make its pipes: ")
        exits = held.end()[:-1]
        assert [event.status for event in exits] == [event.status for event in events]
        assert process.wait(TIMEOUT_S) == 0

"""What counts as ready in the agent's `start`: output, a line, a port, an exit; and why it was not."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.model import Event, Status
from isobench.starter import parse_event

TIMEOUT_S = 30
UP = ("--ready", "line", "^it is up$")
STOP = "--stop-when-ready"

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="a network namespace without a user namespace needs root"
)


def start(agent: Path, *arguments: str) -> list[Event]:
    argv = [str(agent), "start", *arguments]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return [parse_event(line) for line in done.stdout.splitlines()]


def one(agent: Path, *arguments: str) -> Event:
    (event,) = start(agent, *arguments)
    return event


def sh(script: str) -> tuple[str, ...]:
    return ("--spawn", "3", "/bin/sh", "-c", script)


def python(script: str) -> tuple[str, ...]:
    return ("--spawn", "3", sys.executable, "-c", script)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def served(port: int, family: str = "AF_INET", address: str = "127.0.0.1") -> str:
    return (
        f"import socket, time; s = socket.create_server(('{address}', {port}), family=socket.{family}); "
        "time.sleep(60)"
    )


def test_line_is_matched_whole_on_either_output(agent: Path) -> None:
    for stream in ("1", "2"):
        event = one(
            agent, *UP, STOP, *sh(f"printf 'not yet\\nit is ' >&{stream}; echo up >&{stream}; sleep 60")
        )
        assert (event.status, event.ready_count) == (Status.OK, 1)


def test_part_of_a_line_is_no_line(agent: Path) -> None:
    event = one(agent, *UP, "--timeout-ms", "300", *sh("printf 'it is up'; sleep 60"))
    assert (event.status, event.output) == (Status.TIMEOUT, "it is up")


def test_lines_of_both_outputs_do_not_mix(agent: Path) -> None:
    event = one(agent, *UP, "--timeout-ms", "300", *sh("printf 'it is '; echo up >&2; echo; sleep 60"))
    assert event.status is Status.TIMEOUT


def test_carriage_return_and_nul_do_not_hide_a_line(agent: Path) -> None:
    event = one(agent, "--ready", "line", "^a b$", STOP, *sh(r"printf 'a\000b\r\n'; sleep 60"))
    assert event.status is Status.OK


def test_of_an_endless_line_the_beginning_counts(agent: Path) -> None:
    script = "printf begin; head -c 100000 /dev/zero | tr '\\0' x; echo end; exit 0"
    assert one(agent, "--ready", "line", "^beginx", *sh(script)).ready_count == 1
    assert one(agent, "--ready", "line", "end$", *sh(script)).ready_count == 0


def test_ready_is_counted_as_often_as_it_was_seen(agent: Path) -> None:
    event = one(agent, *UP, *sh("echo it is up; echo it is up >&2; echo it is up"))
    assert (event.status, event.ready_count) == (Status.OK, 3)


def test_exit_with_0_is_ready_at_the_very_stamp_of_the_exit(agent: Path) -> None:
    event = one(agent, "--ready", "exit", *sh("echo a word"))
    assert (event.status, event.ready_count) == (Status.OK, 1)
    assert event.phases_ns["ready"] == event.phases_ns["exit"]


@pytest.mark.parametrize(("family", "address"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_port_is_ready_when_it_accepts_on_either_loopback_address(
    agent: Path, port: int, family: str, address: str
) -> None:
    event = one(agent, "--ready", "port", str(port), STOP, *python(served(port, family, address)))
    assert (event.status, event.ready_count, event.term_signal) == (Status.OK, 1, signal.SIGKILL)


@as_root
def test_port_of_the_ephemeral_range_is_not_mistaken_for_its_own_caller(agent: Path) -> None:
    """A socket that looks for a port may be given that very port, and then has itself for a peer."""
    only_that = "echo 8099 8099 > /proc/sys/net/ipv4/ip_local_port_range"
    alone = ("--namespaces", "network", "--own-network", "--loopback", "--ready", "port", "8099", STOP)
    event = one(agent, *alone, "--timeout-ms", "500", *sh(f"{only_that}; sleep 60"))
    assert (event.status, event.ready_count) == (Status.TIMEOUT, 0)


def test_port_that_is_taken_fails_before_anything_is_started(agent: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        event = one(agent, "--ready", "port", str(number), *sh(f"touch {tmp_path}/started"))
    assert (event.status, event.reason) == (Status.FAILED, f"port {number} of this host is taken already")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("ready", "script", "reason"),
    [
        (("exit",), "sleep 60", "it did not end"),
        (("line", "x y"), "echo x; sleep 60", "no line matched 'x y'"),
        (("line", "x"), "exec >&- 2>&-; sleep 60", "it has closed its output and runs on"),
        (("line", "x"), "exec >&-; sleep 60", "no line matched 'x'"),
        (("output",), "exec >&-; sleep 60", "it has closed its output and runs on"),
    ],
)
def test_time_out_says_what_was_missing(
    agent: Path, ready: tuple[str, ...], script: str, reason: str
) -> None:
    event = one(agent, "--ready", *ready, "--timeout-ms", "300", *sh(script))
    assert (event.status, event.reason) == (Status.TIMEOUT, f"not ready in time: {reason}")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "the workload exited 3 before it was ready"),
        ("kill -9 $$", "the workload was killed by signal 9 before it was ready"),
        (
            "sleep 60 >&- 2>&- & exit 0",
            (
                "the workload ended before it was ready; one that goes into the background has to be told "
                "to stay in the foreground"
            ),
        ),
    ],
)
@pytest.mark.parametrize("ready", [UP, ("--ready", "port", "9")])
def test_end_before_it_was_ready_says_how_it_ended(
    agent: Path, ready: tuple[str, ...], script: str, reason: str
) -> None:
    event = one(agent, *ready, *sh(script))
    assert (event.status, event.reason) == (Status.FAILED, reason)


def test_stopped_workload_takes_its_children_with_it_and_the_next_start_finds_the_port_free(
    agent: Path, port: int
) -> None:
    forking = f"import os; {served(port)}".replace("time.sleep", "os.fork(); time.sleep")
    events = start(agent, "--count", "3", "--ready", "port", str(port), STOP, *python(forking))
    assert [event.status for event in events] == [Status.OK] * 3


def test_workload_that_fails_after_it_was_ready_fails_when_it_is_not_stopped(agent: Path) -> None:
    event = one(agent, *UP, *sh("echo it is up; exit 4"))
    assert (event.status, event.reason) == (Status.FAILED, "the workload exited 4")


def test_environment_is_the_agents_with_the_given_in_place_of_the_same_name(agent: Path) -> None:
    argv = [
        str(agent),
        "start",
        "--env",
        "A=1",
        "--env",
        "B=x y=z",
        "--env",
        "A=2",
        "--spawn",
        "1",
        "/usr/bin/env",
    ]
    done = subprocess.run(argv, capture_output=True, env={"A": "0", "C": "c"}, timeout=TIMEOUT_S, check=True)
    assert parse_event(done.stdout.strip()).output == "A=2\nC=c\nB=x y=z\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--ready", "line", "a(b"), "no extended regular expression"),
        (("--ready", "port", "0"), "not an integer from 1 to 65535"),
        (("--ready", "port", "65536"), "not an integer from 1 to 65535"),
        (("--ready", "sometimes"), "output, line PATTERN, port N or exit"),
        (("--env", "NAME"), "NAME=VALUE is needed"),
        (("--env", "=x"), "NAME=VALUE is needed"),
        (("--loopback",), "needs a network namespace of its own"),
    ],
)
def test_bad_option_is_refused_before_anything_is_started(
    agent: Path, arguments: tuple[str, ...], words: str
) -> None:
    argv = [str(agent), "start", *arguments, *sh("echo started")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@as_root
def test_loopback_device_of_a_new_network_is_down_unless_asked_for(agent: Path) -> None:
    script = sh("ip -o link show lo")
    down = one(agent, "--namespaces", "network", *script)
    up = one(agent, "--namespaces", "network", "--own-network", "--loopback", *script)
    assert ("UP" in down.output.split(">")[0], "UP" in up.output.split(">")[0]) == (False, True)

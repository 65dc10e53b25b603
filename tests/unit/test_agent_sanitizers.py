"""The agent built with AddressSanitizer and UndefinedBehaviorSanitizer: any report fails the test.

A process that shares our memory until exec (CLONE_VM | CLONE_VFORK) runs under them as well, but for one
remark: when it ends without exec, AddressSanitizer does not know the stack it stands on and says that
false alarms may follow. None did; the remark alone is let through.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from build_agent import AGENT_DIR

TIMEOUT_S = 60
FLAGS = ("-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
REMARK = re.compile(
    r"==\d+==WARNING: ASan is ignoring requested __asan_handle_no_return.*\n"
    r"False positive error reports may follow\n"
    r"For details see .*\n"
)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("gcc") and Path("/usr/include/stdio.h").exists()):
        pytest.skip("no gcc with glibc to build the agent with sanitizers: apt-get install gcc libc6-dev")
    made = tmp_path_factory.mktemp("sanitized") / "isoagent"
    sources = sorted(AGENT_DIR.glob("*.c"))
    subprocess.run(["gcc", *FLAGS, "-Wall", "-Wextra", "-Werror", "-o", made, *sources], check=True)
    return made


def run(
    agent: Path, logs: Path, *arguments: str, given: str = "", code: int = 0, leaks: bool = True
) -> list[str]:
    """The lines it said; fails on any report of a sanitizer, of the agent or of a workload."""
    options = f"log_path={logs}/log:detect_leaks={int(leaks)}"
    done = subprocess.run(
        [agent, *arguments],
        input=given,
        env={"ASAN_OPTIONS": options, "UBSAN_OPTIONS": options, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "".join(REMARK.sub("", log.read_text()) for log in logs.glob("log.*")) == ""
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines()


def spawn(*words: str) -> tuple[str, ...]:
    return ("--spawn", str(len(words)), *words)


def sh(script: str) -> tuple[str, ...]:
    return spawn("/bin/sh", "-c", script)


PLACE = ("--token", "isobench-0a1b2c3d", "--root", "/nonexistent", "--work", "/nonexistent")


@pytest.mark.parametrize(
    "arguments",
    [
        ("ready",),
        ("hold",),
        ("echo",),
        ("touch", "--mib", "2"),
        ("probe",),
        ("spin", "--threads", "3", "--lead-us", "1000", "--window-us", "30000", "--period-us", "7000"),
        ("spin", "--window-us", "4096", "--period-us", "1"),
        ("spin", "--threads", "4", "--window-us", "9000", "--threshold-us", "1"),
        ("request", "--work-us", "20", "--mean-us", "100", "--count", "300"),
        ("gaps", "--count", "2", "--threshold-us", "1"),
        *(
            ("primitives", name, *PLACE)
            for name in ("process", "exec", "user_map", "seccomp_profile", "sequence")
        ),
    ],
    ids=" ".join,
)
def test_workload_is_clean(sanitized: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    # What a workload allocates lives until it ends.
    assert run(sanitized, tmp_path, *arguments, leaks=False)


FLOOD = "head -c 70000 /dev/urandom; head -c 70000 /dev/urandom >&2"


@pytest.mark.parametrize(
    "arguments",
    [
        sh("echo x"),
        sh(FLOOD),
        sh("cat /dev/zero"),
        sh("exit 3"),
        sh("sleep 60 & echo x"),
        spawn("/nonexistent"),
        ("--timeout-ms", "50", *sh("sleep 60")),
        ("--timeout-ms", "50", "--step", "-", "2", "/bin/sleep", "60", *sh("echo x")),
        ("--step", "created", "2", "/bin/echo", "{n}{n}", "--cleanup", "-", "1", "/bin/false", *sh("echo x")),
        ("--write", "/nonexistent/{n}", "value", *sh("echo x")),
        ("--cgroup", "/nonexistent/{n}", *sh("echo x")),
        ("--step", "-", "1", "/bin/true", "--adopt", "/nonexistent"),
        ("--console", *sh("echo kernel >&3; echo x")),
        ("--console", *sh("head -c 100000 /dev/urandom >&3; exit 3")),
        ("--namespaces", "user,mount", "--pivot-root", "/nonexistent", *spawn("/x")),
        ("--namespaces", "user,time", *spawn("/nonexistent")),
        ("--namespaces", "mount,uts,ipc,pid,network,user,cgroup,time", *sh("echo x")),
    ],
    ids=" ".join,
)
def test_starts_are_clean_and_leak_nothing(
    sanitized: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert len(run(sanitized, tmp_path, "start", "--count", "3", *arguments)) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        sh("echo x"),
        sh(FLOOD),
        sh("exit 3"),
        sh("sleep 60 & echo x"),
        spawn("/nonexistent"),
        ("--timeout-ms", "50", *sh("sleep 60")),
        ("--step", "created", "2", "/bin/echo", "{n}{n}", "--cleanup", "-", "1", "/bin/false", *sh("echo x")),
    ],
    ids=" ".join,
)
def test_concurrent_starts_are_clean(sanitized: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    # Workers end without handing their memory back.
    options = ("--workers", "3", "--window-ms", "60000", "--count", "7")
    lines = run(sanitized, tmp_path, "start", *options, *arguments, leaks=False)
    assert [json.loads(line)["kind"] for line in lines] == ["attempt"] * 7 + ["end"]


def test_start_of_a_sanitized_workload_is_clean(sanitized: Path, tmp_path: Path) -> None:
    (line,) = run(sanitized, tmp_path, "start", *spawn(str(sanitized), "ready"))
    assert '"status":"ok"' in line


@pytest.mark.parametrize("last", ["end", "", "send 9", "start\nstart\nstart", "x" * 200])
def test_held_instances_are_clean_and_leak_nothing(sanitized: Path, tmp_path: Path, last: str) -> None:
    script = f"echo x; read -r line; echo y; {FLOOD}; read -r line"
    commands = f"start\nstart\nsend 0\n{last}\n"
    code = 0 if last == "end" else 2
    options = ("start", "--interactive", "--count", "4")
    lines = run(sanitized, tmp_path, *options, *sh(script), given=commands, code=code)
    assert lines[-1] == '{"kind":"end"}'


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_held_instance_that_is_stopped_and_started_again_is_clean(
    sanitized: Path, tmp_path: Path, how: str
) -> None:
    commands = f"start\nstart 2\nping 2 3\nping 0 2\nstop 2 {how}\nstart 2\nstop 0 {how}\nend\n"
    script = "sleep 60 >&- 2>&- & echo x; exec cat"
    options = ("start", "--interactive", "--count", "4", "--cleanup", "-", "1", "/bin/true")
    lines = run(sanitized, tmp_path, *options, *sh(script), given=commands)
    kinds = [json.loads(line)["kind"] for line in lines]
    assert [kind for kind in kinds if kind != "line"] == [
        "ready",
        "ready",
        "pinged",
        "pinged",
        "exit",
        "ready",
        "exit",
        "exit",
        "end",
    ]


@pytest.mark.parametrize(
    "arguments",
    [(), ("start",), ("start", "--spawn", "9", "x"), ("spin", "--threads", "x"), ("touch", "--mib")],
    ids=" ".join,
)
def test_bad_command_line_is_refused_cleanly(
    sanitized: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert run(sanitized, tmp_path, *arguments, code=2, leaks=False) == []


def test_sanitizers_are_on(sanitized: Path) -> None:
    """This file would say nothing if the build had silently left them out."""
    symbols = sanitized.read_bytes()
    assert b"__asan_init" in symbols
    assert b"__ubsan_handle" in symbols

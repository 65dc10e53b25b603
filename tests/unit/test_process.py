import logging
import os
import time
from pathlib import Path

import pytest

from isobench import process
from isobench.errors import ToolError


def test_run_returns_both_outputs_and_the_exit_code() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10, check=False)
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 3)


def test_run_gives_input_and_only_the_fixed_environment_plus_the_callers() -> None:
    os.environ["ISOBENCH_TEST_LEAK"] = "1"
    try:
        done = process.run(["sh", "-c", "cat; env"], timeout_s=10, input="typed\n", env={"EXTRA": "yes"})
    finally:
        del os.environ["ISOBENCH_TEST_LEAK"]
    assert done.stdout.startswith("typed\n")
    assert "LC_ALL=C" in done.stdout
    assert "EXTRA=yes" in done.stdout
    assert "ISOBENCH_TEST_LEAK" not in done.stdout


def test_run_without_input_has_an_empty_standard_input() -> None:
    assert process.run(["cat"], timeout_s=10).stdout == ""


def test_output_that_is_no_utf8_is_kept_with_marks() -> None:
    assert process.run(["printf", r"a\377b"], timeout_s=10).stdout == "a\ufffdb"


def test_exit_code_other_than_zero_is_an_error_with_command_line_code_and_last_words() -> None:
    with pytest.raises(ToolError, match=r"sh -c 'echo why >&2; exit 7': exit code 7: why"):
        process.run(["sh", "-c", "echo why >&2; exit 7"], timeout_s=10)


def test_end_by_a_signal_is_an_error_that_names_the_signal() -> None:
    with pytest.raises(ToolError, match="ended by signal SIGTERM"):
        process.run(["sh", "-c", "kill -TERM $$"], timeout_s=10)


def test_missing_program_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ToolError, match="cannot run isobench-no-such-tool -v: No such file") as caught:
        process.run(["isobench-no-such-tool", "-v"], timeout_s=10)
    assert caught.value.remedy == "isobench doctor"


def test_program_that_runs_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 100 & echo $! > {pids}; echo $$ >> {pids}; echo stuck >&2; wait"
    with pytest.raises(ToolError, match=r"killed after 0\.5 s: stuck"):
        process.run(["sh", "-c", script], timeout_s=0.5)
    for pid in map(int, pids.read_text().split()):
        _assert_ended(pid)


def test_daemon_that_keeps_the_pipe_open_does_not_hold_us_up(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"setsid sleep 60 & echo $! > {pid_file}"
    try:
        with pytest.raises(ToolError, match="killed after"):
            process.run(["sh", "-c", script], timeout_s=0.5)
    finally:
        os.kill(int(pid_file.read_text()), 9)


def test_command_line_is_logged_ready_to_paste(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="isobench.process"):
        process.run(["echo", "two words", "$HOME"], timeout_s=10)
    assert caplog.messages == ["echo 'two words' '$HOME'"]


def test_tool_is_found_on_the_fixed_path_whatever_the_users_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert process.find_tool("sh") in {Path("/usr/bin/sh"), Path("/bin/sh")}
    assert process.find_tool("isobench-no-such-tool") is None


def _assert_ended(pid: int) -> None:
    """Killed is not yet reaped: init may take a moment; a zombie counts as ended."""
    for _attempt in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} still runs")

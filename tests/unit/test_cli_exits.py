"""How a command ends: exit codes, messages, signals, an output nobody reads."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import isobench
from isobench.cli import main
from isobench.cli.exits import guarded
from isobench.errors import (
    CellsFailedError,
    HostUnfitError,
    InternalError,
    IsobenchError,
    MatrixError,
)

HEAVY = ("rich", "pydantic", "numpy", "pandas", "scipy", "matplotlib", "jinja2", "psutil")


def python(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, which finds the package under test."""
    source = str(Path(isobench.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": source, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MatrixError("m.toml: wrong"), 2),
        (HostUnfitError("no kernel"), 3),
        (CellsFailedError("2 cells failed"), 4),
        (InternalError("broken promise"), 5),
    ],
)
def test_error_of_ours_ends_with_its_code_and_its_message(
    error: IsobenchError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_error_with_a_remedy_says_it_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(HostUnfitError("runc is missing", remedy="apt-get install runc")))
    assert capsys.readouterr().err == "error: runc is missing\nremedy: apt-get install runc\n"


def test_unexpected_error_is_one_line_with_where_to_report_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISOBENCH_DEBUG", raising=False)
    assert guarded(raising(ZeroDivisionError("by zero"))) == 5
    error, remedy = capsys.readouterr().err.splitlines()
    assert error == "error: a defect of isobench: ZeroDivisionError: by zero"
    assert "ISOBENCH_DEBUG=1" in remedy


def test_debugging_shows_the_traceback_of_any_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOBENCH_DEBUG", "1")
    guarded(raising(ZeroDivisionError()))
    guarded(raising(MatrixError("m.toml: wrong")))
    assert capsys.readouterr().err.count("Traceback (most recent call last)") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_command_in_order_with_128_and_its_number(number: signal.Signals) -> None:
    cleaned = []

    def command() -> None:
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(True)

    before = signal.getsignal(number)
    assert guarded(command) == 128 + number
    assert cleaned
    assert signal.getsignal(number) is before


def test_command_that_bears_an_interrupt_and_returns_still_ends_with_130() -> None:
    def command() -> None:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert guarded(command) == 130


def test_second_signal_does_not_break_off_the_clean_up(capfd: pytest.CaptureFixture[str]) -> None:
    cleaned = []

    def command() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append(True)

    assert guarded(command) == 130
    assert cleaned
    assert "still ending" in capfd.readouterr().err


def test_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert guarded(lambda: signal.raise_signal(signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_usage_error_ends_with_2_and_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "--dryrun"]) == 2
    assert "--dryrun" in capsys.readouterr().err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"isobench {isobench.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    done = python(
        "import sys; from isobench.cli import main; code = main(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code, file=sys.stderr)"
    )
    assert done.stdout.startswith("Usage: isobench")
    assert done.stderr == "[] 0\n"


def test_reader_that_has_gone_away_ends_quietly_with_141() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "isobench", "list", "workloads"],
            env={**os.environ, "PYTHONPATH": str(Path(isobench.__file__).parent.parent)},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_output_on_a_full_device_is_an_error_with_its_reason() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "isobench", "list", "workloads"],
            env={**os.environ, "PYTHONPATH": str(Path(isobench.__file__).parent.parent)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr == "error: the output: cannot be written: No space left on device\n"


def test_debug_option_is_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOBENCH_DEBUG", "0")  # so that it is put back afterwards
    assert main(["--debug", "list", "workloads"]) == 0
    assert os.environ["ISOBENCH_DEBUG"] == "1"

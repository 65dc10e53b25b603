"""Tests see signals at work even where the session was started with them ignored."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import os, signal, subprocess
import pytest

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_child_hears(number):
    with subprocess.Popen(["sleep", "60"]) as child:
        child.send_signal(number)
    assert child.returncode == -number

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_session_does_not(number):
    os.kill(os.getpid(), number)
"""


def test_session_with_ignored_signals_goes_on_and_its_children_hear_them(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "tests" / "test_signals.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    pytest_words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests"]
    argv = ["sh", "-c", 'trap "" INT HUP QUIT; exec "$@"', "sh", *pytest_words]
    env = {**os.environ, "CI": ""}
    done = subprocess.run(argv, check=False, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout

"""A skip that is not on the list fails the session in CI."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest

@pytest.mark.skip(reason="no chromium here")
def test_page(): pass

def test_sum(): assert 1 + 1 == 2
"""


def run_session(folder: Path, allowed: str, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "conftest.py", folder)
    (folder / "tests" / "allowed_skips.txt").write_text(allowed)
    (folder / "tests" / "test_page.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests"]
    env = {**os.environ, "CI": ci}
    return subprocess.run(argv, check=False, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("allowed", "ci", "code"),
    [
        ("", "true", 1),
        ("", "", 0),
        ("# why\ntests/test_page.py::* :: no chromium\n", "true", 0),
        ("tests/test_page.py::* :: another reason\n", "true", 1),
        ("tests/test_other.py::* :: no chromium\n", "true", 1),
    ],
    ids=["unlisted", "unlisted outside CI", "listed", "other reason", "other test"],
)
def test_session_with_a_skip_fails_in_ci_unless_test_and_reason_are_listed(
    tmp_path: Path, allowed: str, ci: str, code: int
) -> None:
    done = run_session(tmp_path, allowed, ci)
    assert done.returncode == code, done.stdout
    refused = "skip not listed in allowed_skips.txt: tests/test_page.py::test_page" in done.stdout
    assert refused == (code == 1)


def test_line_without_a_reason_is_refused(tmp_path: Path) -> None:
    done = run_session(tmp_path, "tests/*\n", "true")
    assert done.returncode not in {0, 1}
    assert "is not `tests :: reason`" in done.stdout + done.stderr

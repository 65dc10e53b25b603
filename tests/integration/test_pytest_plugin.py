"""The pytest plugin with real isolators, in suites of their own processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

import pytest

from isobench.journal import read_run

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.integration

OFFERED = any(point.name == "isobench" for point in entry_points(group="pytest11"))
T = TypeVar("T")

PLUGIN = () if OFFERED else ("-p", "isobench.pytest_plugin")


def test_cells_of_three_isolators_are_measured_and_stored(
    pytester: pytest.Pytester, state: Path, tmp_path: Path
) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.isobench(starts=10, blocks=2, required=True)
@pytest.mark.parametrize("isolator", ["bare", "chroot", "namespaces"])
def test_start(isobench_lab, benchmark, isolator):
    cell = isobench_lab.measure(isolator=isolator)
    cell.into(benchmark)
    assert cell.cell == f"startup/{isolator}/ready"
    assert len(cell.values) == 10
    assert 0 < cell.least <= cell.median <= cell.p90 <= cell.greatest < 60
    assert cell.record.seed >= 0

@pytest.mark.isobench(isolator="namespaces", options={"namespaces": ["mount"]}, starts=2, required=True)
def test_options(isobench_cell):
    assert isobench_cell.record.isolators[0].options["namespaces"] == ["mount"]
"""
    )
    stored = tmp_path / "stored.json"
    result = pytester.runpytest_subprocess(*PLUGIN, f"--benchmark-json={stored}", f"--basetemp={tmp_path}/b")
    result.assert_outcomes(passed=4)
    entries = json.loads(stored.read_text())["benchmarks"]
    runs = [read_run(Path(f"{tmp_path}/b/isobench{n}")) for n in range(3)]
    assert [entry["stats"]["data"] for entry in entries] == [
        [s.value for s in samples if not s.detail.get("warmup")] for _, samples in runs
    ]
    assert {entry["options"]["timer"] for entry in entries} == {"isobench_agent_clock"}
    assert not list((state / "run").iterdir())


@pytest.mark.usefixtures("state")
def test_pair_with_a_delay_of_known_size_is_a_regression(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
def test_pair(isobench_lab):
    delayed = {"kind": "delayed", "of": "namespaces", "delay_us": 20_000}
    pair = isobench_lab.measure_pair("namespaces", delayed, blocks=12, starts=2, required=False)
    assert pair.verdict == "regression", pair
    assert pair.change > 1
"""
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-rs")
    # A host that others keep busy all the time gives no verdict, and says so.
    found = result.parseoutcomes()
    assert found == {"passed": 1} or "too restless" in result.stdout.str()


@pytest.mark.usefixtures("state")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="no setpriv: apt-get install util-linux")
def test_missing_privilege_skips_unless_required(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
def test_cell(isobench_lab): isobench_lab.measure(isolator="chroot")
def test_required(isobench_lab): isobench_lab.measure(isolator="chroot", required=True)
"""
    )
    suite = [sys.executable, "-m", "pytest", *PLUGIN, "-rs"]
    result = pytester.run("setpriv", "--bounding-set=-sys_chroot", *suite)
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*startup/chroot/ready: unavailable: *Operation not permitted*", "*remedy: *"]
    )


@pytest.mark.usefixtures("state")
def test_runtime_that_is_not_there_skips_with_its_remedy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
def test_cell(isobench_lab):
    isobench_lab.measure(isolator="runc", options={"binary": "/nowhere/runc"})
"""
    )
    result = pytester.runpytest_subprocess(*PLUGIN, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*startup/runc/ready: unavailable: */nowhere/runc*", "*remedy: *"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_interrupt_in_a_start_leaves_nothing_behind(
    pytester: pytest.Pytester, state: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.parametrize("n", range(2))
def test_cell(isobench_lab, n):
    isobench_lab.measure(isolator="namespaces", starts=100_000, required=True)
"""
    )
    command = [sys.executable, "-m", "pytest", *PLUGIN, *workers, f"--basetemp={tmp_path}/b"]
    with subprocess.Popen(
        command,
        cwd=pytester.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as going:
        try:
            journal = _first(lambda: next(tmp_path.glob("b/**/isobench0/samples.jsonl"), None))
            _first(journal.read_bytes)
            os.killpg(going.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
            out, _ = going.communicate(timeout=60)
        except BaseException:
            os.killpg(going.pid, signal.SIGTERM)
            raise
    assert going.returncode == pytest.ExitCode.INTERRUPTED, out
    record, samples = read_run(journal.parent)
    assert record.status == "interrupted"
    assert samples
    _first(lambda: not list((state / "run").iterdir()))  # a worker may end a little after its master
    assert _programs_of(state) == []


def _first(found: Callable[[], T | None]) -> T:
    """What is there after a while."""
    end = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def _programs_of(state: Path) -> list[str]:
    """Command lines that name something of this state folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes()
            if str(state).encode() in line:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found

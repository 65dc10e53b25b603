"""Real runs: a disk that is really full, a folder that is really read-only, a run that is killed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from isobench import lab as lab_module
from isobench.cli import main
from isobench.engine import resume, run
from isobench.errors import OutputError
from isobench.fakelab import fake_lab
from isobench.isolators import removal, residue
from isobench.isolators.requirements import find_tool
from isobench.journal import load, read_run
from isobench.journal_writer import claim
from isobench.lab import this_host
from isobench.matrix import Matrix, parse_matrix
from isobench.model import Cell, Sample, Status

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system and starts isolators: needs root"),
]


class Silent:
    """An observer that looks away."""

    def planned(self, cells: object, blocks: int, expected_s: float) -> None: ...
    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None: ...
    def cell_finished(self, cell: Cell, samples: object) -> None: ...
    def finished(self, outcome: object) -> None: ...


@contextmanager
def tmpfs(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "isobench-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fakes() -> Matrix:
    script = [{"value": n / 1000} for n in range(1, 8)]
    return parse_matrix(
        {
            "run": {"blocks": 40, "seed": 7, "benchmarks": ["fake"]},
            "isolator": [{"kind": "fake", "name": name, "script": script} for name in "ab"],
            "fake": {"attempts": 10},
        },
        "test",
    )


def test_full_disk_loses_no_line_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        with pytest.raises(OutputError, match="No space left on device") as error:
            run(fakes(), disk / "run", Silent(), fake_lab(tmp_path))
        kept = load(disk / "run")
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        outcome = resume(disk / "run", Silent(), fake_lab(tmp_path))
        _, samples = read_run(disk / "run")

    assert "isobench resume" in str(error.value.remedy)
    assert len(kept.samples) > 20
    assert kept.warnings == ()
    assert samples[: len(kept.samples)] == kept.samples
    assert outcome.status == "finished"


def test_disk_that_is_full_from_the_start_leaves_an_empty_folder(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=16k") as disk:
        (disk / "ballast").write_bytes(bytes(12 * 1024))
        with pytest.raises(OutputError, match="No space left on device"):
            run(fakes(), disk / "run", Silent(), fake_lab(tmp_path))

        assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_read_only_folder_is_refused_with_remedy(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "ro") as disk:
        for folder in (disk, disk / "new"):
            with pytest.raises(OutputError, match="Read-only file system") as error:
                claim(folder)
            assert "--out" in str(error.value.remedy)


def test_read_only_folder_ends_the_command_with_2_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lab_module, "this_host", lambda **_: fake_lab(tmp_path))
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('[run]\nblocks = 1\nbenchmarks = ["fake"]\n[[isolator]]\nkind = "fake"\n')
    with tmpfs(tmp_path / "disk", "ro") as disk:
        for folder in (disk, disk / "new"):
            assert main(["run", str(matrix), "--no-report", "--out", str(folder)]) == 2
            said = capsys.readouterr().err.strip().splitlines()
            assert said[-2].endswith(f"{folder}: results cannot be written there: Read-only file system")
            assert said[-1].startswith("remedy: ")
            assert "--out" in said[-1]
        assert list(disk.iterdir()) == []


REAL = """
[run]
audit = false
blocks = 6
seed = 7
benchmarks = ["startup"]
[[isolator]]
kind = "bare"
[[isolator]]
kind = "cgroups"
[[isolator]]
kind = "namespaces"
[startup]
starts = 600
warmups = 0
"""

KILLED = """
import sys
from pathlib import Path
from isobench.engine import run
from isobench.lab import this_host
from isobench.matrix import read_matrix
class Silent:
    planned = cell_started = cell_finished = finished = lambda self, *_: None
run(read_matrix(Path(sys.argv[1])), Path(sys.argv[2]), Silent(), this_host())
"""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_run_of_real_isolators_is_finished_by_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    matrix, out = tmp_path / "matrix.toml", tmp_path / "run"
    matrix.write_text(REAL)
    lines = out / "samples.jsonl"
    words = [sys.executable, "-c", KILLED, str(matrix), str(out)]
    with subprocess.Popen(words) as process:
        wait_until(lambda: lines.exists() and lines.read_bytes().count(b"\n") >= 450)
        process.kill()
    for token in (path.name for path in (tmp_path / "state" / "run").iterdir()):
        removal.remove(residue.find(token))  # what that run could not remove itself, and nothing else
    kept = load(out)

    outcome = resume(out, Silent(), this_host())

    stored = load(out)
    fresh: tuple[Sample, ...] = stored.samples[len(kept.samples) :]
    assert outcome.status == "finished"
    assert stored.samples[: len(kept.samples)] == kept.samples
    assert kept.done
    assert not {(line.cell, line.block) for line in fresh} & kept.done
    assert len(stored.done) == 18
    assert outcome.exit_code == 0, outcome.cells
    assert outcome.cells["startup/bare/ready"].ok >= 600


class Removes(Silent):
    """Removes a program when its second block is about to begin."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        if block == 1:
            self._program.unlink(missing_ok=True)


def real(isolators: list[dict[str, str]], **startup: int) -> Matrix:
    run_table = {"blocks": 3, "seed": 7, "audit": False, "benchmarks": ["startup"]}
    return parse_matrix({"run": run_table, "isolator": isolators, "startup": startup}, "test")


def test_tool_that_vanishes_between_two_blocks_fails_its_cell_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = find_tool("runc")
    if original is None:
        pytest.skip("runc is not installed")
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    copy = Path(shutil.copy(original, tmp_path / "runc"))
    matrix = real([{"kind": "bare"}, {"kind": "runc", "binary": str(copy)}], starts=6, warmups=0)
    lab = replace(this_host(), lock=tmp_path / "lock")
    outcome = run(matrix, tmp_path / "run", Removes(copy), lab)

    _, samples = read_run(tmp_path / "run")
    runc = [sample for sample in samples if sample.isolator == "runc"]
    assert [sample.status for sample in runc if sample.block == 0] == [Status.OK] * 2
    assert {(sample.status, sample.reason) for sample in runc if sample.block > 0} == {
        (Status.FAILED, f"{copy} has gone")
    }
    assert [sample.status for sample in samples if sample.isolator == "bare"] == [Status.OK] * 6
    assert outcome.exit_code == 4
    assert not list((tmp_path / "state" / "run").iterdir())


class Tokens(Silent):
    """Notes under which name a run makes things on the host."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.seen: set[str] = set()

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        self.seen.update(path.name for path in (self._state / "run").iterdir())


@pytest.mark.parametrize(("kinds", "size"), [(("bare", "cgroups"), "128k"), (("lxc",), "48k")])
def test_disk_that_fills_up_under_real_starts_ends_the_run_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...], size: str
) -> None:
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    lab = replace(this_host(), lock=tmp_path / "lock")
    matrix = real([{"kind": kind} for kind in kinds], starts=900, warmups=0)
    tokens = Tokens(tmp_path / "state")
    with tmpfs(tmp_path / "disk", f"size={size}") as disk:
        with pytest.raises(OutputError, match="No space left on device") as error:
            run(matrix, disk / "run", tokens, lab)
        kept = load(disk / "run")

    assert (error.value.exit_code, "isobench resume" in str(error.value.remedy)) == (2, True)
    assert len(kept.samples) > 20
    assert {sample.status for sample in kept.samples} == {Status.OK}
    assert not list((tmp_path / "state" / "run").iterdir())
    (token,) = tokens.seen
    assert residue.find(token) == ()

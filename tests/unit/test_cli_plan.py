"""``isobench run --plan``: what is to come, without starting anything."""

import json
from pathlib import Path

import pytest

from isobench.cli import main
from isobench.matrix import builtin_matrix, parse_matrix
from isobench.plan import plan_lines

MATRIX = """
[run]
blocks = 4
benchmarks = ["fake"]
[[isolator]]
kind = "fake"
[[isolator]]
kind = "fake"
name = "unlimited"
cpu_limit = false
[fake]
attempts = 500
workloads = ["one", "two"]
"""


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "matrix.toml"
    file.write_text(MATRIX)
    return file


def test_plan_counts_cells_turns_and_time_and_leaves_out_what_never_can_be(matrix: Path) -> None:
    import tomllib

    (line,) = plan_lines(parse_matrix(tomllib.loads(matrix.read_text()), "here"))
    assert (line.isolator, line.benchmark, line.cells, line.turns) == ("fake", "fake", 2, 8)
    assert line.expected_s == pytest.approx(8 * 0.5)


def test_plan_starts_nothing_and_makes_no_folder(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(matrix), "--plan"]) == 0
    said = capsys.readouterr().out
    assert "2 cells in 4 blocks, 8 turns: about 4 s." in said
    assert "Nothing was started." in said
    assert sorted(path.name for path in matrix.parent.iterdir()) == ["matrix.toml"]


def test_plan_as_json_adds_up(matrix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(matrix), "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["blocks"] == 4
    assert plan["expected_s"] == sum(line["expected_s"] for line in plan["lines"]) == 4.0


@pytest.mark.parametrize("quick", [True, False])
def test_every_pair_of_the_builtin_matrix_expects_some_time(*, quick: bool) -> None:
    lines = plan_lines(builtin_matrix(quick=quick))
    assert all(line.expected_s > 0 and line.turns >= line.cells > 0 for line in lines)
    assert {line.isolator for line in lines} >= {"bare", "runc", "qemu"}

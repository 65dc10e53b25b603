"""`isobench compare`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import SyntheticRun, synthetic_run

from isobench.cli import main


@pytest.fixture
def two(made_run: SyntheticRun, tmp_path: Path) -> tuple[str, str]:
    other = synthetic_run(2)
    other = replace(other, record=replace(other.record, run_id="20260302T101500Z-def456"))
    return str(made_run.write(tmp_path / "base")), str(other.write(tmp_path / "new"))


def test_table_goes_to_standard_output_and_it_is_no_gate(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *two, "--all"]) == 0
    out, err = capsys.readouterr()
    assert "startup/runc/ready" in out
    assert not err


def test_json_is_one_document_of_the_metrics_asked_for(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *two, "--json", "--metric", "ready", "--metric", "peak"]) == 0
    assert {cell["metric"] for cell in json.loads(capsys.readouterr().out)["cells"]} == {"ready", "peak"}


@pytest.mark.parametrize(("name", "begins"), [("x.md", "**"), ("x.txt", "**"), ("x.json", "{")])
def test_file_holds_the_form_its_name_asks_for(
    two: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, begins: str
) -> None:
    file = tmp_path / name
    assert main(["compare", *two, "-o", str(file)]) == 0
    assert file.read_text().startswith(begins)
    assert capsys.readouterr().out == f"{file}\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--metric", "raedy"), "no metric 'raedy'"),
        (("--json", "--markdown"), "two forms of one answer"),
        (("-o", "/nowhere/at/all.md"), "the comparison cannot be written"),
    ],
)
def test_wrong_call_is_told_and_ends_with_2(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str], options: tuple[str, ...], says: str
) -> None:
    assert main(["compare", *two, *options]) == 2
    assert says in capsys.readouterr().err


def test_same_run_twice_and_a_folder_that_is_none_end_with_2(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", two[0], two[0]]) == 2
    assert "hold the same run" in capsys.readouterr().err
    assert main(["compare", two[0], "/nowhere"]) == 2
    assert "no such folder" in capsys.readouterr().err

"""`isobench export`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.cli import main, names
from isobench.journal import StoredRun
from isobench.reports.exports import FORMATS, export

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


def test_text_goes_to_standard_output_and_notes_to_standard_error(
    run_folder: Path, stored: StoredRun, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["export", str(run_folder), "--format", "csv"]) == 0
    said = capfdbinary.readouterr()
    assert said.out == export(stored, "csv").data
    assert said.err == b"left out: run.json (host, matrix, tools, isolators): it has no place for them\n"


def test_dash_is_standard_output(run_folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["export", str(run_folder), "-f", "bmf", "-o", "-"]) == 0
    assert json.loads(capfdbinary.readouterr().out)


@pytest.mark.parametrize("name", FORMATS)
def test_folder_gets_the_file_under_its_usual_name(
    name: str, run_folder: Path, tmp_path: Path, stored: StoredRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run_folder), "-f", name, "-o", str(tmp_path)]) == 0
    path = tmp_path / FORMATS[name].file
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_bytes() == export(stored, name).data


def test_json_tells_what_was_written_and_what_was_left_out(
    run_folder: Path, tmp_path: Path, stored: StoredRun, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.json"
    assert main(["export", str(run_folder), "-f", "pyperf", "-o", str(file), "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert said.err == ""
    assert told["file"] == str(file)
    assert (told["format"], told["run_id"]) == ("pyperf", stored.record.run_id)
    assert told["values"] == export(stored, "pyperf").values
    assert told["left_out"][0] == {
        "what": "40 values of cpu_share_error (ratio)",
        "why": "pyperf holds seconds, bytes and whole numbers",
    }
    assert told["warnings"] == []


def test_torn_journal_is_exported_with_a_warning(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (run_folder / "samples.jsonl").open("a") as file:
        file.write('{"v": 1, "ce')
    assert main(["export", str(run_folder), "-f", "gha"]) == 0
    assert "warning: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-f", "pyperv"], 2, 'error: no export format "pyperv" (did you mean "pyperf"?); allowed: pyperf, '),
        (
            ["-f", "csv", "--json"],
            2,
            "error: --json tells about a file, and none is named\nremedy: isobench export ",
        ),
        (
            ["-f", "parquet"],
            2,
            "error: parquet is not text and cannot be printed: name a file\nremedy: isobench ",
        ),
        (["-f", "parquet", "-o", "-"], 2, "error: parquet is not text and cannot be printed: name a file"),
        (
            ["-f", "csv", "-o", "no/such/folder.csv"],
            2,
            "the export cannot be written: No such file or directory\n",
        ),
        ([], 2, "Missing option '--format'"),
    ],
)
def test_wrong_call_is_told_with_what_mends_it(
    arguments: list[str], code: int, message: str, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run_folder), *arguments]) == code
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_format_is_checked_before_the_folder_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "no-such-folder", "-f", "nothing"]) == 2
    assert "no export format" in capsys.readouterr().err


def test_folder_that_is_no_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "-f", "csv"]) == 2
    assert "not a result folder of isobench" in capsys.readouterr().err


def test_run_with_nothing_to_export_leaves_the_file_that_was_there(
    made_run: SyntheticRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_run.only(lambda sample: sample.value is None).write(tmp_path / "run")
    file = tmp_path / "out.json"
    file.write_text("before")
    assert main(["export", str(folder), "-f", "hyperfine", "-o", str(file)]) == 4
    said = capsys.readouterr()
    assert said.err.startswith(
        "error: nothing to export: the run has no value that hyperfine can hold\nleft out: "
    )
    assert file.read_text() == "before"


def test_export_that_cannot_be_written_whole_leaves_the_one_that_was_there(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.json"
    file.write_text("before")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isobench.journal_writer.os.fsync", full)
    assert main(["export", str(run_folder), "-f", "gha", "-o", str(file)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert file.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "run"]


def test_formats_are_completed() -> None:
    assert names.export_formats("p") == ["pyperf", "pytest-benchmark", "parquet"]
    assert names.export_formats("") == list(FORMATS)


def test_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    words = capsys.readouterr().out.replace(",", " ").replace(".", " ").split()
    assert set(FORMATS) <= set(words)


def test_reader_that_goes_away_is_no_defect(run_folder: Path) -> None:
    shell = shutil.which("sh")
    assert shell
    command = f"{sys.executable} -m isobench export {run_folder} -f csv 2>err | head -c 10; cat err"
    done = subprocess.run([shell, "-c", command], check=False, capture_output=True, text=True, cwd=run_folder)
    assert done.stdout.startswith("cell,isola")
    assert "defect" not in done.stdout

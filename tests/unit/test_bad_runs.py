"""Result folders that are none, or damaged: each face of a report ends with one clear error, and no page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from isobench.cli import main


def first_line(folder: Path, change: Callable[[bytes], bytes]) -> None:
    file = folder / "samples.jsonl"
    first, rest = file.read_bytes().split(b"\n", 1)
    file.write_bytes(change(first) + b"\n" + rest)


def foreign_line(folder: Path) -> None:
    first_line(folder, lambda _: b'{"hello": "world"}')


def not_json(folder: Path) -> None:
    first_line(folder, lambda line: line[:20])


def not_a_number(folder: Path) -> None:
    first_line(folder, lambda line: json.dumps({**json.loads(line), "value": float("nan")}).encode())


def newer_line(folder: Path) -> None:
    first_line(folder, lambda line: json.dumps({**json.loads(line), "v": 99}).encode())


def newer_run(folder: Path) -> None:
    file = folder / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "v": 99}))


def foreign_run(folder: Path) -> None:
    (folder / "run.json").write_text('{"benchmarks": []}')


SAYS: Mapping[Callable[[Path], None], str] = {
    foreign_line: "samples.jsonl:1: not a sample of isobench",
    not_json: "samples.jsonl:1: not JSON",
    not_a_number: "samples.jsonl:1: not JSON: NaN is no number of a journal",
    newer_line: "written by a newer isobench (v 99",
    newer_run: "written by a newer isobench (v 99",
    foreign_run: "run.json: not the record of a run of isobench",
}


@pytest.mark.parametrize("face", [[], ["--summary"], ["--tables"]])
@pytest.mark.parametrize("damage", SAYS)
def test_damaged_folder_is_refused_with_what_is_wrong_where_and_no_page(
    run_folder: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], face: list[str]
) -> None:
    damage(run_folder)

    assert main(["report", str(run_folder), *face]) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert SAYS[damage] in said.err
    assert not (run_folder / "report.html").exists()


@pytest.mark.parametrize("face", [["--summary"], ["--tables"]])
def test_torn_journal_is_shown_up_to_where_it_is_torn_and_called_damaged(
    run_folder: Path, capsys: pytest.CaptureFixture[str], face: list[str]
) -> None:
    with (run_folder / "samples.jsonl").open("ab") as file:
        file.write(b'{"v":1,"cell":"sta')

    assert main(["report", str(run_folder), *face]) == 0
    assert "The journal is damaged" in " ".join(capsys.readouterr().out.split())


def test_page_of_a_torn_journal_has_its_figures_and_says_in_its_banner_where_it_is_torn(
    run_folder: Path,
) -> None:
    lines = (run_folder / "samples.jsonl").read_bytes().count(b"\n")
    with (run_folder / "samples.jsonl").open("ab") as file:
        file.write(b'{"v":1,"cell":"sta')

    assert main(["report", str(run_folder)]) == 0

    page = (run_folder / "report.html").read_text(encoding="utf-8")
    banner = page.partition('class="banner loud"')[2].partition("</div>")[0]
    assert "<summary>The journal is damaged</summary>" in banner
    assert f"{run_folder.name}/samples.jsonl:{lines + 1}: the last line is torn (18 bytes)" in banner
    assert 'id="startup-table"' in page

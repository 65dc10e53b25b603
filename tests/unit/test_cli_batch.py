"""``isobench batch``: what the playbooks call, with what they write to it and read from it."""

import io
import json
from pathlib import Path

import pytest
from tests.conftest import SyntheticRun
from tests.unit.test_batch import MATRIX, sent

from isobench.book import read_book
from isobench.cli import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "monday.toml").write_text(MATRIX)
    return tmp_path / "results" / "monday"


def call(monkeypatch: pytest.MonkeyPatch, told: object, *words: object) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(told if isinstance(told, str) else json.dumps(told)))
    return main(["batch", *map(str, words)])


def opened(monkeypatch: pytest.MonkeyPatch, folder: Path, hosts: list[str]) -> None:
    assert call(monkeypatch, hosts, "open", folder, "--matrix", "monday.toml") == 0


def test_batch_is_no_command_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    assert "batch" not in capsys.readouterr().out


def test_open_answers_which_hosts_are_to_be_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(monkeypatch, folder, ["lab-a", "lab-b"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["batch"], answer["to_do"], answer["complete"]) == ("monday", ["lab-a", "lab-b"], [])
    assert answer["matrix_sha256"] == read_book(folder).matrix.sha256


def test_open_without_a_list_of_hosts_is_a_wrong_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "lab-a", "open", folder, "--matrix", "monday.toml") == 2


def test_plan_shows_hosts_cells_and_time_and_makes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, ["lab-a", "lab-b"], "plan", folder, "--matrix", "monday.toml") == 0
    head, first, second, _, total, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["host", "now", "cells", "turns", "expected"]
    assert first.split()[:5] == ["lab-a", "to", "do", "1", "1"]
    assert second.startswith("lab-b")
    assert total.startswith("2 of 2 hosts to do, each 1 cell, side by side: about ")
    assert last == "Nothing was started, and no host was asked."
    assert not folder.exists()


def test_run_is_taken_and_what_became_of_all_is_told(
    folder: Path,
    made_run: SyntheticRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dataclasses import asdict

    opened(monkeypatch, folder, ["lab-a", "lab-b"])
    incoming, told = sent(made_run, tmp_path / "incoming")
    assert call(monkeypatch, asdict(told), "take", folder, "lab-a", incoming) == 0
    capsys.readouterr()
    notes = {
        "lab-a": {"stage": "fetch", "clock_offset_s": 1},
        "lab-b": {"stage": "run", "failure": {"msg": "gone\x1b[31m"}, "unreachable": True},
    }
    assert call(monkeypatch, notes, "close", folder) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["folders"] == [str(folder / "lab-a" / str(told.run_id))]
    assert answer["incomplete"] == ["lab-b"]
    text = "\n".join(answer["lines"])
    assert "unreachable (run)" in text
    assert "crun: crun is not installed" in text.replace("\n", " ")
    assert "\x1b" not in text


def test_run_that_came_damaged_ends_with_the_reason(
    folder: Path,
    made_run: SyntheticRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dataclasses import asdict

    opened(monkeypatch, folder, ["lab-a"])
    incoming, told = sent(made_run, tmp_path / "incoming")
    (incoming / "samples.jsonl").write_bytes(b"")
    assert call(monkeypatch, asdict(told), "take", folder, "lab-a", incoming) == 2
    assert "error: lab-a: samples.jsonl has 0 of its" in capsys.readouterr().err


def test_look_on_a_host_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "look", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "absent"


def test_go_hands_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isobench import remote

    called: list[tuple[object, ...]] = []
    look = remote.look(tmp_path)

    def go(*words: object) -> remote.Look:
        called.append(words)
        return look

    monkeypatch.setattr(remote, "go", go)
    main(["batch", "go", str(tmp_path), "--tune", "--allow-drop-caches"])
    main(["batch", "go", str(tmp_path)])
    drop = ("--allow-drop-caches",)
    assert called == [(tmp_path, (*drop, "--tune"), drop), (tmp_path, (), ())]

"""A page says of folders their names, and is the same bytes wherever they lie and however Python hashes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.finished_runs import FINISHED, two_sides
from tests.full_run import full_run
from tests.perf.fleet import write_fleet

from isobench.journal import SAMPLES_FILE
from isobench.reports import sections
from isobench.reports.load import summarize
from isobench.reports.places import name, within

MAKE = """
import sys
from pathlib import Path
from isobench.reports.pages import write_page

for folder in map(Path, sys.argv[1:]):
    write_page([folder], folder.with_suffix(".html"))
"""
TORN = b'{"v":1,"cell":"sta'


def torn(folder: Path) -> Path:
    with (folder / SAMPLES_FILE).open("ab") as file:
        file.write(TORN)
    return folder


def write_all(folder: Path) -> None:
    """Results for every page there is, with all that makes a page tell of folders."""
    run = full_run()
    torn(replace(run, record=replace(run.record, status="interrupted")).write(folder / "full"))
    two_sides().write(folder / "sides")
    for pair in write_fleet(folder / "compare", 1, 126, runs=2):
        torn(pair)
    hosts = write_fleet(folder / "hosts", 4, 126)
    torn(hosts[0])
    (hosts[1] / SAMPLES_FILE).write_text("{}\n")
    shutil.copytree(hosts[2], folder / "hosts" / "again")
    days = write_fleet(folder / "trend", 1, 126, runs=4)
    (days[1] / SAMPLES_FILE).write_text("{}\n")
    shutil.copytree(days[2], folder / "trend" / "again")


def pages_of(folder: Path, seed: str) -> dict[str, bytes]:
    """Made by a process of its own."""
    folders = sorted(str(entry) for entry in folder.iterdir())
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", MAKE, *folders], env=environment, check=True)
    return {entry.stem: entry.read_bytes() for entry in folder.glob("*.html")}


def test_every_page_is_the_same_bytes_for_other_hash_seeds_and_folders_and_tells_no_path(
    tmp_path: Path,
) -> None:
    write_all(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "far" / "away")

    here, away = pages_of(tmp_path / "here", "1"), pages_of(tmp_path / "far" / "away", "2")

    assert set(here) == {"full", "sides", "compare", "hosts", "trend"}
    assert [kind for kind, page in here.items() if page != away[kind]] == []
    assert [kind for kind, page in here.items() if str(tmp_path).encode() in page] == []
    assert b"isobench resume full" in here["full"]
    for kind in ("hosts", "trend"):
        assert b"/samples.jsonl:1: not a sample of isobench" in here[kind]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/results/a/samples.jsonl:3: torn", "a/samples.jsonl:3: torn"),
        ("/results/a: there is no such folder", "a: there is no such folder"),
        ("/results/ab: another", "/results/ab: another"),
        ("of /results/a", "of /results/a"),
    ],
)
def test_message_that_begins_with_a_folder_begins_with_its_name(text: str, told: str) -> None:
    assert within(text, Path("/results/a")) == told


def test_folder_that_one_stands_in_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")

    assert [name(Path()), name(Path("..")), name(Path("a/b"))] == ["inside", tmp_path.name, "b"]


def test_run_for_the_browser_has_something_in_every_part(tmp_path: Path) -> None:
    found = sections.sections(summarize(FINISHED["full"]().write(tmp_path / "run")))

    assert len(found) == len(sections.NAMES)

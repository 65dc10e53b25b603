"""The book of a batch: what is to be done, what is taken, and what is told of hosts that brought nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import SyntheticRun, synthetic_run

from isobench import batch
from isobench.batch import Note
from isobench.book import BOOK_FILE, read_book
from isobench.errors import MatrixError, OutputError, ResultsError, UsageError
from isobench.model import Status
from isobench.remote import RESULT_FILES, Attempt, Look, file_sum

MATRIX = '[run]\nblocks = 1\nbenchmarks = ["fake"]\n[[isolator]]\nkind = "fake"\n'


@pytest.fixture(scope="session")
def whole_run() -> SyntheticRun:
    """One in which nothing failed."""
    return synthetic_run().only(lambda sample: sample.status is not Status.TIMEOUT)


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    file = tmp_path / "monday.toml"
    file.write_text(MATRIX)
    return file


@pytest.fixture
def folder(tmp_path: Path, matrix: Path) -> Path:
    """A batch that has begun."""
    place = tmp_path / "results" / "monday"
    batch.open_batch(place, matrix)
    return place


def sent(run: SyntheticRun, place: Path, *, run_id: str | None = None) -> tuple[Path, Look]:
    """A result folder as it is fetched, and what its host tells of it."""
    shutil.rmtree(place, ignore_errors=True)
    record = run.record if run_id is None else replace(run.record, run_id=run_id)
    replace(run, record=record).write(place)
    files = {name: file_sum(place / name) for name in RESULT_FILES}
    return place, Look("finished", Attempt(1, exit_code=0), record.run_id, files)


def test_new_batch_has_a_book_and_its_matrix(folder: Path, matrix: Path) -> None:
    book = read_book(folder)
    assert (book.batch, book.matrix.file, book.hosts) == ("monday", str(matrix), {})
    assert (folder / "matrix.toml").read_text() == MATRIX


def test_batch_is_opened_again_with_the_same_matrix_whatever_it_is_called(folder: Path) -> None:
    before = (folder / BOOK_FILE).read_bytes()
    batch.open_batch(folder, folder / "matrix.toml")
    assert (folder / BOOK_FILE).read_bytes() == before


def test_batch_of_another_matrix_is_refused_and_left_as_it_is(folder: Path, matrix: Path) -> None:
    matrix.write_text(MATRIX.replace("blocks = 1", "blocks = 2"))
    with pytest.raises(UsageError, match="another matrix") as caught:
        batch.open_batch(folder, matrix)
    assert caught.value.remedy == "give this batch a name of its own: -e batch=NAME"
    assert (folder / "matrix.toml").read_text() == MATRIX


def test_matrix_with_a_mistake_begins_no_batch(tmp_path: Path, matrix: Path) -> None:
    matrix.write_text("[run]\nblokcs = 1\n")
    with pytest.raises(MatrixError, match="blokcs"):
        batch.open_batch(tmp_path / "new", matrix)
    assert not (tmp_path / "new").exists()


def test_folder_that_cannot_be_made_is_told(tmp_path: Path, matrix: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="results cannot be written there"):
        batch.open_batch(tmp_path / "file" / "monday", matrix)


def test_every_host_that_is_asked_has_a_row_from_then_on(folder: Path) -> None:
    assert batch.to_do(folder, ["lab-a", "lab-b"]) == ("lab-a", "lab-b")
    assert {name: row.state for name, row in read_book(folder).hosts.items()} == {
        "lab-a": "to do",
        "lab-b": "to do",
    }


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "x" * 252])
def test_host_whose_name_can_be_no_folder_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="its results go into a folder of its name"):
        batch.to_do(folder, ["lab-a", name])
    assert read_book(folder).hosts == {}


def test_run_that_was_sent_whole_is_kept_and_its_host_is_done(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    incoming, told = sent(whole_run, tmp_path / "incoming")
    row = batch.take(folder, "lab-a", incoming, told)
    assert (row.state, row.folder, row.reason) == ("ok", f"lab-a/{told.run_id}", None)
    assert sorted(path.name for path in (folder / str(row.folder)).iterdir()) == sorted(RESULT_FILES)
    assert not incoming.exists()
    assert read_book(folder).hosts["lab-a"] == row
    assert read_book(folder).folders == (row.folder,)
    assert batch.to_do(folder, ["lab-a", "lab-b"]) == ("lab-b",)


def test_row_counts_cells_and_names_what_the_host_lacks(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    row = batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    assert (row.cells["unavailable"], row.cells.get("failed")) == (3, None)
    (lack,) = row.lacks
    assert (lack.isolator, lack.reason) == ("crun", "crun is not installed")


def test_run_with_failed_cells_is_complete_and_says_so(folder: Path, tmp_path: Path) -> None:
    row = batch.take(folder, "lab-a", *sent(synthetic_run(), tmp_path / "incoming"))
    assert (row.state, row.complete) == ("cells failed", True)
    assert str(row.reason).endswith(
        "cells failed or timed out: startup/qemu-tcg/ready: not ready within 60 s"
    )
    assert batch.to_do(folder, ["lab-a"]) == ()


def test_run_without_one_measured_cell_says_so(folder: Path, tmp_path: Path) -> None:
    nothing = synthetic_run().only(lambda sample: sample.status is Status.UNAVAILABLE)
    row = batch.take(folder, "lab-a", *sent(nothing, tmp_path / "incoming"))
    assert (row.state, row.reason) == ("cells failed", "not one cell could be measured there")


def test_same_run_sent_twice_is_there_once(folder: Path, tmp_path: Path, whole_run: SyntheticRun) -> None:
    first = batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    second = batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    assert second.folder == first.folder
    assert [path.name for path in (folder / "lab-a").iterdir()] == [first.run_id]
    assert read_book(folder).folders == (first.folder,)


def test_run_of_another_host_is_refused_under_a_second_name(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    with pytest.raises(ResultsError, match="is that of lab-a already") as caught:
        batch.take(folder, "lab-b", *sent(whole_run, tmp_path / "incoming"))
    assert "lab-b or lab-a out of the inventory" in str(caught.value.remedy)
    assert len(read_book(folder).folders) == 1
    assert not (folder / "lab-b").exists()


@pytest.mark.parametrize("name", RESULT_FILES)
def test_file_that_came_cut_off_is_told_and_nothing_is_kept(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun, name: str
) -> None:
    whole_run = replace(whole_run, record=replace(whole_run.record, run_id="20260301T101500Z-abc123"))
    incoming, told = sent(whole_run, tmp_path / "incoming")
    with (incoming / "pairs.jsonl").open("a") as pairs:
        pairs.write('{"v": 1, "cell": "startup/bare/ready", "block": 0, "samples": 1}\n')
    told = replace(told, files={file: file_sum(incoming / file) for file in RESULT_FILES})
    whole = (incoming / name).read_bytes()
    (incoming / name).write_bytes(whole[:-9])
    with pytest.raises(ResultsError, match=f"{name} has {len(whole) - 9} of its {len(whole)} bytes here"):
        batch.take(folder, "lab-a", incoming, told)
    assert read_book(folder).hosts == {}
    assert not (folder / "lab-a").exists()


def test_file_that_was_changed_on_the_way_is_told(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    incoming, told = sent(whole_run, tmp_path / "incoming")
    samples = incoming / "samples.jsonl"
    samples.write_bytes(samples.read_bytes().replace(b"bare", b"eraB", 1))
    with pytest.raises(ResultsError, match="the SHA-256 differs"):
        batch.take(folder, "lab-a", incoming, told)


def test_file_that_did_not_come_or_was_not_told_of_is_named(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    incoming, told = sent(whole_run, tmp_path / "incoming")
    (incoming / "pairs.jsonl").unlink()
    with pytest.raises(ResultsError, match=r"pairs\.jsonl is not here: No such file"):
        batch.take(folder, "lab-a", incoming, told)
    with pytest.raises(ResultsError, match=r"its host has told of no run\.json"):
        batch.take(folder, "lab-a", incoming, replace(told, files={}))


@pytest.mark.parametrize("run_id", ["../../etc", "a/b", ".", "", "-x"])
def test_run_whose_id_can_be_no_folder_is_refused(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun, run_id: str
) -> None:
    with pytest.raises(ResultsError, match="calls itself"):
        batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming", run_id=run_id))
    assert sorted(path.name for path in folder.iterdir()) == [".lock", BOOK_FILE, "matrix.toml"]


def test_run_that_is_not_the_one_told_of_is_refused(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    incoming, told = sent(whole_run, tmp_path / "incoming")
    with pytest.raises(ResultsError, match="not 'another'"):
        batch.take(folder, "lab-a", incoming, replace(told, run_id="another"))


def test_kept_run_that_was_damaged_is_to_be_done_again_and_replaced(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    row = batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    samples = folder / str(row.folder) / "samples.jsonl"
    whole = samples.read_bytes()
    samples.write_bytes(whole[: len(whole) // 2])
    assert batch.to_do(folder, ["lab-a"]) == ("lab-a",)
    assert "samples.jsonl has" in str(read_book(folder).hosts["lab-a"].reason)
    assert samples.exists(), "it is kept until there is a whole one"
    batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    assert samples.read_bytes() == whole
    assert batch.to_do(folder, ["lab-a"]) == ()
    assert [path.name for path in samples.parent.parent.iterdir()] == [row.run_id]


def test_plan_tells_what_is_complete_and_writes_nothing(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    before = (folder / BOOK_FILE).read_bytes()
    rows = batch.plan(folder, ["lab-a", "lab-b"])
    assert [row.complete for row in rows.values()] == [True, False]
    assert (folder / BOOK_FILE).read_bytes() == before
    assert batch.plan(tmp_path / "none", ["lab-a"])["lab-a"].complete is False
    assert not (tmp_path / "none").exists()


def test_hosts_that_brought_nothing_have_a_row_with_the_reason(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    hosts = ["lab-a", "lab-b", "lab-c", "lab-d"]
    batch.to_do(folder, hosts)
    batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    notes = {
        "lab-a": Note(stage="fetch", clock_offset_s=2.0),
        "lab-b": Note(stage="provision", reason="no room", remedy="make room"),
        "lab-c": Note(stage="run", reason="Connection refused", unreachable=True),
    }
    rows = batch.close(folder, hosts, notes).hosts
    assert (rows["lab-a"].state, rows["lab-a"].clock_offset_s) == ("ok", 2.0)
    assert (rows["lab-b"].state, rows["lab-b"].stage, rows["lab-b"].reason, rows["lab-b"].remedy) == (
        *("failed", "provision", "no room"),
        "make room",
    )
    assert (rows["lab-c"].state, rows["lab-c"].reason) == ("unreachable", "Connection refused")
    assert (rows["lab-d"].state, rows["lab-d"].reason) == ("unreachable", "it stopped answering")
    assert read_book(folder).hosts == rows


def test_host_whose_run_was_not_to_be_fetched_is_still_to_do(folder: Path) -> None:
    row = batch.close(folder, ["lab-a"], {"lab-a": Note(reason="it is there", measured=True)}).hosts["lab-a"]
    assert (row.state, row.reason, row.complete) == ("to do", "it is there", False)


def test_row_of_a_host_that_came_later_forgets_why_it_had_not_come(
    folder: Path, tmp_path: Path, whole_run: SyntheticRun
) -> None:
    batch.close(folder, ["lab-a"], {"lab-a": Note("run", "gone", "boot it", unreachable=True)})
    row = batch.take(folder, "lab-a", *sent(whole_run, tmp_path / "incoming"))
    assert (row.state, row.stage, row.reason, row.remedy) == ("ok", None, None, None)


def test_folder_without_a_book_is_no_batch(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no batch") as caught:
        read_book(tmp_path)
    assert "site.yml" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not the book of a batch"),
        ("[]", "not the book of a batch"),
        ('{"v": 1, "hosts": 3}', "not the book of a batch"),
        ('{"v": 2}', "written by a newer isobench"),
    ],
)
def test_book_that_is_foreign_damaged_or_newer_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / BOOK_FILE).write_text(text)
    with pytest.raises(ResultsError, match=words):
        batch.to_do(folder, ["lab-a"])
    assert (folder / BOOK_FILE).read_text() == text


def test_book_is_json_with_its_version(folder: Path) -> None:
    data = json.loads((folder / BOOK_FILE).read_text())
    assert data["v"] == 1
    assert set(data) == {"v", "batch", "matrix", "updated", "hosts"}

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import SyntheticRun
from tests.perf.fleet import write_fleet

from isobench.book import BOOK_FILE
from isobench.errors import ResultsError
from isobench.reports.origins import Origin, look, once, peek


def write_book(folder: Path, hosts: dict[str, object]) -> None:
    book = {"v": 1, "batch": "b", "updated": "", "matrix": {"file": "m", "sha256": ""}, "hosts": hosts}
    (folder / BOOK_FILE).write_text(json.dumps(book))


def test_run_is_found_by_its_own_folder_and_by_those_above(tmp_path: Path) -> None:
    (folder,) = write_fleet(tmp_path / "results", 1, 30)
    for path in (folder, folder.parent, tmp_path / "results"):
        (found,) = look([path])
        assert found.folder == folder
        assert found.name == "host-00000"
        assert found.run_id == folder.name
        assert len(found.hardware) == 4


def test_folder_without_a_run_is_an_origin_of_nothing(tmp_path: Path) -> None:
    assert look([tmp_path, tmp_path / "nowhere"]) == (Origin(tmp_path), Origin(tmp_path / "nowhere"))


def test_batch_is_read_from_its_book_with_hosts_that_gave_no_run(tmp_path: Path) -> None:
    (folder,) = write_fleet(tmp_path, 1, 30)
    write_book(
        tmp_path,
        {
            "zeta": {"state": "unreachable", "stage": "contact", "reason": "no route to host"},
            "alpha": {"state": "ok", "folder": str(folder.relative_to(tmp_path))},
            "late": {},
        },
    )
    alpha, late, zeta = look([tmp_path])
    assert (alpha.folder, alpha.name, alpha.lack) == (folder, "alpha", None)
    assert late.lack == "not measured yet"
    assert (zeta.name, zeta.lack) == ("zeta", "unreachable (contact): no route to host")


def test_damaged_book_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / BOOK_FILE).write_text("{")
    with pytest.raises(ResultsError, match=r"hosts\.json: not the book of a batch"):
        look([tmp_path])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"host": 3}', '{"host": {"hostname": 7}, "run_id": []}', "\0"]
)
def test_damaged_record_is_looked_at_without_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    found = peek(tmp_path)
    assert (found.folder, found.name, found.run_id) == (tmp_path, None, None)


def test_same_run_in_two_folders_counts_once_and_both_are_named(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    first, again = (made_run.write(tmp_path / name) for name in ("first", "again"))
    other = replace(made_run, record=replace(made_run.record, run_id="other")).write(tmp_path / "other")
    kept, twice = once(look([first, again, other]))
    assert [one.folder for one in kept] == [first, other]
    assert twice == [(first, again)]


def test_folders_that_tell_no_run_are_all_kept(tmp_path: Path) -> None:
    kept, twice = once(look([tmp_path, tmp_path]))
    assert len(kept) == 2
    assert not twice

"""Reading and writing result folders, and what is refused."""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from isobench.errors import InternalError, OutputError, ResultsError
from isobench.journal import (
    IsolatorRecord,
    RunRecord,
    ToolRecord,
    cell_states,
    load,
    read_record,
    read_run,
    read_samples,
)
from isobench.journal_writer import Journal, claim, new_run_id
from isobench.model import SCHEMA_VERSION, Sample, Status

RECORD = RunRecord(
    run_id="20260101T000000Z-abcdef",
    started="2026-01-01T00:00:00Z",
    finished=None,
    status="running",
    seed=7,
    matrix={"run": {"blocks": 2}},
    host={"kernel": "6.1", "cpus": 2},
    tools={"runc": ToolRecord("/usr/sbin/runc", "1.1.5", "ab" * 32)},
    isolators=(
        IsolatorRecord("qemu", "qemu", "qemu-tcg", {}, "exec of qemu", "the VMM", False, Status.OK),
        IsolatorRecord(
            "lxc", "lxc", "lxc", {}, "", "", True, Status.UNAVAILABLE, "no lxc", "apt install lxc"
        ),
    ),
    benchmarks=("startup",),
    wall_s=1.5,
    timed_s=1.25,
    isobench_version="0.1.0",
)


def sample(
    value: float | None = 0.5, block: int = 0, status: Status = Status.OK, cell: str = "s/bare/r"
) -> Sample:
    return Sample(
        cell=cell,
        isolator="bare",
        benchmark="s",
        workload="r",
        metric="ready",
        unit="second",
        value=value,
        block=block,
        order=3,
        status=status,
        params={"cpus": 0.5, "n": 2, "on": True, "name": "x", "none": None},
        phases={"created": 0.25},
        detail={"bytes": 3},
    )


def written(folder: Path, *samples: Sample) -> Path:
    with Journal.create(folder, RECORD) as journal:
        for line in samples:
            journal.append(line)
        journal.sync()
    return folder


def test_run_written_and_read_is_the_same(tmp_path: Path) -> None:
    lines = (sample(), sample(None, 1, Status.FAILED))

    record, samples = read_run(written(tmp_path / "new" / "run", *lines))

    assert record == RECORD
    assert samples == lines
    assert [type(value) for value in samples[0].params.values()] == [float, int, bool, str, type(None)]


def test_sample_line_begins_with_its_version(tmp_path: Path) -> None:
    text = (written(tmp_path, sample()) / "samples.jsonl").read_text()

    assert text.startswith(f'{{"v": {SCHEMA_VERSION}, "cell": "s/bare/r"')
    assert text.count("\n") == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_value_that_is_no_number_is_never_written(tmp_path: Path, bad: float) -> None:
    with Journal.create(tmp_path, RECORD) as journal, pytest.raises(InternalError, match="s/bare/r"):
        journal.append(sample(bad))

    assert read_run(tmp_path)[1] == ()


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_torn_last_line_is_a_warning_and_loses_only_itself(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, sample(), sample(0.75)) / "samples.jsonl"
    path.write_bytes(path.read_bytes()[: -1 - cut])

    stored = load(tmp_path)

    assert stored.samples == (sample(),)
    assert len(stored.warnings) == 1
    assert f"{path}:2: the last line is torn" in stored.warnings[0]


def test_last_line_that_lacks_only_its_newline_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path, sample(), sample(0.75)) / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-1])

    assert read_samples(path) == ((sample(), sample(0.75)), None)


@pytest.mark.parametrize("cut", [0, 1, 2, 100])
def test_journal_reopened_after_a_kill_goes_on_with_whole_lines(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, sample(), sample(0.75)) / "samples.jsonl"
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) - cut])

    journal, stored = Journal.reopen(tmp_path)
    with journal:
        journal.append(sample(0.25))

    assert read_run(tmp_path)[1] == (*stored.samples, sample(0.25))
    assert len(stored.samples) == (2 if cut <= 1 else 1)


def whole(**changed: str) -> str:
    """A line with all a sample needs, some of it as given."""
    line = {"v": "1", "value": "0.5", "phases": "{}", "detail": "{}", "block": "0", "order": "0"}
    line |= dict.fromkeys(("cell", "isolator", "benchmark", "workload", "metric", "unit"), '"x"')
    return "{" + ", ".join(f'"{key}": {value}' for key, value in (line | changed).items()) + "}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("PK\x03\x04 not ours", "not JSON"),
        ("[1, 2]", "found list, expected a JSON object"),
        ('{"v": 1, "name": "another tool"}', "not a sample of isobench: cell"),
        ('{"v": 1, "value": NaN}', "NaN is no number"),
        ('{"v": 1, "value": 1e999}', "1e999 is no number"),
        (whole(value="NaN"), "NaN is no number"),
        (whole(detail='{"x": Infinity}'), "Infinity is no number"),
        (whole(value="1e999"), "1e999 is no number"),
        (whole(phases='{"ready": -1e999}'), "-1e999 is no number"),
        (whole(detail='{"seconds": 1e999}'), "1e999 is no number"),
        (whole(v="2"), "newer isobench"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_foreign_line_in_the_middle_is_refused_with_its_number(
    tmp_path: Path, line: str, message: str
) -> None:
    path = written(tmp_path, sample()) / "samples.jsonl"
    path.write_text(path.read_text() + line + "\n" + path.read_text())

    with pytest.raises(ResultsError, match=message) as error:
        read_run(tmp_path)

    assert f"{path}:2: " in str(error.value)


def test_line_of_a_sample_that_says_nan_in_words_is_a_sample(tmp_path: Path) -> None:
    line = whole(detail='{"said": "NaN, Infinity"}')
    path = written(tmp_path) / "samples.jsonl"
    path.write_text(line + "\n")

    assert read_run(tmp_path)[1][0].detail == {"said": "NaN, Infinity"}


def test_sample_with_unknown_status_is_refused_by_key(tmp_path: Path) -> None:
    path = written(tmp_path, sample()) / "samples.jsonl"
    path.write_text(path.read_text().replace('"ok"', '"great"'))

    with pytest.raises(ResultsError, match=r"samples\.jsonl:1: .*status"):
        read_run(tmp_path)


@pytest.mark.parametrize("name", ["samples.jsonl", "run.json", "pairs.jsonl"])
def test_newer_version_is_refused_with_both_versions(tmp_path: Path, name: str) -> None:
    written(tmp_path, sample())
    (tmp_path / name).write_text('{"v": 2, "new": true}\n')

    with pytest.raises(ResultsError, match=r"newer isobench \(v 2; this one reads up to v 1\)"):
        load(tmp_path)


def test_folder_that_is_missing_or_foreign_is_refused_with_remedy(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()

    for folder, message in ((tmp_path / "no", "no such folder"), (tmp_path / "photos", "has no run.json")):
        with pytest.raises(ResultsError, match=message) as error:
            read_run(folder)
        assert "results/<run-id>" in str(error.value.remedy)


def test_run_without_samples_file_is_refused(tmp_path: Path) -> None:
    (written(tmp_path) / "samples.jsonl").unlink()

    with pytest.raises(ResultsError, match=r"samples\.jsonl: cannot be read"):
        read_run(tmp_path)


def test_record_of_another_tool_is_refused_by_key(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "run.json").write_text('{"version": "1.0", "benchmarks": []}')

    with pytest.raises(ResultsError, match=r"run\.json: not the record of a run of isobench: run_id"):
        read_record(tmp_path)


def test_pair_counts_as_done_only_with_all_its_lines(tmp_path: Path) -> None:
    with Journal.create(tmp_path, RECORD) as journal:
        journal.append(sample(block=0))
        journal.pair_done("s/bare/r", 0)
        journal.append(sample(block=1))
    assert load(tmp_path).done == {("s/bare/r", 0)}

    (tmp_path / "samples.jsonl").write_bytes(b"")  # as a power cut may leave it: the later file survived

    assert load(tmp_path).done == frozenset()


@pytest.mark.parametrize(("lines", "told"), [(0, 0), (1, None), (2, 2)])
def test_pair_with_other_lines_than_were_counted_is_told(
    tmp_path: Path, lines: int, told: int | None
) -> None:
    with Journal.create(tmp_path, RECORD) as journal:
        journal.append(sample())
        journal.pair_done("s/bare/r", 0)
    path = tmp_path / "samples.jsonl"
    path.write_bytes(path.read_bytes() * lines)

    wanted = () if told is None else (f"s/bare/r in block 0 has {told} lines, and 1 were counted",)
    assert load(tmp_path).miscounted == wanted


def test_lines_of_a_torn_block_do_not_pass_for_those_of_its_second_run(tmp_path: Path) -> None:
    with Journal.create(tmp_path, RECORD) as journal:
        journal.append(sample())  # killed here, before pair_done
    journal, _ = Journal.reopen(tmp_path)
    with journal:
        journal.append(sample(0.25))
        journal.pair_done("s/bare/r", 0)
    path = tmp_path / "samples.jsonl"

    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])

    assert load(tmp_path).done == frozenset()


def test_garbage_in_the_list_of_pairs_is_refused_with_line(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "pairs.jsonl").write_text('{"v": 1, "cell": "s/bare/r"}\n')

    with pytest.raises(ResultsError, match=r"pairs\.jsonl:1: "):
        load(tmp_path)


def test_record_is_replaced_as_a_whole(tmp_path: Path) -> None:
    with Journal.create(tmp_path, RECORD) as journal:
        journal.write_record(replace(RECORD, status="finished", wall_s=9.0))

    assert read_record(tmp_path).wall_s == 9.0
    assert sorted(item.name for item in tmp_path.iterdir()) == ["pairs.jsonl", "run.json", "samples.jsonl"]


def test_journal_that_cannot_be_begun_leaves_its_folder_empty(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"run\.json"):
        Journal.create(tmp_path, replace(RECORD, wall_s=float("nan")))

    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")

    with pytest.raises(OutputError, match=r"not empty \(thesis\.tex is in it\)") as error:
        Journal.create(tmp_path, RECORD)

    assert "--out" in str(error.value.remedy)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]


def test_folder_of_another_run_is_refused_with_resume_command(tmp_path: Path) -> None:
    written(tmp_path, sample())

    with pytest.raises(OutputError) as error:
        claim(tmp_path)

    assert f"isobench resume {tmp_path}" in str(error.value.remedy)


@pytest.mark.parametrize("place", ["/proc/isobench-out", "/proc/self/environ", "/proc/sys"])
def test_place_that_cannot_be_a_folder_is_refused(place: str) -> None:
    with pytest.raises(OutputError, match=place):
        claim(Path(place))


def fill_up(folder: str) -> None:
    """Append until the file system refuses; the limit of a file's size stands for the full disk."""
    with Journal.create(Path(folder), RECORD) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        count = 0
        try:
            while True:
                journal.append(sample(float(count)))
                count += 1
        except OutputError as error:
            print(json.dumps({"count": count, "message": str(error), "remedy": error.remedy}))


def test_write_that_fails_half_way_keeps_every_line_before_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)

    stored = load(tmp_path)

    assert [line.value for line in stored.samples] == [float(n) for n in range(told["count"])]
    assert told["count"] > 1
    assert stored.warnings == ()
    assert "samples.jsonl: results cannot be written there" in told["message"]
    assert "isobench resume" in told["remedy"]


def test_failed_attempt_makes_its_cell_failed_whatever_follows() -> None:
    failed = replace(sample(None, 1, Status.FAILED), reason="exit status 1")
    slow = replace(sample(None, 0, Status.TIMEOUT), reason="not ready after 60 s")

    states = cell_states([sample(), failed, slow, sample(0.25, 2)])

    assert states["s/bare/r"].status is Status.FAILED
    assert (states["s/bare/r"].ok, states["s/bare/r"].not_ok) == (2, 2)
    assert states["s/bare/r"].reason == "exit status 1"


def test_cell_that_became_available_ends_ok() -> None:
    missing = replace(sample(None, 0, Status.UNAVAILABLE), reason="no runc", remedy="apt-get install runc")

    assert cell_states([missing, sample()])["s/bare/r"].status is Status.OK
    assert cell_states([missing])["s/bare/r"].remedy == "apt-get install runc"


def test_run_ids_are_unique_and_fit_for_a_folder_name() -> None:
    names = {new_run_id() for _ in range(50)}

    assert len(names) == 50
    assert all(name.replace("-", "").isalnum() for name in names)


def test_run_ids_of_ten_thousand_hosts_that_begin_at_once_are_unlikely_to_be_equal() -> None:
    drawn = new_run_id().rpartition("-")[2]
    assert 10_000**2 / 2 / 16 ** len(drawn) < 1e-4


if __name__ == "__main__":
    fill_up(sys.argv[1])

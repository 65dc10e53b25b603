import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import SyntheticRun

from isobench import journal
from isobench.errors import ResultsError
from isobench.journal import RUN_FILE, SAMPLES_FILE
from isobench.journal_writer import encode
from isobench.model import Sample, Status
from isobench.reports.brief import measure
from isobench.reports.exports.series import series_of
from isobench.reports.light import LightRun, scan
from isobench.reports.load import counts


def assert_as_the_journal_reads_it(found: LightRun, folder: Path) -> None:
    run = journal.load(folder)
    assert {name: cell.state for name, cell in found.cells.items()} == journal.cell_states(run.samples)
    assert found.record == run.record
    assert found.samples == len(run.samples)
    values: dict[tuple[str, str], list[tuple[float | None, int]]] = {}
    for sample in filter(counts, run.samples):
        values.setdefault((sample.cell, sample.metric), []).append((sample.value, sample.block))
    assert {key: list(zip(s.values, s.blocks, strict=True)) for key, s in found.series.items()} == values


def test_run_scanned_is_as_the_journal_reads_it(run_folder: Path) -> None:
    found = scan(run_folder)
    assert_as_the_journal_reads_it(found, run_folder)
    assert len(found.series) > 30
    assert found.series["memory/lxc/hold", "footprint"].instances == [1, 2, 4, 8] * 2


_STATUS = st.sampled_from(Status)
_VALUE = st.none() | st.floats(-1, 2, allow_nan=False)
_DETAIL = st.sampled_from([{}, {"warmup": True}, {"bound": False}, {"bound": True}, {"instances": None}])


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["ready", "footprint"]), _STATUS, _VALUE, _DETAIL)
    )
)
def test_any_order_of_ends_and_values_is_as_the_journal_reads_it(
    made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory, drawn: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    lines = [
        Sample(
            cell=f"startup/{name}/ready",
            isolator=name,
            benchmark="startup",
            workload="ready",
            metric=metric,
            unit="second",
            value=value if status is Status.OK else None,
            block=place // 3,
            order=place,
            status=status,
            reason=None if status is Status.OK else f"reason {place}",
            detail=detail,
        )
        for place, (name, metric, status, value, detail) in enumerate(drawn)
    ]
    (folder / RUN_FILE).write_bytes(encode(made_run.record, RUN_FILE))
    (folder / SAMPLES_FILE).write_bytes(b"".join(encode(line, line.cell) for line in lines))
    assert_as_the_journal_reads_it(scan(folder), folder)


def test_shares_of_siblings_are_series_of_their_own_as_in_an_export(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    lines = [
        Sample(
            cell="weights/lxc/appetite/ratio=1:3",
            isolator="lxc",
            benchmark="weights",
            workload="appetite",
            metric="share_error",
            unit="ratio",
            value=0.1 * sibling + 0.01 * block,
            block=block,
            order=block,
            params={"ratio": "1:3"},
            detail={"sibling": sibling},
        )
        for block in range(2)
        for sibling in (1, 2)
    ]
    found = scan(replace(made_run, samples=tuple(lines)).write(tmp_path / "run"))
    assert list(found.cells) == ["weights/lxc/appetite/ratio=1:3"]
    assert [(s.cell, s.params, s.values, s.blocks) for s in found.series.values()] == [
        (s.place, s.params, list(s.values), list(s.blocks)) for s in series_of(lines)
    ]
    assert [measure(series).title for series in found.series.values()] == [
        f"weights appetite ratio=1:3, sibling={n}: share_error" for n in (1, 2)
    ]


def edited(folder: Path, change: Callable[[dict[str, Any]], object], line: int = 2) -> Path:
    path = folder / SAMPLES_FILE
    lines = path.read_text().splitlines()
    data = json.loads(lines[line])
    change(data)
    lines[line] = json.dumps(data)
    path.write_text("".join(f"{one}\n" for one in lines))
    return folder


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data.update(v=99), "newer isobench"),
        (lambda data: data.update(value=float("nan")), "NaN"),
        (lambda data: data.update(value=float("inf")), "Infinity"),
        (lambda data: data.update(value="fast"), "value"),
        (lambda data: data.update(block=None), "block"),
        (lambda data: data.update(cell=["a"]), "cell"),
        (lambda data: data.update(status="splendid"), "status"),
        (lambda data: data.pop("metric"), "metric"),
    ],
)
def test_line_that_is_none_of_ours_is_refused_with_its_number(
    run_folder: Path, change: Callable[[dict[str, Any]], object], why: str
) -> None:
    with pytest.raises(ResultsError, match=rf"samples\.jsonl:3: .*{why}"):
        scan(edited(run_folder, change))


def test_number_too_great_for_a_float_is_refused_with_its_line(run_folder: Path) -> None:
    path = run_folder / SAMPLES_FILE
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace(f'"value": {json.loads(lines[4])["value"]}', '"value": 1e999')
    path.write_text("".join(f"{one}\n" for one in lines))
    with pytest.raises(ResultsError, match=r"samples\.jsonl:5: .*1e999 is no number"):
        scan(run_folder)


def test_line_of_an_older_journal_without_details_is_read_all_the_same(run_folder: Path) -> None:
    folder = edited(run_folder, lambda data: [data.pop(key) for key in ("detail", "v", "remedy")])
    assert_as_the_journal_reads_it(scan(folder), folder)


def test_torn_last_line_is_told_and_the_rest_counts(run_folder: Path) -> None:
    path = run_folder / SAMPLES_FILE
    path.write_bytes(path.read_bytes()[:-30])
    found = scan(run_folder)
    assert "torn" in found.warnings[0]
    assert_as_the_journal_reads_it(found, run_folder)


def test_last_line_that_lacks_only_its_end_counts(run_folder: Path) -> None:
    path = run_folder / SAMPLES_FILE
    path.write_bytes(path.read_bytes()[:-1])
    assert not scan(run_folder).warnings
    assert_as_the_journal_reads_it(scan(run_folder), run_folder)


def test_run_without_a_line_is_empty(made_run: SyntheticRun, tmp_path: Path) -> None:
    found = scan(replace(made_run, samples=()).write(tmp_path / "run"))
    assert (found.samples, found.cells, found.series) == (0, {}, {})


def test_folder_without_samples_or_record_is_refused(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / SAMPLES_FILE).unlink()
    with pytest.raises(ResultsError, match=r"samples\.jsonl: cannot be read"):
        scan(run_folder)
    with pytest.raises(ResultsError, match="no such folder"):
        scan(tmp_path / "nowhere")

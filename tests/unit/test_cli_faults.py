"""Bad input and faults as the user meets them: the exit code, what is said, and that no sample is lost."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench import lab as lab_module
from isobench.benchmarks.fake import FakeBenchmark
from isobench.cli import main
from isobench.fakelab import fake_lab
from isobench.journal import load
from isobench.model import Reading

GOOD = """
[run]
blocks = 3
benchmarks = ["fake"]
[[isolator]]
kind = "fake"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host that is none, and a folder with only the matrix in it."""
    monkeypatch.setattr(lab_module, "this_host", lambda **_: fake_lab(tmp_path / "state"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    Path("matrix.toml").write_text(GOOD)


def run() -> int:
    return main(["run", "matrix.toml", "--no-report", "--out", "out"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[run", "matrix.toml:1:5: not TOML"),
        ('[[isolator]]\nkind = "runk"', 'did you mean "runc"?'),
        ('[[isolator]]\nkind = "runc"\nbinray = "./runc"', 'did you mean "binary"?'),
        ('[run]\nbenchmarks = ["startupp"]', 'did you mean "startup"?'),
        ("[run]\nblock = 3", 'did you mean "blocks"?'),
        ("[throttling]\ncpus = [0]", "[throttling] cpus[0]: found 0;"),
        ("[throttling]\ncpus = [-0.5]", "[throttling] cpus[0]: found -0.5;"),
        ("[throttling]\ncpus = [nan]", "[throttling] cpus[0]: found "),
    ],
)
def test_mistake_in_the_matrix_ends_with_2_before_anything_is_made(
    text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("matrix.toml").write_text(text)

    assert run() == 2

    assert said in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["matrix.toml"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run", "matrix.toml", "--out"], "results cannot be written there: File name too long"),
        (["resume"], "cannot be read: File name too long"),
        (["report"], "cannot be read: File name too long"),
        (["report", "--summary"], "cannot be read: File name too long"),
    ],
)
def test_folder_with_a_name_too_long_for_any_file_system_ends_with_2(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "x" * 300]) == 2

    error, remedy = capsys.readouterr().err.strip().splitlines()[-2:]
    assert error.endswith(said)
    assert remedy.startswith("remedy: ")


@pytest.mark.parametrize("command", [["run", "matrix.toml", "--out"], ["resume"], ["report"]])
def test_folder_that_may_not_be_searched_ends_with_2(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, mkdir = os.stat, os.mkdir

    def checked(path: str | Path) -> str | Path:
        if "closed/" in str(path):  # permissions would not bind root
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return path

    monkeypatch.setattr(os, "stat", lambda path, **how: stat(checked(path), **how))
    monkeypatch.setattr(os, "mkdir", lambda path, mode=0o777: mkdir(checked(path), mode))

    assert main([*command, "closed/run"]) == 2

    assert "Permission denied" in capsys.readouterr().err


def test_disk_that_fills_up_ends_with_2_and_resume_keeps_every_sample(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = 0
    pwrite = os.pwrite

    def filling_up(fd: int, data: bytes, offset: int) -> int:
        nonlocal written
        written += len(data)
        if written > 1500:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, data, offset)

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", filling_up)
        assert run() == 2
    said = capsys.readouterr().err
    assert "results cannot be written there: No space left on device" in said
    assert "isobench resume" in said
    kept = load(Path("out")).samples
    assert kept

    assert main(["resume", "out", "--no-report"]) == 0
    assert load(Path("out")).samples[: len(kept)] == kept


def test_disk_that_fills_up_ends_with_2_though_the_clean_up_of_the_benchmark_breaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pwrite = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if b'"metric"' in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, data, offset)

    def untidy(*_: object) -> Iterator[Reading]:
        try:
            yield Reading("ready", "second", 1.0)
        finally:
            raise OSError("the clean-up broke")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(FakeBenchmark, "measure", untidy)

    assert run() == 2
    assert "results cannot be written there: No space left on device" in capsys.readouterr().err


def test_journal_with_a_torn_line_is_resumed_and_keeps_every_whole_one() -> None:
    run()
    whole = load(Path("out")).samples
    record = Path("out/run.json")
    record.write_text(record.read_text().replace('"status": "finished"', '"status": "running"', 1))
    journal = Path("out/samples.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])

    assert main(["resume", "out", "--no-report"]) == 0

    stored = load(Path("out"))
    assert stored.samples[: len(whole) - 1] == whole[:-1]
    assert (stored.record.status, stored.warnings) == ("finished", ())
    assert len(stored.done) == 3


@pytest.mark.parametrize("command", [["resume", "out", "--no-report"], ["report", "out"]])
def test_foreign_journal_ends_with_2_names_its_line_and_is_left_as_it_is(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    record = Path("out/run.json")
    record.write_text(record.read_text().replace('"status": "finished"', '"status": "running"', 1))
    journal = Path("out/samples.jsonl")
    foreign = b'{"somebody": "else"}\n' + journal.read_bytes()
    journal.write_bytes(foreign)
    capsys.readouterr()

    assert main(command) == 2

    assert "out/samples.jsonl:1: not a sample of isobench" in capsys.readouterr().err
    assert journal.read_bytes() == foreign
    assert not Path("out/report.html").exists()

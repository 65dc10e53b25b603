"""CI's check that every isolator gave samples."""

import json
from pathlib import Path

import pytest
from check_samples import BENCHMARKS, ISOLATORS, UNSUPPORTED, main


def write_run(folder: Path, *, without: tuple[str, str] | None = None, status: str = "ok") -> None:
    folder.mkdir(parents=True)
    shown = {name: "qemu-tcg" if name == "qemu" else name for name in ISOLATORS}
    cells = [(i, b) for i in ISOLATORS for b in BENCHMARKS if (i, b) not in UNSUPPORTED]
    lines = [
        json.dumps(
            {
                "isolator": shown[isolator],
                "benchmark": benchmark,
                "status": status if (isolator, benchmark) == without else "ok",
                "value": None if (isolator, benchmark) == without else 0.5,
            }
        )
        for isolator, benchmark in cells
        if status != "ok" or (isolator, benchmark) != without
    ]
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")


def test_run_with_samples_of_every_isolator_passes(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    assert main(tmp_path) == 0


@pytest.mark.parametrize("status", ["ok", "failed", "unavailable"], ids=["absent", "failed", "unavailable"])
def test_isolator_without_a_good_sample_fails_and_is_named(
    status: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", without=("lxc", "memory"), status=status)
    assert main(tmp_path) == 1
    assert "no samples of memory/lxc\n" in capsys.readouterr().err


def test_warm_ups_are_no_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", without=("lxc", "startup"))
    warmup = {
        "isolator": "lxc",
        "benchmark": "startup",
        "status": "ok",
        "value": 0.5,
        "detail": {"warmup": True},
    }
    with (tmp_path / "run" / "samples.jsonl").open("a") as samples:
        samples.write(json.dumps(warmup) + "\n")
    assert main(tmp_path) == 1
    assert "no samples of startup/lxc\n" in capsys.readouterr().err


def test_duration_and_share_of_timed_sections_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"wall_s": 160.0, "timed_s": 120.0}')
    assert main(tmp_path) == 0
    assert "wall time 160.0 s, 75% of it in timed sections\n" in capsys.readouterr().out


def test_run_without_a_record_has_an_unknown_duration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    assert main(tmp_path) == 0
    assert "duration unknown: FileNotFoundError" in capsys.readouterr().out


def test_folder_without_runs_fails_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path) == 1
    assert str(tmp_path) in capsys.readouterr().err

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
                "cell": f"{benchmark}/{shown[isolator]}",
                "reason": "it broke",
                "status": status if (isolator, benchmark) == without else "ok",
                "value": None if (isolator, benchmark) == without else 0.5,
            }
        )
        for isolator, benchmark in cells
        if status != "ok" or (isolator, benchmark) != without
    ]
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "run.json").write_text('{"status": "finished", "wall_s": 160.0, "timed_s": 120.0}')
    (folder / "report.html").touch()


def add_broken(folder: Path, isolator: str, status: str, reason: str) -> None:
    cell = f"startup/{isolator}"
    sample = {"isolator": isolator, "benchmark": "startup", "cell": cell, "value": None}
    with (folder / "samples.jsonl").open("a") as samples:
        samples.write(json.dumps({**sample, "status": status, "reason": reason}) + "\n")


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
    assert main(tmp_path) == 0
    assert "wall time 160.0 s, 75% of it in timed sections\n" in capsys.readouterr().out


HUNG = "not ready in time; last on its console: [    0.3] smp: Bringing up secondary CPUs ..."


def test_one_emulated_guest_that_hung_in_its_boot_is_told_and_two_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    add_broken(tmp_path / "run", "qemu-tcg", "timeout", HUNG)
    assert main(tmp_path) == 0
    assert f"hung in its boot: startup/qemu-tcg: {HUNG}\n" in capsys.readouterr().out

    add_broken(tmp_path / "run", "qemu-tcg", "timeout", "not ready in time")
    assert main(tmp_path) == 1
    assert "2 guests hung in their boot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("isolator", "status", "reason"),
    [
        ("runc", "timeout", "not ready in time"),
        ("qemu-kvm", "timeout", "not ready in time"),
        ("qemu-tcg", "failed", "the workload exited 1 before it was ready"),
        ("qemu-tcg", "timeout", "not ended in time"),
    ],
)
def test_any_other_attempt_that_did_not_come_off_fails_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], isolator: str, status: str, reason: str
) -> None:
    write_run(tmp_path / "run")
    add_broken(tmp_path / "run", isolator, status, reason)
    assert main(tmp_path) == 1
    assert f"check_samples: startup/{isolator}: {reason}\n" in capsys.readouterr().err


def test_run_that_did_not_end_or_was_not_reported_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    assert main(tmp_path) == 1
    assert "there is no report.html" in capsys.readouterr().err

    (tmp_path / "run" / "run.json").write_text('{"status": "interrupted", "wall_s": 1.0, "timed_s": 0.5}')
    assert main(tmp_path) == 1
    assert "the run is interrupted" in capsys.readouterr().err


def test_folder_without_runs_fails_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path) == 1
    assert str(tmp_path) in capsys.readouterr().err

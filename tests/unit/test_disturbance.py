"""What else went on during a run: counters parsed, taken apart from our own, and added up over a resume."""

import time
from pathlib import Path

import pytest

from isobench.disturbance import Disturbance, parse_cpu_line, parse_pressure_total, read_counters
from isobench.journal import DisturbanceRecord

STAT = "cpu  300 20 100 5000 10 0 30 70 0 0\ncpu0 150 10 50 2500 5 0 15 35 0 0\n"
PRESSURE = "some avg10=1.00 avg60=0.50 avg300=0.10 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"


def host(root: Path, *, stat: str = STAT, waited_us: int = 1_500_000, throttles: int | None = None) -> Path:
    (root / "proc/pressure").mkdir(parents=True, exist_ok=True)
    (root / "proc/stat").write_text(stat)
    (root / "proc/pressure/cpu").write_text(PRESSURE.format(waited_us))
    if throttles is not None:
        for core in ("cpu0", "cpu1"):
            place = root / f"sys/devices/system/cpu/{core}/thermal_throttle"
            place.mkdir(parents=True, exist_ok=True)
            (place / "core_throttle_count").write_text(f"{throttles}\n")
    return root


def test_cpu_line_gives_seconds_by_state() -> None:
    found = parse_cpu_line(STAT, 100)
    assert found["user"] == 3.0
    assert found["steal"] == 0.7
    assert parse_cpu_line("intr 5\n", 100) == {}
    assert parse_cpu_line("", 100) == {}


@pytest.mark.parametrize(
    ("text", "seconds"), [(PRESSURE.format(1_500_000), 1.5), ("", None), ("full avg10=0.00 total=5\n", None)]
)
def test_pressure_is_the_time_in_which_some_task_waited(text: str, seconds: float | None) -> None:
    assert parse_pressure_total(text) == seconds


def test_host_that_tells_nothing_has_no_figures(tmp_path: Path) -> None:
    found = Disturbance(tmp_path).record()
    assert found.seconds >= 0
    assert {found.others_cpu_s, found.steal_s, found.waited_cpu_s, found.thermal_throttles} == {None}


def test_record_tells_what_was_counted_since_the_run_began(tmp_path: Path) -> None:
    disturbance = Disturbance(host(tmp_path, throttles=3))
    host(
        tmp_path,
        stat=STAT.replace(" 300 ", " 900 ").replace(" 70 ", " 95 "),
        waited_us=4_000_000,
        throttles=4,
    )

    found = disturbance.record()

    assert found.steal_s == pytest.approx(0.25)
    assert found.waited_cpu_s == pytest.approx(2.5)
    assert found.waited_io_s is None
    assert found.thermal_throttles == 2
    assert found.others_cpu_s == pytest.approx(6.0, abs=0.5)  # less what this test has used meanwhile


def test_run_that_goes_on_adds_to_what_it_has_recorded(tmp_path: Path) -> None:
    before = DisturbanceRecord(seconds=100.0, cpus=2, steal_s=1.0, waited_cpu_s=2.0, others_cpu_s=None)
    disturbance = Disturbance(host(tmp_path), before)
    host(tmp_path, waited_us=2_500_000)

    found = disturbance.record()

    assert found.seconds >= 100.0
    assert found.steal_s == 1.0
    assert found.waited_cpu_s == pytest.approx(3.0)
    assert found.others_cpu_s is None


def test_work_of_our_own_is_not_that_of_others() -> None:
    before = read_counters(Path("/"))
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    after = read_counters(Path("/"))
    assert after.own_s - before.own_s >= 0.29
    assert after.busy_s is not None
    assert before.busy_s is not None
    assert after.busy_s - before.busy_s > 0.2

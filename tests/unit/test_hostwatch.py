"""Counters of the kernel before and after a run, and what they say of the time between."""

from pathlib import Path

import pytest

from isobench.hostwatch import Counters, counters, cpu_ticks, disturbance, waited_us

STAT = """cpu  1000 50 300 8000 40 0 10 600 7 0
cpu0 500 25 150 4000 20 0 5 300 7 0
intr 12345
"""
PRESSURE = """some avg10=88.11 avg60=90.03 avg300=64.60 total=547050633
full avg10=0.00 avg60=0.00 avg300=0.00 total=17
"""


def test_cpu_ticks_are_those_of_all_cpus_up_to_steal() -> None:
    assert cpu_ticks(STAT) == (1000, 50, 300, 8000, 40, 0, 10, 600)
    assert cpu_ticks("cpu  1 2 3 4\n") == ()
    assert cpu_ticks("") == ()


def test_waited_is_the_total_of_some() -> None:
    assert waited_us(PRESSURE) == 547050633
    assert waited_us("") is None


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def machine(root: Path, *, steal: int, waited: int, heat: int, slow: int) -> Counters:
    cpus = "sys/devices/system/cpu"
    write(
        root,
        {
            "proc/stat": f"cpu  1000 0 0 {8000 - steal} 0 0 0 {steal} 0 0\n",
            "proc/pressure/cpu": f"some avg10=0.00 avg60=0.00 avg300=0.00 total={waited}\n",
            f"{cpus}/cpu0/thermal_throttle/core_throttle_count": f"{heat}\n",
            f"{cpus}/cpu0/thermal_throttle/package_throttle_count": "3\n",
            f"{cpus}/cpu0/cpufreq/stats/time_in_state": f"1000000 {slow}\n3000000 5000\n",
            f"{cpus}/cpu1/cpufreq/stats/time_in_state": "3000000 5000\n",
        },
    )
    return counters(root, clock=lambda: waited / 1e6 * 4)


def test_disturbance_is_what_came_between_two_readings(tmp_path: Path) -> None:
    before = machine(tmp_path, steal=0, waited=0, heat=5, slow=100)
    after = machine(tmp_path, steal=0, waited=2_000_000, heat=7, slow=400)

    found = disturbance(before, after)

    assert found["seconds"] == pytest.approx(8)
    assert found["cpu_waited_share"] == pytest.approx(0.25)
    assert found["io_waited_share"] is None
    assert found["thermal_events"] == 2
    # Nothing at the top in between, as the machine above has it.
    assert found["below_top_clock_share"] == pytest.approx(1.0)


def test_steal_is_a_share_of_all_cpu_time(tmp_path: Path) -> None:
    write(tmp_path, {"proc/stat": "cpu  100 0 0 800 0 0 0 100 0 0\n"})
    before = counters(tmp_path)
    write(tmp_path, {"proc/stat": "cpu  150 0 0 1625 0 0 0 225 0 0\n"})

    assert disturbance(before, counters(tmp_path))["steal_share"] == pytest.approx(0.125)


def test_host_that_counts_nothing_says_nothing(tmp_path: Path) -> None:
    found = disturbance(counters(tmp_path), counters(tmp_path))

    assert {key: value for key, value in found.items() if value is not None}.keys() == {"seconds"}


def test_counters_of_this_host_are_read() -> None:
    found = counters()

    assert found.ticks
    assert found.stolen_ticks is not None
    assert found.stolen_ticks <= found.ticks

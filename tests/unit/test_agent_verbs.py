"""The workloads of the agent, started by hand, and how it reads its command line."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 20


def run(agent: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [agent, *arguments], input=given, capture_output=True, timeout=TIMEOUT_S, check=False
    )


def said(agent: Path, *arguments: str, given: bytes = b"") -> list[dict[str, Any]]:
    """The lines of a workload that ended well."""
    done = run(agent, *arguments, given=given)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def monotonic_ns_before_and_after(agent: Path, *arguments: str) -> tuple[int, dict[str, Any], int]:
    """A workload's one line between two readings of the clock by a program that is not ours."""
    script = 'cut -d" " -f1 /proc/uptime; "$@" < /dev/null; cut -d" " -f1 /proc/uptime'
    done = subprocess.run(
        ["sh", "-c", script, "sh", agent, *arguments], capture_output=True, timeout=TIMEOUT_S, check=True
    )
    before, line, after = done.stdout.splitlines()
    return round(float(before) * 1e9), json.loads(line), round(float(after) * 1e9)


def test_ready_says_one_line_with_verb_stamp_and_pid(agent: Path) -> None:
    (line,) = said(agent, "ready")
    assert set(line) == {"verb", "t", "pid"}
    assert line["verb"] == "ready"
    assert line["pid"] > 0


def test_stamp_of_first_instruction_lies_between_readings_of_another_clock(agent: Path) -> None:
    before, line, after = monotonic_ns_before_and_after(agent, "ready")
    # /proc/uptime is CLOCK_BOOTTIME in steps of 10 ms: the same as CLOCK_MONOTONIC unless the host slept.
    assert before - 10_000_000 <= line["t"] <= after + 10_000_000


@pytest.mark.parametrize("given", [b"x", b""], ids=["byte", "end of input"])
def test_hold_says_its_line_at_once_and_waits_for(agent: Path, given: bytes) -> None:
    with subprocess.Popen([agent, "hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert json.loads(process.stdout.readline())["verb"] == "hold"
        assert process.poll() is None
        process.stdin.write(given)
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == 0


def test_touch_makes_its_memory_resident_and_says_how_much(agent: Path) -> None:
    argv = [str(agent), "touch", "--mib", "8"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        line = json.loads(process.stdout.readline())
        assert line["bytes"] == 8 << 20
        assert line["touch_ns"] > 0
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident_kib = int(status.partition("RssAnon:")[2].split()[0])
        assert 8 << 10 <= resident_kib < 9 << 10
        process.stdin.close()


def test_spin_accounts_for_every_nanosecond_of_its_window_on_every_thread(agent: Path) -> None:
    window = ("--lead-us", "5000", "--window-us", "45000", "--period-us", "10000")
    hello, spun = said(agent, "spin", "--threads", "2", *window)
    assert hello["verb"] == "spin"
    assert (spun["verb"], spun["lead_ns"], spun["window_ns"]) == ("spun", 5_000_000, 45_000_000)
    assert len(spun["run_ns"]) == 2
    for run_ns, stall_ns in zip(spun["run_ns"], spun["stall_ns"], strict=True):
        assert run_ns + stall_ns == spun["window_ns"]
    assert len(spun["per_period_run_ns"]) == 5
    assert sum(spun["per_period_run_ns"]) == sum(spun["run_ns"])
    # Two threads; the last period is only half inside the window.
    assert all(0 <= period <= 20_000_000 for period in spun["per_period_run_ns"])
    assert spun["per_period_run_ns"][-1] <= 10_000_000


def test_spin_claims_no_more_cpu_time_than_the_kernel_charged_to_its_process(agent: Path) -> None:
    argv = [str(agent), "spin", "--threads", "2", "--lead-us", "20000", "--window-us", "50000"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        spun = json.loads(process.stdout.read().splitlines()[1])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert all(0 < part < whole for part, whole in zip(spun["cpu_ns"], spun["cpu_total_ns"], strict=True))
    assert sum(spun["cpu_total_ns"]) <= (usage.ru_utime + usage.ru_stime) * 1e9 + 1000  # rounded to 1 µs
    assert all(progress > 0 for progress in spun["progress"])


def test_spin_counts_stalls_above_its_threshold_only(agent: Path) -> None:
    _, spun = said(agent, "spin", "--window-us", "20000", "--threshold-us", "1000000")
    assert (spun["stalls"], spun["longest_stall_ns"], spun["stall_ns"]) == (0, 0, [0])
    assert spun["run_ns"] == [20_000_000]


def test_spin_tells_its_stalls_alike_one_by_one_in_bins_and_in_sum(agent: Path) -> None:
    window = ("--lead-us", "5000", "--window-us", "60000", "--period-us", "20000")
    _, spun = said(agent, "spin", "--threads", "4", *window)
    bins = dict(zip(spun["stall_bins"][::2], spun["stall_bins"][1::2], strict=True))
    assert sum(bins.values()) == spun["stalls"]
    assert list(bins) == sorted(bins)
    # Bin 4e + m begins at 2^e (1 + m/4) ns; none is below the threshold.
    begins = {number: 2 ** (number // 4) * (1 + number % 4 / 4) for number in bins}
    ends = {number: 2 ** ((number + 1) // 4) * (1 + (number + 1) % 4 / 4) for number in bins}
    assert all(end > 10_000 for end in ends.values())
    low, high = (sum(of[number] * count for number, count in bins.items()) for of in (begins, ends))
    assert low <= sum(spun["stall_ns"]) <= high
    assert begins[max(bins)] <= spun["longest_stall_ns"] < ends[max(bins)]
    assert 10_000 < spun["p99_stall_ns"] <= spun["longest_stall_ns"]
    shown = list(zip(*(spun["timeline_ns"][k::3] for k in range(3)), strict=True))
    assert all(0 <= thread < 4 and 0 <= begin < end <= 60_000_000 for thread, begin, end in shown)
    # Four threads on fewer CPUs than that stand still; nobody can tell when.
    assert spun["lost_stalls"] == 0


def test_spin_finds_the_greatest_use_in_any_interval_not_only_in_whole_periods(agent: Path) -> None:
    window = ("--lead-us", "30000", "--window-us", "30000", "--period-us", "30000")
    _, spun = said(agent, "spin", "--threads", "2", *window)
    assert spun["per_period_run_ns"][0] <= spun["most_in_period_ns"] <= 60_000_000
    assert spun["most_in_10ms_ns"] <= 20_000_000
    # Some 10 ms of these 30 hold a third of their use at least.
    assert spun["most_in_10ms_ns"] >= spun["most_in_period_ns"] / 3 - 3


def test_stop_as_long_as_the_threshold_is_always_seen(agent: Path) -> None:
    for line in said(agent, "gaps", "--count", "20"):
        assert line["longest_missed_ns"] <= line["threshold_ns"]
        assert line["lost_stalls"] == 0
        if line["length_ns"] >= line["threshold_ns"]:
            assert line["seen"] == line["stops"]


def test_stop_shorter_than_the_threshold_is_not_seen(agent: Path) -> None:
    for line in said(agent, "gaps", "--count", "5", "--threshold-us", "1000000"):
        assert (line["seen"], line["stalls"]) == (0, 0)


def test_request_serves_all_that_are_due_and_orders_its_percentiles(agent: Path) -> None:
    hello, served = said(agent, "request", "--work-us", "50", "--mean-us", "200", "--count", "500")
    assert (hello["verb"], served["verb"], served["requests"]) == ("request", "served", 500)
    order = [served[key] for key in ("work_ns", "p50_ns", "p99_ns", "p999_ns", "max_ns")]
    # The work alone is the shortest of some trials; every latency has it inside, less what the clock rounds.
    assert order[1:] == sorted(order[1:])
    assert served["wall_ns"] > 0.5 * 500 * 200_000
    assert served["cpu_ns"] > 0


def test_request_that_is_late_is_late_by_all_that_was_before_it(agent: Path) -> None:
    # Twice the work there is time for: the queue grows, and latency counts from when each was due.
    _, served = said(agent, "request", "--work-us", "400", "--mean-us", "200", "--count", "500")
    assert served["max_ns"] > 0.3 * served["wall_ns"]


def test_probe_sees_what_the_host_sees_of_it(agent: Path) -> None:
    (line,) = said(agent, "probe")
    root = Path("/").stat()
    assert (line["root_device"], line["root_inode"]) == (root.st_dev, root.st_ino)
    for name, inode in line["namespaces"].items():
        assert inode == str(Path("/proc/self/ns", name).readlink())
    assert line["uid_map"] == Path("/proc/self/uid_map").read_text()
    assert line["cgroup"] == Path("/proc/self/cgroup").read_text()
    assert line["visible_processes"] > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("spin", "--threads", "two"), ("--threads", "'two'", "1 to 1024")),
        (("spin", "--threads", "0"), ("--threads", "'0'")),
        (("spin", "--threads", "-1"), ("--threads", "'-1'")),
        (("spin", "--threads", "1025"), ("--threads", "'1025'")),
        (("spin", "--threads", "1x"), ("--threads", "'1x'")),
        (("spin", "--threads", " 1"), ("--threads", "' 1'")),
        (("spin", "--threads", "+1"), ("--threads", "'+1'")),
        (("spin", "--threads", "-"), ("--threads", "'-'")),
        (("spin", "--threads", "1.5"), ("--threads", "'1.5'")),
        (("spin", "--threads", ""), ("--threads", "''")),
        (("spin", "--window-us", "99999999999999999999"), ("--window-us", "'99999999999999999999'")),
        (("spin", "--threads"), ("--threads", "value is missing")),
        (("request", "--mean-us", "15"), ("--mean-us", "'15'", "16 to")),
        (("request", "--count", "0"), ("--count", "'0'")),
        (("request", "--work-us"), ("--work-us", "value is missing")),
        (("request", "--bogus", "1"), ("--bogus", "unknown option")),
        (("gaps", "--count", "10001"), ("--count", "'10001'")),
        (("gaps", "--bogus", "1"), ("--bogus", "unknown option")),
        (("spin", "--bogus", "1"), ("--bogus", "unknown option")),
        (("spin", "--window-us", "10000000", "--period-us", "1"), ("--window-us", "4096")),
        (("touch", "--mib", "1e3"), ("--mib", "'1e3'")),
        (("ready", "now"), ("now", "unknown option")),
        (("hold", "-x"), ("-x", "unknown option")),
        (("probe", "all"), ("all", "unknown option")),
        (("init",), ("init", "command is missing")),
        (("init", "/isoagent"), ("init", "PID 1")),
        (("dance",), ("dance", "unknown verb", "usage")),
        ((), ("usage",)),
        (("start", "--count", "0", "--spawn", "1", "x"), ("--count", "'0'")),
        (("start", "--timeout-ms", "", "--spawn", "1", "x"), ("--timeout-ms", "''")),
        (("start", "--spawn", "2", "x"), ("--spawn", "fewer arguments than announced")),
        (("start", "--spawn", "0"), ("--spawn", "'0'")),
        (("start", "--count", "1"), ("exactly one of --spawn and --adopt",)),
        (("start", "--adopt", "f", "--spawn", "1", "x"), ("exactly one of --spawn and --adopt",)),
        (("start", "--namespaces", "mount,sky", "--spawn", "1", "x"), ("sky", "unknown namespace")),
        (("start", "--pivot-root", "/", "--spawn", "1", "x"), ("--pivot-root", "mount namespace")),
        (("start", "--step", "lunch", "1", "true", "--spawn", "1", "x"), ("lunch", "unknown phase")),
        (("start", *("--cgroup", "/c") * 17, "--spawn", "1", "x"), ("--cgroup", "too many")),
        (("start", *("--step", "-", "1", "/x") * 9, "--spawn", "1", "x"), ("--step", "too many")),
        (("start", "--write", "/only-a-path"), ("/only-a-path", "value is missing")),
    ],
)
def test_bad_command_line_ends_with_2_and_names(
    agent: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = run(agent, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    for word in words:
        assert word in done.stderr.decode()

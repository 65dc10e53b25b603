"""The agent's appetite and watch, started by hand; limits and accounting over what they may be given."""

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from isobench.benchmarks import freeze as freeze_module
from isobench.benchmarks import limits as limits_module
from isobench.benchmarks.accounting import Accounting, AccountingParams, Comparison
from isobench.benchmarks.appetite import Watch
from isobench.benchmarks.freeze import Frozen
from isobench.benchmarks.limits import Found, LimitsBenchmark, LimitsParams
from isobench.isolators.cgroup import detect
from isobench.isolators.contract import Site
from isobench.model import Capabilities, Cell, Status

MIB = 1 << 20
TIMEOUT_S = 20


def ate(agent: Path, *words: str, wrap: tuple[str, ...] = ()) -> dict[str, Any]:
    done = subprocess.run(
        [*wrap, agent, "appetite", *words], input=b"", capture_output=True, timeout=TIMEOUT_S, check=True
    )
    hello, told = (json.loads(line) for line in done.stdout.splitlines())
    assert (hello["verb"], told["verb"]) == ("appetite", "ate")
    return dict(told)


def test_appetite_for_cpu_tells_its_time_and_the_cpus_it_ran_on(agent: Path) -> None:
    told = ate(agent, "cpu", "--threads", "2", "--lead-us", "1000", "--window-us", "20000")
    assert told["wall_ns"] >= 20_000_000
    assert 0 < told["cpu_ns"] <= 2 * told["wall_ns"]
    assert told["cpu_total_ns"] >= told["cpu_ns"]
    assert set(told["cpus"]) <= os.sched_getaffinity(0)


def test_appetite_for_cpu_on_one_cpu_names_that_one(agent: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    told = ate(agent, "cpu", "--threads", "3", "--window-us", "20000", wrap=("taskset", "-c", str(cpu)))
    assert told["cpus"] == [cpu]


def test_appetite_for_memory_touches_all_of_it(agent: Path) -> None:
    told = ate(agent, "memory", "--bytes", str(MIB))
    assert (told["bytes"], told["killed"], told["errno"], told["meals"]) == (MIB, 0, 0, 1)


def test_appetite_for_more_memory_than_it_may_have_tells_what_refused_it(agent: Path) -> None:
    told = ate(agent, "memory", "--bytes", str(1 << 30), wrap=("prlimit", f"--as={64 * MIB}"))
    assert (told["errno"], told["killed"], told["bytes"]) == (errno.ENOMEM, 0, 0)


def test_appetite_for_processes_forks_them_and_leaves_none(agent: Path) -> None:
    told = ate(agent, "processes", "--count", "5", "--window-us", "5000")
    assert (told["forked"], told["held"], told["errno"]) == (5, 5, 0)


def test_appetite_for_writes_writes_so_many_bytes_and_removes_its_file(agent: Path, tmp_path: Path) -> None:
    file = tmp_path / "f"
    told = ate(agent, "write", "--file", str(file), "--bytes", str(MIB))
    assert (told["bytes"], told["errno"]) == (MIB, 0)
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "cpu, memory, processes or write is needed"),
        (("sleep",), "sleep"),
        (("memory",), "--bytes"),
        (("write", "--bytes", "4096"), "a file, and bytes in whole chunks"),
        (("write", "--file", "f", "--bytes", "4097", "--chunk", "4096"), "whole chunks of whole pages"),
        (("processes", "--count", "0"), "--count"),
        (("cpu", "--more"), "--more"),
    ],
)
def test_appetite_refuses_what_it_cannot_eat(agent: Path, words: tuple[str, ...], said: str) -> None:
    done = subprocess.run([agent, "appetite", *words], input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


def test_watch_tells_a_time_for_each_millisecond_of_its_window(agent: Path, tmp_path: Path) -> None:
    words: list[str | Path] = [agent, "watch", "--window-us", "20000", "--file", tmp_path / "g"]
    told = json.loads(subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=True).stdout)
    assert told["interval_ns"] == 1_000_000
    assert len(told["taken_ns"]) == 20
    assert min(told["taken_ns"]) > 0
    assert not (tmp_path / "g").exists()


def test_quantile_is_the_least_value_such_a_share_does_not_exceed() -> None:
    watch = Watch(tuple(float(n) for n in range(100, 0, -1)))
    assert [watch.quantile(share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"processes": 0}, "processes"),
        ({"processes": -1}, "processes"),
        ({"memory_bytes": 4095}, "memory_bytes = 4095 is less than a page"),
        ({"memory_bytes": -1}, "less than a page"),
        ({"cpus": 0.0}, "cpus"),
        ({"cpus": 0.001}, "is a quota of 100 µs; the kernel takes 1000 µs or more"),
        ({"cpus": float("nan")}, "cpus"),
        ({"cpuset": (-1,)}, "cpuset"),
        ({"cpuset": (1, 1)}, "may stand once"),
        ({"limits": ()}, "limits"),
        ({"limits": ("net",)}, "limits"),
        ({"write_bytes_per_s": 0}, "write_bytes_per_s"),
    ],
)
def test_limits_that_cannot_be_are_refused_by_name(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LimitsParams.model_validate(table)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"processes": 0}, "processes"),
        ({"write_bytes": 65_537}, "65537 is no multiple of 65536"),
        ({"accounts": ("cpu", "cpu")}, "may stand once"),
        ({"cpu_s": 0.0}, "cpu_s"),
    ],
)
def test_uses_that_cannot_be_are_refused_by_name(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AccountingParams.model_validate(table)


def capabilities(*limits: str, shares_kernel: bool = True) -> Capabilities:
    return Capabilities(phases=frozenset(), limits=frozenset(limits), shares_kernel=shares_kernel)


def test_isolators_without_a_group_of_their_own_are_unsupported() -> None:
    for benchmark in (LimitsBenchmark(), Accounting()):
        assert benchmark.unsupported(capabilities("cpu", "pids")) is None
        assert "of its own" in str(benchmark.unsupported(capabilities()))
        assert "machine" in str(benchmark.unsupported(capabilities("cpu", shares_kernel=False)))


def test_cells_are_the_limits_an_isolator_has() -> None:
    cells = LimitsBenchmark().cells("x", capabilities("cpu", "pids"), LimitsParams(), 3)
    assert [(cell.params["limit"], cell.params["asked"]) for cell in cells] == [("cpu", 0.5), ("pids", 64)]


def site(top: Path) -> Site:
    names = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio")
    text = "".join(f"{n} 1 0:{n} / {top}/{o} rw - cgroup cgroup rw,{o}\n" for n, o in enumerate(names))
    return Site("isobench-0", top, top, top, top, detect(text))


def lack(kind: str, asked: object, place: Site) -> tuple[str, str]:
    cell = Cell("x", "limits", "appetite", {"limit": kind, "asked": asked})  # type: ignore[dict-item]
    found = LimitsBenchmark().lack(cell, place)
    return (str(found.reason), str(found.remedy)) if found else ("", "")


def test_cpuset_with_a_cpu_that_is_not_there_is_told_by_number(tmp_path: Path) -> None:
    reason, remedy = lack("cpuset", "0,60000", site(tmp_path))
    assert reason.startswith("CPU 60000 of cpuset = [0,60000] is not there")
    assert remedy == "correct `cpuset` in [limits]"


def test_cpu_limit_no_host_can_show_is_told(tmp_path: Path) -> None:
    assert "cannot bind" in lack("cpu", 4096.0, site(tmp_path))[0]


def test_memory_limit_near_what_the_host_has_is_refused_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "read_available", lambda: (100 * MIB, 200 * MIB))
    assert lack("memory", 25 * MIB, site(tmp_path)) == ("", "")
    reason, remedy = lack("memory", 26 * MIB, site(tmp_path))
    assert f"{4 * 26 * MIB} bytes would have to be available" in reason
    assert "`memory_bytes`" in remedy


def test_controller_that_is_missing_is_told_for_its_cell_alone(tmp_path: Path) -> None:
    place = site(tmp_path)
    assert lack("pids", 64, place) == ("", "")
    bare = Site(
        "isobench-0", tmp_path, tmp_path, tmp_path, tmp_path, detect("1 1 0:1 / /c rw - cgroup x rw,cpu\n")
    )
    assert "pids controller is not mounted" in lack("pids", 64, bare)[0]


def test_errors_are_signed_shares_of_what_was_asked_or_used() -> None:
    assert Found(64.0, 48.0, "processes", "EAGAIN", {}).error == -0.25
    assert Comparison("cpu", 1000, 1100).error == pytest.approx(0.1)


def test_herd_says_where_its_counters_are_and_leaves_no_task(agent: Path) -> None:
    with subprocess.Popen(
        [agent, "herd", "--tasks", "3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        said = json.loads(process.stdout.readline())
        assert (said["verb"], said["tasks"]) == ("herd", 3)
        assert (Path("/proc") / str(process.pid) / "fd" / str(said["fd"])).stat().st_size == 3 * 8
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("freeze",), "--group and --counters are needed"),
        (("freeze", "--version", "3"), "--version"),
        (("freeze", "--pause", "2", "true"), "fewer words than told"),
        (("herd", "--tasks", "0"), "--tasks"),
    ],
)
def test_freeze_and_herd_refuse_what_makes_no_sense(agent: Path, words: tuple[str, ...], said: str) -> None:
    done = subprocess.run([agent, *words], input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


def frozen(moved: int) -> Frozen:
    return Frozen(
        verb="froze",
        freeze_ns=[2_000_000],
        thaw_ns=[3_000_000],
        progress_ns=[4_000_000],
        moved=[moved],
        gap_ns=[10_000],
    )


def test_freeze_and_thaw_are_two_readings() -> None:
    freeze, thaw = freeze_module.readings(frozen(0))
    assert (freeze.metric, freeze.value, thaw.metric, thaw.value) == ("freeze", 0.002, "thaw", 0.004)
    assert (freeze.detail["resolution_s"], thaw.detail["reported_s"]) == (0.00001, 0.003)


def test_freeze_in_which_tasks_went_on_is_no_figure() -> None:
    freeze, _ = freeze_module.readings(frozen(7))
    assert (freeze.status, freeze.value) == (Status.FAILED, None)
    assert freeze.reason == "frozen tasks went on: they counted 7 in 0.05 s"

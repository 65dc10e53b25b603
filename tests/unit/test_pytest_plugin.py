"""The pytest plugin in suites of its own: scripted cells, no host but the fake one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import isobench
from isobench.journal import read_run
from isobench.lock import host_lock
from isobench.pytest_plugin import asked, baseline, bench, pair, results, running

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
OFFERED = any(point.name == "isobench" for point in entry_points(group="pytest11"))
PLUGIN = (*(() if OFFERED else ("-p", "isobench.pytest_plugin")), "-p", "no:hypothesispytest")
"""The installed package offers it by itself; an older installation of it does not. Hypothesis would be
imported anew for each suite, for the sake of a line in its summary."""

SHARED = (baseline, bench, pair)
"""Suites in this process find them imported: numpy cannot be imported a second time."""

CONFTEST = """
from pathlib import Path
from isobench.fakelab import fake_lab
from isobench.pytest_plugin import running

running.host = lambda: fake_lab(Path({state!r}), **{host!r})
"""

SCRIPT = [{"value": value} for value in (0.010, 0.012, 0.011, 0.013)]
STEADY = {
    "isolator": "fake",
    "benchmark": "fake",
    "options": {"script": SCRIPT},
    "params": {"attempts": 4},
    "blocks": 3,
}

Suite = Callable[..., pytest.RunResult]


@pytest.fixture
def make(pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a suite: a marker for the whole module, and the text of its tests."""
    monkeypatch.setattr(running, "host", running.host)  # what a suite puts there is undone with it
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # whatever runs us, a suite is no worker

    def make(tests: str, marker: dict[str, object] = STEADY, **host: object) -> None:
        pytester.makeconftest(CONFTEST.format(state=str(tmp_path), host=host))
        head = f"import pytest\npytestmark = pytest.mark.isobench(**{marker!r})\n"
        pytester.makepyfile(head + tests)

    return make


@pytest.fixture
def suite(pytester: pytest.Pytester, make: Callable[..., None]) -> Suite:
    """Run a suite in this process."""

    def suite(tests: str, *options: str, **made: object) -> pytest.RunResult:
        make(tests, **made)
        return pytester.runpytest_inprocess(*PLUGIN, "--strict-markers", *options)

    return suite


def text_of(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def test_figures_of_a_cell_are_those_of_its_script(suite: Suite) -> None:
    result = suite(
        """
def test_cell(isobench_cell):
    assert isobench_cell.cell == "fake/fake/ready"
    assert isobench_cell.values == (0.010, 0.012, 0.011, 0.013) * 3
    assert isobench_cell.blocks == (0,) * 4 + (1,) * 4 + (2,) * 4
    assert isobench_cell.unit == "second"
    assert isobench_cell.median == pytest.approx(0.0115)
    assert isobench_cell.median in isobench_cell.interval
    assert isobench_cell.p90 == pytest.approx(0.013)
    assert (isobench_cell.least, isobench_cell.greatest) == (0.010, 0.013)
    assert (isobench_cell.status, isobench_cell.reason) == ("ok", None)
"""
    )
    result.assert_outcomes(passed=1)


def test_an_assertion_that_does_not_hold_fails_with_the_figures(suite: Suite) -> None:
    result = suite("def test_cell(isobench_cell): assert isobench_cell.median < 0.005")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*<fake/fake/ready: median 11.5 ms (*), p90 13.0 ms, 12 values>*"])


def test_a_result_is_frozen(suite: Suite) -> None:
    result = suite(
        """
def test_cell(isobench_cell):
    with pytest.raises(AttributeError):
        isobench_cell.values = (0.001,)
"""
    )
    result.assert_outcomes(passed=1)


def test_calls_and_nearer_markers_override_farther_ones(suite: Suite) -> None:
    result = suite(
        """
@pytest.mark.isobench(blocks=2, params={"attempts": 1})
class TestCell:
    @pytest.mark.isobench(params={"attempts": 2})
    def test_cell(self, isobench_lab):
        assert len(isobench_lab.measure().values) == 4
        assert len(isobench_lab.measure(blocks=1).values) == 2
"""
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_figures_of_a_cell_with_a_lost_attempt_fail_the_test(suite: Suite, status: str) -> None:
    script = [{"value": 0.001}] * 3 + [{"status": status, "reason": "it fell over"}]
    result = suite(
        f"""
def test_looks_at_a_figure(isobench_cell):
    assert isobench_cell.median < 1

def test_expects_it(isobench_cell):
    assert isobench_cell.status == {status!r}
    assert isobench_cell.reason == "it fell over"
    assert (len(isobench_cell.values), isobench_cell.attempts) == (9, 12)
""",
        marker={**STEADY, "options": {"script": script}},
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([f"*<fake/fake/ready: {status}, 3 of 12 attempts: it fell over>*"])


def test_a_benchmark_that_breaks_fails_the_test(suite: Suite) -> None:
    script = [{"error": "ZeroDivisionError", "reason": "of no use"}]
    result = suite(
        "def test_cell(isobench_cell): assert isobench_cell.median < 1",
        marker={**STEADY, "options": {"script": script}},
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a defect of the benchmark: ZeroDivisionError*"])


ABSENT = {
    **STEADY,
    "options": {"readiness": "unavailable", "reason": "no fake here", "remedy": "apt-get install fake"},
}


def test_an_isolator_that_is_not_there_skips_with_reason_and_remedy(suite: Suite) -> None:
    result = suite("def test_cell(isobench_cell): assert False", "-rs", marker=ABSENT)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*fake/fake/ready: unavailable: no fake here*", "*apt-get install fake*"])


@pytest.mark.parametrize(
    ("required", "options", "outcome"),
    [
        ({"required": True}, (), "errors"),
        ({}, ("-o", "isobench_required=true"), "errors"),
        ({"required": False}, ("-o", "isobench_required=true"), "skipped"),
    ],
)
def test_an_isolator_that_is_not_there_fails_where_it_is_required(
    suite: Suite, required: dict[str, object], options: tuple[str, ...], outcome: str
) -> None:
    result = suite("def test_cell(isobench_cell): pass", *options, marker={**ABSENT, **required})
    result.assert_outcomes(**{outcome: 1})
    assert "no fake here" in text_of(result) or outcome == "skipped"


def test_what_an_isolator_cannot_do_by_nature_skips_too(suite: Suite) -> None:
    result = suite(
        "def test_cell(isobench_cell): pass", "-rs", marker={**STEADY, "options": {"cpu_limit": False}}
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*unsupported: the script says that it cannot limit CPU*"])


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ({}, "no isolator was named"),
        ({**STEADY, "isolator": "fakee"}, 'found "fakee" (did you mean "fake"?)'),
        ({**STEADY, "options": {"scrip": []}}, "found an unknown key"),
        ({**STEADY, "block": 3}, 'there is no "block" (did you mean "blocks"?)'),
        ({**STEADY, "starts": 3}, "starts: found an unknown key"),
        ({**STEADY, "params": {"workloads": ["a", "b"]}}, "a test measures one cell, and this is 2"),
        ({**STEADY, "metric": "exit"}, 'has no figure "exit": ready'),
        ({**STEADY, "params": "x"}, 'params: found "x"; allowed: keys of the benchmark\'s table'),
        ({**STEADY, "params": {("a", "b"): 1}}, "[fake]: not a table such as TOML has"),
        ({**STEADY, "options": "x"}, 'options: found "x"; allowed: keys of its [[isolator]] table'),
        ({**STEADY, "options": {"kind": "chroot"}}, 'the kind is given by isolator: isolator="chroot"'),
        ({**STEADY, "workload": 3}, "workload: found 3; allowed: a [[workload]] table"),
        ({**STEADY, "isolator": ["fake"]}, 'isolator: found ["fake"]; allowed: a kind'),
        ({**STEADY, "benchmark": "run"}, 'benchmark: found "run"; allowed: audit, '),
        ({**STEADY, "benchmark": ["fake"]}, 'benchmark: found ["fake"]; allowed: a name'),
        ({**STEADY, "metric": 3}, "metric: found 3; allowed: the name of a figure"),
        ({**STEADY, "starts": 0}, "starts: found 0; allowed: a whole number from 1 on"),
        ({**STEADY, "blocks": 0}, "blocks: found 0; allowed: a whole number from 1 on"),
        ({**STEADY, "required": "no"}, 'required: found "no"; allowed: True or False'),
        ({**STEADY, "starts": True, "metric": 3}, "metric: found 3"),
    ],
)
def test_a_mistake_in_the_marker_fails_and_is_told(
    suite: Suite, marker: dict[str, object], words: str
) -> None:
    result = suite("def test_cell(isobench_lab): isobench_lab.measure()", marker=marker)
    result.assert_outcomes(failed=1)
    assert words in text_of(result)


def test_a_positional_argument_of_the_marker_fails(suite: Suite) -> None:
    result = suite('@pytest.mark.isobench("fake")\ndef test_cell(isobench_lab): isobench_lab.measure()')
    result.assert_outcomes(failed=1)
    assert "takes keywords only" in text_of(result)


def test_benchmark_disable_starts_the_cell_once_and_asserts_no_time(suite: Suite) -> None:
    result = suite(
        "def test_cell(isobench_cell): assert isobench_cell.median < 0", "--benchmark-disable", "-rs"
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*the cell was started once, and nothing was measured*"])


def test_benchmark_disable_still_fails_for_a_cell_that_does_not_work(suite: Suite) -> None:
    broken = {**STEADY, "options": {"script": [{"status": "failed", "reason": "it fell over"}]}}
    result = suite(
        "def test_cell(isobench_lab): isobench_lab.measure()", "--benchmark-disable", marker=broken
    )
    result.assert_outcomes(failed=1)
    assert "it fell over" in text_of(result)


def test_the_result_folder_is_a_run_that_reports_read(suite: Suite, tmp_path: Path) -> None:
    kept = tmp_path / "folder"
    suite(
        f"def test_cell(isobench_cell): open({str(kept)!r}, 'w').write(str(isobench_cell.folder))",
        "-o",
        "tmp_path_retention_policy=all",
    )
    record, samples = read_run(Path(kept.read_text()))
    assert record.status == "finished"
    assert [sample.value for sample in samples] == [0.010, 0.012, 0.011, 0.013] * 3


def test_junit_tells_the_figures(suite: Suite, tmp_path: Path) -> None:
    suite("def test_cell(isobench_cell): pass", f"--junitxml={tmp_path / 'out.xml'}")
    assert "fake/fake/ready: median 11.5 ms" in (tmp_path / "out.xml").read_text()


class TestLock:
    def test_a_run_that_ends_is_waited_for(
        self, pytester: pytest.Pytester, make: Callable[..., None], tmp_path: Path
    ) -> None:
        make("def test_cell(isobench_cell): assert isobench_cell.median > 0")
        with host_lock(tmp_path / "lock"):
            waiting = _started(pytester)
            time.sleep(3)  # it is most likely at the lock by now; the test holds either way
            assert waiting.poll() is None
        out, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 0
        assert b"1 passed" in out

    def test_a_run_that_stays_fails_the_test_and_is_named(self, suite: Suite, tmp_path: Path) -> None:
        with host_lock(tmp_path / "lock"):
            result = suite("def test_cell(isobench_lab): isobench_lab.measure()", "-o", "isobench_wait_s=0.3")
        result.assert_outcomes(failed=1)
        assert f"another run is using this host: process {os.getpid()}" in text_of(result)
        assert "waited for 0.3 s (isobench_wait_s)" in text_of(result)

    @pytest.mark.parametrize("wait", ["long", "nan", "inf", "-1", ""])
    def test_a_wait_that_is_no_number_fails_and_is_told(self, suite: Suite, wait: str) -> None:
        result = suite("def test_cell(isobench_lab): isobench_lab.measure()", "-o", f"isobench_wait_s={wait}")
        result.assert_outcomes(failed=1)
        assert f'isobench_wait_s is "{wait}"; allowed: seconds, 0 or more' in text_of(result)


def test_a_setting_that_is_neither_true_nor_false_fails_and_is_told(suite: Suite) -> None:
    result = suite("def test_cell(isobench_lab): isobench_lab.measure()", "-o", "isobench_required=maybe")
    result.assert_outcomes(failed=1)
    assert "Failed: isobench_required: " in text_of(result)
    assert "'maybe'; allowed: true or false" in text_of(result)


class TestXdist:
    def test_workers_measure_one_after_the_other(
        self, pytester: pytest.Pytester, make: Callable[..., None]
    ) -> None:
        make(
            """
@pytest.mark.parametrize("n", range(4))
def test_cell(isobench_cell, n): assert isobench_cell.values
""",
            marker={**STEADY, "options": {"attempt_s": 0.05, "script": SCRIPT}},
        )
        result = pytester.runpytest_subprocess(*PLUGIN, "-n", "2", "-o", "isobench_wait_s=5")
        result.assert_outcomes(passed=4)

    def test_all_are_of_one_group_for_loadgroup_unless_the_test_says_another(self, suite: Suite) -> None:
        result = suite(
            """
def group(request): return request.node.get_closest_marker("xdist_group").args

def test_cell(isobench_lab, request): assert group(request) == ("isobench",)

@pytest.mark.xdist_group("mine")
def test_other(isobench_lab, request): assert group(request) == ("mine",)

def test_none(request): assert request.node.get_closest_marker("xdist_group") is None
"""
        )
        result.assert_outcomes(passed=3)


class TestInterrupt:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_in_a_measurement_ends_the_session_in_order(
        self, pytester: pytest.Pytester, make: Callable[..., None], tmp_path: Path, number: signal.Signals
    ) -> None:
        begun = tmp_path / "lock"
        make(
            "def test_cell(isobench_cell): pass\ndef test_other(): pass",
            marker={**STEADY, "options": {"attempt_s": 30, "script": SCRIPT}},
        )
        going = _started(pytester, f"--basetemp={tmp_path / 'base'}")
        _until(lambda: begun.exists() and any((tmp_path / "base").glob("isobench0/run.json")))
        going.send_signal(number)
        out, _ = going.communicate(timeout=30)
        assert going.returncode == pytest.ExitCode.INTERRUPTED
        assert b"KeyboardInterrupt" in out
        record, _ = read_run(tmp_path / "base" / "isobench0")
        assert record.status == "interrupted"
        with host_lock(begun):
            pass  # it is free again


def _started(pytester: pytest.Pytester, *options: str) -> subprocess.Popen[bytes]:
    """A suite of its own process, its output in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *PLUGIN, *options],
        cwd=pytester.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestPytestBenchmark:
    INTO = "def test_cell(isobench_cell, benchmark): isobench_cell.into(benchmark)"
    UNUSED = ("-W", "ignore:Benchmark fixture was not used")

    def test_its_json_has_our_samples_and_names_our_clock(self, suite: Suite, tmp_path: Path) -> None:
        stored = tmp_path / "stored.json"
        result = suite(self.INTO, f"--benchmark-json={stored}")
        result.assert_outcomes(passed=1)
        (entry,) = json.loads(stored.read_text())["benchmarks"]
        assert entry["stats"]["data"] == [0.010, 0.012, 0.011, 0.013] * 3
        assert entry["options"]["timer"] == "isobench_agent_clock"
        told = entry["extra_info"]["isobench"]
        assert (told["cell"], told["metric"]) == ("fake/fake/ready", "ready")
        assert told["host"]["kernel"] == "6.1"

    def test_other_settings_of_the_marker_are_kept(self, suite: Suite, tmp_path: Path) -> None:
        stored = tmp_path / "stored.json"
        suite(f"@pytest.mark.benchmark(group='starts')\n{self.INTO}", f"--benchmark-json={stored}")
        (entry,) = json.loads(stored.read_text())["benchmarks"]
        assert (entry["group"], entry["stats"]["rounds"]) == ("starts", 12)

    def test_another_clock_in_the_marker_fails(self, suite: Suite) -> None:
        result = suite(f"import time\n@pytest.mark.benchmark(timer=time.perf_counter)\n{self.INTO}")
        result.assert_outcomes(failed=1)
        assert "has another timer than isobench's" in text_of(result)

    def test_tests_without_our_fixtures_keep_the_clock_of_pytest_benchmark(
        self, suite: Suite, tmp_path: Path
    ) -> None:
        stored = tmp_path / "stored.json"
        suite("def test_own(benchmark): benchmark(sorted, [2, 1])", f"--benchmark-json={stored}")
        (entry,) = json.loads(stored.read_text())["benchmarks"]
        assert entry["options"]["timer"] == "perf_counter"
        assert "isobench" not in entry["extra_info"]

    def test_a_figure_that_is_no_time_is_refused(self, suite: Suite) -> None:
        marker = {**STEADY, "params": {"metric": "footprint", "unit": "byte"}}
        result = suite(self.INTO, *self.UNUSED, marker=marker)
        result.assert_outcomes(failed=1)
        assert "footprint of fake/fake/ready is in byte" in text_of(result)

    def test_a_cell_with_lost_attempts_is_refused(self, suite: Suite) -> None:
        marker = {**STEADY, "options": {"script": [{"status": "timeout", "reason": "not ready"}]}}
        result = suite(self.INTO, *self.UNUSED, marker=marker)
        result.assert_outcomes(failed=1)
        assert "12 of 12 attempts: not ready" in text_of(result)

    def test_workers_of_xdist_measure_and_store_nothing(
        self, pytester: pytest.Pytester, make: Callable[..., None]
    ) -> None:
        make(self.INTO)
        pytester.runpytest_subprocess(*PLUGIN, "-n", "1").assert_outcomes(passed=1)

    def test_a_baseline_of_this_host_is_compared_with(self, suite: Suite) -> None:
        suite(self.INTO, "--benchmark-save=base")
        result = suite(self.INTO, "--benchmark-compare=0001", "--benchmark-compare-fail=median:5%")
        result.assert_outcomes(passed=1)

    def test_a_baseline_of_another_host_is_refused_with_what_differs(self, suite: Suite) -> None:
        suite(self.INTO, "--benchmark-save=base")
        result = suite(self.INTO, "--benchmark-compare=0001", kernel="6.18", cpu={"model": "fast"})
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            [
                "*test_cell: the baseline of this cell was measured on another host:",
                "*cpu.model: 'none' there, 'fast' here",
                "*kernel: '6.1' there, '6.18' here",
                "*remedy: make a baseline on this host: pytest --benchmark-save=NAME",
            ]
        )

    @pytest.mark.parametrize("told", [{}, "torn", {"host": None}])
    def test_a_damaged_baseline_is_refused(
        self, suite: Suite, pytester: pytest.Pytester, told: object
    ) -> None:
        suite(self.INTO, "--benchmark-save=base")
        (stored,) = pytester.path.glob(".benchmarks/*/0001_base.json")
        data = json.loads(stored.read_text())
        data["benchmarks"][0]["extra_info"]["isobench"] = told
        stored.write_text(json.dumps(data))

        result = suite(self.INTO, "--benchmark-compare=0001")

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            [
                "*test_cell: the baseline of this cell does not say on which host it was measured",
                "*remedy: make a baseline on this host: pytest --benchmark-save=NAME",
            ]
        )


OLD = {"kind": "fake", "name": "old", "script": SCRIPT}
NEW = {"kind": "fake", "name": "new", "script": [{"value": 1.2 * one["value"]} for one in SCRIPT]}
PAIR = {"benchmark": "fake", "params": {"attempts": 3}, "blocks": 12}


class TestPair:
    def test_a_slower_candidate_is_a_regression_that_fresh_blocks_have_confirmed(self, suite: Suite) -> None:
        result = suite(
            f"""
def test_pair(isobench_lab):
    pair = isobench_lab.measure_pair({OLD}, {NEW})
    assert pair.verdict == "regression"
    assert pair.change == pytest.approx(0.2)
    assert pair.interval.low <= pair.change <= pair.interval.high
    assert pair.p < 0.05
    assert pair.report.exit_code == 1
    assert pair.judgement.stage.number == 2
    assert pair.change < 0.1
""",
            marker=PAIR,
        )
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*where 0.* = <fake/ready, new against old: regression, +20.00 %*"])

    def test_swapped_sides_are_an_improvement_and_a_side_against_itself_is_equivalent(
        self, suite: Suite
    ) -> None:
        result = suite(
            f"""
def test_swapped(isobench_lab):
    assert isobench_lab.measure_pair({NEW}, {OLD}).verdict == "improvement"

def test_itself(isobench_lab):
    pair = isobench_lab.measure_pair({OLD}, {OLD})
    assert (pair.verdict, pair.change) == ("equivalent", 0.0)
    assert pair.detectable >= 0.05
""",
            marker=PAIR,
        )
        result.assert_outcomes(passed=2)

    def test_sides_without_names_are_told_apart(self, suite: Suite) -> None:
        a, b = ({key: side[key] for key in ("kind", "script")} for side in (OLD, NEW))
        result = suite(
            f"def test_pair(isobench_lab): assert 'fake-b against fake-a' in "
            f"repr(isobench_lab.measure_pair({a}, {b}))",
            marker=PAIR,
        )
        result.assert_outcomes(passed=1)

    def test_a_side_that_broke_fails_whoever_looks_at_a_figure(self, suite: Suite) -> None:
        broken = {**NEW, "script": [{"status": "failed", "reason": "it fell over"}]}
        result = suite(
            f"""
def test_figure(isobench_lab):
    assert isobench_lab.measure_pair({OLD}, {broken}).change < 1

def test_verdict(isobench_lab):
    assert isobench_lab.measure_pair({OLD}, {broken}).verdict == "error"
""",
            marker=PAIR,
        )
        result.assert_outcomes(failed=1, passed=1)
        assert "it fell over" in text_of(result)

    def test_sides_that_are_not_there_skip_unless_they_are_required(self, suite: Suite) -> None:
        old, new = ({**side, "readiness": "unavailable", "reason": "no fake here"} for side in (OLD, NEW))
        result = suite(
            f"""
def test_skipped(isobench_lab): isobench_lab.measure_pair({old}, {new})
def test_baseline(isobench_lab): isobench_lab.measure_pair({old}, {NEW})
def test_required(isobench_lab): isobench_lab.measure_pair({old}, {new}, required=True)
""",
            "-rs",
            marker=PAIR,
        )
        result.assert_outcomes(skipped=2, failed=1)
        assert "fake/old/ready: unavailable: no fake here" in text_of(result)

    @pytest.mark.parametrize("options", [(), ("--benchmark-disable",)])
    def test_a_candidate_that_is_not_there_fails_where_its_baseline_is(
        self, suite: Suite, options: tuple[str, ...]
    ) -> None:
        absent = {**NEW, "readiness": "unavailable", "reason": "no fake here", "remedy": "build it"}
        result = suite(
            f"def test_pair(isobench_lab): isobench_lab.measure_pair({OLD}, {absent}, required=False)",
            *options,
            marker=PAIR,
        )
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [
                "*fake/new/ready: unavailable: no fake here; its baseline, *old*, can be measured here",
                "*remedy: build it",
            ]
        )

    def test_nothing_is_measured_where_one_side_is_not_there(self, suite: Suite, tmp_path: Path) -> None:
        absent = {**NEW, "readiness": "unavailable", "reason": "no fake here"}
        suite(
            f"def test_pair(isobench_lab): isobench_lab.measure_pair({OLD}, {absent})",
            f"--basetemp={tmp_path / 'base'}",
            marker=PAIR,
        )
        _, samples = read_run(tmp_path / "base" / "isobench0")
        assert [sample.status for sample in samples] == ["unavailable"]

    def test_a_candidate_that_cannot_have_the_cell_by_nature_skips(self, suite: Suite) -> None:
        unable = {**NEW, "cpu_limit": False}
        result = suite(
            f"def test_pair(isobench_lab): isobench_lab.measure_pair({OLD}, {unable})",
            "-rs",
            marker=PAIR,
        )
        result.assert_outcomes(skipped=1)
        assert "fake/new/ready: unsupported" in text_of(result)

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (
                "'fake', 3",
                "a side of a pair is 3; allowed: a kind, or the keys of an [[isolator]] table, with kind",
            ),
            ("None, 'fake'", "a side of a pair is null"),
            ("{'name': 'x'}, 'fake'", 'a side of a pair is {"name": "x"}; allowed: '),
            ("'fake', {'kind': 'fake'}, starts=0", "starts: found 0; allowed: a whole number from 1 on"),
            ("'fake', {'kind': 'fake'}, starts=2.5", "starts: found 2.5"),
            ("'fake', {'kind': 'fake'}, blocks=0", "blocks: found 0"),
            ("'fake', {'kind': 'fake'}, isolator='bare'", "measure_pair: isolator is of no use here"),
            ("'fake', {'kind': 'fake'}, options={}", "measure_pair: options is of no use here"),
        ],
    )
    @pytest.mark.parametrize("options", [(), ("--benchmark-disable",)])
    def test_a_mistake_in_the_call_fails_and_is_told(
        self, suite: Suite, call: str, words: str, options: tuple[str, ...]
    ) -> None:
        result = suite(
            f"def test_pair(isobench_lab): isobench_lab.measure_pair({call})", *options, marker=PAIR
        )
        result.assert_outcomes(failed=1)
        assert words in text_of(result)

    def test_a_restless_host_gives_no_verdict(self, suite: Suite) -> None:
        result = suite(
            f"""
def test_skipped(isobench_lab): isobench_lab.measure_pair({OLD}, {OLD})
def test_required(isobench_lab): isobench_lab.measure_pair({OLD}, {OLD}, required=True)
""",
            marker=PAIR,
            load={"1min": 99.0},
            cpu={"usable": 1},
        )
        result.assert_outcomes(skipped=1, failed=1)
        assert "load as it began 99.00 a CPU" in text_of(result)

    def test_too_few_blocks_fail_and_are_told(self, suite: Suite) -> None:
        result = suite(
            f"def test_pair(isobench_lab): isobench_lab.measure_pair({OLD}, {NEW}, blocks=3)", marker=PAIR
        )
        result.assert_outcomes(failed=1)
        assert "3 blocks are too few for a comparison" in text_of(result)

    def test_benchmark_disable_starts_each_side_once(self, suite: Suite) -> None:
        broken = {**NEW, "script": [{"status": "failed", "reason": "it fell over"}]}
        result = suite(
            f"""
def test_fine(isobench_lab): isobench_lab.measure_pair({OLD}, {NEW})
def test_broken(isobench_lab): isobench_lab.measure_pair({OLD}, {broken})
""",
            "--benchmark-disable",
            marker=PAIR,
        )
        result.assert_outcomes(skipped=1, failed=1)


class TestOthers:
    """Suites that have the plugin and do not use it."""

    def test_without_pytest_benchmark_cells_are_measured_all_the_same(self, suite: Suite) -> None:
        result = suite("def test_cell(isobench_cell): assert isobench_cell.values", "-p", "no:benchmark")
        result.assert_outcomes(passed=1)

    def test_help_and_a_plain_suite_load_nothing_heavy(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
import sys

def test_modules():
    heavy = {"numpy", "scipy", "pandas", "matplotlib", "pydantic", "rich", "psutil", "jinja2"}
    assert not heavy & sys.modules.keys()
    ours = {name for name in sys.modules if name.startswith("isobench")}
    assert ours == {"isobench", "isobench.pytest_plugin"}
"""
        )
        pytester.runpytest_subprocess(*PLUGIN, "-W", "error").assert_outcomes(passed=1)

    def test_markers_and_settings_are_listed_by_pytest(self, pytester: pytest.Pytester) -> None:
        listed = pytester.runpytest_subprocess(*PLUGIN, "--markers").stdout.str()
        assert "@pytest.mark.isobench(isolator, options" in listed
        assert "isobench_required" in pytester.runpytest_subprocess(*PLUGIN, "--help").stdout.str()


@pytest.mark.parametrize("options", [(), ("-n", "2"), ("--benchmark-disable",), ("-p", "no:benchmark")])
def test_package_offers_the_plugin_to_suites_that_know_nothing_of_it(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Through what an installation makes of pyproject.toml, whatever is installed where this test runs."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "isobench-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: isobench\nVersion: 0\n")
    lines = (
        [f"[{group}]", *(f"{key} = {value}" for key, value in own.items())] for group, own in points.items()
    )
    (info / "entry_points.txt").write_text("\n".join(line for group in lines for line in group))
    source = str(Path(isobench.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), source)))
    pytester.makepyfile(
        """
def test_plain(request):
    assert request.config.pluginmanager.get_plugin("isobench").__name__ == "isobench.pytest_plugin"
    assert request.config.getini("isobench_wait_s") == "600"
"""
    )
    suite = pytester.runpytest_subprocess("-W", "error", "--strict-markers", "--strict-config", *options)
    suite.assert_outcomes(passed=1)
    assert "warning" not in text_of(suite)


class TestDocs:
    PAGE = (ROOT / "docs" / "pytest-plugin.md").read_text()

    def listed(self, heading: str) -> list[str]:
        """The names in the first column of the table after some words."""
        table = self.PAGE[self.PAGE.index(heading) :]
        rows = table[table.index("\n|---") :].split("\n\n")[0].splitlines()[2:]
        return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]

    def test_keywords_are_those_of_the_marker(self) -> None:
        assert self.listed("| keyword |") == [one.name for one in fields(asked.Asked)]

    def test_what_a_cell_has_is_there(self) -> None:
        public = {name for name in vars(results.CellResult) if not name.startswith("_")}
        public |= {one.name for one in fields(results.CellResult)}
        assert set(self.listed("A failure shows")) == public - {"into", "check"}

    def test_what_a_pair_has_is_there(self) -> None:
        public = {name for name in vars(pair.PairResult) if not name.startswith("_")}
        public |= {one.name for one in fields(pair.PairResult)}
        assert set(self.listed("`measure_pair(a, b)`")) == public - {"check"}

    def test_failure_in_it_is_what_pytest_shows(self, suite: Suite) -> None:
        result = suite("def test_cell(isobench_cell):\n    assert isobench_cell.p90 < 0.005")
        shown = self.PAGE[self.PAGE.index("\nE ") :].split("\n```")[0].strip().splitlines()
        result.stdout.fnmatch_lines([line.replace("[", "[[]") for line in shown])

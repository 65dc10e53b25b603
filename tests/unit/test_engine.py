"""The engine with scripted isolators: what is journaled, in which order, and what survives what."""

import hashlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from isobench.benchmarks.contract import Context
from isobench.benchmarks.fake import FakeBenchmark, FakeParams
from isobench.engine import Outcome, resume, run
from isobench.errors import (
    AgentMissingError,
    LockedError,
    OutputError,
    ResultsError,
    UsageError,
)
from isobench.fakelab import fake_lab
from isobench.host import tool_record
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.drain import Drained
from isobench.journal import TunedSetting, load, read_run
from isobench.lab import Lab
from isobench.lock import host_lock
from isobench.matrix import Matrix, parse_matrix
from isobench.model import Cell, Readiness, Reading, Sample, Status


@dataclass
class Recorder:
    """Remembers what it is told; ``on_start`` is called before each turn."""

    told: list[str] = field(default_factory=list)
    plan: tuple[tuple[str, ...], int, float] = ((), 0, 0.0)
    left_s: list[float] = field(default_factory=list)
    on_start: Callable[[int], object] = lambda _order: None
    outcome: Outcome | None = None

    def planned(self, cells: Sequence[Cell], blocks: int, expected_s: float) -> None:
        self.plan = (tuple(cell.id for cell in cells), blocks, expected_s)

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        self.told.append(f"{cell.id} {block} {order}")
        self.left_s.append(left_s)
        self.on_start(order)

    def cell_finished(self, cell: Cell, samples: Sequence[Sample]) -> None:
        self.told.append(f"{cell.id}: {len(samples)}")

    def finished(self, outcome: Outcome) -> None:
        self.outcome = outcome


def matrix(*isolators: dict[str, Any], blocks: int = 3, **fake: object) -> Matrix:
    tables = [{"kind": "fake", **table} for table in isolators or ({"name": "a"}, {"name": "b"})]
    run_table = {"blocks": blocks, "seed": 7, "benchmarks": ["fake"]}
    return parse_matrix({"run": run_table, "isolator": tables, "fake": fake}, "test")


def turns(samples: Sequence[Sample]) -> list[tuple[str, int]]:
    """The (cell, block) in the order they were measured."""
    return list(dict.fromkeys((sample.cell, sample.block) for sample in samples))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return fake_lab(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_every_cell_is_measured_in_every_block(lab: Lab, out: Path) -> None:
    outcome = run(matrix(blocks=4, attempts=5), out, Recorder(), lab)

    record, samples = read_run(out)
    assert Counter((sample.cell, sample.block) for sample in samples) == {
        (f"fake/{name}/ready", block): 5 for name in "ab" for block in range(4)
    }
    assert [sample.order for sample in samples] == [order for order in range(8) for _ in range(5)]
    assert (outcome.status, outcome.exit_code, outcome.turns_left) == ("finished", 0, 0)
    assert outcome.record == record
    assert record.status == "finished"
    assert record.finished is not None


def test_run_waits_for_the_host_before_each_turn_and_records_what_it_waited_for(lab: Lab, out: Path) -> None:
    told = Recorder()
    waits: list[int] = []

    def wait(limit_s: float) -> Drained:
        waits.append(len(told.told))
        left = ("network namespaces being destroyed",) if len(waits) == 3 else ()
        return Drained(0.0, 0.0, limit_s if left else 0.25, left)

    run(matrix(blocks=2), out, told, replace(lab, rest=lambda _site: wait))

    assert waits == [1, 3, 5, 7]  # after the line that a cell begins, before the one that it is over
    rests = read_run(out)[0].rests
    assert rests is not None
    assert (rests.waits, rests.unfinished, rests.seconds) == (4, 1, 3 * 0.25 + rests.limit_s)
    assert rests.left == ("network namespaces being destroyed",)


def test_record_says_how_the_run_was_made(lab: Lab, out: Path) -> None:
    asked = matrix(
        {"name": "a", "shown_as": "a-tcg"}, {"name": "b", "readiness": "unavailable", "reason": "gone"}
    )
    run(asked, out, Recorder(), lab)

    record, samples = read_run(out)
    assert parse_matrix(record.matrix, "run.json") == asked
    assert record.seed == 7
    assert record.host["kernel"] == "6.1"
    assert [(entry.name, entry.shown_as, entry.status) for entry in record.isolators] == [
        ("a", "a-tcg", Status.OK),
        ("b", "b", Status.UNAVAILABLE),
    ]
    assert {sample.isolator for sample in samples} == {"a-tcg", "b"}


def test_seed_that_is_not_given_is_drawn_and_recorded(lab: Lab, tmp_path: Path) -> None:
    seeds = set()
    for number in range(3):
        run(replace(matrix(), seed=None), tmp_path / str(number), Recorder(), lab)
        record, _ = read_run(tmp_path / str(number))
        assert record.matrix["run"]["seed"] == record.seed
        seeds.add(record.seed)

    assert len(seeds) == 3


def test_same_seed_gives_the_same_order_and_another_another(lab: Lab, tmp_path: Path) -> None:
    asked = matrix(*({"name": name} for name in "abcdef"))
    orders = []
    for number, seed in enumerate((7, 7, 8)):
        run(replace(asked, seed=seed), tmp_path / str(number), Recorder(), lab)
        orders.append(turns(read_run(tmp_path / str(number))[1]))

    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_values_and_reasons_of_the_script_arrive_in_the_journal(lab: Lab, out: Path) -> None:
    script = [
        {"value": 0.25, "phases": {"created": 0.125}},
        {"status": "failed", "reason": "exit status 1"},
        {"status": "timeout", "reason": "not ready after 60 s", "value": 9.0},
    ]
    outcome = run(matrix({"name": "a", "script": script}, blocks=1), out, Recorder(), lab)

    _, samples = read_run(out)
    assert [(line.value, line.status, line.reason) for line in samples] == [
        (0.25, Status.OK, None),
        (None, Status.FAILED, "exit status 1"),
        (None, Status.TIMEOUT, "not ready after 60 s"),
    ]
    assert samples[0].phases == {"created": 0.125}
    assert outcome.exit_code == 4
    assert outcome.cells["fake/a/ready"].status is Status.FAILED


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        ("OSError", Status.FAILED, "disk on fire"),
        ("TimeoutError", Status.TIMEOUT, "disk on fire"),
        ("ZeroDivisionError", Status.FAILED, "a defect of the benchmark: ZeroDivisionError: disk on fire"),
    ],
)
def test_error_in_a_cell_is_one_line_and_the_run_goes_on(
    lab: Lab, out: Path, error: str, status: Status, reason: str
) -> None:
    script = [{"value": 1.0}, {"error": error, "reason": "disk on fire"}]
    run(matrix({"name": "a", "script": script}, {"name": "b"}, blocks=2, attempts=2), out, Recorder(), lab)

    _, samples = read_run(out)
    of_a = [(line.status, line.reason) for line in samples if line.isolator == "a"]
    assert of_a == [(Status.OK, None), (status, reason)] * 2
    assert [line.status for line in samples if line.isolator == "b"] == [Status.OK] * 4


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_ok_without_a_number_is_a_failed_attempt(
    lab: Lab, out: Path, monkeypatch: pytest.MonkeyPatch, value: float | None
) -> None:
    def measure(*_: object) -> Iterator[Reading]:
        yield Reading("ready", "second", value)

    monkeypatch.setattr(FakeBenchmark, "measure", measure)
    run(matrix({"name": "a"}, blocks=1), out, Recorder(), lab)

    (line,) = read_run(out)[1]
    assert (line.status, line.value) == (Status.FAILED, None)
    assert line.reason == f"the benchmark gave {value} as a value"


def test_remedy_of_a_reading_is_in_the_journal(lab: Lab, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> Iterator[Reading]:
        yield Reading("ready", "second", None, Status.UNAVAILABLE, "too few CPUs", "leave it out")

    monkeypatch.setattr(FakeBenchmark, "measure", measure)
    run(matrix({"name": "a"}, blocks=1), out, Recorder(), lab)

    (line,) = read_run(out)[1]
    assert (line.status, line.reason, line.remedy) == (Status.UNAVAILABLE, "too few CPUs", "leave it out")


def test_benchmark_that_says_nothing_is_a_failed_cell(lab: Lab, out: Path) -> None:
    outcome = run(matrix({"name": "a"}, blocks=1, attempts=0), out, Recorder(), lab)

    assert outcome.cells["fake/a/ready"].reason == "a defect of the benchmark: it gave no reading"
    assert outcome.exit_code == 4


def test_what_the_host_lacks_is_told_once_and_fails_no_run(lab: Lab, out: Path) -> None:
    lacking = {
        "name": "b",
        "readiness": "unavailable",
        "reason": "runc is missing",
        "remedy": "apt install runc",
    }
    recorder = Recorder()
    outcome = run(matrix({"name": "a"}, lacking, workloads=["x", "y"]), out, recorder, lab)

    _, samples = read_run(out)
    lines = [line for line in samples if line.isolator == "b"]
    assert {line.cell for line in lines} == {"fake/b/x", "fake/b/y"}
    assert len(lines) == 2
    assert all(line.status is Status.UNAVAILABLE and line.reason == "runc is missing" for line in lines)
    assert all(line.remedy == "apt install runc" for line in lines)
    assert outcome.exit_code == 0
    assert set(recorder.plan[0]) == {"fake/a/x", "fake/a/y"}


def test_what_an_isolator_cannot_do_by_nature_is_unsupported(lab: Lab, out: Path) -> None:
    outcome = run(matrix({"name": "a"}, {"name": "b", "cpu_limit": False}), out, Recorder(), lab)

    assert outcome.cells["fake/b/ready"].status is Status.UNSUPPORTED
    assert outcome.cells["fake/b/ready"].reason == "the script says that it cannot limit CPU"
    assert outcome.exit_code == 0


def test_host_that_can_measure_nothing_is_unfit(lab: Lab, out: Path) -> None:
    outcome = run(matrix({"name": "a", "readiness": "unavailable"}), out, Recorder(), lab)

    assert outcome.exit_code == 3


def test_probe_that_breaks_makes_only_its_own_isolator_unusable(lab: Lab, out: Path) -> None:
    def check(isolator: Isolator[Any], site: Site) -> Readiness:
        if isolator.name == "a":
            raise ValueError("no idea")
        return isolator.probe(site)

    outcome = run(matrix(), out, Recorder(), replace(lab, check=check))

    assert outcome.cells["fake/a/ready"].reason == "its probe broke: ValueError: no idea"
    assert outcome.cells["fake/b/ready"].status is Status.OK


def test_two_isolators_are_never_shown_under_one_name(lab: Lab, out: Path) -> None:
    both = [{"name": "a", "shown_as": "vm"}, {"name": "b", "shown_as": "vm"}, {"name": "c", "shown_as": "a"}]
    outcome = run(matrix(*both), out, Recorder(), lab)

    assert set(outcome.cells) == {"fake/vm/ready", "fake/b/ready", "fake/c/ready"}


def test_what_a_cell_leaves_behind_fails_it_once_and_no_other(lab: Lab, out: Path) -> None:
    left: list[str] = []
    recorder = Recorder(on_start=lambda order: left.append("mount /x") if order == 2 else None)
    outcome = run(matrix(), out, recorder, replace(lab, strays=lambda _site: tuple(left)))

    _, samples = read_run(out)
    (line,) = [line for line in samples if line.status is not Status.OK]
    assert (line.order, line.metric, line.reason) == (2, "residue", "left behind on the host: mount /x")
    assert line.remedy == "isobench clean"
    assert outcome.exit_code == 4


def test_observer_hears_every_turn_in_order_and_the_time_left_ends(lab: Lab, out: Path) -> None:
    recorder = Recorder()
    outcome = run(matrix(blocks=2), out, recorder, lab)

    orders = [int(line.split()[-1]) for line in recorder.told[::2]]
    assert orders == [0, 1, 2, 3]
    assert all(line.endswith(": 3") for line in recorder.told[1::2])
    assert recorder.plan[2] == pytest.approx(4 * 0.003)
    assert recorder.left_s[0] == pytest.approx(4 * 0.003)
    assert recorder.outcome is outcome


def test_seconds_inside_timed_sections_are_summed(lab: Lab, out: Path) -> None:
    run(matrix({"name": "a", "attempt_s": 0.001}, blocks=2), out, Recorder(), lab)

    record, _ = read_run(out)
    assert record.timed_s == pytest.approx(6 * 0.001)
    assert record.wall_s >= record.timed_s


def test_folder_that_is_not_empty_is_refused_before_anything_is_probed(lab: Lab, out: Path) -> None:
    out.mkdir()
    (out / "precious").touch()

    def check(_isolator: object, _site: Site) -> Readiness:
        raise AssertionError("probed")

    with pytest.raises(OutputError, match="not empty"):
        run(matrix(), out, Recorder(), replace(lab, check=check))


def test_run_that_cannot_begin_leaves_no_folder(lab: Lab, out: Path) -> None:
    @contextmanager
    def no_site() -> Iterator[Site]:
        if out.exists():  # as it is: the folder is claimed first
            raise AgentMissingError("the agent is not there", remedy="make agent")
        yield lab.open_site().__enter__()

    with pytest.raises(AgentMissingError):
        run(matrix(), out, Recorder(), replace(lab, open_site=no_site))

    assert not out.exists()


def test_run_without_a_folder_gets_one_of_its_own(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    outcome = run(matrix(), None, Recorder(), lab)

    assert outcome.folder == Path("results") / outcome.record.run_id
    assert read_run(outcome.folder)[0].run_id == outcome.record.run_id


def test_second_run_at_a_time_is_refused(lab: Lab, out: Path) -> None:
    with host_lock(lab.lock), pytest.raises(LockedError):
        run(matrix(), out, Recorder(), lab)

    assert not out.exists()


def interrupted(lab: Lab, out: Path, asked: Matrix, at: int, number: int = signal.SIGINT) -> Outcome:
    """A run that is sent a signal just before a turn."""

    def send(order: int) -> None:
        if order == at:
            os.kill(os.getpid(), number)

    return run(asked, out, Recorder(on_start=send), lab)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_run_in_order_and_keeps_what_was_measured(lab: Lab, out: Path, number: int) -> None:
    before = signal.getsignal(number)

    outcome = interrupted(lab, out, matrix(blocks=3), 4, number)

    record, samples = read_run(out)
    assert (outcome.status, outcome.exit_code, outcome.turns_left) == ("interrupted", 4, 2)
    assert outcome.resume_command == f"isobench resume {out}"
    assert record.status == "interrupted"
    assert len(turns(samples)) == 4
    assert signal.getsignal(number) is before


def test_signal_in_the_middle_of_a_turn_keeps_its_attempts_and_does_not_call_it_done(
    lab: Lab, out: Path
) -> None:
    # A turn takes 5 s, and the signal comes after 0.3 s.
    asked = matrix({"name": "a", "attempt_s": 0.05}, blocks=2, attempts=100)
    alarm = Recorder(on_start=lambda order: signal.setitimer(signal.ITIMER_REAL, 0.3) if order == 0 else None)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        outcome = run(asked, out, alarm, lab)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    stored = load(out)
    assert outcome.turns_left == 2
    assert 1 <= len(stored.samples) < 100
    assert stored.done == frozenset()


def test_interrupted_run_is_finished_by_resume_in_its_own_order(lab: Lab, tmp_path: Path) -> None:
    asked = matrix(*({"name": name} for name in "abcd"), blocks=3)
    run(asked, tmp_path / "whole", Recorder(), lab)
    interrupted(lab, tmp_path / "parts", asked, 5)
    kept = read_run(tmp_path / "parts")[1]

    recorder = Recorder()
    outcome = resume(tmp_path / "parts", recorder, lab)

    record, samples = read_run(tmp_path / "parts")
    assert samples == read_run(tmp_path / "whole")[1]
    assert samples[: len(kept)] == kept
    assert (outcome.status, outcome.exit_code, record.status) == ("finished", 0, "finished")
    assert recorder.plan[1] == 2


def test_failed_turn_is_not_tried_again_by_resume(lab: Lab, out: Path) -> None:
    script = [{"status": "failed", "reason": "no"}]
    interrupted(lab, out, matrix({"name": "a", "script": script}, blocks=3, attempts=1), 2)

    resume(out, Recorder(), lab)

    assert turns(read_run(out)[1]) == [("fake/a/ready", block) for block in range(3)]
    assert len(read_run(out)[1]) == 3


def test_resume_of_a_finished_run_has_nothing_to_do_and_changes_nothing(lab: Lab, out: Path) -> None:
    run(matrix(), out, Recorder(), lab)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    recorder = Recorder()

    outcome = resume(out, recorder, lab)

    assert (outcome.status, outcome.exit_code) == ("nothing to do", 0)
    assert recorder.outcome is outcome
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_resume_of_a_foreign_folder_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(ResultsError):
        resume(tmp_path, Recorder(), lab)


def test_resume_on_another_host_is_refused_by_key(lab: Lab, out: Path, tmp_path: Path) -> None:
    interrupted(lab, out, matrix(), 2)

    with pytest.raises(
        UsageError, match=r"kernel was 6\.1 and is 6\.2; cpu\.model was none and is other"
    ) as error:
        resume(out, Recorder(), fake_lab(tmp_path, kernel="6.2", cpu={"model": "other"}))

    assert "isobench run" in str(error.value.remedy)


def test_resume_with_another_build_of_a_tool_is_refused_by_name(
    lab: Lab, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isobench.isolators.fake.Fake.tools", lambda _self: ("runc",), raising=False)
    interrupted(lab, out, matrix(), 2)

    changed = replace(lab, tool=lambda _name: {"path": "/opt/runc", "version": "2.0", "sha256": "1" * 64})
    with pytest.raises(UsageError, match=r"tools\.runc was .*'version': '1\.0'.* and is .*'version': '2\.0'"):
        resume(out, Recorder(), changed)


def test_agent_is_recorded_among_the_tools_by_its_own_name(lab: Lab, out: Path) -> None:
    record = run(matrix(), out, Recorder(), replace(lab, tool=tool_record)).record
    assert record.tools["isoagent"].sha256 is None  # the fake host has no agent

    with lab.open_site() as site:
        site.agent.write_bytes(b"agent")
    record = run(matrix(), out.with_name("second"), Recorder(), replace(lab, tool=tool_record)).record
    assert record.tools["isoagent"].sha256 == hashlib.sha256(b"agent").hexdigest()


def test_resume_with_another_agent_is_refused(lab: Lab, out: Path) -> None:
    lab = replace(lab, tool=tool_record)
    with lab.open_site() as site:
        site.agent.write_bytes(b"agent")
    interrupted(lab, out, matrix(), 2)

    site.agent.write_bytes(b"another")
    with pytest.raises(UsageError, match=r"the agent's SHA-256 was d4f0bc5a29de06b5.* and is "):
        resume(out, Recorder(), lab)


def test_resume_with_the_same_agent_at_another_place_goes_on(lab: Lab, out: Path, tmp_path: Path) -> None:
    places = [tmp_path, tmp_path / "elsewhere"]
    for place in places:
        place.mkdir(exist_ok=True)
        (place / "agent").write_bytes(b"agent")
    interrupted(replace(lab, tool=tool_record), out, matrix(), 2)

    moved = replace(fake_lab(places[1]), tool=tool_record)
    assert resume(out, Recorder(), moved).status == "finished"


def readiness_of(name: str, readiness: Readiness) -> Callable[[Isolator[Any], Site], Readiness]:
    return lambda isolator, site: readiness if isolator.name == name else isolator.probe(site)


def test_isolator_that_has_gone_since_fails_its_cells_and_no_others(lab: Lab, out: Path) -> None:
    interrupted(lab, out, matrix(), 3)
    gone = Readiness(Status.UNAVAILABLE, "runc is missing", "apt install runc")

    outcome = resume(out, Recorder(), replace(lab, check=readiness_of("a", gone)))

    state = outcome.cells["fake/a/ready"]
    assert (state.status, state.remedy) == (Status.FAILED, "apt install runc")
    assert state.reason == "it could not be measured to its end: runc is missing"
    assert outcome.cells["fake/b/ready"].ok == 9
    assert outcome.exit_code == 4


def test_isolator_that_is_something_else_now_is_not_mixed_with_what_it_was(lab: Lab, out: Path) -> None:
    asked = matrix({"name": "qemu", "shown_as": "qemu-kvm"}, {"name": "b"})
    interrupted(lab, out, asked, 3)

    tcg = Readiness(Status.OK, shown_as="qemu-tcg")
    outcome = resume(out, Recorder(), replace(lab, check=readiness_of("qemu", tcg)))

    assert set(outcome.cells) == {"fake/qemu-kvm/ready", "fake/b/ready"}
    assert "the run began with qemu-kvm, and this is qemu-tcg now" in str(
        outcome.cells["fake/qemu-kvm/ready"].reason
    )


def test_isolator_that_has_come_since_stays_out_and_is_not_told_twice(lab: Lab, out: Path) -> None:
    missing = readiness_of("a", Readiness(Status.UNAVAILABLE, "runc is missing"))
    interrupted(replace(lab, check=missing), out, matrix(), 3)

    resume(out, Recorder(), lab)

    assert [line.status for line in read_run(out)[1] if line.isolator == "a"] == [Status.UNAVAILABLE]


def test_error_of_the_observer_ends_the_run_as_interrupted(lab: Lab, out: Path) -> None:
    def fail(order: int) -> None:
        if order == 2:
            raise RuntimeError("the terminal is gone")

    with pytest.raises(RuntimeError):
        run(matrix(), out, Recorder(on_start=fail), lab)

    record, samples = read_run(out)
    assert record.status == "interrupted"
    assert len(turns(samples)) == 2


# What follows happens in processes of its own: ``python test_engine.py <state> <out> <how>``.

ENDLESS = {"name": "a", "attempt_s": 0.004, "script": [{"value": n / 1000} for n in range(1, 8)]}


def in_a_process(state: Path, out: Path, how: str) -> None:
    lab, asked = fake_lab(state), matrix(ENDLESS, {**ENDLESS, "name": "b"}, blocks=12, attempts=10)
    if how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        outcome = resume(out, Recorder(), lab) if out.exists() else run(asked, out, Recorder(), lab)
        print(json.dumps({"status": outcome.status}))
    except OutputError as error:
        print(json.dumps({"error": str(error), "remedy": error.remedy}))


def start(tmp_path: Path, how: str = "plain") -> "subprocess.Popen[str]":
    words = [sys.executable, __file__, str(tmp_path), str(tmp_path / "run"), how]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    raise AssertionError(f"{path} has not {count} lines")


def test_killed_runs_lose_nothing_and_repeat_nothing_that_was_done(tmp_path: Path, lab: Lab) -> None:
    lines = tmp_path / "run" / "samples.jsonl"
    kept = b""
    for count in (25, 60, 110):
        with start(tmp_path) as process:
            wait_for_lines(lines, count)
            process.kill()
        found = lines.read_bytes()
        assert found.startswith(kept[: kept.rfind(b"\n") + 1])
        kept = found
    done = load(tmp_path / "run").done
    assert done

    outcome = resume(tmp_path / "run", Recorder(), lab)

    stored = load(tmp_path / "run")
    counted = Counter((sample.cell, sample.block) for sample in stored.samples)
    assert outcome.status == "finished"
    assert stored.warnings == ()
    assert all(counted[pair] == 10 for pair in done if pair not in torn(tmp_path / "run"))
    assert stored.done == {(f"fake/{name}/ready", block) for name in "ab" for block in range(12)}
    assert sum(counted.values()) - 240 < 3 * 10  # at most three turns were broken off


def torn(folder: Path) -> set[tuple[str, int]]:
    """The turns that were broken off at least once: more lines than one measuring gives."""
    counted = Counter((sample.cell, sample.block) for sample in load(folder).samples)
    return {pair for pair, count in counted.items() if count > 10}


def test_terminated_run_is_finished_by_resume(tmp_path: Path, lab: Lab) -> None:
    with start(tmp_path) as process:
        wait_for_lines(tmp_path / "run" / "samples.jsonl", 25)
        process.terminate()
        told = json.loads(process.communicate()[0])

    assert told == {"status": "interrupted"}
    assert resume(tmp_path / "run", Recorder(), lab).status == "finished"


def test_full_disk_ends_the_run_and_loses_no_line_before_it(tmp_path: Path, lab: Lab) -> None:
    with start(tmp_path, "full") as process:
        told = json.loads(process.communicate()[0])

    record, samples = read_run(tmp_path / "run")
    assert "samples.jsonl: results cannot be written there" in told["error"]
    assert "isobench resume" in told["remedy"]
    assert len(samples) > 20
    assert record.status == "interrupted"
    assert resume(tmp_path / "run", Recorder(), lab).status == "finished"


def test_two_runs_at_once_are_told_of_each_other(tmp_path: Path, lab: Lab) -> None:
    with start(tmp_path) as process:
        wait_for_lines(tmp_path / "run" / "samples.jsonl", 1)
        with pytest.raises(LockedError, match=f"process {process.pid} "):
            run(matrix(), tmp_path / "other", Recorder(), lab)
        with pytest.raises(LockedError, match=f"process {process.pid} "):
            resume(tmp_path / "run", Recorder(), lab)
        process.kill()

    assert not (tmp_path / "other").exists()


class Untidy(FakeBenchmark):
    """Its clean-up breaks, whoever ends it."""

    def measure(self, cell: Cell, isolator: Isolator[Any], context: Context[FakeParams]) -> Iterator[Reading]:
        try:
            yield Reading("ready", "second", 1.0)
            yield Reading("ready", "second", 2.0)
        finally:
            raise OSError("the clean-up broke")


def test_clean_up_that_breaks_is_a_failed_attempt_and_the_run_goes_on(
    lab: Lab, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeBenchmark, "measure", Untidy.measure)
    outcome = run(matrix(blocks=1), out, Recorder(), lab)

    _, samples = read_run(out)
    assert [sample.status for sample in samples] == [Status.OK, Status.OK, Status.FAILED] * 2
    assert outcome.exit_code == 4


def test_clean_up_that_breaks_does_not_hide_why_the_run_ends(
    lab: Lab, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("No space left on device")

    monkeypatch.setattr(FakeBenchmark, "measure", Untidy.measure)
    monkeypatch.setattr("isobench.measuring.Measuring.note", full)
    with pytest.raises(OutputError, match="No space left"):
        run(matrix(blocks=1), out, Recorder(), lab)


if __name__ == "__main__":
    logging.disable()
    in_a_process(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])


RCU = "host/sys/kernel/rcu_expedited"


@pytest.fixture
def rcu(tmp_path: Path) -> Path:
    """The one setting that the host has."""
    path = tmp_path / RCU
    path.parent.mkdir(parents=True)
    path.write_text("0\n")
    return path


def test_tuned_run_has_the_host_tuned_in_every_turn_and_puts_it_back(lab: Lab, out: Path, rcu: Path) -> None:
    seen: set[str] = set()
    recorder = Recorder(on_start=lambda _order: seen.add(rcu.read_text()))

    outcome = run(matrix(), out, recorder, lab, tune=True)

    assert seen == {"1"}
    assert rcu.read_text() == "0\n"
    record, _ = read_run(out)
    assert outcome.record == record
    assert record.tuned == (
        TunedSetting("RCU grace periods", "/sys/kernel/rcu_expedited", "0", "1", end="1"),
    )


def test_run_that_is_not_asked_to_tune_says_so(lab: Lab, out: Path, rcu: Path) -> None:
    seen: set[str] = set()
    run(matrix(), out, Recorder(on_start=lambda _order: seen.add(rcu.read_text())), lab)
    assert seen == {"0\n"}
    assert read_run(out)[0].tuned is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_puts_the_host_back_and_resume_goes_on_tuned(
    lab: Lab, out: Path, rcu: Path, number: int
) -> None:
    def send(order: int) -> None:
        if order == 2:
            os.kill(os.getpid(), number)

    assert run(matrix(), out, Recorder(on_start=send), lab, tune=True).status == "interrupted"
    assert rcu.read_text() == "0\n"

    seen: set[str] = set()
    outcome = resume(out, Recorder(on_start=lambda _order: seen.add(rcu.read_text())), lab)

    assert (outcome.status, seen, rcu.read_text()) == ("finished", {"1"}, "0\n")
    assert [(one.before, one.during) for one in read_run(out)[0].tuned or ()] == [("0", "1")]


def test_run_that_was_not_tuned_is_not_resumed_on_a_host_that_is(lab: Lab, out: Path, rcu: Path) -> None:
    def judged(_site: Site) -> dict[str, Any]:
        return {"hostname": "fake", "knobs": {"RCU grace periods": rcu.read_text().strip()}}

    lab = replace(lab, host=judged)
    interrupted(lab, out, matrix(), 2)
    rcu.write_text("1\n")

    with pytest.raises(UsageError, match=r"knobs\.RCU grace periods was 0 and is 1"):
        resume(out, Recorder(), lab)


def test_run_that_ends_with_a_defect_puts_the_host_back(lab: Lab, out: Path, rcu: Path) -> None:
    def break_down(_order: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(matrix(), out, Recorder(on_start=break_down), lab, tune=True)
    assert rcu.read_text() == "0\n"


def test_signal_while_isolators_are_tried_puts_the_host_back(lab: Lab, out: Path, rcu: Path) -> None:
    def check(isolator: Isolator[Any], site: Site) -> Readiness:
        assert rcu.read_text() == "1"
        os.kill(os.getpid(), signal.SIGINT)
        return isolator.probe(site)

    with pytest.raises(KeyboardInterrupt):
        run(matrix(), out, Recorder(), replace(lab, check=check), tune=True)
    assert rcu.read_text() == "0\n"


def test_results_that_have_no_place_leave_the_host_untouched(lab: Lab, out: Path, rcu: Path) -> None:
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(OutputError):
        run(matrix(), out, Recorder(), lab, tune=True)
    assert rcu.read_text() == "0\n"
    assert not (rcu.parents[2] / "run").exists()

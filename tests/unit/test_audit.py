"""What the instrument costs: the agent's own lines, the alternation of rounds, and that every run has it."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from isobench.benchmarks import audit
from isobench.benchmarks.audit import Audit, AuditParams, PlainLine, RoundTrip, RoundTripParams, TimerLine
from isobench.benchmarks.contract import Context
from isobench.isolators.bare import Bare
from isobench.isolators.cgroup.tree import NoCgroups
from isobench.isolators.contract import Options, Site
from isobench.matrix import narrow, parse_matrix
from isobench.model import Capabilities, Launch, Reading, Status

BARE = Bare("bare", Options())


@pytest.fixture
def site(agent: Path, tmp_path: Path) -> Site:
    root = tmp_path / "root"
    root.mkdir()
    (root / "isoagent").write_bytes(agent.read_bytes())
    (root / "isoagent").chmod(0o755)
    token = "isobench-00000000"  # noqa: S105 - a name
    return Site(token, tmp_path, tmp_path, root / "isoagent", root, NoCgroups("none", (), frozenset()))


def measured(site: Site, part: str, **params: int) -> list[Reading]:
    found = AuditParams(**params)
    (cell,) = (c for c in Audit().cells("host", BARE.capabilities, found, 1) if c.workload == part)
    return list(Audit().measure(cell, BARE, Context(site, found, 0, 60.0)))


def said(agent: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([agent, *words], capture_output=True, text=True, check=False)


def test_timer_tells_cost_and_steps_of_the_clock(agent: Path) -> None:
    line = TimerLine.model_validate_json(said(agent, "timer", "1000").stdout)
    assert line.calls == 1000
    assert 0 < line.smallest_step_ns <= line.total_ns / 999 * 100
    assert line.smallest_step_ns <= line.largest_step_ns <= line.total_ns


def test_plain_tells_how_long_each_start_took(agent: Path) -> None:
    line = PlainLine.model_validate_json(said(agent, "plain", "3", "0", str(agent), "ready").stdout)
    assert len(line.taken_ns) == 3
    assert all(taken > 0 for taken in line.taken_ns)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("plain", "3", "0"), "a program are needed"),
        (("plain", "0", "0", "/x"), "COUNT"),
        (("plain", "1", "0", "/nothing/here"), "start"),
        (("timer", "1"), "calls"),
    ],
)
def test_verb_that_cannot_do_its_work_says_why(agent: Path, words: tuple[str, ...], complaint: str) -> None:
    done = said(agent, *words)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert done.stdout == ""


def test_plain_refuses_a_program_that_ends_badly(agent: Path) -> None:
    done = said(agent, "plain", "1", "0", str(agent), "no-such-verb")
    assert (done.returncode, done.stdout) == (1, "")


def test_clock_costs_something_and_names_its_source(site: Site) -> None:
    (reading,) = measured(site, "timer")
    assert reading.metric == "clock_read"
    assert reading.value is not None
    assert 0 < reading.value < 1e-3
    assert reading.detail["clock_source"] == audit._CLOCK_SOURCE.read_text().strip()


def test_starter_is_compared_round_by_round(site: Site) -> None:
    readings = measured(site, "starter", rounds=3, starts=2)
    assert [reading.status for reading in readings] == [Status.OK] * 3
    for reading in readings:
        plain, ours = reading.detail["plain_s"], reading.detail["starter_s"]
        assert isinstance(plain, float)
        assert isinstance(ours, float)
        assert reading.value == ours - plain


def test_memory_is_read_from_before_the_first_start_of_one_side_to_its_end_and_never_of_the_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, reads, at = audit._starts, [], []
    monkeypatch.setattr(audit, "read_host", lambda **_: reads.append(1))

    def watched(launch: Launch, context: Context[AuditParams]) -> list[float]:
        at.append(len(reads))
        found = starts(launch, context)
        if reads:
            while len(reads) < at[-1] + 2:  # they go on as long as this does
                time.sleep(0.001)
        at.append(len(reads))
        return found

    monkeypatch.setattr(audit, "_starts", watched)
    (reading,) = measured(site, "sampler", rounds=1, starts=3)
    assert at[:2] == [0, 0]
    assert at[2] > 0
    assert reading.unit == "ratio"
    assert reading.detail["reads"] == len(reads)


def test_rounds_alternate_which_side_is_first(site: Site) -> None:
    order: list[str] = []

    def side(name: str) -> audit.Side:
        def starts() -> list[float]:
            order.append(name)
            return [1.0 if name == "one" else 2.0]

        return starts

    context = Context(site, AuditParams(rounds=3), 0, 60.0)
    assert list(audit._rounds(context, side("one"), side("other"))) == [([1.0], [2.0])] * 3
    assert order == ["one", "other", "other", "one", "one", "other"]


def test_round_trip_is_one_cell_of_every_isolator() -> None:
    (cell,) = RoundTrip().cells("runc", Capabilities(frozenset()), RoundTripParams(), 1)
    assert cell.id == "round-trip/runc/echo"


def names(tables: dict[str, Any]) -> list[str]:
    return [entry.name for entry in parse_matrix(tables, "here").benchmarks]


def test_audit_is_part_of_every_run_that_measures_and_of_none_that_plays() -> None:
    assert names({"run": {"benchmarks": ["startup"]}}) == ["audit", "round-trip", "startup"]
    assert names({"run": {"benchmarks": ["startup"], "audit": False}}) == ["startup"]
    assert names({"run": {"benchmarks": ["fake"]}, "isolator": [{"kind": "fake"}]}) == ["fake"]
    assert names({"run": {"benchmarks": ["audit"]}}) == ["audit", "round-trip"]


def test_audit_stays_in_a_narrowed_matrix_and_survives_the_record() -> None:
    matrix = parse_matrix({"run": {"benchmarks": ["startup", "memory"]}}, "here")
    kept = narrow(matrix, benchmarks=["memory"])
    assert [entry.name for entry in kept.benchmarks] == ["audit", "round-trip", "memory"]
    assert parse_matrix(kept.to_dict(), "here") == kept
    without = parse_matrix({"run": {"benchmarks": ["memory"], "audit": False}}, "here")
    assert parse_matrix(json.loads(json.dumps(without.to_dict())), "here") == without


def test_audit_is_measured_once_for_the_host_and_in_one_block() -> None:
    matrix = parse_matrix({"run": {"benchmarks": ["startup"], "blocks": 7}}, "here")
    cells = [cell for _, _, found in matrix.cells() for cell in found if cell.benchmark == "audit"]
    assert [(cell.id, cell.blocks) for cell in cells] == [
        ("audit/host/timer", 1),
        ("audit/host/starter", 1),
        ("audit/host/sampler", 1),
    ]


def test_isolator_may_not_be_called_host() -> None:
    from isobench.errors import MatrixError

    with pytest.raises(MatrixError, match="host stands for the host itself"):
        parse_matrix({"isolator": [{"kind": "bare", "name": "host"}]}, "here")


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"starts": 1.5}, {"blocks": 0}])
def test_impossible_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AuditParams(**wrong)

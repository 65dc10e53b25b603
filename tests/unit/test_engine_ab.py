"""Runs of two sides with scripted isolators: what is journaled, the second stage, what survives a kill."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from isobench.engine import confirm, resume, run
from isobench.errors import InternalError
from isobench.fakelab import fake_lab
from isobench.isolators import rootfs
from isobench.isolators.contract import Isolator, Site
from isobench.journal import load, read_run
from isobench.journal_writer import Journal
from isobench.lab import Lab
from isobench.matrix import parse_matrix
from isobench.model import Cell, Readiness, Sample, Side
from isobench.outcome import Outcome
from isobench.plan import Matrix
from isobench.sides import MIN_BLOCKS, Sides, two_sides

COMPARISON = "fake/ready"


@dataclass
class Quiet:
    """Says nothing; interrupts a run at the turn of that order."""

    stop_at: int | None = None

    def planned(self, cells: object, blocks: int, expected_s: float) -> None:
        pass

    def cell_started(self, cell: Cell, block: int, order: int, left_s: float) -> None:
        if order == self.stop_at:
            raise KeyboardInterrupt

    def cell_finished(self, cell: Cell, samples: object) -> None:
        pass

    def finished(self, outcome: Outcome) -> None:
        pass


def matrix(*isolators: dict[str, Any]) -> Matrix:
    tables = isolators or ({"kind": "fake", "name": "old"}, {"kind": "fake", "name": "new"})
    run_table = {"seed": 7, "benchmarks": ["fake"]}
    return parse_matrix({"run": run_table, "isolator": list(tables)}, "test")


def compare(lab: Lab, out: Path, observer: Quiet | None = None, given: Matrix | None = None) -> Outcome:
    sides, record = two_sides(given or matrix(), Sides("old", "new", MIN_BLOCKS, starts=2))
    return run(sides, out, observer or Quiet(), lab, ab=record)


def places(samples: tuple[Sample, ...]) -> Counter[tuple[Side, int]]:
    return Counter((sample.side, sample.block) for sample in samples)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return fake_lab(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_every_block_holds_both_sides_and_the_control(lab: Lab, out: Path) -> None:
    compare(lab, out)

    record, samples = read_run(out)
    assert places(samples) == {(side, block): 2 for side in Side for block in range(MIN_BLOCKS)}
    assert record.ab is not None
    assert {record.ab.comparison(sample) for sample in samples} == {COMPARISON}
    assert {sample.isolator: sample.side for sample in samples} == {
        "old": Side.A,
        "new": Side.B,
        "old.control": Side.CONTROL,
    }
    assert record.ab.confirm is None
    assert record.ab.planned == {COMPARISON: tuple(Side)}


def test_sides_take_turns_attempt_by_attempt_in_every_order(lab: Lab, out: Path) -> None:
    sides, record = two_sides(matrix(), Sides("old", "new", MIN_BLOCKS, starts=6))
    run(sides, out, Quiet(), lab, ab=record)

    samples = load(out).samples
    rounds = [tuple(line.side for line in samples[at : at + 3]) for at in range(0, len(samples), 3)]
    for block in range(MIN_BLOCKS):
        assert set(rounds[6 * block : 6 * block + 6]) == set(permutations(Side))
    # The order drawn for the block is the first.
    assert {one.order for one in samples[:3]} == {0, 1, 2}
    assert [one.order for one in samples[:3]] == [0, 1, 2]
    assert len({rounds[6 * block] for block in range(MIN_BLOCKS)}) > 1


def test_run_that_began_block_by_block_goes_on_so(lab: Lab, out: Path) -> None:
    sides, record = two_sides(matrix(), Sides("old", "new", MIN_BLOCKS, starts=2))
    run(sides, out, Quiet(stop_at=5), lab, ab=replace(record, in_turns=()))

    resume(out, Quiet(), lab)

    samples = load(out).samples
    for one, other in zip(samples[::2], samples[1::2], strict=True):
        assert (one.side, one.block) == (other.side, other.block)


def test_block_broken_off_amid_its_turns_is_measured_anew_for_every_side(
    lab: Lab, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lines = Journal.append, 0

    def append(journal: Journal, sample: Sample) -> None:
        nonlocal lines
        lines += 1
        if lines == 10:  # of the six lines of the second block the fourth
            raise KeyboardInterrupt
        real(journal, sample)

    monkeypatch.setattr(Journal, "append", append)
    assert compare(lab, out).status == "interrupted"

    assert resume(out, Quiet(), lab).status == "finished"

    stored = load(out)
    assert stored.torn == {(line.cell, 1): 1 for line in stored.samples}
    expected = {(side, block): 3 if block == 1 else 2 for side in Side for block in range(MIN_BLOCKS)}
    assert places(stored.samples) == expected


def test_side_that_breaks_ends_its_own_turns_only(lab: Lab, out: Path) -> None:
    broken = {"kind": "fake", "name": "new", "script": [{"error": "OSError", "reason": "no luck"}]}
    compare(lab, out, given=matrix({"kind": "fake", "name": "old"}, broken))

    samples = load(out).samples
    assert places(samples) == {
        (side, block): 1 if side is Side.B else 2 for side in Side for block in range(MIN_BLOCKS)
    }
    assert {(line.side, line.reason) for line in samples if line.status != "ok"} == {(Side.B, "no luck")}


def test_what_sides_that_took_turns_have_left_behind_makes_the_block_of_each_incomplete(
    lab: Lab, out: Path
) -> None:
    looks = iter(range(1000))
    strays = replace(lab, strays=lambda _: ("a mount",) if next(looks) >= 2 else ())
    compare(strays, out)

    left = [line for line in load(out).samples if line.metric == "residue"]
    assert {(line.block, line.side) for line in left} == {(1, side) for side in Side}
    assert {line.reason for line in left} == {"left behind on the host: a mount"}


def test_names_of_the_sides_are_those_their_isolators_are_shown_under(lab: Lab, out: Path) -> None:
    old = {"kind": "fake", "name": "old", "shown_as": "old-tcg"}
    compare(lab, out, given=matrix(old, {"kind": "fake", "name": "new"}))

    record, samples = read_run(out)
    assert record.ab is not None
    assert (record.ab.a, record.ab.control) == ("old-tcg", "old.control")
    assert {sample.side for sample in samples} == set(Side)


def test_second_stage_adds_fresh_blocks_of_what_is_to_be_confirmed(lab: Lab, out: Path) -> None:
    compare(lab, out)
    before = load(out).samples

    outcome = confirm(out, (COMPARISON,), Quiet(), lab)

    record, samples = read_run(out)
    assert samples[: len(before)] == before
    assert places(samples) == {(side, block): 2 for side in Side for block in range(2 * MIN_BLOCKS)}
    assert record.ab is not None
    assert (record.status, record.ab.confirm) == ("finished", (COMPARISON,))
    assert outcome.exit_code == 0


def test_second_stage_of_nothing_is_over_without_a_sample(lab: Lab, out: Path) -> None:
    compare(lab, out)
    before = load(out).samples

    assert confirm(out, (), Quiet(), lab).status == "finished"

    record, samples = read_run(out)
    assert samples == before
    assert record.ab is not None
    assert (record.status, record.ab.confirm) == ("finished", ())


@pytest.mark.parametrize("stop_at", [5, MIN_BLOCKS * 3 + 7])
def test_run_broken_off_in_either_stage_is_finished_by_resume(lab: Lab, out: Path, stop_at: int) -> None:
    compare(lab, out, Quiet(stop_at))
    if stop_at > MIN_BLOCKS * 3:
        assert load(out).record.status == "finished"
        assert confirm(out, (COMPARISON,), Quiet(stop_at), lab).status == "interrupted"
        blocks = 2 * MIN_BLOCKS
    else:
        assert load(out).record.status == "interrupted"
        blocks = MIN_BLOCKS

    assert resume(out, Quiet(), lab).status == "finished"

    _, samples = read_run(out)
    assert places(samples) == {(side, block): 2 for side in Side for block in range(blocks)}


def test_ordinary_run_has_no_second_stage(lab: Lab, out: Path) -> None:
    run(matrix(), out, Quiet(), lab)
    with pytest.raises(InternalError, match="compares nothing"):
        confirm(out, (), Quiet(), lab)


def test_isolator_with_a_build_of_the_agent_of_its_own_is_measured_with_it(
    tmp_path: Path, out: Path, agent: Path
) -> None:
    other = tmp_path / "isoagent-new"
    other.write_bytes(agent.read_bytes() + b"\0")
    other.chmod(0o755)
    seen: dict[str, Path] = {}
    lab = fake_lab(tmp_path)

    def check(isolator: Isolator[Any], site: Site) -> Readiness:
        seen[isolator.name] = site.agent
        return lab.check(isolator, site)

    given = matrix({"kind": "fake", "name": "old"}, {"kind": "fake", "name": "new", "agent": str(other)})
    compare(replace(lab, check=check), out, given=given)

    assert seen["old"] == seen["old.control"] != seen["new"]
    assert seen["new"].read_bytes() == other.read_bytes()
    assert seen["new"].name == rootfs.AGENT_NAME
    assert str(other) in load(out).record.tools
    assert load(out).record.matrix["isolator"][1]["agent"] == str(other)


def test_isolator_whose_build_of_the_agent_is_missing_is_unavailable(lab: Lab, out: Path) -> None:
    new = {"kind": "fake", "name": "new", "agent": "missing/isoagent"}
    compare(lab, out, given=matrix({"kind": "fake", "name": "old"}, new))

    (lack,) = [sample for sample in load(out).samples if sample.isolator == "new"]
    assert (lack.status, lack.side) == ("unavailable", Side.B)
    assert "missing/isoagent" in (lack.reason or "")
    assert "No such file" in (lack.reason or "")

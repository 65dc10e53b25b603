"""The course of ``isobench ab``: a plan from what is known of the host, two stages, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from isobench import engine
from isobench.cli import ab_plan, output, progress
from isobench.cli.progress import duration
from isobench.cli.report import REPORT_FILE, write
from isobench.cli.verdicts import Judged
from isobench.errors import UsageError
from isobench.journal import ABRecord, load
from isobench.lab import Lab, this_host
from isobench.plan import narrow, plan_lines
from isobench.reports import gate_history
from isobench.reports.gate import candidates, judge
from isobench.reports.gate_plan import Plan, plan
from isobench.reports.gate_policy import DEFAULT_POLICY, SOURCE, Subject, check_matches, parse_policy
from isobench.reports.gate_screen import unreachable
from isobench.reports.gate_stats import blocks_below, least_p
from isobench.sides import Sides, two_sides
from isobench.state import state_dir

if TYPE_CHECKING:
    from isobench.journal import StoredRun
    from isobench.outcome import Outcome
    from isobench.plan import Matrix
    from isobench.reports.gate_history import AAEntry
    from isobench.reports.gate_policy import Policy

PILOT_BLOCKS, PILOT_STARTS = 12, 8
"""Of the comparison of A with itself that a plan is made from where there is no history yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    matrix: Matrix
    sides: Sides
    detect: float | None
    policy: Policy
    out: Path | None
    tune: bool
    policy_file: Path | None = None
    blocks: int | None = None
    """As asked for; None: planned."""


def history_file() -> Path:
    """Where this host keeps how far things alike lay apart."""
    return state_dir() / "history" / "alike.jsonl"


def show_plan(wanted: Wanted, *, json: bool) -> None:
    """Print what would be done; starts nothing."""
    matrix, ab = two_sides(wanted.matrix, wanted.sides)  # a wrong name is told first
    subjects = _subjects(wanted, matrix, ab)
    made = _planned(wanted, subjects, _history(wanted, ab, this_host()))
    told, pilot = _to_tell(wanted, made), _pilot_of(wanted, subjects, made)
    if json:
        output.print_json(ab_plan.as_json(told, None if pilot is None else pilot.expected_s))
    else:
        ab_plan.tell(told, None if pilot is None else pilot.announced)


def measured(wanted: Wanted, *, keep: bool = True) -> Judged | None:
    """Measure and judge; None when it was interrupted, which has been told.

    ``keep``: write the report, and remember for later plans how far things alike lay apart.
    """
    with nullcontext() if wanted.out is None else engine.claimed(wanted.out):
        return _measured_and_judged(wanted, keep=keep)


def _measured_and_judged(wanted: Wanted, *, keep: bool) -> Judged | None:
    matrix, ab = two_sides(wanted.matrix, wanted.sides)
    subjects = _subjects(wanted, matrix, ab)
    lab = this_host()
    entries = _history(wanted, ab, lab)
    made = _planned(wanted, subjects, entries)
    if (pilot := _pilot_of(wanted, subjects, made)) is not None:
        output.note(pilot.announced)
        if (found := _measured(pilot, wanted, lab)) is None:
            return None
        entries = (*entries, *found)
        made = _planned(wanted, subjects, entries)
    ab_plan.tell(_to_tell(wanted, made))
    matrix, ab = two_sides(wanted.matrix, _as_planned(wanted, made))
    ab = replace(ab, detect=wanted.detect, policy=wanted.policy.tables(), noise=made.noise)
    with progress.shown(output.console(stderr=True)) as observer:
        outcome = engine.run(matrix, wanted.out, observer, lab, tune=wanted.tune, ab=ab)
    return None if _broken_off(outcome) else finished(outcome.folder, lab, wanted.policy, keep=keep)


def finished(folder: Path, lab: Lab, policy: Policy | None = None, *, keep: bool = True) -> Judged | None:
    """From a measured first stage, or a second one, to the verdict; None when it was interrupted."""
    run = load(folder)
    ab = run.record.ab
    if ab is not None and ab.pilot:
        _keep_pilot(run)
        output.note(
            f"this was measured to plan a comparison of {ab.a} by, which comes next: isobench ab again"
        )
        return None
    if policy is None:
        policy = parse_policy(ab.policy if ab else {}, str(folder))
    if ab is not None and ab.confirm is None:
        found = candidates(run, policy)
        if found:
            output.note(f"seen again on {ab.blocks} fresh blocks: {', '.join(found)}")
        with progress.shown(output.console(stderr=True)) as observer:
            if _broken_off(engine.confirm(folder, found, observer, lab)):
                return None
        run = load(folder)
    report = judge(run, policy)
    if not keep:
        return Judged(folder, report)
    if not report.unfit:  # what a restless host does is not what is usual
        gate_history.append_entries(history_file(), gate_history.entries_of(run))
    return Judged(folder, report, write([folder], folder / REPORT_FILE))


def _history(wanted: Wanted, ab: ABRecord, lab: Lab) -> tuple[AAEntry, ...]:
    """Earlier comparisons with this baseline on this host."""
    kept = gate_history.read_entries(history_file())
    if not kept:
        return ()
    subject = gate_history.subject_digest(wanted.matrix.to_dict(), ab.by, ab.a)
    with lab.open_site() as site:
        host = gate_history.host_digest(lab.host(site), tuned=wanted.tune)
    return tuple(
        one
        for one in kept
        if (one.host, one.subject) == (host, subject)
        # Sides that took turns lie closer together than those measured block by block.
        and one.in_turns == (one.benchmark in ab.in_turns)
    )


@dataclass(frozen=True, slots=True)
class _Pilot:
    """A compared with itself, a run of its own that the plan is made from."""

    matrix: Matrix
    ab: ABRecord
    announced: str
    """What it is for, and how long it takes."""
    expected_s: float


def _pilot_of(wanted: Wanted, subjects: Mapping[str, Subject], made: Plan) -> _Pilot | None:
    """For the benchmarks of which something is not known; None where all is, or the starts are given."""
    unknown = _to_tell(wanted, made).unknown
    if not unknown or wanted.sides.starts is not None:
        return None
    benchmarks = list(dict.fromkeys(subjects[name].benchmark for name in unknown))
    sides = Sides(wanted.sides.a, wanted.sides.a, PILOT_BLOCKS, PILOT_STARTS)
    matrix, ab = two_sides(narrow(wanted.matrix, (), benchmarks), sides)
    ab = replace(ab, pilot=True)
    expected_s = sum(line.expected_s for line in plan_lines(matrix))
    announced = (
        f"{ab_plan.not_known(wanted.sides, unknown)}: a comparison of it with itself comes first, "
        f"{PILOT_BLOCKS} blocks of {', '.join(benchmarks)}, about {duration(expected_s)}"
    )
    return _Pilot(matrix, ab, announced, expected_s)


def _measured(pilot: _Pilot, wanted: Wanted, lab: Lab) -> tuple[AAEntry, ...] | None:
    """None when it was interrupted."""
    out = None if wanted.out is None else _pilot_folder(wanted.out)
    with progress.shown(output.console(stderr=True)) as observer:
        outcome = engine.run(pilot.matrix, out, observer, lab, tune=wanted.tune, ab=pilot.ab)
    if outcome.status == "interrupted":
        output.note(f"interrupted before the comparison; what was measured to plan it is in {outcome.folder}")
        output.note("to begin anew: the same command again")
        return None
    return _keep_pilot(load(outcome.folder))


def _pilot_folder(out: Path) -> Path:
    """Beside the results; an earlier one that was broken off stays as it is."""
    names = chain([f"{out.name}-pilot"], (f"{out.name}-pilot-{n}" for n in count(2)))
    return next(path for name in names if not (path := out.with_name(name)).exists())


def _keep_pilot(run: StoredRun) -> tuple[AAEntry, ...]:
    """What a pilot has found, remembered for later plans where the host was fit."""
    found = gate_history.entries_of(run)
    if unfit := judge(run, DEFAULT_POLICY).unfit:
        names = ", ".join(check.name for check in unfit)
        output.note(f"the host was unfit meanwhile ({names}): what was found serves this plan alone")
    else:
        gate_history.append_entries(history_file(), found)
    return found


def _subjects(wanted: Wanted, matrix: Matrix, ab: ABRecord) -> Mapping[str, Subject]:
    """What is compared, by name; a threshold that is about none of it is told before anything is measured."""
    found = {
        ab.comparison(cell): Subject(
            benchmark=cell.benchmark,
            isolators=frozenset({ab.a, ab.b, ab.control} if ab.by == "isolator" else {cell.isolator}),
            workloads=frozenset({ab.a, ab.b, ab.control} if ab.by == "workload" else {cell.workload}),
        )
        for _, _, cells in matrix.cells()
        for cell in cells
        if ab.side(cell.isolator, cell.workload)
    }
    check_matches(wanted.policy, found.values(), str(wanted.policy_file or SOURCE))
    return found


def _planned(wanted: Wanted, subjects: Mapping[str, Subject], entries: tuple[AAEntry, ...]) -> Plan:
    made = plan(
        entries,
        subjects,
        wanted.policy,
        blocks=wanted.blocks,
        detect=wanted.detect,
        starts=wanted.sides.starts,
    )
    if least_p(made.blocks) >= (alpha := wanted.policy.gate.alpha):
        why = unreachable(alpha, made.blocks)
        raise UsageError(f"{wanted.policy_file or SOURCE}: {why}", remedy=f"--blocks {blocks_below(alpha)}")
    return made


def _as_planned(wanted: Wanted, made: Plan) -> Sides:
    return replace(wanted.sides, blocks=made.blocks, starts=made.starts)


def _to_tell(wanted: Wanted, made: Plan) -> ab_plan.ToTell:
    sides = _as_planned(wanted, made)
    expected = ab_plan.forecast(*two_sides(wanted.matrix, sides))
    unknown = {name: expected.stages[name] for name in made.unknown if name in expected.stages}
    return ab_plan.ToTell(sides, made, unknown, expected.beside_s, wanted.detect)


def _broken_off(outcome: Outcome) -> bool:
    if outcome.status != "interrupted":
        return False
    output.note(f"interrupted; everything measured is kept in {outcome.folder}")
    output.note(f"to measure the rest and to judge it: {outcome.resume_command}")
    return True

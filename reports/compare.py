"""Two runs side by side: what changed from the one to the other, cell by cell, and what cannot be told.

This is no gate. Each run was measured at its own time, and how a host differs from one run to the next is in
no interval made within them (:mod:`isobench.reports.stats_runs` has figures). What can be done about it here:
isolators that are the same in both runs show by how much things moved without a change of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from isobench.errors import UsageError
from isobench.reports import figures
from isobench.reports.comparability import Comparability, Likeness, comparability, told
from isobench.reports.compare_values import Comparison, EndedOtherwise, Only, Row, Run, Side, Verdict
from isobench.reports.light import LightRun, Series, scan
from isobench.reports.stats import Estimate, Interval
from isobench.reports.stats_resample import MIN_RESAMPLES, RESAMPLES
from isobench.reports.stats_runs import (
    difference_between_runs,
    difference_of_estimates,
    ratio_between_runs,
    ratio_of_estimates,
)

_DRAWS = 20_000_000
"""Values drawn for a whole comparison, half a second's work."""

_SIGNED = frozenset({"ratio", "count"})
"""Units of figures that are near 0, so that a ratio of two of them means nothing."""

_BEYOND = 2.0
"""To stand out a change must be so many times the greatest of a control: some 2 standard deviations of 4."""

_FEW_CONTROLS = 2
"""Unchanged isolators that it takes to say what moves without a change."""


def compare(base: Path, candidate: Path) -> Comparison:
    """Read and compare two result folders.

    Raises :class:`isobench.errors.ResultsError` when one cannot be read, UsageError when both hold the same
    run.
    """
    return compare_runs(scan(base), scan(candidate))


def compare_runs(base: LightRun, candidate: LightRun) -> Comparison:
    """As :func:`compare`, of runs that are read already."""
    if base.record.run_id == candidate.record.run_id:
        raise UsageError(
            f"{base.folder} and {candidate.folder} hold the same run ({base.record.run_id}): "
            "there is nothing to compare",
            remedy="name the folders of two runs",
        )
    alike = comparability(base.record, candidate.record)
    shared = [key for key in base.series if key in candidate.series]
    values = sum(len(run.series[key].values) for run in (base, candidate) for key in shared)
    resamples = min(RESAMPLES, max(MIN_RESAMPLES, _DRAWS // max(1, values)))
    rows = _controlled([_row(base.series[k], candidate.series[k], alike, resamples) for k in shared], alike)
    return Comparison(
        base=_run(base),
        candidate=_run(candidate),
        alike=alike,
        rows=tuple(sorted(rows, key=lambda row: (not row.changed, row.doubtful, -row.size))),
        only_base=_only(base, candidate),
        only_candidate=_only(candidate, base),
        ended_otherwise=tuple(
            EndedOtherwise(name, cell.state, candidate.cells[name].state)
            for name, cell in base.cells.items()
            if name in candidate.cells and candidate.cells[name].state.status is not cell.state.status
        ),
        drift=_drift(_controls(rows, alike)),
    )


def chosen(found: Comparison, metrics: Sequence[str]) -> Comparison:
    """Only rows of these metrics. Raises UsageError for one that neither run has."""
    known = {
        *(row.metric for row in found.rows),
        *(one.metric for one in (*found.only_base, *found.only_candidate)),
    }
    if unknown := [name for name in metrics if name not in known]:
        raise UsageError(
            f"no metric {', '.join(map(repr, unknown))} in these runs; there are: {', '.join(sorted(known))}"
        )
    return replace(
        found,
        rows=tuple(row for row in found.rows if row.metric in metrics),
        only_base=tuple(one for one in found.only_base if one.metric in metrics),
        only_candidate=tuple(one for one in found.only_candidate if one.metric in metrics),
    )


def _run(run: LightRun) -> Run:
    return Run(run.folder, run.record, run.samples, run.warnings)


def _only(here: LightRun, there: LightRun) -> tuple[Only, ...]:
    return tuple(Only(*key) for key in here.series if key not in there.series)


def _row(base: Series, candidate: Series, alike: Comparability, resamples: int) -> Row:
    reason = _refusal(base, candidate, alike)
    relative, sides, change = _contrast(base, candidate, resamples)
    return Row(
        cell=base.cell,
        metric=base.metric,
        unit=base.unit,
        isolator=base.isolator,
        benchmark=base.benchmark,
        workload=base.workload,
        params=base.params,
        base=sides[0],
        candidate=sides[1],
        relative=relative,
        change=None if reason else change,
        verdict=Verdict.REFUSED if reason else _verdict(change, base, candidate, relative=relative),
        reason=reason,
        subject=base.isolator in alike.subjects,
    )


def _refusal(base: Series, candidate: Series, alike: Comparability) -> str | None:
    for what in ("unit", "benchmark", "isolator", "workload", "params"):
        was, now = getattr(base, what), getattr(candidate, what)
        if was != now:
            return f"{what} was {was} and is {now}"
    if (figures.steps(base) is None) or (figures.steps(candidate) is None):
        was, now = sorted(set(base.instances)), sorted(set(candidate.instances))
        if was != now:
            return f"it was read at {told(was)} instances and is at {told(now)}"
    return alike.refusal(base.benchmark, base.workload)


def _contrast(base: Series, candidate: Series, resamples: int) -> tuple[bool, tuple[Side, Side], Estimate]:
    """Whether the change is a ratio, the figures, and the change."""
    ledgers = [figures.steps(series) for series in (base, candidate)]
    if all(ledgers):
        was, now = (figures.slope(found) for found in ledgers if found)
        relative = min(was.value, now.value) > 0 and _ratio_has_interval(was, now)
        change = (ratio_of_estimates if relative else difference_of_estimates)(now, was)
        return relative, (_side(base, was.value), _side(candidate, now.value)), change
    relative = base.unit not in _SIGNED and min(*base.values, *candidate.values) > 0
    between = ratio_between_runs if relative else difference_between_runs
    change = between(candidate.values, candidate.blocks, base.values, base.blocks, resamples)
    sides = (_side(base, figures.middle(base.values)), _side(candidate, figures.middle(candidate.values)))
    return relative, sides, change


def _ratio_has_interval(was: Estimate, now: Estimate) -> bool:
    """Or neither way of telling the change has one."""
    if was.interval is None or now.interval is None:
        return True
    return ratio_of_estimates(now, was).interval is not None


def _side(series: Series, value: float) -> Side:
    return Side(value, len(series.values), len(set(series.blocks)))


def _verdict(change: Estimate, base: Series, candidate: Series, *, relative: bool) -> Verdict:
    if change.interval is None:
        return Verdict.FEW
    if len({*base.values, *candidate.values}) == 1:
        return Verdict.SAME
    none = 1.0 if relative else 0.0
    if change.interval.low > none:
        return Verdict.ABOVE
    return Verdict.BELOW if change.interval.high < none else Verdict.UNTOLD


def _controls(rows: Iterable[Row], alike: Comparability) -> list[Row]:
    """Rows of isolators that are the same in both runs, where it is known which those are."""
    if alike.likeness is Likeness.UNLIKE or not alike.subjects_known:
        return []
    return [row for row in rows if not row.subject and row.change and row.change.interval]


def _controlled(rows: Sequence[Row], alike: Comparability) -> list[Row]:
    """Mark controls, and what is not beyond what they moved by."""
    if not alike.subjects:
        return list(rows)
    moved: dict[tuple[str, str], list[float]] = {}
    for row in (controls := _controls(rows, alike)):
        if row.change:
            moved.setdefault((row.benchmark, row.metric), []).append(abs(row.share(row.change.value)))
    known = {(row.cell, row.metric) for row in controls}
    return [
        replace(
            row,
            control=(row.cell, row.metric) in known,
            moved_alike=row.subject and _moved_alike(row, moved.get((row.benchmark, row.metric), [])),
        )
        for row in rows
    ]


def _moved_alike(row: Row, controls: Sequence[float]) -> bool:
    if not row.changed or row.change is None or len(controls) < _FEW_CONTROLS:
        return False
    return abs(row.share(row.change.value)) <= _BEYOND * max(controls)


def _drift(controls: Iterable[Row]) -> Mapping[tuple[str, str], Interval]:
    found: dict[tuple[str, str], list[float]] = {}
    for row in controls:
        if row.relative and row.change:
            found.setdefault((row.benchmark, row.metric), []).append(row.change.value)
    return {key: Interval(min(r), max(r)) for key, r in found.items() if len(r) >= _FEW_CONTROLS}

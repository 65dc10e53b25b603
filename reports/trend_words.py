"""What a page about many runs of one host says in words."""

from collections.abc import Iterator, Sequence

from isobench.reports import places, units
from isobench.reports.brief import Figure, Unread
from isobench.reports.changes import MIN_RUNS, Change
from isobench.reports.comparability import Difference, told
from isobench.reports.compare_words import short
from isobench.reports.fleet_words import pairs
from isobench.reports.trend import Moment, Track, Trend
from isobench.reports.verdict import Caution

_NAMED = 6
_LEAST_RUNS = 4 * MIN_RUNS
"""Of fewer runs no split is so clear that chance would not often make one."""


def figure(track: Track, value: float) -> str:
    """In the unit of the track."""
    return units.quantity(value, track.measure.unit)


def interval(track: Track, found: Figure) -> str:
    """Within the run; a dash where there is none."""
    return units.interval(found.interval, lambda value: figure(track, value))


def change(track: Track, found: Change) -> str:
    """``1.20×`` where a ratio means something, else the difference."""
    if track.measure.unit != "ratio" and found.before > 0 and found.after > 0:
        return units.times(found.after / found.before)
    difference = found.after - found.before
    if track.measure.unit == "ratio":
        return f"{100 * difference:+.2f} points"
    return f"{'+' if difference > 0 else ''}{figure(track, difference)}"


def when(moment: Moment) -> str:
    """``2026-01-16 02:00``."""
    return moment.started.replace("T", " ").removesuffix("Z")[:16]


def difference(found: Difference) -> str:
    """``kernel: 6.1 → 6.12``."""
    return f"{short(found.key)}: {short(told(found.base))} → {short(told(found.candidate))}"


def news(moment: Moment) -> str:
    """What is not as it was in the run before."""
    said = [difference(one) for one in moment.news[:_NAMED]]
    more = len(moment.news) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


def headline(trend: Trend) -> str:
    """``1 of 21 cells seems to have changed its level, at one run.``"""
    total, hinted = len(trend.tracks), trend.hinted
    if not total:
        return "No cell gave a figure in any of these runs."
    if len(trend.moments) < _LEAST_RUNS:
        return f"{len(trend.moments)} runs are too few to tell a change of level from chance."
    if not hinted:
        return f"None of {total} cells seems to have changed its level."
    verb = "seems to have changed its" if len(hinted) == 1 else "seem to have changed their"
    chance = f"By chance alone it would be about {total / 100:.1f}."
    return f"{len(hinted)} of {total} cells {verb} level. {chance}"


def label(track: Track) -> str:
    """Read aloud in place of the line."""
    known = track.known
    values = [found.value for found in known]
    ends = f"from {figure(track, values[0])} in the first to {figure(track, values[-1])} in the last"
    hints = "".join(f", a change hinted at run {one.at + 1}" for one in track.hints)
    return f"{len(known)} runs, {ends}{hints}"


def cautions(trend: Trend) -> tuple[Caution, ...]:
    """What stands against reading the runs as one line."""
    return tuple(_cautions(trend))


def _cautions(trend: Trend) -> Iterator[Caution]:
    if trend.unread:
        said = "; ".join(short(_unread(one)) for one in trend.unread[:_NAMED])
        yield Caution(f"{_runs(len(trend.unread))} could not be read", f"{said}.")
    if changed := [moment for moment in trend.moments if moment.news]:
        yield Caution(
            f"What the runs were made on or with changed {_times(len(changed))}",
            "Marked below each line, and told in the table of the runs. Figures before and after are not of "
            "the same: a change of level that begins there has a suspect.",
        )
    if unfinished := [moment for moment in trend.moments if moment.status != "finished"]:
        names = ", ".join(moment.run_id for moment in unfinished[:_NAMED])
        yield Caution(f"{_runs(len(unfinished))} did not finish", f"{names}.", loud=False)
    if trend.twice:
        yield Caution("Some folders hold the same run", f"It counts once: {pairs(trend.twice)}.", loud=False)
    if trend.older:
        yield Caution(f"{trend.older:,} older runs are left out", "The newest are shown.", loud=False)


def _unread(one: Unread) -> str:
    """The reason, which names the folder first or a file in it where reading found it."""
    name, reason = places.name(one.folder), places.within(one.reason, one.folder)
    return reason if reason.startswith(name) else f"{name}: {reason}"


def _runs(many: int) -> str:
    return f"{many:,} run{'' if many == 1 else 's'}"


def _times(many: int) -> str:
    return "once" if many == 1 else f"{many:,} times"


def suspects(trend: Trend, found: Change) -> Sequence[str]:
    """What else changed at the run where a level did, or at one beside it."""
    beside = trend.moments[max(0, found.at - 1) : found.at + 2]
    return [f"{when(moment)}: {news(moment)}" for moment in beside if moment.news]

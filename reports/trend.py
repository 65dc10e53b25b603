"""One host over many runs: each cell's figure from run to run, and hints where its level may have changed.

What else changed between two runs (a kernel, a tool, an option) is told at the run where it did: a change of
level that begins there has a suspect. Where nothing is told, and where something is, it may be chance
(:mod:`isobench.reports.changes` has figures).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

from isobench.errors import ResultsError, UsageError
from isobench.journal import RunRecord
from isobench.reports import brief as briefs
from isobench.reports.brief import Brief, Figure, Measure, Unread
from isobench.reports.changes import Change, changes
from isobench.reports.comparability import Difference, comparability
from isobench.reports.light import scan
from isobench.reports.origins import Origin, once
from isobench.reports.stats_resample import RESAMPLES

RUNS = 400
"""Of more runs the newest are shown."""

_FIGURES = 60_000
"""Resamples of all runs together, for each cell: of many runs fewer each, that a page be made in seconds."""
_LEAST_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Moment:
    """One run on the line of time."""

    folder: Path
    run_id: str
    started: str
    status: str
    samples: int
    troubles: str
    """Cells that failed, in words; empty: none."""
    news: tuple[Difference, ...]
    """What is not as it was in the run before; empty for the first."""


@dataclass(frozen=True, slots=True)
class Track:
    """One cell over all runs."""

    measure: Measure
    isolator: str
    figures: tuple[Figure | None, ...]
    """One for each run; None where it has none."""
    hints: tuple[Change, ...]
    """Their places are those of runs."""

    @property
    def known(self) -> tuple[Figure, ...]:
        """The figures there are."""
        return tuple(figure for figure in self.figures if figure is not None)

    @property
    def size(self) -> float:
        """How great the greatest change is that is hinted at: |ln| of a ratio, or a share of the range."""
        return max((_size(change, self) for change in self.hints), default=0.0)


@dataclass(frozen=True, slots=True)
class Trend:
    """Everything that is told about the runs of one host."""

    hostname: str
    moments: tuple[Moment, ...]
    """By time."""
    tracks: tuple[Track, ...]
    """Those with hints first, the greatest change first; then as the first run has them."""
    unread: tuple[Unread, ...]
    twice: tuple[tuple[Path, Path], ...]
    older: int
    """Runs that are not shown as there are too many."""

    @property
    def hinted(self) -> tuple[Track, ...]:
        """Those with hints."""
        return tuple(track for track in self.tracks if track.hints)


def trend(origins: Sequence[Origin]) -> Trend:
    """Read the runs of one host, one at a time.

    Raises UsageError when they are of several hosts, or not one of them can be read.
    """
    kept, twice = once(origins)
    names = sorted({one.name for one in kept if one.name is not None})
    if len(names) > 1:
        raise UsageError(
            f"a trend is of one host, and these runs are of {len(names)}: {', '.join(names[:5])}"
            + (" …" if len(names) > 5 else ""),  # noqa: PLR2004 - as many as fit a line
            remedy="isobench report --as hosts DIR…",
        )
    ordered = sorted(kept, key=lambda one: (one.started, one.run_id or ""))
    shown = ordered[-RUNS:]
    resamples = min(RESAMPLES, max(_LEAST_RESAMPLES, _FIGURES // max(1, len(shown))))
    found = list(_read(shown, resamples))
    briefs.refuse_nothing(one for one, _ in found)
    runs = [(one, news) for one, news in found if isinstance(one, Brief)]
    return Trend(
        hostname=names[0] if names else runs[0][0].hostname,
        moments=tuple(_moment(one, news) for one, news in runs),
        tracks=_tracks([one for one, _ in runs]),
        unread=tuple(one for one, _ in found if isinstance(one, Unread)),
        twice=tuple(twice),
        older=len(ordered) - len(shown),
    )


def _read(
    origins: Sequence[Origin], resamples: int
) -> Iterator[tuple[Brief | Unread, tuple[Difference, ...]]]:
    """Each run, and what is not as it was in the one before that could be read."""
    before: RunRecord | None = None
    for one in origins:
        try:
            run = scan(one.folder)
        except ResultsError as error:
            yield Unread(one.folder, one.name, one.lack or str(error)), ()
            continue
        yield (
            briefs.brief(run, resamples),
            () if before is None else comparability(before, run.record).differences,
        )
        before = run.record


def _moment(one: Brief, news: tuple[Difference, ...]) -> Moment:
    return Moment(one.folder, one.run_id, one.started, one.status, one.samples, one.trouble_text, news)


def _tracks(runs: Sequence[Brief]) -> tuple[Track, ...]:
    places = dict.fromkeys(place for one in runs for place in one.figures)
    made = [_track(*place, tuple(one.figures.get(place) for one in runs)) for place in places]
    return tuple(sorted(made, key=lambda track: -track.size))


def _track(measure: Measure, isolator: str, figures: tuple[Figure | None, ...]) -> Track:
    known = [(run, figure.value) for run, figure in enumerate(figures) if figure is not None]
    hints = tuple(
        Change(known[change.at][0], change.before, change.after, change.chance)
        for change in changes([value for _, value in known])
    )
    return Track(measure, isolator, figures, hints)


def _size(change: Change, track: Track) -> float:
    values = [figure.value for figure in track.known]
    if min(values) > 0:
        return abs(log(change.after / change.before))
    if track.measure.unit == "ratio":
        return abs(change.after - change.before)
    return abs(change.after - change.before) / (max(values) - min(values) or 1.0)

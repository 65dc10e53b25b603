"""What a comparison says in words, the same in the terminal, in Markdown and in HTML."""

from collections.abc import Iterable, Iterator, Mapping

from isobench.reports import units
from isobench.reports.comparability import Difference, Kind, Likeness, told
from isobench.reports.compare_values import Comparison, EndedOtherwise, Row, Run, Verdict
from isobench.reports.stats import Interval
from isobench.reports.verdict import Caution

NO_GATE = (
    "An interval covers chance within the two runs. It does not know how this host differs from one run to "
    "the next: a change here is a hint, no proof. For a verdict measure both sides in one run: isobench ab."
)

_ONE_BLOCK = "1 block"
_WORD_MAX = 120
_TITLES = {
    Kind.CONDITIONS: "conditions",
    Kind.SUBJECT: "subject",
    Kind.MEASURED: "what was measured",
}


def short(text: str, limit: int = _WORD_MAX) -> str:
    """Foreign text, cut where it would not fit a table."""
    clean = units.plain(text)
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def run_line(run: Run) -> str:
    """``20260301T101500Z-abc123, 2026-03-01 10:15 UTC, lab-1, 696 samples``."""
    record = run.record
    host = record.host.get("hostname") or "an unnamed host"
    when = record.started.replace("T", " ").removesuffix("Z")[:16]
    return short(f"{record.run_id}, {when} UTC, {host}, {run.samples:,} samples")


def label(row: Row) -> str:
    """The cell and, where that does not say it, the metric."""
    return row.cell if row.metric == row.workload else f"{row.cell} {row.metric}"


def amount(row: Row, value: float) -> str:
    """A change: ``1.25×``, ``+0.52 points``, ``-1.50 MiB``."""
    if row.relative:
        return units.times(value)
    sign = "+" if value > 0 else ""
    if row.unit == "ratio":
        return f"{sign}{100 * value:.2f} points" if value else "0 points"
    return f"{sign}{units.quantity(value, row.unit)}"


def change(row: Row) -> str:
    """The change, or a dash where there is none."""
    return units.NONE if row.change is None else amount(row, row.change.value)


def interval(row: Row) -> str:
    """Its interval, or a dash."""
    found = None if row.change is None else row.change.interval
    return units.interval(found, lambda value: amount(row, value))


def figure(row: Row, value: float) -> str:
    """One run's figure."""
    return units.quantity(value, row.unit)


def verdict(row: Row) -> str:
    """``slower``; and what speaks against believing it."""
    if row.verdict is Verdict.REFUSED:
        return f"{row.word}: {short(row.reason or '')}"
    doubts = []
    if row.changed and row.control:
        doubts.append("control")
    if row.moved_alike:
        doubts.append("as controls")
    if row.changed and min(row.base.blocks, row.candidate.blocks) == 1:
        doubts.append(_ONE_BLOCK)
    return f"{row.word} ({', '.join(doubts)})" if doubts else row.word


def legend(rows: Iterable[Row]) -> str:
    """What the marks behind verdicts mean, those that are there."""
    shown = " ".join(verdict(row) for row in rows if row.changed)
    marks = {
        "(control": "control: the isolator is the same in both runs",
        "(as controls": "as controls: such isolators moved at least half as much",
        _ONE_BLOCK: "1 block: how blocks differ is not in the interval",
    }
    return "; ".join(meaning for mark, meaning in marks.items() if mark in shown)


def counts(row: Row) -> str:
    """How many values each figure is made of."""
    return f"{row.base.n:,}" if row.base.n == row.candidate.n else f"{row.base.n:,} / {row.candidate.n:,}"


def headline(found: Comparison) -> str:
    """``3 of 13 figures can be told apart: 2 slower, 1 faster.``"""
    if not found.rows:
        return "The two runs have no figure in common."
    words: dict[str, int] = {}
    for row in found.changed:
        words[row.word] = words.get(row.word, 0) + 1
    told_apart = ", ".join(f"{many} {word}" for word, many in words.items())
    total = len(found.rows)
    if not words:
        return f"None of {total} figures can be told apart."
    chance = f" By chance alone it would be about {found.by_chance}." if found.by_chance else ""
    return f"{len(found.changed)} of {total} figures can be told apart: {told_apart}.{chance}"


def kind(difference: Difference) -> str:
    """What a difference is about, in words."""
    return _TITLES[difference.kind]


def differences(found: Comparison) -> tuple[tuple[str, str, str, str], ...]:
    """Key, what it is about, and both values."""
    return tuple(
        (short(one.key), kind(one), short(told(one.base)), short(told(one.candidate)))
        for one in found.alike.differences
    )


def ended(one: EndedOtherwise) -> str:
    """``failed in the candidate: lxc-start exited with 1``."""
    parts = []
    for run, state in (("base", one.base), ("candidate", one.candidate)):
        reason = f" ({short(state.reason)})" if state.reason else ""
        parts.append(f"{state.status.value} in the {run}{reason}")
    return ", ".join(parts)


def cautions(found: Comparison) -> tuple[Caution, ...]:
    """What stands against reading the changes as the effect of one thing."""
    return tuple(_cautions(found))


def _cautions(found: Comparison) -> Iterator[Caution]:
    if found.alike.likeness is Likeness.UNLIKE:
        unlike = found.alike.of(Kind.CONDITIONS)
        keys = ", ".join(short(one.key) for one in unlike[:_NAMED])
        more = f" and {len(unlike) - _NAMED} more" if len(unlike) > _NAMED else ""
        yield Caution(
            "These runs were not made under the same conditions",
            f"Different in {keys}{more}. Any of these may be why a figure changed.",
        )
    for name, run in (("base", found.base), ("candidate", found.candidate)):
        yield from _of_run(name, run)
    if found.base.record.started > found.candidate.record.started:
        yield Caution(
            "The base was measured after the candidate",
            "Changes are told from the base to the candidate, whichever was first.",
            loud=False,
        )
    if not found.rows:
        yield Caution("Nothing can be compared", _nothing(found))
    refused = [row for row in found.rows if row.verdict is Verdict.REFUSED]
    if refused:
        reasons = "; ".join(dict.fromkeys(short(row.reason or "") for row in refused))
        yield Caution(
            f"{len(refused)} figures are of different things", f"No change is told of them: {reasons}."
        )
    if found.drift:
        yield _drift(found.drift, same=found.alike.likeness is Likeness.SAME)


_NAMED = 12


def _nothing(found: Comparison) -> str:
    """Why there is no figure that both runs have."""
    empty = [
        f"No value of the {name} counts here."
        for name, only in (("base", found.only_base), ("candidate", found.only_candidate))
        if not only
    ]
    return " ".join(empty) or "No metric of any cell gave values in both runs."


def _of_run(name: str, run: Run) -> Iterator[Caution]:
    if run.record.status != "finished":
        yield Caution(
            f"The {name} was not finished",
            "Its figures rest on what was measured until then; cells that were never reached are missing.",
            remedy=f"isobench resume {run.folder}",
        )
    for warning in run.warnings:
        yield Caution(f"The journal of the {name} is damaged", warning)


def _drift(drift: Mapping[tuple[str, str], Interval], *, same: bool) -> Caution:
    moved = "; ".join(
        f"{benchmark} {metric} {units.interval(found, units.times)}"
        for (benchmark, metric), found in list(drift.items())[:_NAMED]
    )
    if same:
        return Caution(
            "Both runs are of the same",
            f"Nothing that matters is known to differ, so this is how far two runs lie apart: {moved}.",
            loud=False,
        )
    return Caution(
        "The controls moved as well",
        f"By so much their medians differ, without a change of their own: {moved}.",
        loud=False,
    )

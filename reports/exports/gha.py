"""gha: the JSON of github-action-benchmark's tool ``customSmallerIsBetter``, one entry a figure.

It watches the ratio of a figure to the one before, so a figure has to be one of which less is better and 0 is
the least: times, bytes and counts.
"""

from typing import Any

from isobench.journal import RunRecord, StoredRun
from isobench.reports.exports.facts import run_facts
from isobench.reports.exports.figures import Figure, figures_of, of_values, values_behind
from isobench.reports.exports.json_text import json_bytes
from isobench.reports.exports.series import REST_OF_RECORD, Export, Omission, insist, number, of_attempts
from isobench.reports.units import plain

_UNITS = {"second": "s", "byte": "B", "count": "count"}
"""Always the base unit: a figure that went from 900 µs to 1.1 ms has to be told as 0.0009 and 0.0011."""


def export(run: StoredRun) -> Export:
    """Its JSON: the median as ``value``, its 95 % interval as ``range``."""
    figures = figures_of(run.samples)
    kept = [figure for figure in figures if figure.unit in _UNITS and figure.estimate.value >= 0]
    left_out = (*_other(figures), *of_values(kept), *of_attempts(run.samples), REST_OF_RECORD)
    insist(kept, "github-action-benchmark", left_out)
    about = _about(run.record)
    return Export(json_bytes([_entry(figure, about) for figure in kept]), values_behind(kept), left_out)


def _entry(figure: Figure, about: str) -> dict[str, Any]:
    found = {
        "name": plain(f"{figure.place}:{figure.metric}"),
        "unit": _UNITS[figure.unit],
        "value": figure.estimate.value,
    }
    if (interval := figure.estimate.interval) is not None:
        found["range"] = f"{interval.low:.4g} to {interval.high:.4g}"
    return {**found, "extra": f"{number(figure.n, 'value')}\n{about}"}


def _about(record: RunRecord) -> str:
    return "\n".join(f"{key}: {text}" for key, text in run_facts(record).items() if key != "status")


def _other(figures: tuple[Figure, ...]) -> tuple[Omission, ...]:
    lost = [figure for figure in figures if figure.unit not in _UNITS]
    below = [figure for figure in figures if figure.unit in _UNITS and figure.estimate.value < 0]
    units = ", ".join(sorted({plain(figure.unit) for figure in lost}))
    return (
        *(
            (Omission(f"{number(len(lost), 'figure')} in {units}", "less of that is not better"),)
            if lost
            else ()
        ),
        *((Omission(f"{number(len(below), 'figure')} below 0", "it compares by ratios"),) if below else ()),
    )

"""bmf: the Bencher Metric Format, one benchmark a cell with a measure for each of its metrics.

The format: bencher.dev/docs/reference/bencher-metric-format. A measure has its unit in its name: the one that
Bencher brings, ``latency``, is in nanoseconds, whatever is sent to it.
"""

import re

from isobench.journal import StoredRun
from isobench.reports.exports.figures import Figure, figures_of, of_values, values_behind
from isobench.reports.exports.json_text import json_bytes
from isobench.reports.exports.series import RECORD, Export, Omission, insist, number, of_attempts, unique
from isobench.reports.units import plain

_UNITS = {"second": "seconds", "byte": "bytes", "1/second": "per-second"}
_MAX_NAME = 1024
_MAX_MEASURE = 64
"""Characters in the name of a benchmark and of a measure."""


def export(run: StoredRun) -> Export:
    """Its JSON: medians, with both ends of their 95 % interval where there is one."""
    figures = [figure for figure in figures_of(run.samples) if len(figure.place) <= _MAX_NAME]
    left_out = (*of_values(figures), *of_attempts(run.samples), *_too_long(run), RECORD)
    insist(figures, "the Bencher Metric Format", left_out)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for figure in figures:
        measures = found.setdefault(plain(figure.place), {})
        measures[unique(_measure(figure), set(measures), "-")] = _metric(figure)
    return Export(json_bytes(found), values_behind(figures), left_out)


def _measure(figure: Figure) -> str:
    """``ready-seconds``: as Bencher makes slugs, so that it finds the measure by it."""
    unit = _UNITS.get(figure.unit, figure.unit)
    return re.sub(r"[^a-z0-9]+", "-", f"{figure.metric}-{unit}".lower()).strip("-")[:_MAX_MEASURE] or "value"


def _metric(figure: Figure) -> dict[str, float]:
    estimate = figure.estimate
    if estimate.interval is None:
        return {"value": estimate.value}
    low, high = estimate.interval.low, estimate.interval.high
    return {"value": estimate.value, "lower_value": low, "upper_value": high}


def _too_long(run: StoredRun) -> tuple[Omission, ...]:
    names = {sample.cell for sample in run.samples if len(sample.cell) > _MAX_NAME}
    return (
        (Omission(number(len(names), "cell"), f"their names have over {_MAX_NAME} characters"),)
        if names
        else ()
    )

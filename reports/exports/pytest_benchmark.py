"""pytest-benchmark: what its ``--benchmark-json`` writes, one benchmark a series of times.

A group is what is done, a name in it is by whom, so that ``pytest-benchmark compare`` sets isolators against
one another; the full name is that of the series, by which it finds the same one in another file.
"""

from typing import Any

import numpy as np

from isobench.journal import RunRecord, StoredRun
from isobench.reports.exports.facts import host_text, run_facts, words
from isobench.reports.exports.json_text import json_bytes
from isobench.reports.exports.series import (
    REST_OF_RECORD,
    Export,
    Omission,
    Series,
    holding,
    insist,
    of_attempts,
    series_of,
)
from isobench.reports.units import plain

VERSION = "5.0.0"
"""The pytest-benchmark whose JSON this is; later ones read it as well."""

_TIMER = "isobench: CLOCK_MONOTONIC of the host, read by its agent"
_NOT_OURS = Omission("the commit (empty)", "a run is not of a repository")


def export(run: StoredRun) -> Export:
    """Its JSON, with all values in ``data``."""
    kept, other = holding(series_of(run.samples), {"second"}, "pytest-benchmark holds times only")
    left_out = (*other, *of_attempts(run.samples), _NOT_OURS, REST_OF_RECORD)
    insist(kept, "pytest-benchmark", left_out)
    found = {
        "machine_info": _machine(run.record),
        "commit_info": {},
        "benchmarks": [_benchmark(series) for series in kept],
        "datetime": run.record.started,
        "version": VERSION,
    }
    return Export(json_bytes(found), sum(len(series.values) for series in kept), left_out)


def _machine(record: RunRecord) -> dict[str, Any]:
    host, facts = record.host, run_facts(record)
    return {
        "node": facts.get("hostname"),
        "machine": facts.get("machine"),
        "system": "Linux",
        "release": facts.get("kernel"),
        "python_version": host_text(host, "python") or None,
        "cpu": {"brand_raw": facts.get("cpu"), "count": host_text(host, "cpu", "count") or None},
    }


def _benchmark(series: Series) -> dict[str, Any]:
    return {
        "group": plain(f"{series.benchmark}/{series.workload}:{series.metric}"),
        "name": "/".join(filter(None, (plain(series.isolator), words(series.params)))),
        "fullname": series.name,
        "params": dict(series.params) or None,
        "param": words(series.params) or None,
        "extra_info": {"isolator": series.isolator, "blocks": list(series.blocks)},
        "options": {"timer": _TIMER, "warmup": bool(series.warmups)},
        "stats": _stats(np.array(series.values)),
    }


def _stats(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    """Its statistics, as it defines them: quartiles are Hyndman and Fan's definition 5."""
    q1, q3 = (float(part) for part in np.quantile(values, (0.25, 0.75), method="hazen"))
    mean = float(values.mean())
    stddev = float(values.std(ddof=1)) if values.size > 1 else 0.0
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    far = int(((values < mean - stddev) | (values > mean + stddev)).sum())
    outside = int(((values < low) | (values > high)).sum())
    total = float(values.sum())
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": mean,
        "stddev": stddev,
        "rounds": values.size,
        "median": float(np.median(values)),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": far,
        "outliers": f"{far};{outside}",
        "ld15iqr": float(values[values >= low].min()),
        "hd15iqr": float(values[values <= high].max()),
        "ops": values.size / total if total else 0.0,
        "total": total,
        "data": values.tolist(),
        "iterations": 1,
    }

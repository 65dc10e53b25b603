"""pyperf: a suite with a benchmark for each series and a run of it for each block.

Written by pyperf's own classes. Its values are above 0 and in seconds, bytes or whole numbers, its metadata
scalars. A series with a value of 0 is left out as a whole: what is left would be another sample.
"""

import io
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import pyperf  # type: ignore[import-untyped]

from isobench.host import comparable
from isobench.journal import RunRecord, StoredRun
from isobench.reports.exports.facts import host_text, run_facts
from isobench.reports.exports.series import (
    REST_OF_RECORD,
    Export,
    Series,
    holding,
    insist,
    of_attempts,
    of_series,
    series_of,
)
from isobench.reports.units import plain

Metadata: TypeAlias = dict[str, str | int | float]

_UNITS = {"second": "second", "byte": "byte", "count": "integer"}
_OF_RUN = ("run", "started", "status", "isobench")


def export(run: StoredRun) -> Export:
    """The suite as JSON."""
    fit, other = holding(series_of(run.samples), _UNITS, "pyperf holds seconds, bytes and whole numbers")
    kept = [series for series in fit if min(series.values) > 0]
    zeros = of_series([series for series in fit if min(series.values) <= 0], "pyperf holds values above 0")
    left_out = (*other, *zeros, *of_attempts(run.samples, warmups=True), REST_OF_RECORD)
    insist(kept, "pyperf", left_out)
    shared = _metadata(run.record)
    suite = pyperf.BenchmarkSuite([pyperf.Benchmark(list(_runs(series, shared))) for series in kept])
    text = io.StringIO()
    suite.dump(text)
    return Export(text.getvalue().encode(), sum(len(series.values) for series in kept), left_out)


def _runs(series: Series, shared: Metadata) -> Iterator[pyperf.Run]:
    about = _usable(
        {
            **{f"param_{plain(key)}": value for key, value in series.params.items()},
            "isolator": series.isolator,
            "benchmark": series.benchmark,
            "workload": series.workload,
            "metric": series.metric,
            "name": series.name,
            "unit": _UNITS[series.unit],
        }
    )
    for block, values, warmups in series.by_block():
        # Where no duration is said, pyperf takes the sum of the values for it, bytes as well.
        duration_s = sum(values) + sum(warmups) if series.unit == "second" else 0.0
        yield pyperf.Run(
            values,
            warmups=[(1, value) for value in warmups],
            metadata={**shared, **about, "block": block, "duration": duration_s},
            collect_metadata=False,
        )


def _metadata(record: RunRecord) -> Metadata:
    """The run, and the host: under pyperf's own names where it has one, all that is known as ``host_…``."""
    host, facts = comparable(record.host), run_facts(record)
    system = ("Linux", facts.get("kernel"), facts.get("machine"))
    return _usable(
        {
            **{f"host_{plain(key)}": value for key, value in host.items()},
            **{f"isobench_{key}": facts.get(key) for key in _OF_RUN},
            "hostname": facts.get("hostname"),
            "platform": "-".join(filter(None, system)),
            "cpu_model_name": facts.get("cpu"),
            "cpu_count": host_text(record.host, "cpu", "count"),
        }
    )


def _usable(found: Mapping[str, object]) -> Metadata:
    """Numbers, and text on one line that is not empty; the rest cannot be metadata of pyperf."""
    texts = {
        key: value if isinstance(value, int | float) else plain(str(value)).strip()
        for key, value in found.items()
        if value is not None
    }
    return {key: value for key, value in texts.items() if value != ""}

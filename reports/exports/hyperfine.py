"""hyperfine: what its ``--export-json`` writes, one result a series of times."""

from statistics import fmean, median, stdev
from typing import Any

from isobench.journal import StoredRun
from isobench.reports.exports.json_text import json_bytes
from isobench.reports.exports.series import (
    RECORD,
    Export,
    Omission,
    Series,
    holding,
    insist,
    of_attempts,
    series_of,
)
from isobench.reports.units import plain

_NOT_OURS = Omission("user and system time (null), exit codes (no key)", "isobench does not record them")


def export(run: StoredRun) -> Export:
    """Its JSON. Standard deviations are the sample's, null for a single value, as hyperfine has them."""
    kept, other = holding(series_of(run.samples), {"second"}, "hyperfine holds times only")
    left_out = (*other, *of_attempts(run.samples), _NOT_OURS, RECORD)
    insist(kept, "hyperfine", left_out)
    data = json_bytes({"results": [_result(series) for series in kept]})
    return Export(data, sum(len(series.values) for series in kept), left_out)


def _result(series: Series) -> dict[str, Any]:
    values = series.values
    return {
        "command": series.name,
        "mean": fmean(values),
        "stddev": stdev(values) if len(values) > 1 else None,
        "median": median(values),
        "user": None,
        "system": None,
        "min": min(values),
        "max": max(values),
        "times": list(values),
        **(
            {"parameters": {plain(key): plain(str(value)) for key, value in series.params.items()}}
            if series.params
            else {}
        ),
    }

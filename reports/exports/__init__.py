"""A run in the formats of tools that people have already: one module each, and this table of them.

Every format is made from the two files of a run alone. What it cannot hold is left out and listed, never
bent to fit: the list goes with the export. Equal runs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from isobench.errors import CellsFailedError, UsageError
from isobench.extras import needed
from isobench.plugins import did_you_mean

if TYPE_CHECKING:
    from isobench.journal import StoredRun
    from isobench.reports.exports.series import Export


@dataclass(frozen=True, slots=True)
class Format:
    """One format a run can be exported to."""

    module: str
    """Where its ``export(run) -> Export`` is, within this package."""
    file: str
    """What the file is called where no name is given."""
    read_by: str
    text: bool = True
    extra: str = ""
    """The extra of the package that brings what it needs besides."""


FORMATS: Mapping[str, Format] = {
    "pyperf": Format("pyperf_suite", "pyperf.json", "python -m pyperf"),
    "pytest-benchmark": Format("pytest_benchmark", "pytest-benchmark.json", "pytest-benchmark compare"),
    "hyperfine": Format("hyperfine", "hyperfine.json", "what reads hyperfine --export-json"),
    "benchfmt": Format("benchfmt", "benchmarks.txt", "benchstat"),
    "bmf": Format("bmf", "bmf.json", "bencher run --adapter json"),
    "gha": Format("gha", "gha.json", "github-action-benchmark, tool customSmallerIsBetter"),
    "junit": Format("junit", "junit.xml", "the test reports of CI systems"),
    "openmetrics": Format("openmetrics", "isobench.prom", "Prometheus and its kin"),
    "csv": Format("csv_table", "samples.csv", "spreadsheets and data frames"),
    "parquet": Format("parquet", "samples.parquet", "DuckDB, pandas, Spark", text=False, extra="lake"),
}


def format_named(name: str) -> Format:
    """The format of that name. Raises :class:`isobench.errors.UsageError` that says which there are."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS)
        raise UsageError(f'no export format "{name}"{hint}; allowed: {", ".join(FORMATS)}')
    return FORMATS[name]


def export(run: StoredRun, name: str) -> Export:
    """That run in that format.

    Raises UsageError for a format that is none, HostUnfitError where it needs a library that is not there,
    and :class:`isobench.errors.CellsFailedError` when the run has nothing the format can hold.
    """
    found = format_named(name)
    if not run.samples:
        raise CellsFailedError(
            f"nothing to export: the run {run.record.run_id} ({run.record.status}) made not one attempt"
        )
    with needed(found.extra, f"the format {name}"):
        module = import_module(f"{__name__}.{found.module}")
    make = cast("Callable[[StoredRun], Export]", module.export)
    return make(run)

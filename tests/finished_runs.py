"""Finished runs for every kind of page that one run has: with and without the parts, and of two sides."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tests.ab_runs import Made, ab_run, starts
from tests.conftest import SyntheticRun, synthetic_run
from tests.full_run import full_run
from tests.hostile_run import Change, around, each

from isobench.journal import DisturbanceRecord
from isobench.model import Side
from isobench.reports.html import write_report


def two_sides() -> SyntheticRun:
    """A comparison with a verdict of every kind, on a host that others used."""
    nothing = Made(dict.fromkeys(Side, (None,) * 40), workload="broken")
    run = ab_run(
        *(starts(1.25), starts(workload="web", seed=2), starts(0.8, workload="job", seed=3)),
        *(starts(noise=0.9, workload="restless", seed=4), starts(workload="gone", seed=5), nothing),
        confirm=("startup/ready", "startup/job"),
        detect=0.1,
    )
    kept = tuple(line for line in run.samples if (line.workload, line.side) != ("gone", Side.B))
    disturbed = DisturbanceRecord(600.0, 2, 900.0, 1.0, 30.0, 0.5, 2.0, 0.0)
    return SyntheticRun(replace(run.record, disturbance=disturbed), kept)


FINISHED: Mapping[str, Callable[[], SyntheticRun]] = {
    "short": synthetic_run,
    "full": full_run,
    "two sides": two_sides,
}
ATTACKED: Mapping[str, Change] = {"short": each, "full": around, "two sides": around}
"""How each is made hostile."""


def page_of(run: SyntheticRun, folder: Path) -> Path:
    """The report of a run, beside its folder."""
    write_report([run.write(folder / "run")], folder / "report.html")
    return folder / "report.html"

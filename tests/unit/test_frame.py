"""A run as a pandas table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.reports.frame import samples_frame
from isobench.reports.load import summarize

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


def test_frame_has_a_row_an_attempt_and_a_column_a_phase(made_run: SyntheticRun, tmp_path: Path) -> None:
    frame = samples_frame(made_run.write(tmp_path / "run"))

    assert len(frame) == len(made_run.samples)
    runc = frame[(frame["isolator"] == "runc") & (frame["metric"] == "ready")]
    assert (runc["phases.created"] < runc["phases.ready"]).all()
    assert frame.loc[frame["status"] == "unavailable", "value"].isna().all()


def test_median_of_the_frame_is_that_of_the_report(made_run: SyntheticRun, tmp_path: Path) -> None:
    folder = made_run.write(tmp_path / "run")
    frame = samples_frame(folder)
    medians = frame[frame["counts"] & (frame["metric"] == "ready")].groupby("isolator")["value"].median()

    assert medians.to_dict() == pytest.approx(
        {found.isolator: found.ready.median.value for found in summarize(folder).startups}
    )

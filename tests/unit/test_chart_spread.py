"""The pictures of how starts spread: every start is in them, and lines differ in more than colour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from isobench.reports import chart_spread
from isobench.reports.load import summarize
from isobench.reports.summary import Summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


def points(axes: object) -> int:
    """How many starts stand in a panel."""
    drawn = [found for found in getattr(axes, "collections", ()) if isinstance(found, PathCollection)]
    return sum(np.asarray(found.get_offsets()).shape[0] for found in drawn)


@pytest.mark.parametrize("width", [840, 340])
def test_every_start_has_its_point_in_the_panel_of_its_isolator(summary: Summary, width: int) -> None:
    figure = chart_spread.blocks(summary, width)

    assert [points(axes) for axes in figure.axes] == [len(found.seconds) for found in summary.startups]


def test_start_beyond_the_axis_stands_at_its_edge(made_run: SyntheticRun, tmp_path: Path) -> None:
    first = next(
        place
        for place, line in enumerate(made_run.samples)
        if line.cell == "startup/chroot/ready" and not line.detail.get("warmup")
    )
    slow = replace(made_run.samples[first], value=0.5, phases={})
    samples = (*made_run.samples[:first], slow, *made_run.samples[first + 1 :])
    summary = summarize(replace(made_run, samples=samples).write(tmp_path / "run"))

    figure = chart_spread.blocks(summary, 840)

    chroot = next(axes for axes in figure.axes if axes.get_title(loc="left") == "chroot")
    assert points(chroot) == 20
    assert chroot.get_ylim()[1] < 100  # 0.5 s is 2000 times the median


def test_lines_of_24_isolators_differ_without_their_colours(summary: Summary) -> None:
    isolator = next(found for found in summary.isolators if found.startup)
    many = tuple(replace(isolator, name=f"i{number}") for number in range(24))

    lines = chart_spread.shares(replace(summary, isolators=many), 840).axes[0].lines

    assert len({(line.get_marker(), str(line._unscaled_dash_pattern)) for line in lines}) == 24  # type: ignore[attr-defined]

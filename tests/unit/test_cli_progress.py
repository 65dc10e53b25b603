"""How a run is shown: the bar of a terminal, the lines of a log, and figures as people read them."""

import io
import os
from collections.abc import Sequence

import pytest
from rich.console import Console

from isobench.cli.progress import Bar, Lines, duration, plan, shown, told
from isobench.model import Cell, Sample, Status
from isobench.reports.units import quantity

CELLS = (Cell("bare", "startup", "ready", blocks=3), Cell("qemu-tcg", "startup", "ready", blocks=1))


def sample(value: float | None, status: Status = Status.OK, reason: str | None = None) -> Sample:
    return Sample(
        cell="startup/bare/ready",
        isolator="bare",
        benchmark="startup",
        workload="ready",
        metric="ready",
        unit="second",
        value=value,
        block=0,
        order=0,
        status=status,
        reason=reason,
    )


class Clock:
    """Says what time it is told."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Closed(Terminal):
    """A terminal whose window was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, os.strerror(5))


def terminal(file: io.StringIO, width: int = 80) -> Console:
    return Console(file=file, width=width, force_terminal=True, color_system=None, highlight=False)


def drive(observer: Bar | Lines, fine: Sequence[Sample] = (sample(0.0002),)) -> None:
    """Two turns of a run."""
    observer.planned(CELLS, 3, 75.0)
    observer.cell_started(CELLS[0], 0, 0, 75.0)
    observer.cell_finished(CELLS[0], fine)
    observer.cell_started(CELLS[1], 0, 1, 60.0)
    observer.cell_finished(CELLS[1], (sample(None, Status.TIMEOUT, "not ready after 60 s"),))


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.000213, "second", "213 µs"),
        (3.0512, "second", "3.05 s"),
        (0.0, "second", "0 ns"),
        (96 * 1024, "byte", "96.0 KiB"),
        (-3 * 2**20, "byte", "-3.00 MiB"),
        (-0.0123, "ratio", "-1.23 %"),
        (12.0, "1/s", "12 1/s"),
        (12.0, "", "12"),
    ],
)
def test_quantity_has_three_digits_and_the_unit_that_suits(value: float, unit: str, said: str) -> None:
    assert quantity(value, unit) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1.0, "0 s"), (45.2, "45 s"), (59.6, "1 min 0 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")],
)
def test_duration_is_as_exact_as_a_forecast(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_cell_that_came_off_is_told_by_the_median_of_its_metric() -> None:
    assert told((sample(0.001), sample(0.004), sample(0.002))) == "ready 2.00 ms"


def test_cell_with_a_fault_is_told_by_its_first_fault_without_control_characters() -> None:
    fault = sample(None, Status.FAILED, "it said \x1b[2J")
    assert told((sample(0.001), fault, sample(0.002))) == "failed: it said \ufffd[2J"


def test_plan_says_how_much_and_how_long() -> None:
    assert plan(CELLS, 3, 75.0) == "2 cells of 2 isolators in 3 blocks, about 1 min 15 s"
    assert plan(CELLS[:1], 1, 1.0) == "1 cell of 1 isolator in 1 block, about 1 s"


def test_log_has_a_line_for_the_plan_and_for_each_cell() -> None:
    file = io.StringIO()
    drive(Lines(Console(file=file, width=1000), frozenset(), Clock()))
    assert file.getvalue().splitlines() == [
        "trying every isolator once",
        "2 cells of 2 isolators in 3 blocks, about 1 min 15 s",
        "1/4 startup/bare/ready: ready 200 µs",
        "2/4 startup/qemu-tcg/ready: timeout: not ready after 60 s",
    ]


def test_log_of_a_resumed_run_counts_only_what_is_left() -> None:
    file = io.StringIO()
    drive(Lines(Console(file=file, width=1000), frozenset({("startup/bare/ready", 0)}), Clock()))
    assert "2/3 startup/qemu-tcg/ready" in file.getvalue()


def test_log_is_not_flooded_by_cells_that_are_fine() -> None:
    file, clock = io.StringIO(), Clock()
    lines = Lines(Console(file=file, width=1000), frozenset(), clock)
    cell = Cell("bare", "startup", "ready", blocks=100)
    lines.planned((cell,), 100, 1.0)
    for block in range(100):
        clock.s += 0.25
        lines.cell_started(cell, block, block, 1.0)
        lines.cell_finished(cell, (sample(0.0002),))
    told_turns = [line.split("/")[0] for line in file.getvalue().splitlines()[2:]]
    assert told_turns == [*(str(turn) for turn in range(1, 100, 4)), "100"]


def test_log_tells_every_fault_however_fast_they_come() -> None:
    file = io.StringIO()
    lines = Lines(Console(file=file, width=1000), frozenset(), Clock())
    lines.planned(CELLS, 3, 1.0)
    for block in range(3):
        lines.cell_started(CELLS[0], block, block, 1.0)
        lines.cell_finished(CELLS[0], (sample(None, Status.FAILED, f"fault {block}"),))
    assert [f"fault {n}" in file.getvalue() for n in range(3)] == [True] * 3


def test_bar_shows_the_cell_in_hand_its_place_and_the_time_left() -> None:
    file = Terminal()
    bar = Bar(terminal(file), frozenset(), Clock())
    bar.planned(CELLS, 3, 75.0)
    bar.cell_started(CELLS[0], 0, 0, 75.0)
    assert "1/4 1 min 15 s left startup/bare/ready" in file.getvalue()
    bar.close()


def test_bar_keeps_faults_on_the_screen() -> None:
    file = Terminal()
    bar = Bar(terminal(file), frozenset(), Clock())
    drive(bar)
    bar.close()
    assert "startup/qemu-tcg/ready: timeout: not ready after 60 s\n" in file.getvalue()


def test_bar_fits_a_narrow_terminal_on_one_line() -> None:
    file = Terminal()
    bar = Bar(terminal(file, width=60), frozenset(), Clock())
    cell = Cell("namespaces", "throttling", "spin", {"cpus": 0.25, "period_us": 100_000})
    bar.planned((cell,), 1, 75.0)
    bar.cell_started(cell, 0, 0, 75.0)
    drawn = file.getvalue().splitlines()[-1]
    bar.close()
    assert "1/1 1 min 15 s left throttling/" in drawn
    assert drawn.endswith("…")


def test_bar_draws_nothing_by_itself() -> None:
    file = Terminal()
    bar = Bar(terminal(file), frozenset())
    assert bar._progress.live.auto_refresh is False
    assert bar._progress.live._refresh_thread is None
    bar.close()


@pytest.mark.parametrize("kind", [Bar, Lines])
def test_terminal_that_was_closed_does_not_end_the_run(kind: type[Bar] | type[Lines]) -> None:
    drive(kind(terminal(Closed()), frozenset()))


def test_no_terminal_gets_lines_and_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with shown(Console(file=io.StringIO(), width=80)) as observer:
        assert isinstance(observer, Lines)
    with shown(terminal(Terminal())) as observer:
        assert isinstance(observer, Bar)


def test_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with shown(terminal(Terminal())) as observer:
        assert isinstance(observer, Lines)

"""The pages over several runs, made of runs that depend on nothing but a seed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.conftest import SyntheticRun
from tests.hostile_run import EVERYTHING, hostile
from tests.perf.fleet import write_fleet

from isobench.reports.pages import Page, write_page

KINDS = tuple(Page)


def write_runs(kind: Page, folder: Path) -> Sequence[Path]:
    """Runs that make such a page: two of one host that differ, of fifty hosts, or fourteen of one host."""
    hosts, runs = {Page.COMPARE: (1, 3), Page.HOSTS: (50, 1), Page.TREND: (1, 14)}[kind]
    found = write_fleet(folder, hosts, 420, runs=runs)
    # Of three runs of a host the last ones have a slower runc.
    return (found[0], found[-1]) if kind is Page.COMPARE else found


def small_page(kind: Page, folder: Path) -> Path:
    """A page with as little on it as it can have."""
    hosts, runs = {Page.COMPARE: (1, 2), Page.HOSTS: (3, 1), Page.TREND: (1, 3)}[kind]
    write_fleet(folder, hosts, 126, runs=runs)
    return write_page([folder], folder / f"{kind.value}.html")


def whole_page(kind: Page, folder: Path) -> Path:
    """A page with something in all of its parts."""
    return write_page(write_runs(kind, folder), folder / f"{kind.value}.html")


def hostile_page(kind: Page, run: SyntheticRun, folder: Path) -> Path:
    """A page of runs in which every string from outside is an attack."""
    changes: Sequence[Callable[[SyntheticRun], SyntheticRun]] = {
        Page.COMPARE: [_named(1), _named(2)],
        Page.HOSTS: [_named(1, host="a"), _named(2, host="b"), _emptied],
        Page.TREND: [_named(1), _named(2), _named(3)],
    }[kind]
    for place, change in enumerate(changes):
        change(hostile(run)).write(folder / str(place))
    return write_page([folder], folder / f"{kind.value}.html")


def _named(number: int, host: str = "") -> Callable[[SyntheticRun], SyntheticRun]:
    def named(run: SyntheticRun) -> SyntheticRun:
        record = replace(
            run.record,
            run_id=f"{number}{EVERYTHING}",
            host={**run.record.host, "hostname": host + EVERYTHING, "kernel": f"{number}{EVERYTHING}"},
        )
        return replace(run, record=record)

    return named


def _emptied(run: SyntheticRun) -> SyntheticRun:
    return replace(_named(9, host="c")(run), samples=())

"""Birth into a cgroup v2 group (CLONE_INTO_CGROUP), wherever one is mounted: it needs no controller."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from isobench.isolators import cgroup
from isobench.isolators.bare import on_host
from isobench.isolators.cgroup.parse import Hierarchy
from isobench.isolators.contract import Site, agent_bundle
from isobench.isolators.tokens import new_token
from isobench.model import Event, Launch, Status
from isobench.starter import batch, session

V2 = next((h for h in cgroup.detect().hierarchies if h.version == 2), None)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups: needs root"),
    pytest.mark.skipif(V2 is None, reason="no cgroup v2 hierarchy is mounted on this host"),
]

TIMEOUT_S = 60.0


@pytest.fixture
def hierarchy() -> Hierarchy:
    assert V2 is not None
    return V2


@pytest.fixture
def parent(hierarchy: Hierarchy) -> Iterator[Path]:
    """A group for those of the test; that it can be removed shows that theirs have gone."""
    with group(hierarchy.point / new_token()) as made:
        yield made


@contextmanager
def group(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()


def launch(site: Site, verb: str, parent: Path) -> Launch:
    return replace(on_host(agent_bundle(site, verb)), cgroups=(str(parent / "{n}"),))


def starts(site: Site, verb: str, parent: Path, count: int) -> list[Event]:
    return list(batch(site.agent, launch(site, verb, parent), count, timeout_s=TIMEOUT_S))


def groups_in(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()]


def line_of(hierarchy: Hierarchy, group: Path) -> str:
    """Its line in /proc/<pid>/cgroup (cgroups(7))."""
    return f"0::{hierarchy.root.rstrip('/')}/{group.relative_to(hierarchy.point)}"


def test_starts_find_themselves_in_their_group_and_it_goes_with_each(
    site: Site, hierarchy: Hierarchy, parent: Path
) -> None:
    events = starts(site, "probe", parent, 3)
    assert [(event.status, event.reason) for event in events] == [(Status.OK, None)] * 3
    for event in events:
        assert line_of(hierarchy, parent / "0") in json.loads(event.output)["cgroup"].splitlines()
        assert 0 < event.phases_ns["created"] < event.phases_ns["spawned"] < event.phases_ns["ready"]
        assert event.phases_ns["exit"] < event.phases_ns["cleaned"]
    assert groups_in(parent) == []


def test_held_instances_live_each_in_a_group_of_its_own_until_the_end(
    site: Site, hierarchy: Hierarchy, parent: Path
) -> None:
    with session(site.agent, launch(site, "hold", parent), timeout_s=TIMEOUT_S) as held:
        events = [held.start(), held.start()]
        assert [event.status for event in events] == [Status.OK] * 2
        for slot, event in enumerate(events):
            lines = Path(f"/proc/{event.pid}/cgroup").read_text().splitlines()
            assert line_of(hierarchy, parent / str(slot)) in lines
            assert (parent / str(slot) / "cgroup.procs").read_text() == f"{event.pid}\n"
        ends = held.end()
        assert groups_in(parent) == []
    assert [(event.status, event.reason) for event in ends] == [(Status.OK, None)] * 2


def test_group_that_takes_no_process_fails_the_start_at_its_birth_and_is_removed(
    site: Site, parent: Path
) -> None:
    """Beside a threaded group new ones are "domain invalid" and take no process (cgroup-v2.rst, Threads).

    That clone3 is refused, and no write to cgroup.procs, shows that the process is born inside.
    """
    with group(parent / "threaded") as threaded:
        (threaded / "cgroup.type").write_text("threaded")
        events = starts(site, "ready", parent, 2)
        assert groups_in(parent) == [threaded]
    for event in events:
        assert event.status is Status.FAILED
        assert re.search(r": clone3: (Operation n|N)ot supported$", str(event.reason)), "of glibc or of musl"

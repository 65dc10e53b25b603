"""teardown: what the end of an instance is made of, from what the agent and the census say."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from isobench.benchmarks.teardown import Ending, Teardown, TeardownParams, residue
from isobench.isolators.census import KINDS, Thing, left_behind, parse_namespace_mounts
from isobench.isolators.drain import Drained
from isobench.model import Capabilities, Event, Status

SHARED = Capabilities(phases=frozenset({"invoke", "ready", "exit", "cleaned"}))
VM = Capabilities(phases=frozenset({"invoke", "ready", "exit"}), shares_kernel=False)
HELLO = '{"verb":"hold","t":1}\n'
S = 1_000_000_000
TOKEN = "isobench-0123abcd"  # noqa: S105 - the name of a run


class Instance:
    """A session of which every instance says the same."""

    def __init__(self, start: Event, end: Event) -> None:
        self.ready, self.exit = start, end
        self.asked: list[str] = []

    def start(self, slot: int) -> Event:
        self.asked.append(f"start {slot}")
        return self.ready

    def stop(self, slot: int, how: str) -> Event:
        self.asked.append(f"stop {slot} {how}")
        return self.exit


class Watch:
    """Says what it is told to."""

    def __init__(self, *said: Drained, blind: str | None = None) -> None:
        self._said, self._blind = iter(said), blind

    def wait(self, limit_s: float) -> Drained:
        return next(self._said)

    def blind_to(self) -> str | None:
        return self._blind


REST = Drained(9.0, 9.0, 9.0)
ready = Event("ready", 0, Status.OK, output=HELLO, invoke_ns=1 * S)
exited = Event(
    "exit",
    status=Status.OK,
    invoke_ns=1 * S,
    stop_ns=10 * S,
    phases_ns={"ready": S // 2, "exit": 9_100_000_000, "cleaned": 9_300_000_000},
)


def ending(session: Instance, drain: Watch, capabilities: Capabilities = SHARED) -> Ending:
    return Ending(session, capabilities, drain)


def changed(event: Event, **values: object) -> Event:
    return replace(event, **values)  # type: ignore[arg-type]


def test_each_part_of_an_end_counts_from_the_moment_it_was_asked_for() -> None:
    session = Instance(ready, exited)
    end = ending(session, Watch(REST, Drained(10.4, 10.45, 10.5)))
    found = {reading.metric: reading for reading in end.readings("exit")}
    assert session.asked == ["start 0", "stop 0 exit"]
    assert end.ended
    assert {name: pytest.approx(one.value) for name, one in found.items()} == {
        "exit": 0.1,
        "cleaned": 0.3,
        "drained": 0.5,
    }
    assert found["drained"].detail["not_before_s"] == pytest.approx(0.45)
    assert sum(one.timed_s for one in found.values()) == pytest.approx(0.1 + 0.2 + 0.1)


def test_isolator_that_leaves_nothing_to_remove_has_no_figure_for_it() -> None:
    end = ending(Instance(ready, exited), Watch(REST, REST), VM)
    assert [reading.metric for reading in end.readings("kill")] == ["exit", "drained"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (changed(exited, stop_ns=0), "ended by itself before it was told to"),
        (changed(exited, stop_ns=11 * S), "ended by itself before it was told to"),
        (changed(exited, status=Status.FAILED, reason="remove cgroup x: busy"), "remove cgroup x: busy"),
        (changed(exited, status=Status.TIMEOUT, reason="not ended in time"), "not ended in time"),
    ],
)
def test_end_that_was_not_in_order_is_one_failed_reading_and_ends_the_block(
    event: Event, reason: str
) -> None:
    end = ending(Instance(ready, event), Watch(REST, REST))
    (found,) = end.readings("exit")
    assert (found.metric, found.value) == ("exit", None)
    assert found.status is not Status.OK
    assert reason in str(found.reason)
    assert not end.ended


@pytest.mark.parametrize(
    "event",
    [changed(ready, status=Status.TIMEOUT, reason="not ready in time"), changed(ready, output="what?\n")],
)
def test_start_that_fails_or_is_not_our_payload_is_told_and_nothing_is_ended(event: Event) -> None:
    session = Instance(event, exited)
    end = ending(session, Watch())
    (found,) = end.readings("kill")
    assert (found.value, session.asked, end.ended) == (None, ["start 0"], False)


def test_host_that_does_not_come_to_rest_has_no_drain_but_the_other_figures() -> None:
    busy = Drained(10.4, 12.4, 12.4, left=("network namespaces being destroyed",))
    found = list(ending(Instance(ready, exited), Watch(REST, busy)).readings("exit"))
    assert [one.status for one in found] == [Status.OK, Status.OK, Status.TIMEOUT]
    assert "after the end: network namespaces being destroyed" in str(found[-1].reason)
    (*_, last) = ending(Instance(ready, exited), Watch(busy, REST)).readings("exit")
    assert "before the end" in str(last.reason)


def test_host_that_hides_its_kernel_threads_has_no_drain() -> None:
    (*_, last) = ending(Instance(ready, exited), Watch(REST, REST, blind="nothing")).readings("exit")
    assert (last.metric, last.status) == ("drained", Status.UNAVAILABLE)
    assert last.remedy


def test_cells_are_the_ways_to_end_in_no_more_blocks_than_instances() -> None:
    params = TeardownParams(instances=20, instances_vm=2)
    cells = Teardown().cells("x", SHARED, params, 10)
    assert [(cell.id, cell.blocks) for cell in cells] == [
        ("teardown/x/hold/how=exit", 10),
        ("teardown/x/hold/how=kill", 10),
    ]
    assert {cell.blocks for cell in Teardown().cells("x", VM, params, 10)} == {2}


@pytest.mark.parametrize("how", [[], ["exit", "exit"], ["shoot"]])
def test_ways_to_end_are_known_ones_each_once(how: list[str]) -> None:
    with pytest.raises(ValidationError):
        TeardownParams.model_validate({"how": how})


def group(path: str, *, ours: bool = True) -> Thing:
    return Thing("cgroup", path, ours=ours)


def test_left_behind_is_what_came_and_of_a_tree_only_its_top() -> None:
    before = {group("/sys/fs/cgroup"): 1, group("/sys/fs/cgroup/a"): 1}
    tree = ("/sys/fs/cgroup/b", "/sys/fs/cgroup/b/c", "/sys/fs/cgroup/b/c/d", "/sys/fs/cgroup/bb")
    after = {**before, **{group(path): 1 for path in tree}}
    assert left_behind(before, after) == (group("/sys/fs/cgroup/b"), group("/sys/fs/cgroup/bb"))


def test_left_behind_has_nothing_of_what_went() -> None:
    assert left_behind({group("/a"): 1, group("/b"): 1}, {group("/b"): 1}) == ()


def test_second_mount_on_one_point_is_left_behind_too() -> None:
    mount = Thing("mount", "/mnt", ours=False)
    assert left_behind({mount: 1}, {mount: 2}) == (mount,)


def test_kinds_are_told_apart_although_their_names_are_the_same() -> None:
    file = Thing("file", "/sys/fs/cgroup/b", ours=True)
    assert left_behind({}, {group("/sys/fs/cgroup/b/c"): 1, file: 1}) == (group("/sys/fs/cgroup/b/c"), file)


MOUNTINFO = """\
25 30 0:23 / /proc rw,nosuid shared:12 - proc proc rw
840 25 0:4 net:[4026532345] /run/netns/blue rw shared:400 - nsfs nsfs rw
841 25 0:4 mnt:[4026532346] /run/ns/m rw - nsfs nsfs rw
"""


def test_network_namespaces_held_by_a_mount_are_known_by_their_number() -> None:
    assert parse_namespace_mounts(MOUNTINFO) == ("net:[4026532345]",)


def test_residue_counts_what_bears_our_name_and_tells_the_rest_apart() -> None:
    pivot = group("/sys/fs/cgroup/cpu/isobench-0123abcd-lxc-pivot")
    file = Thing("file", "/run/lxc/isobench-0123abcd", ours=True)
    other = Thing("network namespace", "net:[1]", ours=False)
    reading = residue((pivot, file, other), (1, 2), TOKEN, lingering=2)
    assert (reading.metric, reading.unit, reading.value) == ("residue", "count", 4.0)
    assert reading.detail == {
        "instances": 2,
        "after_the_first": 1,
        "cgroup_count": 1,
        "file_count": 1,
        "lingering_groups": 2,
        "names": "cgroup /sys/fs/cgroup/cpu/(run)-lxc-pivot; file /run/lxc/(run)",
        "unnamed_count": 1,
        "unnamed": "network namespace net:[1]",
    }
    assert set(KINDS) >= {"cgroup", "file", "network namespace"}


def test_names_of_much_that_is_left_are_cut_and_their_number_is_not() -> None:
    many = tuple(group(f"/c/{number:03}") for number in range(50))
    reading = residue(many, (50,), TOKEN, lingering=0)
    assert reading.value == 50.0
    assert str(reading.detail["names"]).endswith("cgroup /c/019; and 30 more")

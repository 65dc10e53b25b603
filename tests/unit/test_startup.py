"""startup over scripted starts."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from isobench import starter
from isobench.benchmarks import caches
from isobench.benchmarks.contract import Context
from isobench.benchmarks.startup import Startup, StartupParams, reading
from isobench.isolators.cgroup import CgroupTree
from isobench.isolators.contract import Site
from isobench.isolators.fake import Fake, FakeOptions
from isobench.model import (
    NO_LIMITS,
    Bundle,
    Capabilities,
    Cell,
    Event,
    Launch,
    Limits,
    Reading,
    Ready,
    Status,
)

PROCESS = Capabilities(phases=frozenset({"invoke", "spawned", "first_instruction", "ready", "exit"}))
VM = replace(PROCESS, shares_clock=False, shares_kernel=False)

ATTEMPT = Event(
    kind="attempt",
    invoke_ns=1_000_000,
    phases_ns={"spawned": 300_000, "ready": 500_000, "exit": 600_000},
    exit_code=0,
    output='{"verb":"ready","t":1400000,"pid":7}\n',
)


def with_stamp(t: int) -> Event:
    return replace(ATTEMPT, output=f'{{"verb":"ready","t":{t},"pid":7}}\n')


def test_start_is_a_reading_in_seconds_with_its_phases() -> None:
    found = reading(ATTEMPT, PROCESS, warmup=False)
    assert (found.metric, found.unit, found.value, found.status) == ("ready", "second", 0.0005, Status.OK)
    assert found.phases == {"spawned": 0.0003, "first_instruction": 0.0004, "ready": 0.0005, "exit": 0.0006}
    assert found.detail == {}


def test_warmup_is_kept_and_marked() -> None:
    found = reading(ATTEMPT, PROCESS, warmup=True)
    assert (found.value, found.detail) == (0.0005, {"warmup": True})


def test_phase_the_isolator_cannot_tell_apart_is_left_out() -> None:
    capabilities = replace(PROCESS, phases=frozenset({"ready", "exit"}))
    assert "spawned" not in reading(ATTEMPT, capabilities, warmup=False).phases


def test_guest_clock_is_never_compared_with_the_hosts() -> None:
    found = reading(with_stamp(5), VM, warmup=False)
    assert (found.status, found.value) == (Status.OK, 0.0005)
    assert "first_instruction" not in found.phases


@pytest.mark.parametrize("stamp", [999_999, 1_500_001])
def test_first_instruction_outside_invoke_to_ready_fails_the_attempt(stamp: int) -> None:
    found = reading(with_stamp(stamp), PROCESS, warmup=False)
    assert (found.status, found.value) == (Status.FAILED, None)
    assert "first instruction" in str(found.reason)
    assert str(stamp - 1_000_000) in str(found.reason)


@pytest.mark.parametrize("stamp", [1_000_000, 1_500_000])
def test_first_instruction_at_either_end_is_taken(stamp: int) -> None:
    assert reading(with_stamp(stamp), PROCESS, warmup=False).status is Status.OK


@pytest.mark.parametrize("capabilities", [PROCESS, VM])
def test_workload_that_writes_something_else_fails_the_attempt(capabilities: Capabilities) -> None:
    found = reading(replace(ATTEMPT, output="\x1b[0mKernel panic\n"), capabilities, warmup=False)
    assert (found.status, found.value) == (Status.FAILED, None)
    assert r"\x1b[0mKernel panic" in str(found.reason)


def test_attempt_that_did_not_end_well_keeps_its_status_reason_and_phases() -> None:
    event = replace(ATTEMPT, status=Status.TIMEOUT, reason="not ready in time", phases_ns={"spawned": 9})
    found = reading(event, PROCESS, warmup=False)
    assert (found.status, found.reason, found.value) == (Status.TIMEOUT, "not ready in time", None)
    assert found.phases == {"spawned": 9e-9}


def test_timed_seconds_last_until_the_last_thing_that_was_stamped() -> None:
    event = replace(ATTEMPT, phases_ns={**ATTEMPT.phases_ns, "cleaned": 900_000})
    assert reading(event, PROCESS, warmup=False).timed_s == 0.0009
    assert reading(ATTEMPT, PROCESS, warmup=False).timed_s == 0.0006


@pytest.mark.parametrize(
    ("capabilities", "blocks", "cell_blocks"), [(PROCESS, 10, 10), (PROCESS, 50, 20), (VM, 10, 5), (VM, 2, 2)]
)
def test_cell_has_no_more_blocks_than_starts(
    capabilities: Capabilities, blocks: int, cell_blocks: int
) -> None:
    (cell,) = Startup().cells("x", capabilities, StartupParams(), blocks)
    assert (cell.id, cell.blocks) == ("startup/x/ready", cell_blocks)


class FakeVm(Fake):
    @property
    def capabilities(self) -> Capabilities:
        return VM


def measured(
    monkeypatch: pytest.MonkeyPatch, isolator: Fake, blocks: int, params: StartupParams
) -> list[Reading]:
    def batch(
        agent: Path, launch: Launch, count: int, *, timeout_s: float, stop_when_ready: bool, cold: bool
    ) -> Iterator[Event]:
        assert (agent, timeout_s, stop_when_ready, cold) == (Path("/a"), 9.0, False, False)
        assert launch.spawn == ("/root-fs/isoagent", "ready")
        yield from [ATTEMPT] * count

    monkeypatch.setattr(starter, "batch", batch)
    site = Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/root-fs"), cast(CgroupTree, None))
    cell = Cell(isolator.name, "startup", "ready", blocks=blocks)
    return list(Startup().measure(cell, isolator, Context(site, params, block=0, timeout_s=9.0)))


@pytest.mark.parametrize("blocks", [1, 3, 7, 20])
def test_starts_that_count_are_as_many_as_asked_over_all_blocks(
    monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    found = measured(monkeypatch, Fake("x", FakeOptions()), blocks, StartupParams(warmups=2))
    counted = [one for one in found if not one.detail.get("warmup")]
    assert len(found) - len(counted) == 2
    assert all(one.detail == {"warmup": True} for one in found[:2])
    assert 20 <= len(counted) * blocks < 20 + blocks


def test_virtual_machine_has_its_own_number_of_starts_and_no_warmups(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(monkeypatch, FakeVm("x", FakeOptions()), 1, StartupParams(starts_vm=3))
    assert [one.detail for one in found] == [{}, {}, {}]


def test_expected_time_grows_with_the_starts_of_a_block() -> None:
    few, many = (Cell("x", "startup", "ready", blocks=blocks) for blocks in (20, 1))
    benchmark, params = Startup(), StartupParams()
    assert benchmark.expected_s(many, PROCESS, params) > 5 * benchmark.expected_s(few, PROCESS, params) > 0
    assert benchmark.expected_s(many, VM, params) > benchmark.expected_s(many, PROCESS, params)


@pytest.mark.parametrize(
    "table",
    [{"starts": 0}, {"starts": True}, {"starts": 2.5}, {"warmups": -1}, {"starts_vm": "5"}, {"start": 5}],
)
def test_bad_parameter_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StartupParams.model_validate(table)


class Watched(Fake):
    """Says when what it has prepared is taken away."""

    told: list[str]

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        try:
            with super().prepare(site, bundle, limits, slots) as launch:
                yield launch
        finally:
            self.told.append("prepared is gone")


def test_batch_left_early_ends_its_agent_before_what_was_prepared_is_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    isolator = Watched("x", FakeOptions())
    isolator.told = []

    def batch(_agent: Path, _launch: Launch, count: int, **_: float) -> Iterator[Event]:
        try:
            yield from [ATTEMPT] * count
        finally:
            isolator.told.append("agent ended")

    monkeypatch.setattr(starter, "batch", batch)
    site = Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/root-fs"), cast(CgroupTree, None))
    context = Context(site, StartupParams(), block=0, timeout_s=9.0)
    readings = cast(
        Generator[Reading, None, None], Startup().measure(Cell("x", "startup", "ready"), isolator, context)
    )
    next(readings)
    readings.close()

    assert isolator.told == ["agent ended", "prepared is gone"]


OWN = replace(ATTEMPT, output="Ready to accept connections", exit_code=None, term_signal=9)


def test_users_workload_is_proven_by_being_ready_and_has_no_first_instruction() -> None:
    found = reading(OWN, PROCESS, warmup=False, own=True)
    assert (found.status, found.value) == (Status.OK, OWN.phases_ns["ready"] / 1e9)
    assert "first_instruction" not in found.phases
    assert found.detail == {}


def test_workload_that_got_ready_twice_says_so() -> None:
    assert reading(replace(OWN, ready_count=2), PROCESS, warmup=True, own=True).detail == {
        "warmup": True,
        "ready_count": 2,
    }


def test_failed_start_of_a_users_workload_quotes_its_first_and_last_complaint() -> None:
    words = "nginx: a warning\nnginx: more\n\nnginx: bind() failed (98)\n"
    event = replace(
        OWN, status=Status.FAILED, reason="the workload exited 1 before it was ready", stderr=words
    )
    assert reading(event, PROCESS, warmup=False, own=True).reason == (
        "the workload exited 1 before it was ready; "
        "on its standard error: 'nginx: a warning ... nginx: bind() failed (98)'"
    )


def test_failed_start_without_a_word_has_the_reason_alone() -> None:
    event = replace(OWN, status=Status.TIMEOUT, reason="not ready in time")
    assert reading(event, PROCESS, warmup=False, own=True).reason == "not ready in time"


class Mute(Fake):
    """As lxc: its tool ends with 0 whatever the workload does."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, tells_exit=False)


def test_exit_cannot_count_as_ready_where_the_exit_code_is_not_told() -> None:
    site = Site("isobench-0", Path("/w"), Path("/c"), Path("/a"), Path("/root-fs"), cast(CgroupTree, None))
    bundle = Bundle(("/bin/true",), Path("/own"), ready=Ready("exit"), own=True)
    context = Context(site, StartupParams(workloads=("mine",)), 0, 9.0, {"mine": bundle})
    (found,) = Startup().measure(Cell("x", "startup", "mine"), Mute("x", FakeOptions()), context)
    assert (found.status, found.value) == (Status.UNSUPPORTED, None)
    assert "exit" not in found.phases


def test_each_workload_is_a_cell_of_its_own() -> None:
    params = StartupParams(workloads=("ready", "nginx"))
    cells = Startup().cells("runc", PROCESS, params, 10)
    assert [cell.id for cell in cells] == ["startup/runc/ready", "startup/runc/nginx"]


def cold_site(tmp_path: Path, *, allowed: bool = True) -> Site:
    """A site whose root file system is at ``/``, which is on a disk or its like."""
    agent = tmp_path / "isoagent"
    agent.write_bytes(b"the agent")
    return Site(
        "isobench-0", tmp_path, tmp_path, agent, Path("/"), cast(CgroupTree, None), allow_drop_caches=allowed
    )


def test_cold_starts_have_cells_of_their_own_and_warm_ones_keep_their_names() -> None:
    params = StartupParams(caches=("warm", "cold"))
    assert [cell.id for cell in Startup().cells("x", PROCESS, params, 3)] == [
        "startup/x/ready",
        "startup/x/ready/caches=cold",
    ]
    assert [cell.params for cell in Startup().cells("x", PROCESS, StartupParams(), 3)] == [{}]


def test_cold_starts_are_by_a_copy_of_the_agent_with_dropped_caches_and_without_warmups(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = cold_site(tmp_path)

    def batch(agent: Path, _launch: Launch, count: int, *, cold: bool, **_: float) -> Iterator[Event]:
        assert cold
        assert agent != site.agent
        assert agent.is_relative_to(site.work)
        assert agent.read_bytes() == site.agent.read_bytes()
        assert agent.stat().st_mode & 0o777 == 0o755
        yield from [ATTEMPT] * count

    monkeypatch.setattr(starter, "batch", batch)
    cell = Cell("x", "startup", "ready", {"caches": "cold"})
    context = Context(site, StartupParams(starts=3, warmups=2), block=0, timeout_s=9.0)
    for _ in range(2):
        found = list(Startup().measure(cell, Fake("x", FakeOptions()), context))
        assert [one.detail.get("warmup") for one in found] == [None] * 3
        assert [path.name for path in site.work.iterdir()] == ["isoagent"]


def test_cold_starts_are_unavailable_until_the_user_allows_them(tmp_path: Path) -> None:
    cold = Cell("x", "startup", "ready", {"caches": "cold"})
    lack = Startup().lack(cold, cold_site(tmp_path, allowed=False))
    assert lack
    assert lack.status is Status.UNAVAILABLE
    assert lack.remedy == "isobench run --allow-drop-caches"
    assert Startup().lack(Cell("x", "startup", "ready"), cold_site(tmp_path, allowed=False)) is None


def test_cold_starts_need_caches_that_can_be_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "DROP_CACHES", tmp_path / "absent" / "drop_caches")
    lack = Startup().lack(Cell("x", "startup", "ready", {"caches": "cold"}), cold_site(tmp_path))
    assert lack
    assert "cannot be dropped" in str(lack.reason)


@pytest.mark.parametrize(("kind", "words"), [("tmpfs", "is on tmpfs"), ("ext4", None)])
def test_workload_in_memory_is_never_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str | None
) -> None:
    monkeypatch.setattr(caches, "DROP_CACHES", tmp_path / "drop_caches")
    monkeypatch.setattr(caches, "file_system", lambda *_: f"{kind} rw")
    lack = Startup().lack(Cell("x", "startup", "ready", {"caches": "cold"}), cold_site(tmp_path))
    assert (lack is None) == (words is None)
    assert lack is None or str(words) in str(lack.reason)

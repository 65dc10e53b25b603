"""The Python face of the agent: what it makes of events, of arguments, and of an agent that misbehaves."""

import dataclasses
import json
import os
import signal
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isobench.errors import AgentMissingError, StarterError
from isobench.model import Event, FileWrite, Launch, Status, Step
from isobench.starter import PAUSE_MS, _launch_arguments, batch, parse_event, session

TIMEOUT_S = 20.0

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [field.name for field in dataclasses.fields(Event)]


def event_or_starter_error(line: bytes) -> Event | None:
    try:
        return parse_event(line)
    except StarterError:
        return None


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_an_event_or_a_starter_error(line: bytes) -> None:
    event_or_starter_error(line)


@settings(deadline=None)
@given(JSON)
def test_any_json_is_an_event_or_a_starter_error(value: object) -> None:
    event_or_starter_error(json.dumps(value).encode())


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4), st.sampled_from(["end", "ready", "x"]))
def test_values_of_other_types_never_get_into_an_event(fields: dict[str, object], kind: str) -> None:
    event = event_or_starter_error(json.dumps({"kind": kind, **fields}).encode())
    if event is None:
        return
    assert event.kind in {"attempt", "ready", "line", "exit", "end"}
    assert isinstance(event.status, Status)
    assert all(type(value) is int for value in (event.slot, event.invoke_ns, event.t_ns, event.output_bytes))
    assert all(type(value) is int for value in event.phases_ns.values())
    assert all(value is None or type(value) is int for value in (event.pid, event.exit_code))
    assert type(event.output) is type(event.stderr) is str


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"[]", b"1", b'"end"', b"null", b"{}", b'{"kind":"lunch"}', b'{"kind":"end"', b"\xff"),
        *(b'{"kind":"end","slot":true}', b'{"kind":"end","pid":1.0}', b'{"kind":"end","status":"fine"}'),
        *(b'{"kind":"end","pid":' + b"9" * 5000 + b"}", b'{"kind":"end","phases_ns":{"ready":null}}'),
        b"[" * 100_000,
    ],
    ids=lambda line: line[:30].decode(errors="replace"),
)
def test_what_is_no_event_is_quoted_in_the_error(line: bytes) -> None:
    with pytest.raises(StarterError) as caught:
        parse_event(line)
    assert repr(line[:200]) in str(caught.value)


def test_event_has_every_field_the_agent_gave() -> None:
    line = {
        "kind": "exit",
        "slot": 3,
        "status": "failed",
        "reason": "why",
        "phases_ns": {"ready": 5},
        "invoke_ns": 7,
        "intended_ns": 6,
        "late": True,
        "stop_ns": 10,
        "ready_count": 1,
        "round_trips_ns": (11, 12),
        "t_ns": 8,
        "pid": 9,
        "exit_code": 1,
        "term_signal": 2,
        "output": "out\u00ff",
        "output_bytes": 4,
        "stderr": "err",
    }
    event = parse_event(json.dumps(line).encode())
    assert dataclasses.asdict(event) == {**line, "status": Status.FAILED}


def test_every_part_of_a_launch_becomes_arguments_in_order() -> None:
    launch = Launch(
        host_argv=("w",),
        spawn=("/w", "--spawn", "{n}"),
        steps=(Step(("/a", "--cleanup"), phase="created"), Step(("/b",))),
        cleanup=(Step(("/c", "d e")),),
        namespaces=("mount", "pid"),
        root=Path("/r"),
        root_change="pivot_root",
        mount_proc=True,
        cgroups=("/g1", "/g2"),
        cgroup_writes=(FileWrite("/g1/f", "v w"),),
        console=True,
    )
    assert _launch_arguments(launch) == (
        *("--cgroup", "/g1", "--cgroup", "/g2", "--write", "/g1/f", "v w"),
        *("--step", "created", "2", "/a", "--cleanup", "--step", "-", "1", "/b"),
        *("--cleanup", "-", "2", "/c", "d e", "--namespaces", "mount,pid", "--pivot-root", "/r"),
        *("--proc", "--console", "--spawn", "3", "/w", "--spawn", "{n}"),
    )


def test_adopting_launch_names_its_file_and_chroot_its_root() -> None:
    launch = Launch(host_argv=("w",), adopt="/pid-{n}", root=Path("/r"), root_change="chroot")
    assert _launch_arguments(launch) == ("--chroot", "/r", "--adopt", "/pid-{n}")


WORDS = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=4)


# One start of an agent an example: a few examples are enough for a list of words passed through as it is.
@settings(deadline=None, max_examples=25)
@given(words=WORDS.map(tuple))
def test_any_word_reaches_the_workload_as_it_is(agent: Path, words: tuple[str, ...]) -> None:
    argv = ("/usr/bin/printf", "<%s>", *words)
    (event,) = batch(agent, Launch(host_argv=argv, spawn=argv), 1, timeout_s=TIMEOUT_S)
    said = event.output.encode("latin-1").decode()
    assert said == ("".join(f"<{word}>" for word in words) or "<>").replace("{n}", "0")


def ready(agent: Path) -> Launch:
    return Launch(host_argv=(str(agent), "ready"), spawn=(str(agent), "ready"))


def held(agent: Path) -> Launch:
    return Launch(host_argv=(str(agent), "hold"), spawn=(str(agent), "hold"))


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def is_gone(pid: int) -> bool:
    """Gone, or dead and only waiting for its new parent to take notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def fake_agent(directory: Path, script: str) -> Path:
    program = directory / "agent"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_batch_yields_each_attempt(agent: Path) -> None:
    events = list(batch(agent, ready(agent), 3, timeout_s=TIMEOUT_S))
    assert [(event.kind, event.status) for event in events] == [("attempt", Status.OK)] * 3


def test_batches_that_take_turns_never_have_two_instances_at_once(agent: Path) -> None:
    batches = [batch(agent, ready(agent), 5, timeout_s=TIMEOUT_S) for _ in range(3)]
    events = [next(one) for _ in range(5) for one in batches]
    for before, after in pairwise(events):
        assert after.invoke_ns - before.invoke_ns >= before.phases_ns["exit"] + PAUSE_MS * 1_000_000


def test_batch_asks_for_no_start_before_its_event_is_wanted(agent: Path) -> None:
    with closing(batch(agent, ready(agent), 3, timeout_s=TIMEOUT_S)) as events:
        next(events)
        time.sleep(0.05)
        asked_ns = time.monotonic_ns()
        assert next(events).invoke_ns > asked_ns


def test_timeout_of_a_start_is_passed_on(agent: Path) -> None:
    launch = Launch(host_argv=("/bin/sleep", "60"), spawn=("/bin/sleep", "60"))
    (event,) = batch(agent, launch, 1, timeout_s=0.05)
    assert (event.status, event.reason) == (Status.TIMEOUT, "not ready in time")


def test_batch_closed_early_leaves_no_process(agent: Path) -> None:
    before = children()
    events = batch(agent, held(agent), 1000, timeout_s=TIMEOUT_S)
    next(events)
    assert children() > before
    events.close()
    assert children() == before


def test_interrupt_while_a_batch_is_read_leaves_no_process(agent: Path) -> None:
    before = children()

    def read_until_interrupted() -> None:
        for _ in batch(agent, ready(agent), 1000, timeout_s=TIMEOUT_S):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_until_interrupted()
    assert children() == before


@pytest.mark.parametrize("how", ["missing", "not executable"])
def test_agent_that_cannot_be_executed_is_missing_with_remedy(tmp_path: Path, how: str) -> None:
    agent = tmp_path / "isoagent"
    if how != "missing":
        agent.write_text("x")
    with pytest.raises(AgentMissingError, match=str(agent)) as caught:
        next(batch(agent, ready(agent), 1, timeout_s=TIMEOUT_S))
    assert caught.value.remedy == "make agent"


def test_agent_that_dies_is_an_error_with_its_exit_code_and_last_words(tmp_path: Path) -> None:
    agent = fake_agent(tmp_path, "echo no luck today >&2; exit 3")
    with pytest.raises(StarterError, match=r"exit code 3.*no luck today"):
        next(batch(agent, ready(agent), 1, timeout_s=TIMEOUT_S))


def test_agent_that_dies_without_a_word_says_so(tmp_path: Path) -> None:
    with pytest.raises(StarterError, match="it said nothing"):
        next(batch(fake_agent(tmp_path, "exit 0"), ready(Path("x")), 1, timeout_s=TIMEOUT_S))


def test_agent_that_dies_in_the_middle_of_a_line_is_an_error(tmp_path: Path) -> None:
    agent = fake_agent(tmp_path, """echo '{"kind":"attempt"}'; printf '{"kind":"att'""")
    events = batch(agent, ready(agent), 2, timeout_s=TIMEOUT_S)
    assert next(events).kind == "attempt"
    with pytest.raises(StarterError, match="ended early"):
        next(events)


def test_agent_that_says_garbage_is_an_error_and_ended(tmp_path: Path) -> None:
    before = children()
    agent = fake_agent(tmp_path, "echo hello; exec sleep 60")
    with pytest.raises(StarterError, match="hello"):
        next(batch(agent, ready(agent), 1, timeout_s=TIMEOUT_S))
    assert children() == before


def test_option_the_agent_refuses_is_quoted(agent: Path) -> None:
    launch = Launch(host_argv=("x",), spawn=("x",), namespaces=("sky",))
    with pytest.raises(StarterError, match=r"exit code 2.*sky: unknown namespace"):
        next(batch(agent, launch, 1, timeout_s=TIMEOUT_S))


def test_session_holds_instances_until_its_end_and_end_may_be_asked_twice(agent: Path) -> None:
    with session(agent, held(agent), timeout_s=TIMEOUT_S) as instances:
        started = [instances.start() for _ in range(2)]
        assert {event.status for event in started} == {Status.OK}
        assert all(
            str(event.pid) in Path(f"/proc/{instances.pid}/task/{instances.pid}/children").read_text()
            for event in started
        )
        ended = instances.end()
        assert [(event.kind, event.slot) for event in ended] == [("exit", 0), ("exit", 1)]
        assert instances.end() == ended


def test_stopped_instance_is_told_at_once_and_not_again_at_the_end(agent: Path) -> None:
    with session(agent, held(agent), timeout_s=TIMEOUT_S) as instances:
        instances.start()
        instances.start(5)
        assert instances.stop(0, "kill").term_signal == signal.SIGKILL
        assert instances.start(0).slot == 0
        assert [(event.slot, event.status) for event in instances.end()] == [(0, Status.OK), (5, Status.OK)]


def test_ping_is_a_round_trip_each_or_an_error_that_says_why(agent: Path) -> None:
    echo = Launch(host_argv=(str(agent), "echo"), spawn=(str(agent), "echo"))
    with session(agent, echo, timeout_s=TIMEOUT_S) as instances:
        instances.start()
        assert len(instances.ping(0, 7)) == 7
    with session(agent, held(agent), timeout_s=TIMEOUT_S) as instances:
        instances.start()
        with pytest.raises(StarterError, match=r"slot 0 does not answer: the workload ended before"):
            instances.ping(0, 7)


def test_session_left_by_an_exception_ends_its_instances(agent: Path) -> None:
    before = children()
    pid = 0

    def fail_while_holding() -> None:
        nonlocal pid
        with session(agent, held(agent), timeout_s=TIMEOUT_S) as instances:
            pid = instances.start().pid or 0
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised just above
        fail_while_holding()
    assert not Path(f"/proc/{pid}").exists()
    assert children() == before


def test_lines_said_while_another_instance_starts_are_kept(agent: Path) -> None:
    argv = ("/bin/sh", "-c", "echo x; read -r line; echo said {n}; sleep 0.2; read -r line")
    launch = Launch(host_argv=argv, spawn=argv)
    with session(agent, launch, timeout_s=TIMEOUT_S) as instances:
        instances.start()
        instances.send(0)
        assert instances.start().slot == 1
        line = instances.next(TIMEOUT_S)
        assert (line.kind, line.slot, line.output) == ("line", 0, "said 0")


def test_waiting_for_a_line_that_does_not_come_is_a_timeout(agent: Path) -> None:
    with session(agent, held(agent), timeout_s=TIMEOUT_S) as instances:
        instances.start()
        with pytest.raises(TimeoutError):
            instances.next(0.05)
        assert [event.status for event in instances.end()] == [Status.OK]


def test_more_starts_than_slots_is_an_error_and_leaves_nothing(agent: Path) -> None:
    before = children()

    def start_twice() -> None:
        with session(agent, held(agent), timeout_s=TIMEOUT_S, slots=1) as instances:
            instances.start()
            instances.start()

    with pytest.raises(StarterError, match="1 of 1 slots taken"):
        start_twice()
    assert children() == before


@pytest.mark.parametrize("command", ["start", "next", "end"])
def test_agent_killed_under_a_session_is_an_error_and_takes_its_instances_with_it(
    agent: Path, command: str
) -> None:
    pid = 0

    def use_after_death() -> None:
        nonlocal pid
        with session(agent, held(agent), timeout_s=TIMEOUT_S) as instances:
            pid = instances.start().pid or 0
            os.kill(instances.pid, signal.SIGKILL)
            os.waitid(os.P_PID, instances.pid, os.WEXITED | os.WNOWAIT)
            {"start": instances.start, "next": lambda: instances.next(5), "end": instances.end}[command]()

    with pytest.raises(StarterError, match="ended early"):
        use_after_death()
    deadline = time.monotonic() + TIMEOUT_S
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)

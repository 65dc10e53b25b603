"""primitives over what the agent would say, and the agent's own list and command line."""

import errno
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from isobench import process
from isobench.benchmarks import primitives
from isobench.benchmarks.contract import Context
from isobench.benchmarks.primitives import (
    NAMESPACES,
    PRIMITIVES,
    SEQUENCES,
    Line,
    Primitives,
    PrimitivesParams,
    Refused,
    cumulated,
    parse,
    refusal,
    single,
)
from isobench.errors import ToolError
from isobench.isolators.bare import Bare
from isobench.isolators.cgroup import CgroupTree, detect
from isobench.isolators.cgroup.parse import Hierarchy
from isobench.isolators.contract import Options, Site
from isobench.isolators.tokens import PREFIX
from isobench.model import READY, Cell, Readiness, Reading, Status, unavailable

EPERM = Refused(call="unshare(CLONE_NEWNS)", errno=errno.EPERM, text="Operation not permitted")
KILLED = Refused(call="the process that makes it was killed", errno=errno.ECHILD, text="No child process")
BARE = Bare("bare", Options())
TOKEN = f"{PREFIX}0a1b2c3d"


def line(name: str, form: str, *ns: int, refused: Refused | None = None, **more: object) -> Line:
    return Line.model_validate({"primitive": name, "form": form, "ns": list(ns), "refused": refused, **more})


def sequence(*steps: Line, undone: Line) -> list[Reading]:
    return list(cumulated([*steps, undone], warmups=0))


def test_every_value_is_a_reading_in_seconds_and_warmups_are_marked() -> None:
    found = list(single(line("uts_namespace", "alone", 9000, 2000, 3000), warmups=1))
    assert [(one.metric, one.unit, one.value) for one in found] == [
        ("alone", "second", 9e-6),
        ("alone", "second", 2e-6),
        ("alone", "second", 3e-6),
    ]
    assert [one.detail for one in found] == [{"warmup": True}, {}, {}]


def test_cgroup_reading_tells_what_each_hierarchy_took() -> None:
    parts = {"cpu": [1000, 3000], "memory": [4000, 5000]}
    first, second = single(line("cgroup_create", "alone", 5100, 8100, parts_ns=parts), warmups=0)
    assert first.detail == {"cpu_s": 1e-6, "memory_s": 4e-6}
    assert second.detail == {"cpu_s": 3e-6, "memory_s": 5e-6}


def test_drain_tells_its_resolution_and_a_filter_its_size() -> None:
    (drain,) = single(line("ipc_namespace", "drained", 7, resolution_ns=50_000), warmups=0)
    (seccomp,) = single(line("seccomp_profile", "alone", 7, instructions=358), warmups=0)
    assert (drain.detail, seccomp.detail) == ({"resolution_s": 5e-5}, {"instructions": 358})


def test_refused_primitive_is_unavailable_with_its_call_and_errno() -> None:
    (found,) = single(line("mount_namespace", "alone", refused=EPERM), warmups=0)
    assert (found.status, found.value) == (Status.UNAVAILABLE, None)
    assert found.reason == "unshare(CLONE_NEWNS): Operation not permitted (errno 1)"
    assert found.remedy


def test_primitive_that_breaks_after_it_has_worked_is_failed_and_keeps_its_values() -> None:
    found = list(single(line("mount_namespace", "alone", 5, 6, refused=EPERM), warmups=0))
    assert [one.status for one in found] == [Status.OK, Status.OK, Status.FAILED]


def test_process_that_was_killed_is_failed_and_not_lacking() -> None:
    (found,) = single(line("uts_namespace", "alone", refused=KILLED), warmups=0)
    assert found.status is Status.FAILED


def test_steps_of_a_sequence_are_cumulated_and_tell_their_own_part() -> None:
    found = sequence(
        line("process", "cumulated", 100_000, 200_000),
        line("mount_namespace", "cumulated", 130_000, 260_000),
        line("exec", "cumulated", 330_000, 560_000),
        undone=line("sequence", "undone", 900_000, 800_000),
    )
    assert [(one.metric, one.value, one.detail.get("step_s")) for one in found[:4]] == [
        ("process", 1e-4, 1e-4),
        ("mount_namespace", 1.3e-4, 3e-5),
        ("exec", 3.3e-4, 2e-4),
        ("undone", 9e-4, None),
    ]
    assert sum(one.timed_s for one in found) == pytest.approx(330e-6 + 560e-6 + 900e-6 + 800e-6)


def test_step_that_is_left_out_is_said_once_and_named_by_the_later_ones() -> None:
    found = sequence(
        line("process", "cumulated", 100, 100),
        line("cgroup_create", "cumulated", 150, 150, refused=EPERM),
        line("mount_namespace", "cumulated", 250, 250),
        undone=line("sequence", "undone", 900, 900),
    )
    lacking = [one for one in found if one.status is not Status.OK]
    assert [(one.metric, one.status) for one in lacking] == [("cgroup_create", Status.UNAVAILABLE)]
    assert [one.detail.get("left_out") for one in found if one.metric == "process"] == [None, None]
    assert [one.detail["left_out"] for one in found if one.metric == "mount_namespace"] == [
        "cgroup_create"
    ] * 2
    # What the attempt took is in no step's own part.
    assert [one.detail["step_s"] for one in found if one.metric == "mount_namespace"] == [1e-7, 1e-7]
    assert found[-1].status is Status.OK, "the last line decides what the cell is"


def test_sequence_that_was_stopped_is_one_reading() -> None:
    (found,) = sequence(
        line("process", "cumulated", refused=EPERM), undone=line("sequence", "undone", refused=EPERM)
    )
    assert (found.status, found.metric) == (Status.UNAVAILABLE, "undone")


@pytest.mark.parametrize(
    ("uid", "primitive", "refused", "words"),
    [
        (1000, "mount_namespace", ("unshare(CLONE_NEWNS)", errno.EPERM), "sudo isobench run"),
        (1000, "cgroup_create", ("mkdir /sys/fs/cgroup/x", errno.EACCES), "sudo isobench run"),
        (0, "mount_namespace", ("unshare(CLONE_NEWNS)", errno.EPERM), "dmesg"),
        (0, "user_namespace", ("unshare(CLONE_NEWUSER)", errno.ENOSPC), "user.max_"),
        (0, "overlay_mount", ("mount overlay on /x", errno.ENODEV), "modprobe overlay"),
        (0, "veth_pair", ("RTM_NEWLINK of a veth pair", errno.EOPNOTSUPP), "modprobe veth"),
        (0, "overlay_mount", ("mount overlay on /x", errno.EINVAL), "ISOBENCH_STATE"),
        (
            0,
            "sequence",
            ("the sequence stopped at overlay_mount: mount overlay", errno.EINVAL),
            "ISOBENCH_STATE",
        ),
        (0, "time_namespace", ("unshare(CLONE_NEWTIME)", errno.EINVAL), "boot a kernel"),
    ],
)
def test_remedy_fits_who_asks_and_what_was_refused(
    uid: int, primitive: str, refused: tuple[str, int], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    call, number = refused
    found = refusal(primitive, Refused(call=call, errno=number, text=os.strerror(number)))
    assert found.status is Status.UNAVAILABLE
    assert words in str(found.remedy)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}",
        '{"primitive":"x","form":"alone","ns":[-1],"refused":null}',
        '{"primitive":"x","form":"alone","ns":[1.5],"refused":null}',
        '{"primitive":"x","form":"lunch","ns":[1],"refused":null}',
        '{"primitive":"x","form":"alone","ns":[1]}',
        '{"primitive":"x","form":"alone","ns":[1],"refused":null',
    ],
)
def test_what_is_no_line_of_the_agent_is_refused(text: str) -> None:
    with pytest.raises(ToolError, match="the agent's primitives said"):
        parse(text)


def test_cells_are_of_the_host_and_each_stands_once() -> None:
    cells = Primitives().cells("host", BARE.capabilities, PrimitivesParams(), 4)
    names = [cell.id for cell in cells]
    assert len(set(names)) == len(names) == len(PRIMITIVES) + len(NAMESPACES) + len(SEQUENCES)
    assert "primitives/host/uts_namespace" in names
    assert "primitives/host/uts_namespace/form=drained" in names
    assert {cell.blocks for cell in cells} == {4}


@pytest.mark.parametrize("table", [{"iterations": 0}, {"drains": 0}, {"warmups": -1}, {"iterations": 2.0}])
def test_parameter_that_makes_no_sense_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PrimitivesParams.model_validate(table)


class NoCgroupsHere:
    """Of a tree of cgroups what the benchmark asks of it, on a host that has none."""

    hierarchies: tuple[Hierarchy, ...] = ()
    mode = "none"

    def __init__(self, readiness: Readiness = READY) -> None:
        self._readiness = readiness

    def writable(self) -> Readiness:
        return self._readiness

    def named(self, prefix: str) -> tuple[Path, ...]:
        return ()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(
        token=TOKEN,
        work=tmp_path / "work",
        cache=tmp_path,
        agent=tmp_path / "isoagent",
        rootfs=tmp_path,
        cgroups=cast(CgroupTree, NoCgroupsHere()),
    )


def agent_says(site: Site, *lines: Line, code: int = 0) -> Path:
    """Put a program in the agent's place that says these lines, and keeps its command line in the file."""
    text = "\n".join(one.model_dump_json() for one in lines)
    called = site.cache / "called"
    site.agent.write_text(f"#!/bin/sh\necho \"$@\" >> {called}\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    site.agent.chmod(0o755)
    return called


def measured(workload: str, site: Site, **params: str) -> list[Reading]:
    context = Context(site, PrimitivesParams(iterations=4, warmups=2, drains=3), block=0, timeout_s=20.0)
    return list(Primitives().measure(Cell("host", "primitives", workload, params), BARE, context))


def test_agent_is_asked_for_iterations_and_warmups_with_the_token_of_the_run(site: Site) -> None:
    called = agent_says(site, line("uts_namespace", "alone", 1, 2, 3, 4, 5, 6))
    found = measured("uts_namespace", site)
    words = called.read_text().split()
    assert words[:4] == ["primitives", "uts_namespace", "--iterations", "6"]
    assert words[words.index("--token") + 1] == site.token
    assert [bool(one.detail.get("warmup")) for one in found] == [True, True, False, False, False, False]
    assert list(site.work.iterdir()) == []


def test_drain_is_asked_for_by_its_own_count_and_has_no_warmups(site: Site) -> None:
    called = agent_says(site, line("uts_namespace", "drained", 1, 2, 3, resolution_ns=1))
    found = measured("uts_namespace", site, form="drained")
    assert "--iterations 3 " in called.read_text()
    assert "--drained" in called.read_text()
    assert not any(one.detail.get("warmup") for one in found)


def test_place_is_removed_when_the_agent_dies(site: Site) -> None:
    agent_says(site, code=3)
    with pytest.raises(ToolError, match="exit code 3"):
        measured("uts_namespace", site)
    assert list(site.work.iterdir()) == []


def test_lack_is_what_one_trial_is_refused(site: Site) -> None:
    called = agent_says(site, line("uts_namespace", "alone", refused=EPERM))
    lack = Primitives().lack(Cell("host", "primitives", "uts_namespace"), site)
    assert lack is not None
    assert (lack.status, lack.reason) == (Status.UNAVAILABLE, EPERM.reason)
    assert "--iterations 1 " in called.read_text()


def test_cell_lacks_nothing_when_only_a_step_is_left_out(site: Site) -> None:
    step = line("cgroup_create", "cumulated", 5, refused=EPERM)
    agent_says(site, step, line("sequence_user", "undone", 9))
    assert Primitives().lack(Cell("host", "primitives", "sequence_user"), site) is None


@pytest.mark.parametrize("code", [0, 1])
def test_agent_that_is_broken_is_no_lack(site: Site, code: int) -> None:
    agent_says(site, line("uts_namespace", "alone", refused=KILLED), code=code)
    assert Primitives().lack(Cell("host", "primitives", "uts_namespace"), site) is None


def test_cgroups_that_cannot_be_made_are_lacking_with_their_own_remedy(site: Site) -> None:
    why = unavailable("no cgroup hierarchy is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    there = replace(site, cgroups=cast(CgroupTree, NoCgroupsHere(why)))
    for name in ("cgroup_create", "cgroup_enter"):
        assert Primitives().lack(Cell("host", "primitives", name), there) == why


DATA = Path(__file__).parent / "data" / "cgroup"


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("hybrid-split-6.18", {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"}),
        ("v1-comounted-6.1", None),
    ],
)
def test_groups_are_in_every_hierarchy_with_a_controller_and_nowhere_else(
    host: str, named: set[str] | None, site: Site
) -> None:
    tree = detect((DATA / host / "mountinfo").read_text())
    groups = primitives._groups(replace(site, cgroups=tree))
    assert named is None or {name for name, _ in groups} == named
    assert groups
    assert all(directory.endswith("/isobench-0a1b2c3d-primitives") for _, directory in groups)
    assert not any("unified" in directory or "systemd" in directory for _, directory in groups)


def test_group_on_v2_is_one_inside_the_group_of_the_run(site: Site) -> None:
    class OnV2(NoCgroupsHere):
        mode = "v2"
        hierarchies = (Hierarchy(2, Path("/sys/fs/cgroup"), "/", frozenset(), read_only=False),)

    groups = primitives._groups(replace(site, cgroups=cast(CgroupTree, OnV2())))
    assert groups == (("unified", f"/sys/fs/cgroup/{TOKEN}/{TOKEN}-primitives"),)


def test_agent_knows_exactly_the_primitives_of_the_benchmark(agent: Path) -> None:
    said = process.run([agent, "primitives", "--list"], timeout_s=20).stdout.split()
    assert set(said) == {*PRIMITIVES, *SEQUENCES}
    assert len(said) == len(set(said))


PLACE = ("--token", "isobench-0a1b2c3d", "--root", "/", "--work", "/nonexistent")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("--list",)),
        (("lunch",), ("lunch", "--list")),
        (("process", "--lunch"), ("--lunch", "unknown option")),
        (("process", "--iterations", "0", *PLACE), ("--iterations", "from 1")),
        (("process", "--root", "/", "--work", "/x"), ("--token",)),
        (("process", "--token", "isobench-0a1b2c3d", "--work", "/x"), ("--root",)),
        (("process", *PLACE, "--work", "/" + "x" * 300), ("--work", "too long")),
        (("process", *PLACE, *("--cgroup", "a", "/x") * 17), ("--cgroup", "too many")),
        (("process", *PLACE, "--cgroup", "a"), ("value is missing",)),
        (("exec", *PLACE, "--drained"), ("--drained", "namespaces only")),
    ],
)
def test_bad_command_line_ends_with_2_and_names(
    agent: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [agent, "primitives", *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("name", ["clock", "process", "seccomp_profile", "seccomp_minimal"])
def test_primitive_that_needs_no_right_is_measured_as_often_as_asked(agent: Path, name: str) -> None:
    lines = parse(process.run([agent, "primitives", name, "--iterations", "7", *PLACE], timeout_s=20).stdout)
    assert [(one.primitive, one.form, len(one.ns), one.refused) for one in lines] == [
        (name, form, 7, None) for form in (("alone",) if name == "clock" else ("alone", "undone"))
    ]


def test_program_that_is_not_there_is_refused_by_exec(agent: Path) -> None:
    words = ("primitives", "exec", *PLACE[:2], "--root", "/nonexistent", "--work", "/x")
    for one in parse(process.run([agent, *words], timeout_s=20).stdout):
        assert one.ns == []
        assert one.refused is not None
        assert (one.refused.errno, "/nonexistent/isoagent" in one.refused.call) == (errno.ENOENT, True)


def test_agent_does_not_outlive_who_asked_it(agent: Path) -> None:
    words = (str(agent), "primitives", "process", "--iterations", "100000", *PLACE)
    asking = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" >/dev/null & echo $!; wait', "sh", *words], stdout=subprocess.PIPE, text=True
    )
    assert asking.stdout is not None
    pid = int(asking.stdout.readline())
    ended = os.pidfd_open(pid)
    try:
        while not Path(f"/proc/{pid}/task/{pid}/children").read_text():
            time.sleep(0.001)  # until it measures
        asking.kill()
        asking.wait()
        assert select.select([ended], [], [], 10.0)[0], "it goes on for nobody"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(ended, signal.SIGKILL)
        os.close(ended)
        asking.stdout.close()

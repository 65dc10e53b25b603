"""A user's own workloads in every isolator: ready as asked for, bad ones with a reason, nothing left."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isobench.errors import HostUnfitError
from isobench.isolators import guestkernel, own, removal, residue
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.registry import REGISTRY
from isobench.isolators.requirements import find_tool
from isobench.model import Bundle, Event, Ready, Status
from isobench.procfs import MOUNTINFO, parse_mountinfo
from isobench.starter import batch, session

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="a root file system of one's own needs root"),
]

KERNEL = guestkernel.find(None)
"""Looked for before the tests point the state elsewhere."""

SOURCE = Path(__file__).parent / "programs" / "serve.c"
TIMEOUT_S = 60.0
SHORT_S = 1.0
PORT = 8099

KINDS = ["bare", "chroot", "namespaces", "cgroups", "lxc", "runc"]
every_kind = pytest.mark.parametrize("kind", KINDS)
on_a_guest = pytest.mark.skipif(
    find_tool("qemu-system-x86_64") is None or not isinstance(KERNEL, Path),
    reason="QEMU or a kernel for its guest is missing: make setup",
)


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("musl-gcc")
    if not compiler:
        pytest.skip("no musl-gcc to compile the test's workload: apt-get install musl-tools")
    made = tmp_path_factory.mktemp("programs") / "serve"
    subprocess.run([compiler, "-static", "-O1", "-Wall", "-Werror", "-o", made, SOURCE], check=True)
    return made


@pytest.fixture
def root(site: Site, state: Path, serve: Path) -> Iterator[Path]:
    """A root file system with programs, and without what isolators add.

    The run's name in its path makes every process in it ours.
    """
    root = state / f"{site.token}-own"
    root.mkdir()
    shutil.copy(serve, root / "serve")
    (root / "not-executable").write_bytes(serve.read_bytes())
    elsewhere = bytearray(serve.read_bytes())
    elsewhere[18:20] = b"\xf3\x00"  # e_machine of elf(5): RISC-V
    (root / "of-another-machine").write_bytes(elsewhere)
    (root / "of-another-machine").chmod(0o755)
    (root / "dev").symlink_to("/tmp")  # noqa: S108 - bait: nothing may be made in the host's
    before = sorted(path.name for path in root.rglob("*"))
    yield root
    assert sorted(path.name for path in root.rglob("*")) == before
    shutil.rmtree(root)


def make(kind: str, **options: object) -> Isolator[Any]:
    cls = REGISTRY.load(kind)
    return cls(kind, cls.Options.model_validate(options))


def machine(**options: object) -> Isolator[Any]:
    return make("qemu", accel="tcg", kernel=str(KERNEL), **options)


def bundle_of(root: Path, ready: Ready, *argv: str, env: tuple[str, ...] = ()) -> Bundle:
    return Bundle(argv, root, env=env, ready=ready, own=True)


def starts(
    site: Site, isolator: Isolator[Any], bundle: Bundle, *, count: int = 1, timeout_s: float = TIMEOUT_S
) -> list[Event]:
    stop = bundle.ready.kind != "exit"
    with isolator.prepare(site, bundle) as launch:
        return list(batch(site.agent, launch, count, timeout_s=timeout_s, stop_when_ready=stop))


def one(site: Site, kind: str, bundle: Bundle, timeout_s: float = TIMEOUT_S) -> Event:
    (event,) = starts(site, make(kind), bundle, timeout_s=timeout_s)
    return event


LINE = Ready("line", pattern="^it (is|was) up$")
ACCEPTS = Ready("port", port=PORT)
EXIT = Ready("exit")


@every_kind
def test_server_is_ready_when_its_port_accepts_and_killed_then_which_is_no_failure(
    site: Site, root: Path, kind: str
) -> None:
    events = starts(site, make(kind), bundle_of(root, ACCEPTS, "/serve", "port", str(PORT)), count=3)
    for event in events:
        assert (event.status, event.reason, event.ready_count) == (Status.OK, None, 1)
        # It listens 20 ms after its first instruction, and not before.
        assert 20e6 < event.phases_ns["ready"] <= event.phases_ns["exit"]


@every_kind
def test_line_counts_whole_and_from_either_output(site: Site, root: Path, kind: str) -> None:
    event = one(site, kind, bundle_of(root, LINE, "/serve", "line"))
    assert (event.status, event.ready_count) == (Status.OK, 1)
    assert event.output == "begin\nnot yet up"


@every_kind
def test_workload_writes_to_its_root_keeps_that_over_a_block_and_shares_it_with_nobody(
    site: Site, root: Path, kind: str
) -> None:
    counts = Ready("line", pattern="^count [0-9]+$")
    for _ in range(2):
        events = starts(site, make(kind), bundle_of(root, counts, "/serve", "count"), count=2)
        assert [event.output for event in events] == ["count 1\n", "count 2\n"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lxc"])
def test_exit_with_0_counts_as_ready_and_another_code_fails(site: Site, root: Path, kind: str) -> None:
    good = one(site, kind, bundle_of(root, EXIT, "/serve", "exit", "0"))
    assert (good.status, good.phases_ns["ready"]) == (Status.OK, good.phases_ns["exit"])
    bad = one(site, kind, bundle_of(root, EXIT, "/serve", "exit", "3"))
    assert (bad.status, bad.reason) == (Status.FAILED, "the workload exited 3 before it was ready")
    assert "serve: last words" in bad.stderr


@every_kind
def test_environment_is_the_same_everywhere_with_the_users_own_on_top(
    site: Site, root: Path, kind: str
) -> None:
    bundle = bundle_of(root, Ready("line", pattern="^proc"), "/serve", "env", env=("A=b c", "PATH=/x"))
    event = one(site, kind, bundle)
    words = set(event.output.splitlines()) - {"container=lxc"}
    assert words == {"PATH=/x", "LC_ALL=C", "HOME=/", "A=b c", "null 1", "proc 1"}


@every_kind
def test_held_workload_is_ready_by_its_own_condition(site: Site, root: Path, kind: str) -> None:
    with (
        make(kind).prepare(site, bundle_of(root, ACCEPTS, "/serve", "port", str(PORT))) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S) as held,
    ):
        event = held.start()
        assert (event.status, event.ready_count) == (Status.OK, 1)
        (end,) = held.end()
        assert end.status is Status.OK


@pytest.mark.parametrize("kind", ["namespaces", "lxc", "runc"])
def test_many_serve_on_the_same_port_where_each_has_a_network_of_its_own(
    site: Site, root: Path, kind: str
) -> None:
    bundle = bundle_of(root, ACCEPTS, "/serve", "port", str(PORT))
    with (
        make(kind).prepare(site, bundle, slots=3) as launch,
        session(site.agent, launch, timeout_s=TIMEOUT_S) as held,
    ):
        assert [held.start().status for _ in range(3)] == [Status.OK] * 3


@pytest.mark.parametrize("kind", ["bare", "chroot", "cgroups"])
def test_port_somebody_else_has_fails_the_start(site: Site, root: Path, kind: str) -> None:
    with socket.create_server(("127.0.0.1", PORT)):
        event = one(site, kind, bundle_of(root, ACCEPTS, "/serve", "port", str(PORT)))
    assert (event.status, event.reason) == (Status.FAILED, f"port {PORT} of this host is taken already")


@every_kind
def test_workload_that_never_gets_ready_is_a_timeout_that_says_what_was_missing(
    site: Site, root: Path, kind: str
) -> None:
    line = one(site, kind, bundle_of(root, LINE, "/serve", "mute"), SHORT_S)
    port = one(site, kind, bundle_of(root, ACCEPTS, "/serve", "mute"), SHORT_S)
    assert [line.status, port.status] == [Status.TIMEOUT] * 2
    assert line.reason == "not ready in time: no line matched '^it (is|was) up$'"
    assert port.reason == f"not ready in time: port {PORT} did not accept"


@every_kind
def test_workload_that_closes_its_output_is_told_from_a_silent_one(site: Site, root: Path, kind: str) -> None:
    event = one(site, kind, bundle_of(root, LINE, "/serve", "close"), SHORT_S)
    # lxc-start holds both outputs as well.
    why = "no line matched '^it (is|was) up$'" if kind == "lxc" else "it has closed its output and runs on"
    assert (event.status, event.reason) == (Status.TIMEOUT, f"not ready in time: {why}")


@every_kind
def test_workload_that_goes_into_the_background_fails_and_its_daemon_is_gone(
    site: Site, root: Path, kind: str
) -> None:
    events = starts(site, make(kind), bundle_of(root, ACCEPTS, "/serve", "fork", str(PORT)), count=2)
    for event in events:
        assert event.status is Status.FAILED
        assert str(event.reason).endswith("has to be told to stay in the foreground")


@every_kind
def test_workload_that_gets_ready_twice_is_ready_at_the_first_and_the_count_tells(
    site: Site, root: Path, kind: str
) -> None:
    event = one(site, kind, bundle_of(root, LINE, "/serve", "twice"))
    assert (event.status, event.ready_count) == (Status.OK, 2)


@every_kind
@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("/not-executable", "permission denied"),
        ("/of-another-machine", "exec format error"),
        ("/missing", "no such file"),
    ],
)
def test_program_that_cannot_be_executed_fails_with_the_kernels_reason(
    site: Site, root: Path, kind: str, program: str, why: str
) -> None:
    event = one(site, kind, bundle_of(root, ACCEPTS, program))
    assert event.status is Status.FAILED
    # LXC takes what is no program for a script, as a shell does, and there is no shell.
    told = "no such file" if kind == "lxc" and "machine" in program else why
    assert told in f"{event.reason} {event.stderr}".lower()


def test_links_of_a_root_file_system_lead_nowhere_on_the_host(site: Site, root: Path) -> None:
    """Its dev is a link to the host's /tmp: the devices are made in a directory in its place."""
    bundle = bundle_of(root, LINE, "/serve", "line")
    with own.writable_roots(site, bundle, 1) as inside:
        place = own.at_slot(inside.root, 0)
        assert (place / "dev/null").is_char_device()
        assert not (place / "dev").is_symlink()
    assert not Path("/tmp/null").exists()  # noqa: S108 - where the link leads


def test_place_no_overlay_can_be_made_in_is_told_with_a_remedy(site: Site, root: Path) -> None:
    odd = site.work / "with,comma"
    odd.mkdir()
    with (
        pytest.raises(HostUnfitError, match="cannot be part of an overlay") as error,
        own.writable_roots(replace(site, work=odd), bundle_of(root, LINE, "/serve"), 1),
    ):
        pass
    assert "ISOBENCH_STATE" in str(error.value.remedy)
    odd.rmdir()


KILLED = """
import sys
from pathlib import Path
from isobench.isolators.registry import REGISTRY
from isobench.isolators.site import open_site
from isobench.model import Bundle, Ready
from isobench.starter import session

kind = REGISTRY.load(sys.argv[1])
bundle = Bundle(("/serve", "port", sys.argv[3]), Path(sys.argv[2]), ready=Ready("port", port=8099), own=True)
with (
    open_site() as site,
    kind("x", kind.Options()).prepare(site, bundle) as launch,
    session(site.agent, launch, timeout_s=60) as held,
):
    print(site.token, held.start().status, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["chroot", "lxc", "runc"])
def test_layers_and_mounts_of_a_killed_run_are_found_and_removed(root: Path, kind: str) -> None:
    argv = (sys.executable, "-c", KILLED, kind, str(root), str(PORT))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        token, status = run.stdout.readline().split()
        assert status == Status.OK
        run.send_signal(signal.SIGKILL)
        run.wait()
    left = residue.find(token)
    assert any(found.kind == "mount" and "/root" in found.what for found in left)
    done = removal.clear(lambda: residue.find(token))
    assert [str(one.residue) for one in done if one.error] == []
    assert residue.find(token) == ()
    assert not any(token in mount.point for mount in parse_mountinfo(Path(MOUNTINFO).read_text()))


@on_a_guest
def test_guest_serves_on_a_port_though_it_talks_a_lot_before(site: Site, root: Path) -> None:
    (event,) = starts(site, machine(), bundle_of(root, ACCEPTS, "/serve", "chatty", str(PORT)))
    assert (event.status, event.reason, event.ready_count) == (Status.OK, None, 1)
    assert event.output.count("\n") > 900
    assert event.stderr.endswith(f"isoagent: port {PORT} accepts\n")


@on_a_guest
def test_guest_gets_every_word_and_the_exit_counts_there_too(site: Site, root: Path) -> None:
    words = ('a "b"', "--", "", "x" * 3000, "à l'intérieur")
    bundle = bundle_of(root, EXIT, "/serve", "words", *words, env=("A=b c",))
    (event,) = starts(site, machine(), bundle)
    assert (event.status, event.reason) == (Status.OK, None)
    lines = event.output.encode("latin-1").decode().splitlines()
    assert lines == [f"{len(word.encode())} {word}" for word in words]


@on_a_guest
def test_guest_has_the_same_environment_and_a_root_it_can_write_to(site: Site, root: Path) -> None:
    proc = Ready("line", pattern="^proc")
    bundle = bundle_of(root, proc, "/serve", "env", env=("A=b c", "PATH=/x"))
    (event,) = starts(site, machine(), bundle)
    assert set(event.output.splitlines()) == {
        *("PATH=/x", "LC_ALL=C", "HOME=/", "A=b c", "null 1", "proc 1"),
    }
    counts = bundle_of(root, Ready("line", pattern="^count 1$"), "/serve", "count")
    (event,) = starts(site, machine(), counts)
    assert event.status is Status.OK


@on_a_guest
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("/serve", "exit", "7"), 'serve: last words\n{"verb":"init","exit":7}\n'),
        (("/of-another-machine",), "isoagent: execute /of-another-machine: Exec format error"),
        (("/serve", "fork", str(PORT)), ""),
    ],
)
def test_guest_whose_workload_ends_before_it_is_ready_fails_and_says_how(
    site: Site, root: Path, argv: tuple[str, ...], words: str
) -> None:
    (event,) = starts(site, machine(), bundle_of(root, ACCEPTS, *argv))
    assert event.status is Status.FAILED
    assert words in event.stderr
    assert "ready" not in event.phases_ns


@on_a_guest
def test_guest_too_small_for_its_root_is_refused_with_the_setting_that_mends_it(
    site: Site, root: Path
) -> None:
    with (root / "large").open("wb") as file:
        file.truncate(40 << 20)
    try:
        with (
            pytest.raises(HostUnfitError, match="cannot hold a root file system of 41 MiB") as error,
            machine().prepare(site, bundle_of(root, ACCEPTS, "/serve")),
        ):
            pass
    finally:
        (root / "large").unlink()
    assert str(error.value.remedy).startswith("memory_mib = 162")

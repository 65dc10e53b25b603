"""Finding the processes of instances."""

from collections.abc import Callable
from pathlib import Path

import pytest

from isobench.benchmarks.processes import (
    Process,
    parse_cmdline,
    parse_parent,
    parse_steal_s,
    read_descendants,
    read_programs,
    split_by_argv,
    workload_argv,
)
from isobench.model import Launch

AGENT = ("/isoagent", "hold")


@pytest.mark.parametrize(
    "stat", ["7 (sh) S 3 7 7 0", "7 (a b) S 3 7 7 0", "7 () R 99) S 3 7 7 0", "7 (\n) S 3 7 7 0"]
)
def test_parent_is_found_whatever_the_name_of_the_command(stat: str) -> None:
    assert parse_parent(stat) == 3


@pytest.mark.parametrize(
    ("raw", "argv"),
    [
        (b"", ()),
        (b"/isoagent\0hold\0", AGENT),
        (b"sh\0-c\0\0", ("sh", "-c", "")),
        (b"\xff\0", ("\udcff",)),
    ],
)
def test_cmdline_is_split_at_its_nul_bytes(raw: bytes, argv: tuple[str, ...]) -> None:
    assert parse_cmdline(raw) == argv


def test_steal_is_the_eighth_figure_of_the_first_line() -> None:
    stat = "cpu  6150 0 2913 473193 475 0 74 250 5 6\ncpu0 1 1 1 1 1 1 1 9 1 1\n"
    assert parse_steal_s(stat, 100) == 2.5


def test_workload_argv_has_the_slot_in_every_place() -> None:
    launch = Launch(host_argv=("qemu", "-name", "vm-{n}", "s={n},{n}"))
    assert workload_argv(launch, 12) == ("qemu", "-name", "vm-12", "s=12,12")


def make_process(proc: Path, pid: int, parent: int, argv: tuple[str, ...] = ("x",)) -> None:
    entry = proc / str(pid)
    entry.mkdir()
    (entry / "stat").write_text(f"{pid} (name) S {parent} 0 0\n")
    (entry / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))


def test_descendants_are_those_at_any_depth_by_id(tmp_path: Path) -> None:
    for pid, parent in ((30, 20), (20, 10), (25, 10), (40, 30), (50, 1), (10, 1)):
        make_process(tmp_path, pid, parent)
    (tmp_path / "self").mkdir()
    assert [process.pid for process in read_descendants(10, tmp_path)] == [20, 25, 30, 40]


def test_descendant_whose_parent_has_a_higher_id_is_found(tmp_path: Path) -> None:
    make_process(tmp_path, 20, 90)
    make_process(tmp_path, 90, 10)
    assert [process.pid for process in read_descendants(10, tmp_path)] == [20, 90]


def test_process_that_ends_while_we_look_is_left_out(tmp_path: Path) -> None:
    make_process(tmp_path, 20, 10)
    make_process(tmp_path, 21, 10)
    (tmp_path / "20" / "cmdline").unlink()
    assert [process.pid for process in read_descendants(10, tmp_path)] == [21]


def test_process_that_proc_hides_is_left_out(tmp_path: Path, hide: Callable[[Path], None]) -> None:
    make_process(tmp_path, 20, 10)
    make_process(tmp_path, 21, 10)
    hide(tmp_path / "20")
    assert [process.pid for process in read_descendants(10, tmp_path)] == [21]


def test_programs_are_found_by_the_file_they_execute(tmp_path: Path) -> None:
    for pid, program in (
        (7, "/usr/libexec/lxc/lxc-monitord"),
        (8, "/bin/sh"),
        (9, "/x/lxc-monitord (deleted)"),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "exe").symlink_to(program)
    (tmp_path / "10").mkdir()  # a kernel thread
    assert read_programs(["lxc-monitord"], tmp_path) == (7, 9)
    assert read_programs([], tmp_path) == ()


def test_split_counts_children_of_a_workload_as_workload_and_its_monitor_not() -> None:
    monitor = Process(20, 10, ("lxc-start", "--name", "a"))
    workload = Process(21, 20, AGENT)
    grandchild = Process(22, 21, ("worker",))
    stranger = Process(23, 10, ("/isoagent", "hold", "on"))
    found, others = split_by_argv((monitor, workload, grandchild, stranger), [AGENT])
    assert found == (workload, grandchild)
    assert others == (monitor, stranger)

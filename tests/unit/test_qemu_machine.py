from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.errors import UsageError
from isobench.isolators.machine import Machine, kernel_line, socket_path
from isobench.isolators.qmp import Accelerator

WORDS = st.text(st.characters(exclude_characters='"', min_codepoint=32, max_codepoint=0x24F), max_size=12)


def machine(accelerator: Accelerator = "tcg") -> Machine:
    return Machine(
        binary="/usr/bin/qemu-system-x86_64",
        accelerator=accelerator,
        type="pc",
        cpus=2,
        memory_mib=128,
        kernel=Path("/k/vmlinuz"),
        initramfs=Path("/c/image.cpio"),
    )


def value_of(argv: tuple[str, ...], option: str) -> str:
    return argv[argv.index(option) + 1]


def words_of_init(line: str) -> list[str]:
    """What the kernel makes of the words after ``--``: next_arg() of lib/cmdline.c, on bytes."""
    _, _, rest = line.partition(" -- ")
    data, words, at = rest.encode() + b" ", [], 0
    while at < len(data):
        quoted = data[at : at + 1] == b'"'
        start = at = at + quoted
        inside = quoted
        while inside or data[at] not in b" \xa0":  # isspace() of the kernel knows Latin-1's no-break space
            if data[at : at + 1] == b'"':
                inside = not inside
            at += 1
        words.append(data[start : at - quoted].decode())
        at += 1
    return words


def test_plain_command_stands_unquoted_after_the_dashes() -> None:
    assert kernel_line(("/isoagent", "spin", "--threads", "2")).endswith(
        " -- init /isoagent spin --threads 2"
    )


def test_kernel_is_told_the_console_the_end_on_panic_and_its_init() -> None:
    own = kernel_line(("/x",)).partition(" -- ")[0].split()
    assert {"console=ttyS0,115200", "panic=-1", "rdinit=/isoagent"} <= set(own)


def test_no_argument_of_the_kernel_can_become_one_of_init() -> None:
    # An unknown word is handed to init in front of `init` unless it has a "=" or a ".".
    own = kernel_line(("/x",)).partition(" -- ")[0].split()
    assert [word for word in own if "=" not in word and "." not in word] == []


@given(st.lists(WORDS.filter(lambda word: word != "--"), max_size=10))
def test_any_words_arrive_at_init_as_they_were(words: list[str]) -> None:
    assert words_of_init(kernel_line(("/isoagent", *words))) == ["init", "/isoagent", *words]


@pytest.mark.parametrize("word", ['say "hi"', "--", "two\nlines", "tab\there", "\0"])
def test_word_that_a_kernel_cannot_be_given_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="cannot be put on a kernel's command line"):
        kernel_line(("/isoagent", word))


def test_line_of_more_bytes_than_the_kernel_takes_is_refused() -> None:
    with pytest.raises(UsageError, match="too long"):
        kernel_line(("/isoagent", "x" * 2000))


def test_more_words_than_the_kernel_gives_to_init_are_refused() -> None:
    kernel_line(("/isoagent", *("x",) * 29))
    with pytest.raises(UsageError, match="31 words"):
        kernel_line(("/isoagent", *("x",) * 30))


def test_machine_has_what_was_asked_for_and_nothing_by_default() -> None:
    argv = machine().argv(("/isoagent", "ready"), Path("/run/w"))
    assert argv[:3] == ("/usr/bin/qemu-system-x86_64", "-nodefaults", "-no-user-config")
    assert (value_of(argv, "-accel"), value_of(argv, "-smp"), value_of(argv, "-m")) == ("tcg", "2", "128M")
    assert (value_of(argv, "-kernel"), value_of(argv, "-initrd")) == ("/k/vmlinuz", "/c/image.cpio")
    assert "-no-reboot" in argv


def test_serial_lines_come_in_the_order_the_guest_counts_them() -> None:
    argv = machine().argv(("/isoagent", "ready"), Path("/run/w"))
    lines = [word for word in argv if word.startswith("isa-serial,")]
    assert lines == [f"isa-serial,chardev={name}" for name in ("console", "work", "errors")]


@pytest.mark.parametrize(("accelerator", "expected"), [("kvm", True), ("tcg", False)])
def test_guest_has_the_hosts_processor_only_under_kvm(accelerator: Accelerator, *, expected: bool) -> None:
    argv = machine(accelerator).argv(("/isoagent", "ready"), Path("/run/w"))
    assert ("-cpu" in argv) is expected


def test_monitor_socket_has_the_slot_in_its_name_and_commas_written_twice() -> None:
    directory = Path("/run/a,b")
    argv = machine().argv(("/isoagent", "ready"), directory)
    (socket,) = [word for word in argv if word.startswith("socket,")]
    assert f"path={str(socket_path(directory)).replace(',', ',,')}," in socket
    assert "{n}" in socket


def test_directory_too_long_for_a_socket_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="longer than a socket's name") as caught:
        machine().argv(("/isoagent", "ready"), Path("/" + "d" * 110))
    assert caught.value.remedy == "export ISOBENCH_STATE=/var/lib/isobench"


def test_threads_have_names_where_they_are_to_be_told_apart() -> None:
    named = replace(machine(), named_threads=True).argv(("/isoagent", "hold"), Path("/run"))
    assert named[named.index("-name") + 1] == "isobench,debug-threads=on"
    assert "-name" not in machine().argv(("/isoagent", "hold"), Path("/run"))

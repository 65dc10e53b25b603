import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.errors import UsageError
from isobench.isolators import initramfs
from isobench.isolators.initramfs import DEVICES, Node, archive, file_node, image, nodes

HEADER_BYTES = 110
FIELD_BYTES = 8
FIELDS = ("ino", "mode", "uid", "gid", "nlink", "mtime", "size", "major", "minor", "rmajor", "rminor")


@dataclass(frozen=True)
class Found:
    name: str
    fields: dict[str, int]
    content: bytes


def unpack(data: bytes) -> list[Found]:
    """As the kernel reads it (init/initramfs.c); written from the format's description, not from our code."""
    found: list[Found] = []
    at = 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        numbers = [
            int(data[at + 6 + k * FIELD_BYTES : at + 6 + (k + 1) * FIELD_BYTES], 16) for k in range(13)
        ]
        name_bytes, check = numbers[11], numbers[12]
        assert check == 0
        name = data[at + HEADER_BYTES : at + HEADER_BYTES + name_bytes]
        assert name.endswith(b"\0")
        at += -(-(HEADER_BYTES + name_bytes) // 4) * 4
        fields = dict(zip(FIELDS, numbers, strict=False))
        found.append(Found(os.fsdecode(name[:-1]), fields, data[at : at + fields["size"]]))
        at += -(-fields["size"] // 4) * 4
        if found[-1].name == "TRAILER!!!":
            assert at == len(data)
            return found[:-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("dev", "proc", "etc/deep"):
        (root / name).mkdir(parents=True)
    (root / "isoagent").write_bytes(b"\x7fELF!")
    (root / "isoagent").chmod(0o755)
    (root / "etc/deep/conf").write_text("key = value\n")
    (root / "etc/link").symlink_to("deep/conf")
    return root


def test_archive_of_a_tree_gives_back_its_files_links_and_modes(root: Path) -> None:
    found = {entry.name: entry for entry in unpack(b"".join(archive(nodes(root))))}
    assert found["isoagent"].content == b"\x7fELF!"
    assert found["isoagent"].fields["mode"] == stat.S_IFREG | 0o755
    assert found["etc/deep/conf"].content == b"key = value\n"
    assert found["etc/link"].content == b"deep/conf"
    assert stat.S_ISLNK(found["etc/link"].fields["mode"])
    assert stat.S_ISDIR(found["etc/deep"].fields["mode"])


def test_parents_come_before_their_children(root: Path) -> None:
    names = [entry.name for entry in unpack(b"".join(archive(nodes(root))))]
    for position, name in enumerate(names):
        parent = os.path.dirname(name)  # noqa: PTH120 - names of an archive, not of files here
        assert not parent or parent in names[:position]


def test_guest_has_console_and_null_whatever_the_tree_has(root: Path) -> None:
    (root / "dev" / "null").write_text("a file where no device may be made")
    found = unpack(b"".join(archive(nodes(root))))
    devices = {
        entry.name: (entry.fields["mode"], entry.fields["rmajor"], entry.fields["rminor"])
        for entry in found
        if entry.name.startswith("dev/")
    }
    assert devices == {
        "dev/console": (stat.S_IFCHR | 0o600, 5, 1),
        "dev/null": (stat.S_IFCHR | 0o666, 1, 3),
    }
    assert [entry.name for entry in found].count("dev/null") == 1


def test_tree_without_dev_gets_one_before_its_devices(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    names = [node.name for node in nodes(tmp_path / "root")]
    assert names == ["dev", *(device.name for device in DEVICES)]


def test_image_of_the_same_tree_is_the_same_file(root: Path, tmp_path: Path) -> None:
    first = image(root, tmp_path / "cache")
    assert image(root, tmp_path / "cache") == first
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_times_of_files_are_those_of_the_tree(root: Path) -> None:
    os.utime(root / "isoagent", (1_700_000_000, 1_700_000_000))
    found = {entry.name: entry for entry in unpack(b"".join(archive(nodes(root))))}
    assert found["isoagent"].fields["mtime"] == 1_700_000_000


def test_times_the_format_cannot_hold_are_its_nearest(root: Path) -> None:
    for name, time in (("isoagent", 1 << 32), ("etc/deep/conf", -1)):
        os.utime(root / name, (time, time))
    found = {one.name: one for one in unpack(b"".join(archive(nodes(root))))}
    assert [found[name].fields["mtime"] for name in ("isoagent", "etc/deep/conf")] == [(1 << 32) - 1, 0]


def test_image_of_a_tree_of_the_cache_is_made_once(root: Path, tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "images" / "0123"
    cached.parent.mkdir(parents=True)
    root.rename(cached)
    first = image(cached, tmp_path / "cache")
    made = first.stat()
    assert image(cached, tmp_path / "cache") == first
    assert first.stat().st_ino == made.st_ino
    assert {entry.name for entry in unpack(first.read_bytes())} >= {"isoagent", "etc/deep/conf"}


def test_image_of_a_tree_of_the_cache_with_another_addition_is_another_file(
    root: Path, tmp_path: Path
) -> None:
    cached = tmp_path / "cache" / "images" / "0123"
    cached.parent.mkdir(parents=True)
    root.rename(cached)
    agent = tmp_path / "agent"
    images = []
    for content in (b"one", b"two"):
        agent.write_bytes(content)
        images.append(image(cached, tmp_path / "cache", (file_node("isoagent", agent),)))
    contents = [
        {entry.name: entry.content for entry in unpack(made.read_bytes())}["isoagent"] for made in images
    ]
    assert contents == [b"one", b"two"]


def test_hard_links_share_one_inode_and_one_content(root: Path) -> None:
    (root / "etc/other").hardlink_to(root / "isoagent")
    found = {entry.name: entry for entry in unpack(b"".join(archive(nodes(root))))}
    first, second = found["etc/other"], found["isoagent"]
    assert first.fields["ino"] == second.fields["ino"]
    assert first.fields["nlink"] == second.fields["nlink"] == 2
    assert (first.content, second.content) == (b"\x7fELF!", b"")
    assert found["etc/deep/conf"].fields["nlink"] == 1


def test_hard_link_to_something_outside_of_the_tree_keeps_its_content(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").hardlink_to(root / "isoagent")
    found = {entry.name: entry for entry in unpack(b"".join(archive(nodes(root))))}
    assert found["isoagent"].fields["nlink"] == 1
    assert found["isoagent"].content == b"\x7fELF!"


def test_names_that_are_no_utf8_fifos_sockets_and_special_bits_are_kept(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    (root / "isoagent").chmod(0o4755)
    (root / os.fsdecode(b"caf\xe9")).touch()
    found = {entry.name: entry for entry in unpack(b"".join(archive(nodes(root))))}
    assert stat.S_ISFIFO(found["pipe"].fields["mode"])
    assert stat.S_ISSOCK(found["socket"].fields["mode"])
    assert found["isoagent"].fields["mode"] == stat.S_IFREG | 0o4755
    assert os.fsdecode(b"caf\xe9") in found


def test_links_in_a_circle_end(root: Path) -> None:
    (root / "etc/up").symlink_to("..")
    (root / "etc/self").symlink_to("self")
    names = [entry.name for entry in unpack(b"".join(archive(nodes(root))))]
    assert {"etc/up", "etc/self"} <= set(names)
    assert not [name for name in names if name.startswith(("etc/up/", "etc/self/"))]


def test_image_of_a_changed_tree_is_another_file(root: Path, tmp_path: Path) -> None:
    first = image(root, tmp_path / "cache")
    (root / "etc/deep/conf").chmod(0o600)
    second = image(root, tmp_path / "cache")
    assert second != first
    assert first.exists()


def test_failed_image_leaves_no_draft(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initramfs, "_MAX_FILE_BYTES", 4)
    with pytest.raises(UsageError, match="has 12 bytes: a file of a VM guest may have 4"):
        image(root, tmp_path / "cache")
    assert list((tmp_path / "cache" / "initramfs").iterdir()) == []


def test_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"1234")
    pieces = archive((Node("log", stat.S_IFREG | 0o644, source=file),))
    next(pieces)
    file.write_bytes(b"123456")
    with pytest.raises(UsageError, match="changed its size"):
        list(pieces)


@given(
    st.lists(
        st.tuples(st.text("abcdefgh/.-é", min_size=1, max_size=9), st.text(max_size=9)),
        max_size=6,
        unique=True,
    )
)
def test_any_names_and_lengths_are_padded_right(links: list[tuple[str, str]]) -> None:
    entries = tuple(Node(name, stat.S_IFLNK | 0o777, link=target) for name, target in links)
    found = unpack(b"".join(archive(entries)))
    assert [(entry.name, entry.content.decode()) for entry in found] == links

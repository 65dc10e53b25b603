import os
from pathlib import Path

from isobench.procfs import parse_mountinfo, read_names, read_optional


def test_mount_point_with_a_space_comes_back_as_it_is() -> None:
    (mount,) = parse_mountinfo(
        r"36 35 98:0 /a\040b /mnt/c\011d rw,noatime shared:1 - ext3 /dev/x\134y rw" + "\n"
    )
    assert (mount.root, mount.point, mount.source) == ("/a b", "/mnt/c\td", "/dev/x\\y")


def test_number_of_optional_fields_does_not_matter() -> None:
    none, two = parse_mountinfo(
        "1 0 0:1 / /none rw - tmpfs tmpfs rw,size=4k\n2 0 0:2 / /two ro shared:1 master:2 - tmpfs x rw\n"
    )
    assert (none.point, none.fstype, none.super_options) == ("/none", "tmpfs", ("rw", "size=4k"))
    assert (two.point, two.source, two.read_only) == ("/two", "x", True)


def test_mount_point_that_is_no_utf8_comes_back_as_a_path_to_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_bytes(b"1 0 0:1 / /mnt/\xff rw - tmpfs tmpfs rw\n")
    (mount,) = parse_mountinfo(read_names(tmp_path / "mountinfo"))
    assert os.fsencode(mount.point) == b"/mnt/\xff"


def test_file_that_is_absent_or_a_directory_reads_as_none(tmp_path: Path) -> None:
    (tmp_path / "there").write_text(" 1\n")
    assert read_optional(tmp_path / "there") == "1"
    assert read_optional(tmp_path / "not-there") is None
    assert read_optional(tmp_path) is None

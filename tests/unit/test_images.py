"""Root file systems from tar archives and directories, honest and hostile ones."""

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from isobench.errors import HostUnfitError, ImageError
from isobench.isolators.images import folder as folders
from isobench.isolators.images import import_root, tree
from isobench.isolators.images.paths import MAX_DEPTH, MAX_NAME_BYTES, Refusal, parts_of
from isobench.isolators.images.tree import Room

USUAL = {"proc", "sys", "dev", "tmp"}


def member(
    name: str, content: bytes | None = None, **fields: int | str | bytes
) -> tuple[tarfile.TarInfo, bytes | None]:
    """An entry owned by whoever runs the test, who need not be root."""
    info = tarfile.TarInfo(name)
    info.uid, info.gid, info.mtime = os.getuid(), os.getgid(), 1_700_000_000
    if content is not None:
        info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def directory(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, None]:
    return member(name, type=tarfile.DIRTYPE, mode=mode)[0], None


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, None]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)[0], None


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, None]:
    return member(name, type=tarfile.LNKTYPE, linkname=target)[0], None


def packed(members: Sequence[tuple[tarfile.TarInfo, bytes | None]], form: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def imported(tmp_path: Path, cache: Path) -> Callable[..., Path]:
    """Import an archive of these entries (or these bytes) and return the root."""

    def imported(*members: tuple[tarfile.TarInfo, bytes | None], data: bytes | None = None) -> Path:
        source = tmp_path / "given.tar"
        source.write_bytes(packed(members) if data is None else data)
        return import_root(source, cache).root

    return imported


@pytest.fixture
def refused(imported: Callable[..., Path], tmp_path: Path, cache: Path) -> Iterator[Callable[..., str]]:
    """Import what must be refused, and return the message. Nothing is left in the cache or beside it."""

    def refused(*members: tuple[tarfile.TarInfo, bytes | None], data: bytes | None = None) -> str:
        with pytest.raises(ImageError, match=r"given\.tar: ") as caught:
            imported(*members, data=data)
        return str(caught.value)

    yield refused
    assert {path.name for path in (cache / "images").iterdir()} <= {".lock"}
    assert {path.name for path in tmp_path.iterdir()} == {"given.tar", "cache"}


# --- what an archive may hold


def test_archive_gives_its_files_links_modes_and_times(imported: Callable[..., Path]) -> None:
    root = imported(
        directory("./", 0o711),
        directory("./etc", 0o750),
        member("./etc/conf", b"key = value\n", mode=0o4640),
        symlink("./etc/link", "/etc/conf"),
        hard_link("./etc/same", "etc/conf"),
        member("./pipe", type=tarfile.FIFOTYPE, mode=0o600),
    )
    assert (root / "etc/conf").read_bytes() == b"key = value\n"
    assert stat.S_IMODE((root / "etc/conf").stat().st_mode) == 0o4640
    assert (root / "etc/conf").stat().st_mtime == 1_700_000_000
    assert stat.S_IMODE((root / "etc").stat().st_mode) == 0o750
    assert (root / "etc").stat().st_mtime == 1_700_000_000
    assert stat.S_IMODE(root.stat().st_mode) == 0o711
    assert str((root / "etc/link").readlink()) == "/etc/conf"
    assert (root / "etc/same").samefile(root / "etc/conf")
    assert (root / "pipe").is_fifo()


def test_directories_isolators_need_are_added_and_those_there_are_kept(imported: Callable[..., Path]) -> None:
    root = imported(directory("tmp", 0o700), symlink("proc", "elsewhere"), member("file", b""))
    assert {path.name for path in root.iterdir()} == USUAL | {"file"}
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o700
    assert (root / "proc").is_symlink()


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
def test_compression_is_recognised_by_content(
    imported: Callable[..., Path], compress: Callable[[bytes], bytes]
) -> None:
    root = imported(data=compress(packed([member("bin/tool", b"x" * 100_000)])))
    assert (root / "bin/tool").read_bytes() == b"x" * 100_000


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_is_read(imported: Callable[..., Path], form: int) -> None:
    name = "/".join(["d" * 60] * 3)
    assert (imported(data=packed([member(name, b"x")], form)) / name).read_bytes() == b"x"


def test_names_that_are_no_utf8_and_names_that_differ_in_case_are_kept(
    imported: Callable[..., Path],
) -> None:
    data = packed([member(os.fsdecode(b"caf\xe9"), b"1"), member("Readme", b"2"), member("README", b"3")])
    names = {os.fsencode(path.name) for path in imported(data=data).iterdir()}
    assert names >= {b"caf\xe9", b"Readme", b"README"}


def test_whiteouts_are_ordinary_files_in_a_plain_archive(imported: Callable[..., Path]) -> None:
    root = imported(member("kept", b""), member(".wh.kept", b""))
    assert {"kept", ".wh.kept"} <= {path.name for path in root.iterdir()}


def test_link_to_a_directory_inside_is_followed(imported: Callable[..., Path]) -> None:
    root = imported(directory("usr/lib"), symlink("lib", "usr/lib"), member("lib/libc.so", b"so"))
    assert (root / "usr/lib/libc.so").read_bytes() == b"so"
    assert (root / "lib").is_symlink()


def test_file_that_stands_twice_is_the_later_one(imported: Callable[..., Path]) -> None:
    assert (imported(member("f", b"first"), member("f", b"second")) / "f").read_bytes() == b"second"


def test_link_that_is_replaced_by_a_directory_is_not_written_through(
    imported: Callable[..., Path], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    root = imported(symlink("d", str(victim)), directory("d"), member("d/file", b"inside"))
    assert (root / "d/file").read_bytes() == b"inside"
    assert list(victim.iterdir()) == []


def test_sparse_file_is_as_long_as_it_was_and_takes_no_more_room(imported: Callable[..., Path]) -> None:
    root = imported(member("hole", bytes(4 << 20) + b"end"))
    assert (root / "hole").stat().st_size == (4 << 20) + 3
    assert (root / "hole").stat().st_blocks * 512 < 1 << 20


# --- what an archive may not hold


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (member("/etc/passwd", b"x"), "absolute path"),
        (member("../evil", b"x"), "'..'"),
        (member("a/../../evil", b"x"), "'..'"),
        (member("a/" * MAX_DEPTH + "f", b"x"), "directories deep"),
        (member("n" * (MAX_NAME_BYTES + 1), b"x"), "longer than the 255 bytes"),
        (member("/".join(["n" * 200] * 20), b"x"), "bytes; at most"),
        (member("d", type=tarfile.BLKTYPE, devmajor=8, devminor=0), "block device 8:0"),
        (member("d", type=tarfile.CHRTYPE, devmajor=1, devminor=1), "character device 1:1"),
        (hard_link("h", "/etc/passwd"), "hard link to '/etc/passwd': its name is an absolute path"),
        (hard_link("h", "../../etc/passwd"), "hard link to"),
        (hard_link("h", "nowhere"), "not there before it"),
        (symlink("s", ""), "which no link can hold"),
        (symlink("s", "x" * 5000), "which no link can hold"),
        (member("f", b"x", uid=2**32 - 1), "none a file can have"),
        (member("f", type=b"V"), "has the type 'V'"),
        (member(".", b"x"), "top of the root file system, but is no directory"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_entry_that_is_dangerous_or_impossible_is_refused_by_name(
    refused: Callable[..., str], entry: tuple[tarfile.TarInfo, bytes | None], why: str
) -> None:
    message = refused(member("before", b""), entry)
    assert why in message
    assert ascii(entry[0].name.rstrip("/"))[:40] in message


@pytest.mark.parametrize("target", ["..", "../..", "/", "{victim}", "up"])
def test_file_behind_a_link_that_leads_out_is_refused_and_nothing_is_written_there(
    tmp_path: Path, cache: Path, target: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    source = tmp_path / "given.tar"
    link = symlink("link", target.format(victim=victim))
    source.write_bytes(packed([symlink("up", ".."), link, member("link/victim/evil", b"x")]))
    before = sorted(path.name for path in tmp_path.iterdir())
    if target == "/":  # is the top of the root file system itself: harmless
        assert (import_root(source, cache).root / "victim/evil").read_bytes() == b"x"
    else:
        with pytest.raises(ImageError, match="'link/victim/evil': its path leads through the link"):
            import_root(source, cache)
    assert list(victim.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path != cache) == before


def test_hard_link_through_a_link_that_leads_out_is_refused(refused: Callable[..., str]) -> None:
    message = refused(symlink("out", "/etc"), hard_link("h", "out/passwd"))
    assert (
        "'h': it is a hard link to 'out/passwd': its path leads through the link 'out' -> '/etc'" in message
    )


def test_links_in_a_circle_are_refused(refused: Callable[..., str]) -> None:
    assert "in a circle" in refused(symlink("a", "b"), symlink("b", "a"), member("a/f", b""))


def test_directory_that_becomes_a_file_in_the_same_archive_is_refused(refused: Callable[..., str]) -> None:
    assert "there twice" in refused(member("d/inside", b""), member("d", b""))


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"])
def test_devices_every_runtime_hands_out_are_allowed(name: str) -> None:
    assert name in tree.HARMLESS_DEVICES.values()


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress]
)
def test_archive_that_is_cut_off_is_refused(
    refused: Callable[..., str], keep: float, compress: Callable[[bytes], bytes]
) -> None:
    # Uncompressed: cut before the end mark, which is the last 10 KiB at most.
    data = packed([member(f"file{n}", os.urandom(5000)) for n in range(30)])
    whole = compress(data.rstrip(b"\0") if compress is bytes else data)
    message = refused(data=whole[: int(len(whole) * keep)])
    assert "cut off" in message or "damaged" in message


def test_archive_that_ends_between_two_entries_is_refused(refused: Callable[..., str]) -> None:
    one = packed([member("a", b"x" * 512)])
    assert "its end mark is missing" in refused(data=one[:1024])


def test_archive_with_a_damaged_header_is_refused_and_not_taken_for_a_shorter_one(
    refused: Callable[..., str],
) -> None:
    data = bytearray(packed([member("a", b"x" * 512), member("b", b"y")]))
    data[1024 + 5] ^= 0xFF
    assert "damaged" in refused(data=bytes(data))


def test_archive_with_a_wrong_checksum_at_its_end_is_refused(refused: Callable[..., str]) -> None:
    data = bytearray(gzip.compress(packed([member("a", b"x")])))
    data[-6] ^= 0xFF
    assert "CRC" in refused(data=bytes(data))


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF" * 500, bytes(10_240)])
def test_file_that_is_no_archive_or_an_empty_one_is_refused(refused: Callable[..., str], data: bytes) -> None:
    refused(data=data)


def test_size_below_zero_is_refused(refused: Callable[..., str]) -> None:
    info, _ = member("f")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\x00"  # base-256: -256
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 0x20 + sum(header[156:]))
    refused(data=bytes(header) + bytes(1024))


def test_header_that_would_fill_the_memory_is_refused(refused: Callable[..., str]) -> None:
    info, _ = member("f", b"")
    info.pax_headers = {"comment": "x" * 3_000_000}
    assert "the headers of an entry have more than" in refused((info, b""))


def test_header_that_takes_a_parser_minutes_is_refused(refused: Callable[..., str]) -> None:
    info, _ = member("x", type=tarfile.XHDTYPE, size=400_000)
    header = info.tobuf(tarfile.USTAR_FORMAT) + b"1" * 400_000 + bytes(-400_000 % 512)
    assert "a number of more than" in refused(data=header + packed([member("f", b"")]))


def test_headers_of_headers_are_refused(refused: Callable[..., str]) -> None:
    info, _ = member("x", b"", type=tarfile.XHDTYPE)
    assert "damaged" in refused(data=info.tobuf(tarfile.USTAR_FORMAT) * 900 + bytes(1024))


@pytest.mark.parametrize(
    ("room", "why"),
    [
        (Room(free_bytes=1 << 20, free_entries=100), "half of what the disk has free"),
        (Room(free_bytes=1 << 40, free_entries=1), "half of the disk's free inodes"),
    ],
)
def test_archive_larger_than_the_disk_allows_is_refused(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, room: Room, why: str
) -> None:
    monkeypatch.setattr(Room, "at", lambda _directory: room)
    assert why in refused(data=gzip.compress(packed([member("a", b""), member("zeros", bytes(2 << 20))])))


def test_sparse_file_larger_than_the_disk_is_refused_before_it_is_written(
    refused: Callable[..., str],
) -> None:
    info, _ = member("bomb", b"")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "bomb",
        "GNU.sparse.size": str(1 << 60),
        "GNU.sparse.map": f"{(1 << 60) - 1},0",
    }
    assert "'bomb': with it the content has more than" in refused((info, b""))


def test_rubbish_behind_the_end_of_an_archive_counts_against_the_limit(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Room, "at", lambda _directory: Room(1 << 20, 100))
    data = gzip.compress(packed([member("a", b"")]) + bytes(8 << 20))
    assert "half of what the disk has free" in refused(data=data)


def test_archive_of_docker_save_is_refused_with_the_command_that_converts_it(
    imported: Callable[..., Path],
) -> None:
    manifest = json.dumps([{"Config": "c.json", "Layers": ["l/layer.tar"]}]).encode()
    with pytest.raises(ImageError, match="docker save") as caught:
        imported(member("manifest.json", manifest), member("l/layer.tar", b""))
    assert "skopeo copy docker-archive:" in str(caught.value.remedy)


def test_manifest_that_is_a_link_is_not_followed_to_the_host(
    imported: Callable[..., Path], tmp_path: Path
) -> None:
    host = tmp_path / "host.json"
    host.write_text('[{"Layers": []}]')
    link = member("manifest.json", type=tarfile.SYMTYPE, linkname=str(host))
    assert (imported(link) / "manifest.json").readlink() == host


def test_message_shows_a_wild_name_as_plain_text(refused: Callable[..., str]) -> None:
    message = refused(member("/evil\n\x1b[31m" + os.fsdecode(b"\xff"), b""))
    assert r"'/evil\n\x1b[31m\udcff'" in message
    assert message.isprintable()


def test_owner_that_cannot_be_set_needs_root(
    imported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(HostUnfitError, match="needs root, for owners and device nodes") as caught:
        imported(member("f", b""))
    assert caught.value.remedy == "sudo isobench run"


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c\n"]), min_size=1, max_size=5).map("/".join)
MEMBERS = st.one_of(
    st.builds(member, NAMES, st.binary(max_size=3)),
    st.builds(directory, NAMES),
    st.builds(symlink, NAMES, NAMES),
    st.builds(hard_link, NAMES, NAMES),
)


@settings(max_examples=200, deadline=None)
@given(members=st.lists(MEMBERS, max_size=8))
def test_no_archive_writes_outside_of_its_root_or_leaves_a_half_made_tree(
    members: list[tuple[tarfile.TarInfo, bytes | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("any")
    for name in ("a", "b"):  # what links out of the tree would reach
        (place / name).mkdir()
    (place / "given.tar").write_bytes(packed(members))
    cache = place / "x" / "y" / "cache"
    try:
        root = import_root(place / "given.tar", cache).root
    except ImageError:
        assert {path.name for path in (cache / "images").iterdir()} <= {".lock"}
    else:
        assert {path.name for path in (cache / "images").iterdir()} == {
            ".lock",
            root.name,
            f"{root.name}.json",
        }
    assert {path.name for path in place.iterdir()} == {"a", "b", "x", "given.tar"}
    assert not [*(place / "a").iterdir(), *(place / "b").iterdir()]
    assert [path.name for path in (place / "x" / "y").iterdir()] == ["cache"]


@given(st.text(st.sampled_from("ab./\0\n"), max_size=30))
def test_parts_of_a_name_never_lead_up_and_are_those_of_the_name(name: str) -> None:
    try:
        parts = parts_of(name)
    except Refusal:
        assert name.startswith("/") or ".." in name.split("/") or "\0" in name
    else:
        assert not {"", ".", ".."} & set(parts)
        assert [part for part in name.split("/") if part not in {"", "."}] == list(parts)


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 4 * 512 - 1), value=st.integers(0, 255))
def test_any_byte_of_an_archive_changed_is_an_error_or_a_tree_and_never_another_exception(
    position: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(
        packed([directory("d"), member("d/f", b"x"), symlink("l", "d/f"), hard_link("h", "d/f")])
    )
    data[position] = value
    place = tmp_path_factory.mktemp("flip")
    (place / "given.tar").write_bytes(bytes(data))
    with suppress(ImageError, HostUnfitError):
        import_root(place / "given.tar", place / "cache")


# --- directories


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "folder"
    (top / "etc").mkdir(parents=True)
    (top / "etc/conf").write_text("key")
    (top / "etc/same").hardlink_to(top / "etc/conf")
    (top / "link").symlink_to("etc/conf")
    return top


def test_directory_is_copied_with_its_links(folder: Path, cache: Path) -> None:
    image = import_root(folder, cache)
    assert image.root.parent.parent == cache
    assert image.root.name == image.digest
    assert image.size_bytes == 3
    assert (image.root / "etc/same").samefile(image.root / "etc/conf")
    assert not (image.root / "etc/conf").samefile(folder / "etc/conf")
    assert str((image.root / "link").readlink()) == "etc/conf"


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "etc/conf").write_text("yek"),
        lambda top: (top / "etc/conf").chmod(0o600),
        lambda top: (top / "more").touch(),
        lambda top: os.utime(top / "etc/conf", (1, 1)),
    ],
    ids=["content", "mode", "file", "time"],
)
def test_directory_that_was_changed_is_another_image(
    folder: Path, cache: Path, change: Callable[[Path], object]
) -> None:
    first = import_root(folder, cache)
    assert import_root(folder, cache) == first
    change(folder)
    assert import_root(folder, cache).digest != first.digest


def test_content_changed_under_the_same_time_and_size_is_seen(folder: Path, cache: Path) -> None:
    first = import_root(folder, cache)
    before = (folder / "etc/conf").stat()
    (folder / "etc/conf").write_text("yek")
    os.utime(folder / "etc/conf", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(folder / "etc", ns=((folder / "etc").stat().st_atime_ns, (folder / "etc").stat().st_mtime_ns))
    assert import_root(folder, cache).digest != first.digest


def test_sockets_of_a_directory_are_left_out(folder: Path, cache: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        assert not (import_root(folder, cache).root / "socket").exists()


@pytest.mark.parametrize("inside", ["", "cache"])
def test_directory_that_holds_the_cache_is_refused(tmp_path: Path, cache: Path, inside: str) -> None:
    with pytest.raises(ImageError, match="holds isobench's cache") as caught:
        import_root(tmp_path / inside, cache)
    assert caught.value.remedy


def test_root_of_the_host_is_refused_with_the_reason(cache: Path) -> None:
    with pytest.raises(ImageError, match=r"^/: it is the host's own root file system"):
        import_root(Path("/"), cache)


def test_directory_that_changes_while_it_is_read_is_refused(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = folders.digest_of

    def digest_then_change(top: Path) -> str:
        digest = real(top)
        (top / "etc/conf").write_text("yek")
        return digest

    monkeypatch.setattr(folders, "digest_of", digest_then_change)
    with pytest.raises(ImageError, match="changed while it was read"):
        import_root(folder, cache)
    assert {path.name for path in (cache / "images").iterdir()} == {".lock"}


@pytest.mark.parametrize("kind", ["absent", "empty", "fifo", "circle"])
def test_source_that_is_none_is_refused(tmp_path: Path, cache: Path, kind: str) -> None:
    source = tmp_path / kind
    match kind:
        case "empty":
            source.mkdir()
        case "fifo":
            os.mkfifo(source)
        case "circle":
            source.symlink_to(source)
    with pytest.raises(ImageError, match=f"{kind}: "):
        import_root(source, cache)


# --- the cache


def test_second_import_is_the_same_tree_untouched(imported: Callable[..., Path]) -> None:
    first = imported(member("f", b"x"))
    inode = first.stat().st_ino
    assert imported(member("f", b"x")) == first
    assert first.stat().st_ino == inode


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: (root / "f").unlink(),
        lambda root: (root / "f").write_bytes(b"torn apart"),
        lambda root: (root / "litter").touch(),
        lambda root: root.with_name(f"{root.name}.json").write_text("{"),
        lambda root: root.with_name(f"{root.name}.json").unlink(),
    ],
)
def test_tree_that_was_damaged_is_made_anew(
    imported: Callable[..., Path], damage: Callable[[Path], object]
) -> None:
    root = imported(member("f", b"content"))
    damage(root)
    assert imported(member("f", b"content")) == root
    assert (root / "f").read_bytes() == b"content"
    assert not (root / "litter").exists()


def test_imports_at_the_same_time_agree_and_leave_no_draft(tmp_path: Path, cache: Path) -> None:
    source = tmp_path / "given.tar"
    source.write_bytes(packed([member(f"f{n}", b"x") for n in range(100)]))
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _n: import_root(source, cache), range(8)))
    assert len(set(images)) == 1
    assert {path.name for path in images[0].root.parent.iterdir()} == {
        ".lock",
        images[0].digest,
        f"{images[0].digest}.json",
    }


def test_draft_of_an_import_that_was_killed_is_removed_by_the_next(
    imported: Callable[..., Path], cache: Path
) -> None:
    left = cache / "images" / ".draft-killed" / "root"
    left.mkdir(parents=True)
    imported(member("f", b""))
    assert not left.parent.exists()


def test_directory_of_the_images_is_for_its_owner_alone(imported: Callable[..., Path]) -> None:
    before = os.umask(0)
    try:
        root = imported(member("su", b"", mode=0o4755))
    finally:
        os.umask(before)
    assert stat.S_IMODE(root.parent.stat().st_mode) == 0o700


def test_disk_that_fills_up_is_the_hosts_fault_and_leaves_no_draft(
    imported: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tree, "_write_all", full)
    with pytest.raises(HostUnfitError, match=r"given\.tar cannot be imported to .*: No space left"):
        imported(member("f", b"x"))
    assert {path.name for path in (cache / "images").iterdir()} == {".lock"}

"""Reading a tar archive, plain or compressed, that anybody may have made.

Python's tarfile parses the headers. What it lacks for hostile input is added here: a damaged or missing
header is an error where tarfile takes it for the end of the archive, headers may not fill the memory, and a
small archive that unpacks without end is stopped.
"""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol, cast

import zstandard

from isobench.isolators.images.entry import CHUNK_BYTES, Content, Entries, Entry, Kind
from isobench.isolators.images.paths import Refusal

_HEADER_BYTES = 1 << 19
"""Most that the headers of one entry may have: long names, a map of holes, extended attributes."""

_MAX_DIGITS = 1024
"""In a row, in headers. tarfile looks for a number in them in quadratic time: minutes for _HEADER_BYTES."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_LAST_SECOND = 0xFFFF_FFFF
"""What the archive of a guest's root file system (initramfs) can hold: until 2106."""

_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "device",
    tarfile.FIFOTYPE: "fifo",
}

_DAMAGE = (
    *(tarfile.TarError, zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError),
    # What tarfile raises for numbers and texts that make no sense, and for headers of headers of headers.
    *(ValueError, ArithmeticError, LookupError, RecursionError),
)


class _Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def compression(start: bytes) -> str:
    """``gzip``, ``bzip2``, ``xz``, ``zstd`` or ``none``, by the first bytes of the file."""
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "none")


def entries(file: IO[bytes], limit_bytes: int) -> Entries:
    """The entries of the archive in that file, which is open at its start and can be sought in.

    ``limit_bytes``: what it may have when it is unpacked. Raises Refusal for one that is damaged, cut off
    or larger, and for entries that are no part of a root file system.
    """
    form = compression(file.read(max(map(len, _MAGIC))))
    file.seek(0)
    meter = _Meter(_decompressed(file, form), limit_bytes)
    with _damage(form), _tar(meter) as archive:
        while (member := _next(archive, meter)) is not None:
            content = archive.extractfile(member) if member.isreg() else None
            meter.reading_headers = False
            yield _entry(member), None if content is None else _Guarded(content, form)
        # Or else nobody would compare the checksum that stands at the end.
        meter.reading_headers = False
        while meter.read(CHUNK_BYTES):
            pass


@contextmanager
def _tar(meter: "_Meter") -> Iterator[tarfile.TarFile]:
    """The archive; memory for one entry at a time, so that its number of entries does not count."""
    with tarfile.open(
        fileobj=cast(IO[bytes], meter),
        mode="r|",
        bufsize=tarfile.BLOCKSIZE,  # no reading ahead: the meter is to know what is a header
        tarinfo=_StrictMember,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        yield archive


def _next(archive: tarfile.TarFile, meter: "_Meter") -> tarfile.TarInfo | None:
    meter.reading_headers = True
    archive.members.clear()  # type: ignore[attr-defined]  # missing in typeshed
    return archive.next()


class _StrictMember(tarfile.TarInfo):
    """A header. tarfile takes a bad one, or none, for the end; here only a block of zeros is the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictMember":
        if not buf:
            raise Refusal("the archive is cut off: its end mark is missing")
        end_mark = len(buf) == tarfile.BLOCKSIZE and not any(buf)
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if end_mark:
                raise
            raise Refusal(f"the archive is damaged, or it is none: {error}") from error


class _Meter:
    """Counts what comes out of the decompressor, and stops it at a limit."""

    def __init__(self, source: _Source, limit_bytes: int) -> None:
        self._source = source
        self._limit_bytes = limit_bytes
        self._left = limit_bytes
        self._headers_left = _HEADER_BYTES
        self._digits = 0
        self._reading_headers = True

    @property
    def reading_headers(self) -> bool:
        """Whether what is read now can only be headers."""
        return self._reading_headers

    @reading_headers.setter
    def reading_headers(self, value: bool) -> None:
        self._reading_headers = value
        self._headers_left = _HEADER_BYTES

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise Refusal(
                f"unpacked, it has more than {self._limit_bytes} bytes: half of what the disk has free"
            )
        if self._reading_headers:
            self._check_headers(data)
        return data

    def _check_headers(self, data: bytes) -> None:
        self._headers_left -= len(data)
        if self._headers_left < 0:
            raise Refusal(f"the headers of an entry have more than {_HEADER_BYTES} bytes")
        self._digits = self._digits + len(data) if data.isdigit() else 0
        if self._digits > _MAX_DIGITS:
            raise Refusal(f"the headers of an entry have a number of more than {_MAX_DIGITS} digits")


class _Guarded:
    """The content of a file, whose damage is told as such."""

    def __init__(self, content: Content, form: str) -> None:
        self._content = content
        self._form = form

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes."""
        with _damage(self._form):
            return self._content.read(size)


@contextmanager
def _damage(form: str) -> Iterator[None]:
    packed = "" if form == "none" else f" ({form})"
    try:
        yield
    except _DAMAGE as error:
        raise Refusal(f"the archive{packed} is damaged or cut off: {type(error).__name__} {error}") from error
    except OSError as error:
        # gzip and bz2 raise one without a number for bad data; the others are real ones.
        if error.errno is not None:
            raise
        raise Refusal(f"the archive{packed} is damaged: {error}") from error


def _decompressed(file: IO[bytes], form: str) -> _Source:
    match form:
        case "gzip":
            return gzip.GzipFile(fileobj=file)
        case "bzip2":
            return bz2.BZ2File(file)
        case "xz":
            return lzma.LZMAFile(file)
        case "zstd":
            stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            return io.BufferedReader(cast(io.RawIOBase, stream))
        case _:
            return file


def _entry(member: tarfile.TarInfo) -> Entry:
    kind = _KINDS.get(member.type)
    if kind is None:
        raise Refusal(_unfit(member), entry=member.name)
    if member.size < 0:
        raise Refusal(f"its size is {member.size}", entry=member.name)
    return Entry(
        name=member.name,
        kind=kind,
        mode=member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        mtime_s=min(max(int(member.mtime), 0), _LAST_SECOND),
        size=member.size if kind == "file" else 0,
        link=member.linkname,
        device=_device(member) if kind == "device" else 0,
    )


def _device(member: tarfile.TarInfo) -> int:
    return os.makedev(member.devmajor, member.devminor)


def _unfit(member: tarfile.TarInfo) -> str:
    if member.type == tarfile.BLKTYPE:
        return f"it is the block device {member.devmajor}:{member.devminor}, which could harm the host"
    return f"it has the type {member.type.decode('latin-1')!a}, which is none of a root file system"

"""Root file systems of users in the cache: imported once, known by the digest of what they were made from.

The digest is that of the source: of the archive's bytes, of an image's manifest, of all names, attributes and
content of a directory. So a change of the source is always seen, and an archive is hashed but not unpacked
again. A directory is copied, not used in place: a run must not see it change, nor may a workload change it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from isobench.errors import HostUnfitError, ImageError
from isobench.isolators.directory import put_directory
from isobench.isolators.images import folder, oci, tar
from isobench.isolators.images.entry import Entries
from isobench.isolators.images.oci import Defaults
from isobench.isolators.images.paths import Refusal, shown
from isobench.isolators.images.tree import Room, Tree
from isobench.isolators.trees import walk

_DRAFT = ".draft-"
_NO_DEFAULTS = Defaults()
_FORMAT = 1
"""Of what is made from a source. Another one, and it is made anew."""


@dataclass(frozen=True, slots=True)
class Image:
    """A user's root file system, ready for every isolator."""

    root: Path
    """Its directory in the cache, shared: nobody may write to it."""
    digest: str
    """SHA-256 of what it was made from, the name of the directory."""
    size_bytes: int
    """What its files hold, together."""
    defaults: Defaults = _NO_DEFAULTS
    """Of an OCI image; empty for others."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a root file system comes from, looked at but not unpacked."""

    digest: str
    unpack: Callable[[Path], Defaults]
    """Make the root file system in an empty directory; other things may be put beside it."""


def import_root(source: Path, cache: Path) -> Image:
    """The root file system of a directory, a tar archive or an OCI image layout (or a tar of one).

    Made below ``cache`` unless it is there already; what is damaged there is made anew. Safe against another
    import at the same time. The directory above it is for root alone, since an archive may hold programs
    with the set-user-ID bit.

    Raises ImageError for a source that cannot be used, with the entry and why, and HostUnfitError when
    owners or device nodes need root, or the disk fails.
    """
    try:
        images = _images(cache.absolute())
        looked_at = _look_at(source, cache)
        with _locked(images):
            return _known(images, looked_at.digest) or _make(images, looked_at)
    except Refusal as refusal:
        where = f"{shown(refusal.entry)}: " if refusal.entry is not None else ""
        raise ImageError(f"{source}: {where}{refusal}", remedy=refusal.remedy) from refusal
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise HostUnfitError(f"{source} cannot be imported to {cache}: {error.strerror}{place}") from error


def _images(cache: Path) -> Path:
    images = cache / "images"
    images.mkdir(parents=True, exist_ok=True)
    images.chmod(0o700)
    return images


def _look_at(source: Path, cache: Path) -> _Source:
    try:
        place = source.resolve(strict=True)
        mode = place.stat().st_mode
    except OSError as error:
        raise Refusal(str(error.strerror)) from error
    except RuntimeError as error:  # Path.resolve's word for a circle of links
        raise Refusal("links lead to each other in a circle") from error
    if stat.S_ISREG(mode):
        return _archive(place)
    if not stat.S_ISDIR(mode):
        raise Refusal("it is neither a directory nor a file")
    return _layout(place) if oci.is_layout(place) else _directory(place, cache)


def _layout(place: Path) -> _Source:
    layout = oci.Layout(place)
    chosen = layout.choose()
    return _Source(chosen.digest, lambda root: _unpack_layers(layout, chosen, root))


def _unpack_layers(layout: oci.Layout, chosen: oci.Chosen, root: Path) -> Defaults:
    with _tree(root) as tree:
        layout.unpack(chosen, tree, Room.at(root).free_bytes)
    return chosen.defaults


def _directory(place: Path, cache: Path) -> _Source:
    if cache.resolve().is_relative_to(place):
        what = "the host's own root file system" if place == Path("/") else "a part of the host"
        raise Refusal(
            f"it is {what}, and it holds isobench's cache ({cache}), to which it would be copied",
            remedy="examples/build.py python  # makes a small root file system; docs/workloads.md",
        )
    digest = folder.digest_of(place)
    return _Source(digest, lambda root: _copy(place, digest, root))


def _copy(place: Path, digest: str, root: Path) -> Defaults:
    copied = hashlib.sha256()
    with _tree(root) as tree:
        _add_all(tree, folder.hashed(folder.entries(place), copied))
    if copied.hexdigest() != digest:
        raise Refusal("it changed while it was read", remedy="stop what writes to it, then isobench run")
    return _NO_DEFAULTS


def _archive(place: Path) -> _Source:
    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        seen = os.fstat(file.fileno())
    return _Source(digest, lambda root: _unpack_archive(place, seen, root))


def _unpack_archive(place: Path, seen: os.stat_result, root: Path) -> Defaults:
    with place.open("rb") as file, _tree(root) as tree:
        now = os.fstat(file.fileno())
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (seen.st_ino, seen.st_size, seen.st_mtime_ns):
            raise Refusal("it changed while it was read", remedy="isobench run")
        _add_all(tree, tar.entries(file, Room.at(root).free_bytes))
    if oci.is_layout(root):
        layout = oci.Layout(root.rename(root.with_name("layout")))
        root.mkdir(mode=0o700)
        return _unpack_layers(layout, layout.choose(), root)
    _refuse_docker_save(root)
    return _NO_DEFAULTS


def _refuse_docker_save(root: Path) -> None:
    """It looks like any archive, and would be taken for a root file system full of archives."""
    manifest = root / "manifest.json"
    if not manifest.is_file() or manifest.is_symlink():  # a link would lead to a file of the host
        return
    with manifest.open("rb") as file:
        of_docker = b'"Layers"' in file.read(1 << 16)
    if of_docker:
        raise Refusal(
            "it is an archive of `docker save`, which is no OCI image layout",
            remedy="skopeo copy docker-archive:FILE oci:LAYOUT",
        )


def _add_all(tree: Tree, entries: Entries) -> None:
    for entry, content in entries:
        try:
            tree.add(entry, content)
        except Refusal as refusal:
            raise Refusal(str(refusal), entry=entry.name, remedy=refusal.remedy) from refusal


@contextmanager
def _tree(root: Path) -> Iterator[Tree]:
    tree = Tree(root, Room.at(root))
    yield tree
    if not any(root.iterdir()):
        raise Refusal("there is no file in it")
    tree.finish()


@contextmanager
def _locked(images: Path) -> Iterator[None]:
    """One import at a time: a second one of the same source finds it made."""
    with (images / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(images: Path, source: _Source) -> Image:
    # Those of imports that were killed: nobody else makes one now.
    for left in images.glob(f"{_DRAFT}*"):
        shutil.rmtree(left)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=images))
    try:
        root = draft / "root"
        root.mkdir(mode=0o700)
        defaults = source.unpack(root)
        size_bytes, listing = _survey(root)
        facts = {
            "format": _FORMAT,
            "listing": listing,
            "size_bytes": size_bytes,
            "defaults": asdict(defaults),
        }
        (draft / "facts").write_text(json.dumps(facts))
        # The facts first: without them the tree does not count.
        (draft / "facts").rename(_facts(images, source.digest))
        put_directory(root, images / source.digest, lambda: False)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Image(images / source.digest, source.digest, size_bytes, defaults)


def _known(images: Path, digest: str) -> Image | None:
    """The one in the cache, unless it is not there, of another format, or not as it was made."""
    root = images / digest
    try:
        facts = json.loads(_facts(images, digest).read_text())
        if facts["format"] != _FORMAT or _survey(root) != (facts["size_bytes"], facts["listing"]):
            return None
        said = facts["defaults"]
        defaults = Defaults(tuple(said["argv"]), tuple(said["env"]), said["directory"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return Image(root, digest, facts["size_bytes"], defaults)


def _facts(images: Path, digest: str) -> Path:
    return images / f"{digest}.json"


def _survey(root: Path) -> tuple[int, str]:
    """The size of all files, and a hash of all names and attributes.

    The content is not read again: what writes to a file changes its time, a crash of the host its size.
    """
    size_bytes = 0
    listing = hashlib.sha256()
    counted: set[int] = set()
    for found in walk(root):
        status = found.status
        regular = stat.S_ISREG(status.st_mode)
        if regular and status.st_ino not in counted:
            counted.add(status.st_ino)
            size_bytes += status.st_size
        line = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, int(status.st_mtime))
        listing.update(repr((found.name, *line, status.st_size if regular else 0)).encode())
    return size_bytes, listing.hexdigest()

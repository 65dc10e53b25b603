"""An OCI image layout as a source: index, manifest, layers, and what the image's configuration says.

Source: image-layout.md, image-index.md, manifest.md, layer.md and config.md of the OCI image specification
1.1. The forms of Docker's registry protocol (schema 2) differ in the media types alone and are read as well.
Nothing of a blob is parsed or unpacked before its size and digest are those its descriptor gives.
"""

import hashlib
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from isobench.isolators.images import tar
from isobench.isolators.images.paths import Refusal, shown
from isobench.isolators.images.tree import Tree

MARKER = "oci-layout"
"""The file that says that a directory is an image layout."""

_INDEX = "index.json"
_INDEX_TYPES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
_MANIFEST_TYPES = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
}
_CONFIG_TYPES = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
}
_LAYER_TYPES = {
    "application/vnd.oci.image.layer.v1.tar": "none",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "none",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
}

_MAX_DOCUMENT_BYTES = 4 << 20
"""Of an index, a manifest, a configuration: what registries take at most."""

_MAX_INDEX_DEPTH = 8

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "loongarch64": "loong64",
}
"""uname(2)'s names to those of Go, which the specification uses; where they differ."""

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


class _Document(BaseModel):
    """A JSON document of the specification, of which only what is used here is read."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)


class _Platform(_Document):
    architecture: str = ""
    os: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part) or "unknown"


class Descriptor(_Document):
    """What another document says of a blob."""

    media_type: str
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")]
    size: Annotated[int, Field(ge=0)]
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None

    def __str__(self) -> str:
        name = (self.annotations or {}).get("org.opencontainers.image.ref.name")
        return " ".join(filter(None, (shown(name) if name else "", str(self.platform or ""), self.digest)))


class _Marker(_Document):
    image_layout_version: str


class _Index(_Document):
    manifests: tuple[Descriptor, ...]


class _Manifest(_Document):
    config: Descriptor
    layers: tuple[Descriptor, ...]


class _Execution(BaseModel):
    """The part of the configuration that says how to run it."""

    model_config = ConfigDict(frozen=True)

    env: tuple[str, ...] | None = Field(default=None, alias="Env")
    entrypoint: tuple[str, ...] | None = Field(default=None, alias="Entrypoint")
    command: tuple[str, ...] | None = Field(default=None, alias="Cmd")
    directory: str | None = Field(default=None, alias="WorkingDir")


class _Config(_Platform):
    config: _Execution | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an image says about running it, for what the matrix leaves out. Empty: it says nothing."""

    argv: tuple[str, ...] = ()
    """Its Entrypoint and after it its Cmd."""
    env: tuple[str, ...] = ()
    """``NAME=value`` each."""
    directory: str = ""
    """The working directory."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The one image of a layout that is for this machine."""

    digest: str
    """SHA-256 of its manifest, which names all the rest by digest."""
    layers: tuple[Descriptor, ...]
    """The lowest first."""
    defaults: Defaults


DocumentT = TypeVar("DocumentT", bound=_Document)


class Layout:
    """An image layout in a directory. Everything raises Refusal for what is damaged or of no use here."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def choose(self) -> Chosen:
        """The image for this machine's architecture; Refusal names the choices unless there is just one."""
        found = tuple(self._manifests())
        wanted = _Platform(architecture=_architecture(), os="linux")
        fit = [
            (descriptor, manifest)
            for descriptor, manifest, its in found
            if manifest and (its.os, its.architecture) == (wanted.os, wanted.architecture)
        ]
        if not fit:
            offered = ", ".join(sorted({str(its) for _, _, its in found})) or "none at all"
            raise Refusal(f"it has no image for {wanted}, which this machine is; it has: {offered}")
        if len(fit) > 1:
            choices = "; ".join(str(descriptor) for descriptor, _ in fit)
            raise Refusal(
                f"it has {len(fit)} images for {wanted}; keep one of: {choices}",
                remedy="skopeo copy oci:LAYOUT:NAME oci:NEW",
            )
        ((descriptor, manifest),) = fit
        config = self._config(manifest)
        if (config.os, config.architecture) != (wanted.os, wanted.architecture):
            raise Refusal(
                f"its image is for {_Platform(architecture=config.architecture, os=config.os)}, not {wanted}"
            )
        for layer in manifest.layers:
            _check_type(layer)
        return Chosen(_key(descriptor), manifest.layers, _defaults(config.config or _Execution()))

    def unpack(self, chosen: Chosen, tree: Tree, limit_bytes: int) -> None:
        """Put its layers into the tree, one above the other."""
        for layer in chosen.layers:
            with self._blob(layer) as blob:
                _check_compression(layer, blob)
                _apply(layer, blob, tree, limit_bytes)

    def _manifests(self) -> Iterator[tuple[Descriptor, _Manifest | None, _Platform]]:
        """Every image manifest the index leads to, with what it is for."""
        waiting = [(descriptor, 1) for descriptor in reversed(self._index().manifests)]
        seen: set[str] = set()
        while waiting:
            descriptor, depth = waiting.pop()
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            if descriptor.media_type in _INDEX_TYPES:
                if depth == _MAX_INDEX_DEPTH:
                    raise Refusal(f"its indexes lead to each other more than {_MAX_INDEX_DEPTH} deep")
                inner = self._document(descriptor, _Index)
                waiting += [(below, depth + 1) for below in reversed(inner.manifests)]
            elif descriptor.media_type in _MANIFEST_TYPES:
                yield from self._manifest(descriptor)
            else:
                raise Refusal(
                    f"{_blob_name(descriptor)} has the media type {shown(descriptor.media_type)}: no image"
                )

    def _manifest(self, descriptor: Descriptor) -> Iterator[tuple[Descriptor, _Manifest | None, _Platform]]:
        # One that is for another machine need not be there: tools copy a single platform of an index.
        if its := descriptor.platform:
            if (its.os, its.architecture) != ("linux", _architecture()):
                yield descriptor, None, its
                return
            yield descriptor, self._document(descriptor, _Manifest), its
            return
        manifest = self._document(descriptor, _Manifest)
        yield descriptor, manifest, self._config(manifest)

    def _index(self) -> _Index:
        version = _parse(_text(self._directory / MARKER, MARKER), _Marker, MARKER).image_layout_version
        if version != "1.0.0":
            raise Refusal(f"{MARKER} says the version is {shown(version)}; 1.0.0 can be read")
        return _parse(_text(self._directory / _INDEX, _INDEX), _Index, _INDEX)

    def _config(self, manifest: _Manifest) -> _Config:
        if manifest.config.media_type not in _CONFIG_TYPES:
            raise Refusal(
                f"its configuration has the media type {shown(manifest.config.media_type)}: it is no image"
            )
        return self._document(manifest.config, _Config)

    def _document(self, descriptor: Descriptor, kind: type[DocumentT]) -> DocumentT:
        if descriptor.size > _MAX_DOCUMENT_BYTES:
            raise Refusal(
                f"{_blob_name(descriptor)} has {descriptor.size} bytes, {_MAX_DOCUMENT_BYTES} are allowed"
            )
        with self._blob(descriptor) as blob:
            return _parse(blob.read(), kind, _blob_name(descriptor))

    @contextmanager
    def _blob(self, descriptor: Descriptor) -> Iterator[BufferedReader]:
        """The blob, verified, open at its start. The very file that was verified is the one that is read."""
        algorithm, _, digits = descriptor.digest.partition(":")
        name = _blob_name(descriptor)
        with _regular(self._directory / name, name) as blob:
            size = os.fstat(blob.fileno()).st_size
            if size != descriptor.size:
                raise Refusal(f"{name} has {size} bytes, its descriptor says {descriptor.size}")
            found = hashlib.file_digest(blob, algorithm).hexdigest()
            if found != digits:
                raise Refusal(f"{name} is damaged: its digest is {algorithm}:{found}")
            blob.seek(0)
            yield blob


def is_layout(directory: Path) -> bool:
    """Whether the directory is meant as an image layout, and not as a root file system."""
    return (directory / MARKER).is_file() or (
        (directory / _INDEX).is_file() and (directory / "blobs").is_dir()
    )


def _apply(layer: Descriptor, blob: BufferedReader, tree: Tree, limit_bytes: int) -> None:
    tree.begin_layer()
    entry_name: str | None = None
    try:
        for entry, content in tar.entries(blob, limit_bytes):
            entry_name = entry.name
            name = entry.name.rpartition("/")[2]
            directory = entry.name.removesuffix(name)
            if name == _OPAQUE:
                tree.clear_lower(directory)
            elif name.startswith(f"{_WHITEOUT}{_WHITEOUT}"):
                continue  # AUFS's own records, of no meaning elsewhere
            elif name.startswith(_WHITEOUT):
                tree.remove_lower(directory + _hidden(name))
            else:
                tree.add(entry, content)
    except Refusal as refusal:
        where = refusal.entry or entry_name
        raise Refusal(
            f"layer {layer.digest}: {f'{shown(where)}: ' if where else ''}{refusal}", remedy=refusal.remedy
        ) from refusal


def _hidden(name: str) -> str:
    hidden = name.removeprefix(_WHITEOUT)
    if hidden in {"", ".", ".."}:
        raise Refusal("it is a whiteout that names no file")
    return hidden


def _check_type(layer: Descriptor) -> None:
    if layer.media_type.endswith("+encrypted"):
        raise Refusal(
            f"layer {layer.digest} is encrypted",
            remedy="skopeo copy --decryption-key KEY oci:LAYOUT oci:DECRYPTED",
        )
    if layer.media_type not in _LAYER_TYPES:
        raise Refusal(
            f"layer {layer.digest} has the media type {shown(layer.media_type)}, which is none of a layer"
        )


def _check_compression(layer: Descriptor, blob: BufferedReader) -> None:
    said = _LAYER_TYPES[layer.media_type]
    found = tar.compression(blob.read(8))
    blob.seek(0)
    if found != said:
        raise Refusal(f"layer {layer.digest}: its media type says compression {said}, its content {found}")


def _defaults(execution: _Execution) -> Defaults:
    texts = (*(execution.env or ()), *(execution.entrypoint or ()), *(execution.command or ()))
    if any("\0" in text for text in texts):
        raise Refusal("its configuration has a NUL byte in Env, Entrypoint or Cmd")
    return Defaults(
        argv=(*(execution.entrypoint or ()), *(execution.command or ())),
        env=tuple(text for text in execution.env or () if "=" in text),
        directory=execution.directory or "",
    )


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _key(descriptor: Descriptor) -> str:
    """The manifest's digest where it is SHA-256, as everywhere in practice; else one of the same form."""
    algorithm, _, digits = descriptor.digest.partition(":")
    return digits if algorithm == "sha256" else hashlib.sha256(digits.encode()).hexdigest()


def _blob_name(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest.replace(':', '/')}"


@contextmanager
def _regular(path: Path, name: str) -> Iterator[BufferedReader]:
    try:
        # Not blocking: a FIFO of that name would wait for a writer.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refusal(f"{name}: {error.strerror}") from error
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Refusal(f"{name} is no regular file")
        yield opened


def _text(path: Path, name: str) -> bytes:
    with _regular(path, name) as file:
        text = file.read(_MAX_DOCUMENT_BYTES + 1)
    if len(text) > _MAX_DOCUMENT_BYTES:
        raise Refusal(f"{name} has more than {_MAX_DOCUMENT_BYTES} bytes")
    return text


def _parse(text: bytes, kind: type[DocumentT], name: str) -> DocumentT:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Refusal(f"{name} cannot be read: {f'{place}: ' if place else ''}{first['msg']}") from error

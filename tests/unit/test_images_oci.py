"""Root file systems from OCI image layouts."""

import gzip
import hashlib
import io
import json
import os
import platform
import stat
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from isobench.errors import ImageError
from isobench.isolators.images import Defaults, import_root

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OTHER = "s390x"

Json = dict[str, Any]


def layer(files: Mapping[str, bytes | None]) -> bytes:
    """A layer with those files; None makes a directory."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.uid, info.gid = os.getuid(), os.getgid()
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Layout:
    """An image layout that is built piece by piece."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "blobs/sha256").mkdir(parents=True)
        (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content: bytes, media_type: str) -> Json:
        digest = hashlib.sha256(content).hexdigest()
        (self.directory / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(self, document: object, media_type: str) -> Json:
        return self.blob(json.dumps(document).encode(), media_type)

    def image(self, layers: Sequence[Json], architecture: str = MACHINE, **execution: Any) -> Json:  # noqa: ANN401
        config = {"os": "linux", "architecture": architecture, "config": execution}
        return self.document(
            {"schemaVersion": 2, "config": self.document(config, CONFIG), "layers": layers}, MANIFEST
        )

    def path(self, descriptor: Json) -> Path:
        return self.directory / "blobs" / str(descriptor["digest"]).replace(":", "/")

    def index(self, *descriptors: Json) -> Path:
        (self.directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": descriptors}))
        return self.directory


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "image")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def refused(cache: Path) -> Callable[[Path], str]:
    def refused(source: Path) -> str:
        with pytest.raises(ImageError, match="image: ") as caught:
            import_root(source, cache)
        assert {path.name for path in (cache / "images").iterdir()} <= {".lock"}
        return str(caught.value)

    return refused


@pytest.fixture
def stacked(layout: Layout, cache: Path) -> Callable[..., set[str]]:
    """The names below the root that comes of these layers, without the usual directories."""

    def stacked(*layers: Mapping[str, bytes | None]) -> set[str]:
        image = layout.image([layout.blob(layer(files), LAYER) for files in layers])
        root = import_root(layout.index(image), cache).root
        found = {str(path.relative_to(root)) for path in root.rglob("*")}
        return found - {"proc", "sys", "dev", "tmp"}

    return stacked


def test_image_gives_its_root_and_what_its_configuration_says(layout: Layout, cache: Path) -> None:
    image = layout.image(
        [layout.blob(layer({"bin/tool": b"x"}), LAYER)],
        Env=["PATH=/bin", "LANG=C"],
        Entrypoint=["/bin/tool"],
        Cmd=["--serve"],
        WorkingDir="/srv",
    )
    made = import_root(layout.index(image), cache)
    assert (made.root / "bin/tool").read_bytes() == b"x"
    assert made.digest == str(image["digest"]).removeprefix("sha256:")
    assert made.defaults == Defaults(("/bin/tool", "--serve"), ("PATH=/bin", "LANG=C"), "/srv")
    assert import_root(layout.directory, cache) == made


def test_layout_in_a_tar_archive_is_the_image_too(layout: Layout, cache: Path, tmp_path: Path) -> None:
    layout.index(layout.image([layout.blob(layer({"f": b"x"}), LAYER)], Cmd=["/f"]))
    with tarfile.open(tmp_path / "image.tar.gz", "w:gz") as archive:
        archive.add(layout.directory, ".")
    made = import_root(tmp_path / "image.tar.gz", cache)
    assert (made.root / "f").read_bytes() == b"x"
    assert not (made.root / "blobs").exists()
    assert made.defaults.argv == ("/f",)
    assert import_root(tmp_path / "image.tar.gz", cache) == made


@pytest.mark.parametrize(
    ("media_type", "compress"),
    [
        (LAYER, bytes),
        (f"{LAYER}+gzip", gzip.compress),
        (f"{LAYER}+zstd", zstandard.ZstdCompressor().compress),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip.compress),
    ],
)
def test_layer_of_every_compression_is_unpacked(
    layout: Layout, cache: Path, media_type: str, compress: Callable[[bytes], bytes]
) -> None:
    image = layout.image([layout.blob(compress(layer({"f": b"x"})), media_type)])
    assert (import_root(layout.index(image), cache).root / "f").read_bytes() == b"x"


# --- whiteouts


def test_whiteout_removes_a_file_or_directory_of_a_lower_layer(stacked: Callable[..., set[str]]) -> None:
    lower = {"etc/a": b"", "etc/b": b"", "opt/deep/file": b""}
    assert stacked(lower, {"etc/.wh.a": b"", ".wh.opt": b""}) == {"etc", "etc/b"}


def test_whiteout_of_what_is_not_there_is_nothing(stacked: Callable[..., set[str]]) -> None:
    assert stacked({"a": b""}, {".wh.b": b"", "c/.wh.d": b""}) == {"a", "c"}


@pytest.mark.parametrize("first", [True, False], ids=["whiteout first", "whiteout last"])
def test_opaque_directory_keeps_what_its_own_layer_has(
    stacked: Callable[..., set[str]], *, first: bool
) -> None:
    opaque = {"etc/.wh..wh..opq": b""}
    new = {"etc/new/file": b""}
    upper = opaque | new if first else new | opaque
    assert stacked({"etc/old": b"", "etc/new/old": b""}, upper) == {"etc", "etc/new", "etc/new/file"}


@pytest.mark.parametrize("first", [True, False], ids=["whiteout first", "whiteout last"])
def test_whiteout_spares_what_its_own_layer_has(stacked: Callable[..., set[str]], *, first: bool) -> None:
    whiteout, new = {".wh.etc": b""}, {"etc/new": b""}
    upper = whiteout | new if first else new | whiteout
    assert stacked({"etc/old": b""}, upper) == {"etc", "etc/new"}


def test_file_of_an_upper_layer_replaces_a_directory_and_the_other_way_round(
    stacked: Callable[..., set[str]],
) -> None:
    assert stacked({"a/b": b"", "c": b""}, {"a": b"", "c": None, "c/d": b""}) == {"a", "c", "c/d"}


def test_link_in_place_of_a_directory_gives_nothing_of_the_host_that_directorys_mode(
    layout: Layout, cache: Path, tmp_path: Path
) -> None:
    host = tmp_path / "host"
    (host / "etc").mkdir(parents=True)
    (host / "etc").chmod(0o700)
    link = io.BytesIO()
    with tarfile.open(fileobj=link, mode="w") as archive:
        info = tarfile.TarInfo("a")
        info.type, info.linkname = tarfile.SYMTYPE, str(host)
        info.uid, info.gid = os.getuid(), os.getgid()
        archive.addfile(info)
    layers = (layer({"a": None, "a/etc": None}), link.getvalue())
    import_root(layout.index(layout.image([layout.blob(one, LAYER) for one in layers])), cache)
    assert stat.S_IMODE((host / "etc").stat().st_mode) == 0o700
    assert (host / "etc").stat().st_mtime > 0


def test_records_of_aufs_are_no_files(stacked: Callable[..., set[str]]) -> None:
    assert stacked({"a": b"", ".wh..wh.plnk": b"", ".wh..wh.aufs": b""}) == {"a"}


@pytest.mark.parametrize("name", [".wh.", ".wh...", "a/.wh...", "../.wh.a", "/.wh.a"])
def test_whiteout_that_leads_out_or_names_nothing_is_refused(
    layout: Layout, refused: Callable[[Path], str], name: str
) -> None:
    image = layout.image([layout.blob(layer({"a/b": b"", name: b""}), LAYER)])
    message = refused(layout.index(image))
    assert ascii(name) in message
    assert "layer sha256:" in message


def test_hard_link_to_a_file_of_a_lower_layer_is_one(layout: Layout, cache: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("b")
        info.type, info.linkname = tarfile.LNKTYPE, "a"
        archive.addfile(info)
    image = layout.image([layout.blob(layer({"a": b"x"}), LAYER), layout.blob(data.getvalue(), LAYER)])
    root = import_root(layout.index(image), cache).root
    assert (root / "a").samefile(root / "b")


# --- which image


def test_image_for_this_machine_is_chosen_among_several(layout: Layout, cache: Path) -> None:
    images = []
    for architecture, content in ((OTHER, b"other"), (MACHINE, b"mine")):
        image = layout.image([layout.blob(layer({"f": content}), LAYER)], architecture)
        images.append(image | {"platform": {"os": "linux", "architecture": architecture}})
    inner = layout.document({"schemaVersion": 2, "manifests": images}, INDEX)
    layout.path(images[0]).unlink()  # tools copy one platform of an index and leave the rest out
    assert (import_root(layout.index(inner), cache).root / "f").read_bytes() == b"mine"


def test_image_for_other_machines_only_is_refused_with_what_there_is(
    layout: Layout, refused: Callable[[Path], str]
) -> None:
    image = layout.image([layout.blob(layer({"f": b""}), LAYER)], OTHER)
    message = refused(layout.index(image))
    assert f"no image for linux/{MACHINE}" in message
    assert f"it has: linux/{OTHER}" in message


def test_configuration_for_another_machine_than_the_index_says_is_refused(
    layout: Layout, refused: Callable[[Path], str]
) -> None:
    image = layout.image([layout.blob(layer({"f": b""}), LAYER)], OTHER)
    claimed = image | {"platform": {"os": "linux", "architecture": MACHINE}}
    assert f"its image is for linux/{OTHER}" in refused(layout.index(claimed))


def test_several_images_for_this_machine_are_refused_with_their_names(
    layout: Layout, refused: Callable[[Path], str]
) -> None:
    named = [
        layout.image([layout.blob(layer({"f": name.encode()}), LAYER)])
        | {"annotations": {"org.opencontainers.image.ref.name": name}}
        for name in ("stable", "edge")
    ]
    message = refused(layout.index(*named))
    assert "it has 2 images" in message
    assert "'stable'" in message
    assert "'edge'" in message


def test_image_listed_twice_is_one(layout: Layout, cache: Path) -> None:
    image = layout.image([layout.blob(layer({"f": b""}), LAYER)])
    assert import_root(layout.index(image, image), cache).root.is_dir()


# --- damage and lies


def test_blob_that_is_missing_is_named(layout: Layout, refused: Callable[[Path], str]) -> None:
    blob = layout.blob(layer({"f": b""}), LAYER)
    layout.path(blob).unlink()
    message = refused(layout.index(layout.image([blob])))
    assert str(blob["digest"]).replace(":", "/") in message
    assert "No such file" in message


@pytest.mark.parametrize("which", ["layer", "manifest"])
def test_blob_of_another_digest_is_refused_before_it_is_used(
    layout: Layout, refused: Callable[[Path], str], which: str
) -> None:
    blob = layout.blob(layer({"f": b"x"}), LAYER)
    image = layout.image([blob])
    path = layout.path(blob if which == "layer" else image)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "is damaged: its digest is sha256:" in refused(layout.index(image))


def test_blob_of_another_size_is_refused(layout: Layout, refused: Callable[[Path], str]) -> None:
    blob = layout.blob(layer({"f": b""}), LAYER)
    message = refused(layout.index(layout.image([blob | {"size": 7}])))
    assert "its descriptor says 7" in message


@pytest.mark.parametrize(
    "digest", ["sha256:../../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "0" * 63, "../x:" + "0" * 64, ""]
)
def test_digest_that_is_none_is_refused(layout: Layout, refused: Callable[[Path], str], digest: str) -> None:
    image = layout.image([layout.blob(layer({"f": b""}), LAYER) | {"digest": digest}])
    assert "layers.0.digest" in refused(layout.index(image))


def test_index_that_leads_to_itself_is_refused(layout: Layout, refused: Callable[[Path], str]) -> None:
    zero = "0" * 64
    loop = {"mediaType": INDEX, "digest": f"sha256:{zero}", "size": 0}
    content = json.dumps({"schemaVersion": 2, "manifests": [loop]}).encode()
    (layout.directory / "blobs/sha256" / zero).write_bytes(content)
    assert "is damaged" in refused(layout.index(loop | {"size": len(content)}))


def test_indexes_nested_too_deep_are_refused(layout: Layout, refused: Callable[[Path], str]) -> None:
    descriptor = layout.image([layout.blob(layer({"f": b""}), LAYER)])
    for _ in range(9):
        descriptor = layout.document({"schemaVersion": 2, "manifests": [descriptor]}, INDEX)
    assert "more than 8 deep" in refused(layout.index(descriptor))


@pytest.mark.parametrize(
    ("media_type", "content", "why"),
    [
        ("application/json", b"{}", "which is none of a layer"),
        (f"{LAYER}+gzip+encrypted", b"secret", "is encrypted"),
        (f"{LAYER}+gzip", layer({"f": b""}), "says compression gzip, its content none"),
        (LAYER, gzip.compress(layer({"f": b""})), "says compression none, its content gzip"),
    ],
    ids=["not a layer", "encrypted", "not compressed", "compressed"],  # gzip's bytes have the time in them
)
def test_layer_of_a_wrong_kind_is_refused(
    layout: Layout, refused: Callable[[Path], str], media_type: str, content: bytes, why: str
) -> None:
    image = layout.image([layout.blob(content, media_type)])
    assert why in refused(layout.index(image))


def test_encrypted_layer_has_the_command_that_decrypts_it(layout: Layout, cache: Path) -> None:
    image = layout.image([layout.blob(b"secret", f"{LAYER}+encrypted")])
    with pytest.raises(ImageError) as caught:
        import_root(layout.index(image), cache)
    assert "--decryption-key" in str(caught.value.remedy)


def test_artifact_that_is_no_image_is_refused(layout: Layout, refused: Callable[[Path], str]) -> None:
    config = layout.document({}, "application/vnd.oci.empty.v1+json")
    artifact = layout.document({"schemaVersion": 2, "config": config, "layers": []}, MANIFEST)
    assert "it is no image" in refused(layout.index(artifact))


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("oci-layout", '{"imageLayoutVersion": "2.0.0"}', "version is '2.0.0'"),
        ("oci-layout", "[]", "oci-layout cannot be read"),
        ("oci-layout", "{", "oci-layout cannot be read"),
        ("index.json", "{", "index.json cannot be read"),
        ("index.json", '{"manifests": [{}]}', "index.json cannot be read: manifests.0.mediaType"),
        ("index.json", '{"manifests": []}', "it has: none at all"),
        ("index.json", "[" * 100_000, "index.json cannot be read"),
    ],
)
def test_document_that_makes_no_sense_is_named(
    layout: Layout, refused: Callable[[Path], str], file: str, text: str, why: str
) -> None:
    layout.index()
    (layout.directory / file).write_text(text)
    assert why in refused(layout.directory)


def test_layout_without_its_marker_or_index_is_refused(
    layout: Layout, refused: Callable[[Path], str]
) -> None:
    assert "index.json: No such file" in refused(layout.directory)
    layout.index()
    (layout.directory / "oci-layout").unlink()
    assert "oci-layout: No such file" in refused(layout.directory)


def test_fifo_in_place_of_a_blob_is_refused_and_not_waited_for(
    layout: Layout, refused: Callable[[Path], str]
) -> None:
    blob = layout.blob(layer({"f": b""}), LAYER)
    layout.path(blob).unlink()
    os.mkfifo(layout.path(blob))
    assert "is no regular file" in refused(layout.index(layout.image([blob])))


def test_hostile_entry_of_a_layer_is_named_with_its_layer(
    layout: Layout, refused: Callable[[Path], str]
) -> None:
    blob = layout.blob(layer({"../evil": b""}), LAYER)
    assert f"layer {blob['digest']}: '../evil': its name has a '..'" in refused(
        layout.index(layout.image([blob]))
    )

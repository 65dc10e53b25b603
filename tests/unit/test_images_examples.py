"""The builder of the example root file systems, with packages made here."""

import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
MATRICES = sorted(path for path in EXAMPLES.glob("*.toml") if "[[workload]]" in path.read_text())


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_builder", EXAMPLES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Make a Debian package with these files."""

    def package(name: str, **files: str) -> Path:
        if not shutil.which("dpkg-deb"):
            pytest.skip("no dpkg-deb on this system")
        tree = tmp_path / name
        for path, text in files.items():
            place = tree / path.replace("__", "/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
        (tree / "DEBIAN/control").write_text(control)
        made = tmp_path / f"{name}.deb"
        command: list[str | Path] = ["dpkg-deb", "--root-owner-group", "--build", tree, made]
        subprocess.run(command, check=True, capture_output=True)
        return made

    return package


def test_files_of_packages_end_up_below_usr_and_documentation_does_not(
    builder: ModuleType, package: Callable[..., Path]
) -> None:
    deb = package("one", lib__libx="so", usr__share__doc__one="text", etc__conf="key", bin__tool="#!")
    files = builder.root_file_system([deb], builder.Recipe(("one",), files={"etc/own": "mine"}))
    assert files["usr/lib/libx"][1] == b"so"
    assert files["usr/bin/tool"][1] == b"#!"
    assert files["lib"][0].issym()
    assert files["etc/own"][1] == b"mine"
    assert files["etc/conf"][0].uid == 0
    assert "usr/share/doc/one" not in files
    assert files["dev/null"][0].ischr()


def test_archive_hangs_on_the_content_alone(builder: ModuleType, package: Callable[..., Path]) -> None:
    debs = [package("one", a="1", b="2"), package("two", c="3")]
    recipe = builder.Recipe(("one", "two"))
    first = builder.archive(builder.root_file_system(debs, recipe))
    again = dict(reversed(builder.root_file_system(debs, recipe).items()))
    assert builder.archive(again) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert {"a", "b", "c", "etc/passwd", "tmp"} <= set(archive.getnames())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("./lib/x/y.so", "usr/lib/x/y.so"),
        ("./lib", "lib"),
        ("./usr/lib/x", "usr/lib/x"),
        ("./", ""),
        (".", ""),
        ("./libexec/x", "libexec/x"),
    ],
)
def test_name_in_a_package_is_that_of_a_merged_usr(builder: ModuleType, name: str, wanted: str) -> None:
    assert builder.merged(name) == wanted


def test_tool_that_fails_is_told_with_its_last_words_and_a_remedy(builder: ModuleType) -> None:
    with pytest.raises(
        builder.BuildError, match=r"sh -c 'echo why >&2; exit 3': exit code 3: why\nTry: this"
    ):
        builder.run(["sh", "-c", "echo why >&2; exit 3"], remedy="this")


def test_every_recipe_has_a_matrix_that_uses_its_archive(builder: ModuleType) -> None:
    assert {path.stem for path in MATRICES} == set(builder.RECIPES)


@pytest.mark.parametrize("matrix", MATRICES, ids=lambda path: str(path.name))
def test_matrix_of_an_example_names_an_archive_that_can_be_built(builder: ModuleType, matrix: Path) -> None:
    (workload,) = tomllib.loads(matrix.read_text())["workload"]
    assert Path(workload["rootfs"]).stem in builder.RECIPES

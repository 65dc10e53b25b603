"""What is packed for lab hosts."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import wheelhouse
from wheelhouse import MEASURING, ROOT, WheelhouseError, key, pack, pins

from isobench.fallen import reason_of

PINS = r"""
one==1.0 \
    --hash=sha256:aa \
    --hash=sha256:bb
    # via isobench (pyproject.toml)
two-more==2.0 \
    --hash=sha256:cc
    # via
    #   isobench (pyproject.toml)
    #   one
three==3.0 \
    --hash=sha256:dd
    # via two-more
other==4.0 \
    --hash=sha256:ee
    # via isobench (pyproject.toml)
"""

MEASURE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(f"{name} is not on a lab host")

sys.meta_path.insert(0, Refuse())
from importlib import import_module
from pkgutil import iter_modules
import isobench.benchmarks, isobench.cli.run, isobench.isolators
from isobench import engine, isolators, benchmarks, lab, remote
for room in (isolators, benchmarks):
    for module in iter_modules(room.__path__, room.__name__ + "."):
        import_module(module.name)
import_module("isobench.isolators.images.oci")
from isobench.cli import main
sys.exit(main(["run", "--quick", "--plan", "--json"]))
"""


def test_pins_are_those_of_what_is_wanted_and_all_it_needs() -> None:
    kept = pins(PINS, ["one"])
    assert re.findall(r"^([a-z-]+)==", kept, re.MULTILINE) == ["one", "three", "two-more"]
    assert "--hash=sha256:bb" in kept


def test_package_that_is_not_pinned_is_named() -> None:
    with pytest.raises(WheelhouseError, match="does not pin five") as caught:
        pins(PINS, ["one", "five"])
    assert caught.value.remedy == "make pins"


def test_what_measuring_takes_is_pinned_and_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=\[]", line)[0].lower().replace(".", "-") for line in project["dependencies"]}
    assert set(MEASURING) <= declared
    assert all(f"{name}==" in pins(wheelhouse.PINS.read_text()) for name in MEASURING)


def test_everything_that_measures_does_without_what_is_not_packed() -> None:
    packed = re.findall(r"^([a-z0-9-]+)==", pins(wheelhouse.PINS.read_text()), re.MULTILINE)
    every = re.findall(r"^([a-z0-9-]+)==", wheelhouse.PINS.read_text(), re.MULTILINE)
    absent = {name.replace("-", "_") for name in set(every) - set(packed)}
    assert {"numpy", "pandas", "matplotlib", "jinja2"} <= absent
    program = f"ABSENT = {absent!r}\n{MEASURE}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["blocks"] > 0


def test_key_tells_machines_and_versions_of_python_apart() -> None:
    keys = {key("3.11", "x86_64"), key("3.12", "x86_64"), key("3.11", "aarch64")}
    assert len(keys) == 3
    assert key("3.11", "x86_64") in keys


def test_archive_that_is_there_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheelhouse, "_make", lambda *_: pytest.fail("it was made once more"))
    there = tmp_path / f"isobench-{key('3.11', 'x86_64')}-python3.11-x86_64.tar"
    there.touch()
    assert pack("3.11", "x86_64", tmp_path) == (there, key("3.11", "x86_64"), False)


def test_packages_are_downloaded_once_for_as_long_as_the_pins_stay_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads: list[str] = []

    def download(_: Path, python: str, machine: str, house: Path) -> None:
        downloads.append(f"{python} {machine}")
        house.mkdir()
        (house / "one-1.0-py3-none-any.whl").write_text("packed")

    monkeypatch.setattr(wheelhouse, "_download", download)
    monkeypatch.setattr(wheelhouse, "_build", lambda *_: None)
    monkeypatch.setattr(wheelhouse, "_check_compiler", lambda _: None)
    for changed in ("first", "second"):
        monkeypatch.setattr(wheelhouse, "key", lambda *_, name=changed: name)
        archive, name, made = pack("3.11", "x86_64", tmp_path)
        assert (name, made) == (changed, True)
        with tarfile.open(archive) as packed:
            assert "wheelhouse/one-1.0-py3-none-any.whl" in packed.getnames()
    pack("3.12", "x86_64", tmp_path / "other")
    assert downloads == ["3.11 x86_64", "3.12 x86_64"]


def test_other_machine_without_a_cross_compiler_is_told_which_command_brings_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build_agent.importlib.util.find_spec", lambda _: None)
    with pytest.raises(WheelhouseError, match=r"for riscv64 on this ") as caught:
        pack("3.11", "riscv64", tmp_path)
    assert "pip install --require-hashes -r constraints-zig.txt" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_packages_that_cannot_be_had_are_told_in_the_row_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wheelhouse, "_check_compiler", lambda _: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # as without a connection
    monkeypatch.setattr(
        sys, "argv", ["wheelhouse.py", "--python", "3.11", "--machine", "x86_64", str(tmp_path / "kept")]
    )
    assert wheelhouse.main() == 1
    reason, remedy = reason_of({"msg": "non-zero return code", "stderr": capsys.readouterr().err})
    assert "the packages for Python 3.11 on x86_64 could not be had: No matching distribution" in str(reason)
    assert "isobench_host_wheelhouse names the folder" in str(remedy)


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WheelhouseError, match="cannot be made"):
        pack("3.11", "x86_64", tmp_path / "file")

"""Finding isolators and benchmarks by name, built-in and from other packages."""

import importlib.metadata
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from isobench.errors import UsageError
from isobench.isolators.bare import Bare
from isobench.isolators.contract import Isolator
from isobench.isolators.registry import BUILTIN, REGISTRY
from isobench.plugins import Registry

BARE = "isobench.isolators.bare:Bare"


def install(site: Path, package: str, **points: str) -> None:
    """An installed distribution, as far as entry points go."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[isobench.isolators]\n{lines}")


def found_in(site: Path) -> Iterable[EntryPoint]:
    for distribution in importlib.metadata.distributions(path=[str(site)]):
        yield from distribution.entry_points.select(group="isobench.isolators")


def registry(site: Path) -> Registry[Isolator[Any]]:
    return Registry("isolator", Isolator, {"bare": BARE}, found=lambda: found_in(site))


def test_built_in_is_loaded_without_a_look_at_the_environment() -> None:
    def never() -> Iterable[EntryPoint]:
        raise AssertionError("the environment was scanned")

    assert Registry[Bare]("isolator", Isolator, {"bare": BARE}, found=never).load("bare") is Bare


def test_unknown_name_is_refused_with_the_nearest_and_all_allowed() -> None:
    with pytest.raises(
        UsageError, match=r'no isolator "run" \(did you mean "runc"\?\); allowed: bare, chroot'
    ):
        REGISTRY.load("run")


def test_class_of_another_package_is_found_by_its_name(tmp_path: Path) -> None:
    install(tmp_path, "isobench-jail", jail=BARE)

    assert registry(tmp_path).names() == ("bare", "jail")
    assert registry(tmp_path).load("jail") is Bare


def test_name_offered_twice_is_refused_with_both_packages(tmp_path: Path) -> None:
    install(tmp_path, "jail-one", jail=BARE)
    install(tmp_path, "jail-two", jail=BARE)

    with pytest.raises(UsageError, match="more than one package") as error:
        registry(tmp_path).load("jail")

    assert {"jail-one", "jail-two"} <= set(str(error.value).replace(",", "").split())


def test_name_of_a_built_in_offered_by_a_package_is_listed_as_a_clash(tmp_path: Path) -> None:
    install(tmp_path, "impostor", bare=BARE)

    good, bad = registry(tmp_path).entries()

    assert good.cls is Bare
    assert bad.cls is None
    assert bad.reason == 'the isolator "bare" is offered by more than one package: isobench, impostor'
    assert bad.remedy == "remove one of them: pip uninstall impostor"


def test_broken_plugin_is_named_and_takes_no_other_down(tmp_path: Path) -> None:
    install(tmp_path, "broken-jail", jail="no_such_module:Jail")
    install(tmp_path, "odd-jail", odd="pathlib:Path")
    install(tmp_path, "good-jail", good=BARE)

    entries = {entry.name: entry for entry in registry(tmp_path).entries()}

    assert entries["bare"].cls is entries["good"].cls is Bare
    assert "package broken-jail cannot be imported: ModuleNotFoundError" in str(entries["jail"].reason)
    assert entries["jail"].remedy == "mend or remove it: pip uninstall broken-jail"
    assert "not a subclass of isobench.isolators.contract.Isolator" in str(entries["odd"].reason)


def test_plugin_that_raises_on_import_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "isobench_raises.py").write_text("1 / 0\n")
    install(tmp_path, "raising-jail", jail="isobench_raises:Jail")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    with pytest.raises(UsageError, match="raising-jail cannot be imported: ZeroDivisionError"):
        registry(tmp_path).load("jail")


@pytest.mark.parametrize("kind", BUILTIN)
def test_every_built_in_loads_and_bears_its_name(kind: str) -> None:
    assert REGISTRY.load(kind).kind == kind

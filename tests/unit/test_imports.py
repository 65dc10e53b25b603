"""Imports run one way, heavy libraries stay in the reports, and asking for help loads nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "isobench"
ROOMS = ("isolators", "benchmarks", "reports")
FACES = ("cli", "pytest_plugin")
"""What people call: they may use all rooms, and nothing uses them."""
HEAVY = {"numpy", "scipy", "pandas", "matplotlib"}
FOUNDATION = {"isobench.model", "isobench.errors"}


@cache
def sources() -> Mapping[str, Path]:
    """Module name → file, for all of isobench."""
    found = {}
    for path in sorted(PACKAGE.glob("*.py")) + [
        file for folder in (*ROOMS, *FACES) for file in sorted((PACKAGE / folder).rglob("*.py"))
    ]:
        parts = ("isobench", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imported(module: str) -> frozenset[str]:
    """Every module that one imports anywhere in its code; ``from package import name`` as the submodule."""
    tree = ast.parse(sources()[module].read_text())
    return frozenset(name for node in ast.walk(tree) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports would hide a direction from this test"
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield submodule if submodule in sources() else str(node.module)


@cache
def reach(module: str) -> frozenset[str]:
    """Every module of isobench that one pulls in, over any number of steps, itself not counted."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for name in imported(waiting.pop()):
            if name in sources() and name not in seen:
                seen.add(name)
                waiting.append(name)
    return frozenset(seen)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in {*ROOMS, *FACES} else ""


def test_modules_of_every_room_are_seen_by_these_tests() -> None:
    assert {room_of(module) for module in sources()} == {*ROOMS, *FACES, ""}


@pytest.mark.parametrize("module", sources())
def test_imports_of_a_module_make_no_circle(module: str) -> None:
    assert module not in reach(module)


@pytest.mark.parametrize(
    ("room", "out_of_reach"),
    [
        ("isolators", {"benchmarks", "reports", *FACES}),
        ("benchmarks", {"reports", *FACES}),
        ("reports", {"isolators", "benchmarks", *FACES}),
        ("", {"reports", *FACES}),
        ("cli", {"pytest_plugin"}),
        ("pytest_plugin", {"cli"}),
    ],
)
def test_a_room_reaches_nothing_above_or_beside_it(room: str, out_of_reach: set[str]) -> None:
    wrong = {
        f"{module} -> {name}"
        for module in sources()
        if room_of(module) == room and module != "isobench.__main__"
        for name in reach(module)
        if room_of(name) in out_of_reach
    }
    assert not wrong


@pytest.mark.parametrize("module", sorted(FOUNDATION))
def test_the_foundation_imports_nothing_of_ours_but_itself(module: str) -> None:
    assert reach(module) <= FOUNDATION


def test_heavy_libraries_are_imported_by_reports_only() -> None:
    users = {
        module for module in sources() if any(name.partition(".")[0] in HEAVY for name in imported(module))
    }
    assert {room_of(module) for module in users} <= {"reports"}
    assert users, "the reports are drawn with something"


def test_rooms_are_imported_under_the_package_only() -> None:
    bare = {
        f"{module} imports {name}"
        for module in sources()
        for name in imported(module)
        if name.partition(".")[0] in ROOMS
    }
    assert not bare


@pytest.mark.parametrize(
    "arguments",
    [["-c", "import isobench"], ["-m", "isobench", "--help"]],
    ids=" ".join,
)
def test_asking_for_help_loads_no_heavy_library(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "isobench" in loaded
    assert not loaded & (HEAVY | {"jinja2", "rich", "pydantic", "psutil"})

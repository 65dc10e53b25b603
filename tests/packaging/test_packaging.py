"""What a user installs: sdist → wheel → an empty environment, from the tracked files alone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from build_agent import BuildError, find_compiler

from isobench import __version__

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("isolators", "benchmarks", "reports")
AGENT = "isobench/benchmarks/agent/isoagent"


def run(
    argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **(env or {})}
    return subprocess.run(argv, check=False, cwd=cwd, env=environment, capture_output=True, text=True)


def tracked() -> list[str]:
    """The files git has, without those deleted in the work tree."""
    # The user's own git settings may distrust a work tree of another owner.
    listing = run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], ROOT)
    assert listing.returncode == 0, listing.stderr
    return [name for name in listing.stdout.split("\0") if name and os.path.lexists(ROOT / name)]


def expected_files() -> set[str]:
    """Where every tracked file of the package ends up in the wheel."""
    package = {
        name.removeprefix("src/")
        for name in tracked()
        if name.startswith("src/isobench/") and name.endswith((".py", "/py.typed"))
    }
    rooms = {
        f"isobench/{name}"
        for name in tracked()
        if name.partition("/")[0] in ROOMS
        and (name.endswith((".py", ".c", ".h")) or name.startswith("reports/templates/"))
    }
    return package | rooms | {AGENT}


def need_compiler() -> None:
    try:
        find_compiler()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked files, links kept as links."""
    copy = tmp_path_factory.mktemp("packaging") / "tree"
    for name in tracked():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return copy


@pytest.fixture(scope="session")
def dist(tree: Path) -> Path:
    """The folder with the sdist, and the wheel built from it."""
    need_compiler()
    done = run([sys.executable, "-m", "build", "--no-isolation", "."], tree)
    assert done.returncode == 0, done.stdout + done.stderr
    return tree / "dist"


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel; it borrows the dependencies from ours, behind its own."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    made = run([sys.executable, "-m", "venv", "--without-pip", venv], wheel.parent)
    assert made.returncode == 0, made.stderr
    python = str(venv / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", str(wheel)]
    done = run(pip, wheel.parent)
    assert done.returncode == 0, done.stderr
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv


@pytest.mark.parametrize("room", ROOMS)
def test_link_of_a_room_is_relative_and_stays_inside_the_repository(room: str) -> None:
    link = ROOT / "src" / "isobench" / room
    assert str(link.readlink()) == f"../../{room}"
    assert link.resolve() == ROOT / room
    assert f"src/isobench/{room}" in tracked(), "the link itself is committed"


def test_wheel_holds_exactly_the_tracked_modules_data_and_the_agent(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected_files()


def test_wheel_is_of_this_platform_and_any_python_3(wheel: Path) -> None:
    platform = sysconfig.get_platform().replace("-", "_")
    assert wheel.name == f"isobench-{__version__}-py3-none-{platform}.whl"


def test_sdist_holds_sources_and_no_binary_and_leads_nowhere_outside(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    wanted = {f"src/{name}" for name in expected_files() if name != AGENT}
    assert wanted | {"scripts/build_agent.py", "scripts/build_backend.py", "LICENSE"} <= names
    assert not [name for name in names if name.endswith("isoagent")]
    assert all(member.isfile() or member.isdir() for member in members)


def test_installed_command_runs_from_its_own_environment(installed: Path, tmp_path: Path) -> None:
    done = run([installed / "bin" / "isobench", "--version"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout
    where = run([installed / "bin" / "python", "-c", "import isobench; print(isobench.__file__)"], tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed)


def test_installed_package_offers_its_pytest_plugin(installed: Path, tmp_path: Path) -> None:
    """And its own modules, which pytest then rewrites for the sake of assertions, warn of nothing."""
    (tmp_path / "test_none.py").write_text("def test_none(): pass\n")
    suite = run(
        [installed / "bin" / "python", "-W", "error", "-m", "pytest", "--trace-config", "test_none.py"],
        tmp_path,
        {"PYTHONPATH": ""},
    )
    assert suite.returncode == 0, suite.stdout + suite.stderr
    (line,) = [line for line in suite.stdout.splitlines() if line.split()[:2] == ["isobench", ":"]]
    assert str(installed) in line


def test_installed_agent_is_executable(installed: Path, tmp_path: Path) -> None:
    (agent,) = installed.glob(f"lib/python3*/site-packages/{AGENT}")
    done = run([agent, "ready"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_installed_doctor_runs_and_names_every_isolator(installed: Path, tmp_path: Path) -> None:
    done = run(
        [installed / "bin" / "isobench", "doctor"], tmp_path, {"ISOBENCH_STATE": str(tmp_path / "state")}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("bare", "chroot", "namespaces", "cgroups", "lxc", "runc", "qemu"):
        assert name in done.stdout


def test_editable_install_builds_the_agent_in_place(tree: Path, tmp_path: Path) -> None:
    need_compiler()
    copy = shutil.copytree(tree, tmp_path / "tree", symlinks=True)
    target = tmp_path / "site"
    done = run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            target,
            "-e",
            ".",
        ],
        copy,
    )
    assert done.returncode == 0, done.stderr
    assert os.access(copy / "benchmarks" / "agent" / "isoagent", os.X_OK)


def test_wheel_without_a_compiler_fails_and_names_the_packages_to_install(tree: Path, tmp_path: Path) -> None:
    if find_spec("ziglang"):
        pytest.skip("the ziglang package is a compiler too, and it is installed")
    copy = shutil.copytree(tree, tmp_path / "tree", symlinks=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "."]
    done = run(command, copy, {"PATH": str(tmp_path)})
    assert done.returncode != 0
    assert "apt-get install --no-install-recommends musl-tools gcc" in done.stdout + done.stderr


def test_wheel_for_a_machine_that_only_renders_needs_no_compiler(tree: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tree, tmp_path / "tree", symlinks=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "."]
    done = run(command, copy, {"PATH": str(tmp_path), "ISOBENCH_BUILD_AGENT": "no"})
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert AGENT not in archive.namelist()

"""Pack what a lab host needs to measure: ``wheelhouse.py --python 3.11 --machine x86_64 FOLDER``.

One archive for each version of Python and kind of machine: isobench as a wheel with the agent compiled for
that machine, the packages it needs to measure, and a pip to install them with. With it a host needs no
network, no compiler and no pip of its own. Reports are made elsewhere, so what draws them is left out.

The archive is named after everything that goes into it: while that stays the same it is made once. What is
downloaded for it is kept beside it, named after the pins: a change of isobench itself needs no connection.
Prints JSON: ``archive``, ``key`` and ``made``, whether it was made now.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from build_agent import BuildError, find_compiler

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints.txt"
SOURCES = ("benchmarks", "isolators", "reports", "scripts", "src")
FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.py")

MEASURING = ("psutil", "pydantic", "qemu-qmp", "rich", "typer", "zstandard")
"""The dependencies that measuring takes, besides what these need themselves."""

NEWEST_GLIBC = 28
"""Packages for glibc 2.28 and older are taken: every supported distribution has that."""

_PIN = re.compile(r"^([a-z0-9-]+)==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+((?:    #.*\n)*)", re.MULTILINE)
_USER = re.compile(r"#(?: +via)? +([a-z0-9-]+)$", re.MULTILINE)
_NEEDS_INDEX = (
    "run it with a connection to a Python package index, or bring the archive from a controller that has "
    "one: isobench_host_wheelhouse names the folder it is looked for in"
)


class WheelhouseError(Exception):
    """It cannot be packed; the message says why, ``remedy`` which command mends it."""

    def __init__(self, message: str, remedy: str, said: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.said = said
        """The last lines of the tool that failed."""


def pins(text: str, wanted: Sequence[str] = MEASURING) -> str:
    """The lines of a constraints.txt for some packages and all that they need themselves.

    Who needs a package stands in the comment below it ("via").
    """
    found = {match[1]: match for match in _PIN.finditer(text)}
    via = {name: set(_USER.findall(match[2])) for name, match in found.items()}
    kept = set(wanted)
    while more := {name for name, users in via.items() if users & kept} - kept:
        kept |= more
    if missing := kept - found.keys():
        raise WheelhouseError(f"{PINS} does not pin {', '.join(sorted(missing))}", "make pins")
    return "".join(found[name][0] for name in sorted(kept))


def key(python: str, machine: str) -> str:
    """Tells this content from any other: 16 digits of the SHA-256 of all it is made from."""
    total = hashlib.sha256(f"{python} {machine} {NEWEST_GLIBC}".encode())
    for path in _sources():
        total.update(
            str(path.relative_to(ROOT)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest()
        )
    return total.hexdigest()[:16]


def _sources() -> Iterator[Path]:
    yield PINS
    yield from (ROOT / name for name in FILES)
    for folder in SOURCES:
        yield from sorted(path for path in (ROOT / folder).rglob("*") if _counts(path))


def _counts(path: Path) -> bool:
    """What is made from the sources is no source."""
    parts = path.relative_to(ROOT).parts
    made = (
        "__pycache__" in parts or path.name == "isoagent" or any(part.endswith(".egg-info") for part in parts)
    )
    return path.is_file() and not made


def pack(python: str, machine: str, folder: Path) -> tuple[Path, str, bool]:
    """The archive in ``folder``, its key, and whether it was made now. Raises WheelhouseError."""
    name = key(python, machine)
    archive = folder / f"isobench-{name}-python{python}-{machine}.tar"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # hosts that are provisioned side by side ask at once
            if archive.exists():
                return archive, name, False
            with tempfile.TemporaryDirectory(dir=folder, prefix=".draft-") as draft:
                _make(Path(draft), python, machine).rename(archive)
    except OSError as error:
        raise WheelhouseError(
            f"{folder}: the archive for lab hosts cannot be made: {error}",
            "name another folder: isobench_host_wheelhouse",
        ) from error
    return archive, name, True


def _make(draft: Path, python: str, machine: str) -> Path:
    house = draft / "wheelhouse"
    house.mkdir()
    _check_compiler(machine)
    for wheel in _packages(draft, python, machine).iterdir():
        shutil.copy(wheel, house)
    _build(draft / "tree", machine, house)
    _copy_pip(house / "pip.zip")
    made = draft / "made.tar"
    with tarfile.open(made, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(house, "wheelhouse")
    return made


def _check_compiler(machine: str) -> None:
    try:
        find_compiler(machine)
    except BuildError as error:
        why, _, remedy = str(error).partition("\nmend it with: ")
        raise WheelhouseError(why, f"{remedy}   (in {ROOT})") from error


def _packages(draft: Path, python: str, machine: str) -> Path:
    """A folder beside the archives with the packages that are pinned, downloaded if there is none yet."""
    text = pins(PINS.read_text())
    name = hashlib.sha256(f"{python} {machine} {NEWEST_GLIBC} {text}".encode()).hexdigest()[:16]
    place = draft.parent / f"packages-{name}-python{python}-{machine}"
    if not place.exists():
        (draft / "pins.txt").write_text(text)
        _download(draft / "pins.txt", python, machine, draft / "packages")
        (draft / "packages").rename(place)
    return place


def _download(wanted: Path, python: str, machine: str, house: Path) -> None:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 4, -1)]
    of_host = ["--implementation", "cp", "--python-version", python]
    for platform in (*platforms, f"manylinux2014_{machine}"):
        of_host += ["--platform", platform]
    what = ["--only-binary=:all:", "--no-deps", "--require-hashes", "-r", str(wanted)]
    _pip(
        ["download", *what, *of_host, "--dest", str(house)],
        why_not=f"the packages for Python {python} on {machine} could not be had",
        remedy=_NEEDS_INDEX,
    )


def _build(tree: Path, machine: str, house: Path) -> None:
    """The wheel of isobench itself, from a copy: a build leaves things in its tree."""
    out = shutil.ignore_patterns("__pycache__", "isoagent", "*.egg-info")
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=out)
    for name in FILES:
        shutil.copy2(ROOT / name, tree / name)
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    _pip(
        ["wheel", "--no-deps", *isolation, "--wheel-dir", str(house), str(tree)],
        why_not=f"the wheel of isobench for {machine} could not be built",
        remedy="make setup",
        machine=machine,
    )


def _copy_pip(archive: Path) -> None:
    """Our own pip. Python runs it straight from the archive, so that no host needs ensurepip."""
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        raise WheelhouseError(f"{sys.executable} has no pip", "make setup")
    package = Path(spec.origin).parent
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(package.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                packed.write(file, file.relative_to(package.parent))


def _pip(arguments: Sequence[str], *, why_not: str, remedy: str, machine: str = "") -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "ISOBENCH_MACHINE": machine, "ISOBENCH_BUILD_AGENT": ""},
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("WARNING")]
        last = said[-1].strip().removeprefix("ERROR: ") if said else f"exit code {done.returncode}"
        raise WheelhouseError(f"{why_not}: {last}", remedy, said[-10:])


def main() -> int:
    """Pack it and say where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", required=True, metavar="3.N", help="version of the host's Python")
    parser.add_argument("--machine", required=True, help="of the host, as `uname -m` says it")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where archives are kept")
    wanted = parser.parse_args()
    try:
        archive, name, made = pack(wanted.python, wanted.machine, wanted.folder)
    except WheelhouseError as error:
        # In the form of errors of isobench: the row of the host is made from it (src/isobench/fallen.py).
        print(*error.said, f"error: {error}", f"remedy: {error.remedy}", sep="\n", file=sys.stderr)
        return 1
    print(json.dumps({"archive": str(archive), "key": name, "made": made}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

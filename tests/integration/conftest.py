"""A place on this host for tests that start isolators, which asserts that nothing is left there."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench.isolators import residue
from isobench.isolators.contract import Site
from isobench.isolators.site import open_site

SOURCE = Path(__file__).parent / "programs" / "misbehave.c"


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, agent: Path) -> Iterator[Path]:
    """A state directory every user can enter, as /var/lib/isobench is; pytest's own are for root alone."""
    place = Path(tempfile.mkdtemp(prefix="isobench-test-"))
    place.chmod(0o755)
    monkeypatch.setenv("ISOBENCH_STATE", str(place))
    monkeypatch.setenv("ISOBENCH_AGENT", str(agent))
    yield place
    shutil.rmtree(place)


@pytest.fixture
def site(state: Path) -> Iterator[Site]:
    """A run's place. Whatever a test starts there must be gone at its end, and the shared root unchanged."""
    with open_site() as site:
        before = tree(site.rootfs)
        yield site
        assert [str(stray) for stray in residue.strays(site)] == []
        assert tree(site.rootfs) == before
    assert residue.find(site.token) == ()
    assert list((state / "run").iterdir()) == []


@pytest.fixture(scope="session")
def misbehave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program that does what a workload should not; it runs inside every isolator."""
    compiler = shutil.which("musl-gcc")
    if not compiler:
        pytest.skip("no musl-gcc to compile the test's workload: apt-get install musl-tools")
    made = tmp_path_factory.mktemp("programs") / "misbehave"
    subprocess.run([compiler, "-static", "-O1", "-Wall", "-Werror", "-o", made, SOURCE], check=True)
    return made


def tree(directory: Path) -> list[tuple[str, int, int]]:
    """Every path below a directory with its mode and size."""
    return [
        (str(path), path.lstat().st_mode, path.lstat().st_size if path.is_file() else 0)
        for path in sorted(directory.rglob("*"))
    ]


@pytest.fixture(autouse=True)
def same_mounts() -> Iterator[None]:
    """No test may change what is mounted on the host."""
    before = mount_points()
    yield
    assert mount_points() == before


def mount_points() -> list[str]:
    """All but the one that `ip netns` makes of its own directory when it is first used, and keeps."""
    found = (line.split()[4] for line in Path(f"/proc/{os.getpid()}/mountinfo").read_text().splitlines())
    return sorted(point for point in found if point != "/run/netns")

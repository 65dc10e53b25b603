"""The shipped examples, built from Debian packages by the documented command, get ready in every isolator."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isobench.isolators import guestkernel
from isobench.isolators.contract import Site
from isobench.isolators.requirements import find_tool
from isobench.matrix import Matrix, read_matrix
from isobench.model import Event, Status
from isobench.starter import batch
from isobench.workloads import make_ready

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("python", "redis", "nginx")
KERNEL = guestkernel.find(None)
"""Looked for before the tests point the state elsewhere."""
TIMEOUT_S = 60.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),  # packages are downloaded, guests emulated
    pytest.mark.skipif(os.geteuid() != 0, reason="a root file system of one's own needs root"),
    pytest.mark.skipif(
        find_tool("qemu-system-x86_64") is None or not isinstance(KERNEL, Path),
        reason="QEMU or a kernel for its guest is missing: make setup",
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the matrices and the archives they name."""
    folder = tmp_path_factory.mktemp("examples")
    for name in NAMES:
        shutil.copy(EXAMPLES / f"{name}.toml", folder)
    subprocess.run([sys.executable, EXAMPLES / "build.py", *NAMES, "--out", folder], check=True)
    return folder


def first_start(site: Site, matrix: Matrix, kind: str) -> Event:
    """One start of the workload of an example, in an isolator as its matrix has it."""
    (entry,) = (entry for entry in matrix.isolators if entry.kind == kind)
    if kind == "qemu":
        options = entry.options.model_copy(update={"accel": "tcg", "kernel": str(KERNEL)})
        isolator = type(entry.create())(entry.name, options)
    else:
        isolator = entry.create()
    (workload,) = make_ready(matrix.used_workloads(), site.cache).values()
    with isolator.prepare(site, workload.bundle) as launch:
        (event,) = batch(site.agent, launch, 1, timeout_s=TIMEOUT_S, stop_when_ready=True)
    return event


@pytest.mark.parametrize("name", NAMES)
def test_example_gets_ready_in_every_isolator_as_its_matrix_has_it(
    site: Site, built: Path, name: str
) -> None:
    matrix = read_matrix(built / f"{name}.toml")
    ends = {entry.kind: first_start(site, matrix, entry.kind) for entry in matrix.isolators}
    assert set(ends) == {"bare", "chroot", "namespaces", "cgroups", "lxc", "runc", "qemu"}
    for kind, event in ends.items():
        assert (kind, event.status, event.reason, event.ready_count) == (kind, Status.OK, None, 1)

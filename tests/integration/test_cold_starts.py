"""Cold starts: what a start needs from the disk is not in the page cache just before its invoke."""

import os
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from isobench import starter
from isobench.benchmarks import caches
from isobench.benchmarks.contract import Context
from isobench.benchmarks.startup import Startup, StartupParams
from isobench.isolators.contract import Site, agent_bundle
from isobench.isolators.registry import REGISTRY
from isobench.isolators.requirements import tool_path
from isobench.model import Cell, Launch, Status, Step

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="drops the page cache: needs root"),
]

LOOK = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    static unsigned char in_core[1 << 20];
    struct stat s;
    int fd = open(argv[1], O_RDONLY);
    fstat(fd, &s);
    void *m = mmap(0, s.st_size, PROT_READ, MAP_SHARED, fd, 0);
    long pages = (s.st_size + 4095) / 4096, found = 0;
    if (argc != 3 || m == MAP_FAILED || mincore(m, s.st_size, in_core))
        return 1;
    for (long k = 0; k < pages; k++)
        found += in_core[k] & 1;
    FILE *out = fopen(argv[2], "a");
    fprintf(out, "%ld %ld\\n", found, pages);
    return fclose(out);
}
"""
"""Adds to a file how many pages of another are in the page cache, and how many it has; mincore(2)."""


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("look") / "look"
    source = made.with_suffix(".c")
    source.write_text(LOOK)
    subprocess.run(["cc", "-O1", "-o", made, source], check=True)
    return made


def seen(look: Path, launch: Launch, file: Path, tmp_path: Path, *, agent: Path, cold: bool) -> list[int]:
    """How many pages of a file were cached before the first step of each of two starts."""
    notes = tmp_path / "notes"
    notes.unlink(missing_ok=True)
    watched = replace(launch, steps=(Step((str(look), str(file), str(notes))), *launch.steps))
    with closing(starter.batch(agent, watched, 2, timeout_s=60, cold=cold)) as events:
        assert [(event.status, event.reason) for event in events] == [(Status.OK, None)] * 2
    pages = [[int(word) for word in line.split()] for line in notes.read_text().splitlines()]
    assert all(total > 10 for _, total in pages)
    return [cached for cached, _ in pages]


def test_workload_is_not_cached_before_a_cold_start_and_is_before_a_warm_one(
    look: Path, site: Site, tmp_path: Path
) -> None:
    bare = REGISTRY.load("bare")
    bundle = agent_bundle(site, "ready")
    with caches.agent_copy(site) as agent, bare("bare", bare.Options()).prepare(site, bundle) as launch:
        assert seen(look, launch, site.agent, tmp_path, agent=agent, cold=True) == [0, 0]
        assert min(seen(look, launch, site.agent, tmp_path, agent=agent, cold=False)) > 0


def test_agent_that_is_executed_itself_would_stay_cached(look: Path, site: Site, tmp_path: Path) -> None:
    """Why cold starts are made by a copy."""
    bare = REGISTRY.load("bare")
    with bare("bare", bare.Options()).prepare(site, agent_bundle(site, "ready")) as launch:
        assert min(seen(look, launch, site.agent, tmp_path, agent=site.agent, cold=True)) > 0


def test_binary_of_runc_is_not_cached_before_a_cold_start(look: Path, site: Site, tmp_path: Path) -> None:
    runc = REGISTRY.load("runc")
    binary = Path(tool_path("runc", "runc")).resolve()
    bundle = agent_bundle(site, "ready")
    with caches.agent_copy(site) as agent, runc("runc", runc.Options()).prepare(site, bundle) as launch:
        assert seen(look, launch, binary, tmp_path, agent=agent, cold=True) == [0, 0]


def test_cold_cell_is_measured_where_it_is_allowed(site: Site) -> None:
    allowed = replace(site, allow_drop_caches=True)
    cell = Cell("namespaces", "startup", "ready", {"caches": "cold"})
    lack = Startup().lack(cell, allowed)
    assert lack is None, f"{lack.reason}; {lack.remedy}"
    namespaces = REGISTRY.load("namespaces")
    context = Context(allowed, StartupParams(starts=2), block=0, timeout_s=60)
    found = list(Startup().measure(cell, namespaces("namespaces", namespaces.Options()), context))
    assert [(one.status, one.reason) for one in found] == [(Status.OK, None)] * 2
    assert all(one.value for one in found)

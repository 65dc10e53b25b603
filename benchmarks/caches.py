"""Cold starts: what a host must have, and allow, for them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isobench.host import file_system
from isobench.isolators.contract import Site
from isobench.model import Readiness, unavailable
from isobench.procfs import MOUNTINFO, parse_mountinfo, read_names

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
"""Documentation/admin-guide/sysctl/vm.rst of the kernel: 3 drops clean pages, dentries and inodes."""

_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def lack(site: Site) -> Readiness | None:
    """Why nothing can be started cold here; None: it can be."""
    if not site.allow_drop_caches:
        return unavailable(
            "a cold start drops the page cache of the whole host, for which it takes your leave",
            "isobench run --allow-drop-caches",
        )
    try:
        with DROP_CACHES.open("wb"):  # to open it drops nothing
            pass
    except OSError as error:
        return unavailable(
            f"the page cache cannot be dropped: {DROP_CACHES}: {error.strerror}",
            "run it as root, on a host whose /proc/sys is writable",
        )
    kind = (file_system(site.rootfs, parse_mountinfo(read_names(MOUNTINFO))) or "").partition(" ")[0]
    if kind in _IN_MEMORY:
        return unavailable(
            f"the workload's file lies in memory and is never cold: {site.rootfs} is on {kind}",
            "ISOBENCH_STATE=/var/lib/isobench isobench run --allow-drop-caches   (a directory on a disk)",
        )
    return None


@contextmanager
def agent_copy(site: Site) -> Iterator[Path]:
    """A copy of the agent to start from: pages that a process has mapped are never dropped.

    The agent's own file is the workload's too, and would stay in the page cache as long as it is executed.
    """
    with tempfile.TemporaryDirectory(dir=site.work, prefix="starter-") as directory:
        copy = Path(directory) / site.agent.name
        shutil.copyfile(site.agent, copy)
        copy.chmod(0o755)
        yield copy

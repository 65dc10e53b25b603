"""What the engine asks of the host, gathered in one value, so that a test can be another host."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isobench import tuning
from isobench.host import file_system, fingerprint, tool_record
from isobench.isolators import readiness, residue
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.drain import Drain, Drained
from isobench.isolators.site import open_site
from isobench.model import Readiness
from isobench.procfs import MOUNTINFO, parse_mountinfo, read_names
from isobench.state import lock_path


@dataclass(frozen=True, slots=True)
class Lab:
    """A host to measure on."""

    open_site: Callable[[], AbstractContextManager[Site]]
    check: Callable[[Isolator[Any], Site], Readiness]
    """Whether an isolator really starts something here."""
    strays: Callable[[Site], Sequence[object]]
    """What a cell has left behind, one object each; their ``str`` says what it is."""
    rest: Callable[[Site], Callable[[float], Drained]]
    """A wait of so many seconds at most until the kernel has cleaned up after what ran before."""
    host: Callable[[Site], Mapping[str, Any]]
    """The fingerprint of the host."""
    tool: Callable[[str], Mapping[str, Any]]
    """``path``, ``version`` and ``sha256`` of a host program."""
    lock: Path
    """The file whose lock stands for the host."""
    root: Path
    """Where the files of its settings begin: ``/``."""


def this_host(*, allow_drop_caches: bool = False) -> Lab:
    """The host we are on; ``allow_drop_caches``: its user lets us drop the page cache before cold starts."""
    return Lab(
        open_site=partial(open_site, allow_drop_caches=allow_drop_caches),
        check=readiness.check,
        strays=residue.strays,
        rest=lambda site: Drain(site.cgroups).wait,
        host=_fingerprint,
        tool=tool_record,
        lock=lock_path(),
        root=tuning.HOST,
    )


def _fingerprint(site: Site) -> Mapping[str, Any]:
    mounts = parse_mountinfo(read_names(MOUNTINFO))
    return {
        **fingerprint(),
        "cgroup_mode": site.cgroups.mode,
        "work_file_system": file_system(site.work, mounts),
    }

"""A host that is none, to try the engine, the command line and the reports on without root, tools or time.

It goes with the isolator and the benchmark ``fake``: what they script is all that happens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from isobench.isolators.cgroup.tree import CgroupTree
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.drain import Drained
from isobench.lab import Lab
from isobench.model import Readiness


def fake_lab(state: Path, **host: object) -> Lab:
    """A lab whose only real thing is the lock in ``state``; ``host`` adds to its fingerprint.

    Its settings are whatever files there are in ``state/host``.
    """

    @contextmanager
    def open_site() -> Iterator[Site]:
        # Nothing of the fake isolator or benchmark touches cgroups.
        nothing = cast(CgroupTree, None)
        yield Site(
            "isobench-00000000", state / "work", state / "cache", state / "agent", state / "root", nothing
        )

    def check(isolator: Isolator[Any], site: Site) -> Readiness:
        return isolator.probe(site)

    return Lab(
        open_site=open_site,
        check=check,
        strays=lambda _site: (),
        rest=lambda _site: lambda _limit_s: Drained(0.0, 0.0, 0.0),
        host=lambda _site: {"hostname": "fake", "kernel": "6.1", "cpu": {"model": "none"}, **host},
        tool=lambda name: {"path": f"/usr/bin/{name}", "version": "1.0", "sha256": "0" * 64},
        lock=state / "lock",
        root=state / "host",
    )

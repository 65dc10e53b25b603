"""chroot: a root of its own for the workload, nothing else (chroot(2))."""

from collections.abc import Iterator
from contextlib import contextmanager

from isobench.isolators import own
from isobench.isolators.bare import in_chroot
from isobench.isolators.contract import Isolator, Options, Site
from isobench.isolators.requirements import need_root
from isobench.model import NO_LIMITS, READY, Bundle, Capabilities, Launch, Limits, Readiness


class Chroot(Isolator[Options]):
    """Start the workload with the shared root file system as its root."""

    kind = "chroot"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(phases=frozenset({"invoke", "spawned", "first_instruction", "ready", "exit"}))

    def probe(self, site: Site) -> Readiness:
        return need_root("chroot(2)") or READY

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        with own.writable_roots(site, bundle, slots, proc=True) as inside:
            yield in_chroot(inside)

"""bare: fork and exec with no isolation at all. The floor of the harness, shown in every table."""

from collections.abc import Iterator
from contextlib import contextmanager

from isobench.isolators import own
from isobench.isolators.contract import Isolator, Options, Site
from isobench.model import NO_LIMITS, READY, Bundle, Capabilities, Launch, Limits, Readiness


def on_host(bundle: Bundle) -> Launch:
    """The workload as an ordinary process of the host.

    The agent is executed where it lies. A workload of a user finds its libraries and files only in its own
    root file system, which it gets by the least there is: chroot(2).
    """
    if bundle.own:
        return in_chroot(bundle)
    argv = (f"{bundle.root}{bundle.argv[0]}", *bundle.argv[1:])
    return Launch(host_argv=argv, spawn=argv, env=bundle.env, ready=bundle.ready)


def in_chroot(bundle: Bundle) -> Launch:
    """The workload with its root file system as its root, nothing else (chroot(2))."""
    return Launch(
        host_argv=bundle.argv,
        spawn=bundle.argv,
        env=own.environment(bundle) if bundle.own else bundle.env,
        ready=bundle.ready,
        root=bundle.root,
        root_change="chroot",
    )


class Bare(Isolator[Options]):
    """Start the workload as an ordinary process (clone3 with CLONE_VFORK, exec)."""

    kind = "bare"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(phases=frozenset({"invoke", "spawned", "first_instruction", "ready", "exit"}))

    def probe(self, site: Site) -> Readiness:
        return READY

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        with own.writable_roots(site, bundle, slots, proc=True) as inside:
            yield on_host(inside)

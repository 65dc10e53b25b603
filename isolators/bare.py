"""bare: fork and exec with no isolation at all. The floor of the harness, shown in every table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from isobench.isolators.contract import Isolator, Options, Site
from isobench.model import NO_LIMITS, READY, Capabilities, Launch, Limits, Readiness


def on_host(site: Site, command: Sequence[str]) -> tuple[str, ...]:
    """The command as the host executes it: its program is the file inside the shared root file system."""
    return (f"{site.rootfs}{command[0]}", *command[1:])


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
        self, site: Site, command: Sequence[str], limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        argv = on_host(site, command)
        yield Launch(host_argv=argv, spawn=argv)

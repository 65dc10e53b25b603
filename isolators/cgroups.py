"""cgroups: a cgroup of its own for the workload, made, set, entered and removed by the agent itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from isobench.isolators import own
from isobench.isolators.bare import on_host
from isobench.isolators.contract import Isolator, Options, Site
from isobench.model import NO_LIMITS, Bundle, Capabilities, Launch, Limits, Readiness


class Cgroups(Isolator[Options]):
    """Start the workload in new cgroups, one in each hierarchy that limits or accounts for CPU.

    Making the groups and writing the limits is inside the timed path, as it is for runc and LXC. On
    cgroup v2 the workload is born inside (CLONE_INTO_CGROUP); on v1 it enters just before exec.
    """

    kind = "cgroups"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            phases=frozenset(
                {"invoke", "created", "spawned", "first_instruction", "ready", "exit", "cleaned"}
            ),
            limits=frozenset({"cpu", "memory"}),
            t0="just before the first mkdir(2) of its cgroups",
            covers="the workload alone",
        )

    def probe(self, site: Site) -> Readiness:
        return site.cgroups.writable()

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        name, tree, memory = f"{site.token}/{self.kind}-{{n}}", site.cgroups, limits.memory_bytes
        writes = tree.cpu_limit_writes(name, limits.cpu) if limits.cpu else ()
        if memory is not None:
            writes = (*writes, *tree.memory_limit_writes(name, memory))
        with own.writable_roots(site, bundle, slots, proc=True) as inside:
            yield replace(
                on_host(inside),
                cgroups=tree.directories(name) if memory is None else tree.memory_directories(name),
                cgroup_writes=writes,
            )

"""cgroups: a cgroup of its own for the workload, made, set, entered and removed by the agent itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from isobench.isolators import own
from isobench.isolators.bare import on_host
from isobench.isolators.cgroup import controllers_of
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
            limits=frozenset({"cpu", "cpuset", "memory", "pids", "io", "weight"}),
            t0="just before the first mkdir(2) of its cgroups",
            covers="the workload alone",
        )

    def probe(self, site: Site) -> Readiness:
        return site.cgroups.writable()

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        name, groups = f"{site.token}/{self.kind}-{{n}}", controllers_of(site.cgroups)
        with (
            groups.handed_down(site.token, limits),
            own.writable_roots(site, bundle, slots, proc=True) as inside,
        ):
            yield replace(
                on_host(inside),
                cgroups=groups.directories(name, limits),
                cgroup_writes=groups.writes(name, limits),
                # Not with the others: these differ from slot to slot.
                late_writes=tuple(
                    groups.weight_write(name.replace("{n}", str(slot)), weight)
                    for slot, weight in enumerate(limits.cpu_weights)
                ),
            )

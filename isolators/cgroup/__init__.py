"""The host's cgroups behind one face, found out and not assumed: v1, v2, or both at once (hybrid)."""

from isobench.isolators.cgroup.controllers import Controllers, GroupUse
from isobench.isolators.cgroup.controllers_v1 import V1Controllers
from isobench.isolators.cgroup.controllers_v2 import V2Controllers
from isobench.isolators.cgroup.files import read_file
from isobench.isolators.cgroup.parse import CpuStat, Hierarchy, hierarchies
from isobench.isolators.cgroup.tree import CgroupTree, CgroupView, Mode, NoCgroups
from isobench.isolators.cgroup.v1 import V1Tree
from isobench.isolators.cgroup.v2 import V2Tree
from isobench.procfs import MOUNTINFO, parse_mountinfo, read_names

__all__ = [
    "CgroupTree",
    "CgroupView",
    "Controllers",
    "CpuStat",
    "GroupUse",
    "controllers_of",
    "detect",
]


def detect(mountinfo: str | None = None) -> CgroupTree:
    """The tree of this host, from the text of /proc/self/mountinfo.

    A controller is bound to one version at a time; what counts here is where ``cpu`` is.
    """
    mounts = parse_mountinfo(read_names(MOUNTINFO) if mountinfo is None else mountinfo)
    mounted = hierarchies(mounts)
    on_v1 = frozenset[str]().union(*(h.controllers for h in mounted))
    on_v2 = frozenset[str]().union(*(_offered(h) for h in mounted if h.version == 2))  # noqa: PLR2004
    kind: type[CgroupTree] = V1Tree if "cpu" in on_v1 else V2Tree if "cpu" in on_v2 else NoCgroups
    return kind(_mode(mounted), mounted, on_v1 | on_v2)


def controllers_of(tree: CgroupTree) -> Controllers:
    """What groups of that tree can be given besides CPU bandwidth and memory."""
    return V1Controllers(tree) if isinstance(tree, V1Tree) else V2Controllers(tree)


def _offered(hierarchy: Hierarchy) -> frozenset[str]:
    return frozenset(read_file(hierarchy.point / "cgroup.controllers").split())


def _mode(mounted: tuple[Hierarchy, ...]) -> Mode:
    v2 = any(h.version == 2 for h in mounted)  # noqa: PLR2004
    # A named hierarchy (systemd's) carries no controller: it does not make a v2 host hybrid.
    v1 = any(h.controllers for h in mounted)
    if v1:
        return "hybrid" if v2 else "v1"
    return "v2" if v2 else "none"

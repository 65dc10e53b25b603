"""A run's place on the host: its token, its directories, its parent cgroup; opened and closed as one."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from isobench.isolators import cgroup, rootfs
from isobench.isolators.contract import Site
from isobench.isolators.directory import remove_directory
from isobench.isolators.removal import clear
from isobench.isolators.residue import strays
from isobench.isolators.tokens import new_token
from isobench.state import state_dir

log = logging.getLogger(__name__)


@contextmanager
def open_site(token: str | None = None, *, allow_drop_caches: bool = False) -> Iterator[Site]:
    """Make what a run needs on this host; at the end remove it, and what else the run left. The cache stays.

    Works without root: then there is no parent cgroup, and ``site.cgroups.writable()`` says why. Raises
    AgentMissingError without an agent, OSError when the state directory cannot be written, and
    HostUnfitError when something of the run cannot be removed at the end.
    """
    token = token or new_token()
    state = state_dir().absolute()
    root = rootfs.build(rootfs.agent_binary(), state / "cache")
    work = state / "run" / token
    tree = cgroup.detect()
    with ExitStack() as stack:
        work.mkdir(parents=True)
        stack.callback(remove_directory, work)
        if tree.writable().usable:
            stack.enter_context(tree.open(token))
        site = Site(
            token=token,
            work=work,
            cache=state / "cache",
            agent=root / rootfs.AGENT_NAME,
            rootfs=root,
            cgroups=tree,
            allow_drop_caches=allow_drop_caches,
        )
        stack.callback(_sweep, site)
        yield site


def _sweep(site: Site) -> None:
    """Remove what instances left behind, so that the directory and the groups can go."""
    for removal in clear(partial(strays, site)):
        log.info("left behind, %s: %s", removal.error or "removed", removal.residue)

"""A run's place on the host: its token, its directories, its parent cgroup; opened and closed as one."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from isobench.isolators import cgroup, rootfs
from isobench.isolators.cgroup.tree import TOKEN_PREFIX
from isobench.isolators.contract import Site
from isobench.isolators.directory import remove_directory
from isobench.state import state_dir


def new_token() -> str:
    """``isobench-`` and 8 random hex digits."""
    return f"{TOKEN_PREFIX}{secrets.token_hex(4)}"


@contextmanager
def open_site(token: str | None = None) -> Iterator[Site]:
    """Make what a run needs on this host, and remove it at the end; the cache stays.

    Works without root: then there is no parent cgroup, and ``site.cgroups.writable()`` says why. Raises
    AgentMissingError without an agent, OSError when the state directory cannot be written.
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
        yield Site(
            token=token,
            work=work,
            cache=state / "cache",
            agent=root / rootfs.AGENT_NAME,
            rootfs=root,
            cgroups=tree,
        )

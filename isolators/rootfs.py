"""The shared root file system: the agent, and the empty directories a Linux program expects.

Built once for each agent binary and kept in the cache under the hash of its content; a build that is
interrupted leaves no half-made tree under that name.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import isobench
from isobench.errors import AgentMissingError
from isobench.isolators.directory import put_directory

AGENT_NAME = "isoagent"
"""File name of the agent at the top of the tree; the contract's AGENT_INSIDE is the same file seen inside."""

_DIRECTORIES = {"proc": 0o555, "sys": 0o555, "dev": 0o755, "tmp": 0o1777, "etc": 0o755}
_NULL = os.makedev(1, 3)  # Documentation/admin-guide/devices.txt


def agent_binary() -> Path:
    """The agent the package was built with, or the one ``$ISOBENCH_AGENT`` names.

    Raises AgentMissingError when there is none.
    """
    if override := os.environ.get("ISOBENCH_AGENT"):
        return _executable(Path(override), "unset ISOBENCH_AGENT", "ISOBENCH_AGENT names it, but ")
    built = Path(isobench.__file__).parent / "benchmarks" / "agent" / AGENT_NAME
    return _executable(built, "make agent", "")


def build(agent: Path, cache: Path) -> Path:
    """The tree with that agent below ``cache``, made unless it is there already.

    Idempotent, and safe against another build of the same tree at the same time. A tree whose agent is
    damaged is made anew. ``/dev/null`` is a device for root and is left out for others.
    """
    digest = hashlib.sha256(agent.read_bytes()).hexdigest()
    place = cache / "rootfs" / digest
    if _is_complete(place, digest):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=place.parent))
    try:
        _fill(draft, agent)
        put_directory(draft, place, lambda: _is_complete(place, digest))
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return place


def _executable(path: Path, remedy: str, prefix: str) -> Path:
    if not path.is_file():
        raise AgentMissingError(f"the agent {path}: {prefix}there is no such file", remedy=remedy)
    if not os.access(path, os.X_OK):
        raise AgentMissingError(f"the agent {path}: {prefix}it is not executable", remedy=f"chmod +x {path}")
    return path.resolve()


def _is_complete(place: Path, digest: str) -> bool:
    try:
        return hashlib.sha256((place / AGENT_NAME).read_bytes()).hexdigest() == digest
    except FileNotFoundError:
        return False


def _fill(draft: Path, agent: Path) -> None:
    # chmod after the fact: mkdir and mkdtemp are subject to the umask.
    draft.chmod(0o755)
    shutil.copyfile(agent, draft / AGENT_NAME)
    (draft / AGENT_NAME).chmod(0o755)
    for name, mode in _DIRECTORIES.items():
        (draft / name).mkdir()
        (draft / name).chmod(mode)
    # PermissionError: not root, or root in a user namespace, where nobody may make devices.
    with suppress(PermissionError):
        os.mknod(draft / "dev" / "null", stat.S_IFCHR | 0o666, _NULL)
        (draft / "dev" / "null").chmod(0o666)

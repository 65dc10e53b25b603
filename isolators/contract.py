"""The contract of an isolator: how a workload is isolated, and nothing about what is measured.

Call order and lifetime, for one run::

    isolator = Kind(name, Kind.Options.model_validate(table))   # from the matrix
    readiness = isolator.probe(site)                            # once; no side effects on the host
    with isolator.prepare(site, bundle, limits, slots) as launch:   # untimed; per cell and block
        ...  # the starter executes the launch, as often as the benchmark wants
    # everything prepare made is gone; the harness checks that nothing else is left either

A new isolator is one file with one subclass, listed in ``registry.BUILTIN`` or offered by another
package through the entry-point group ``isobench.isolators`` (name = kind, value = the class).
"""

import os
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from isobench.isolators.cgroup.tree import CgroupTree
from isobench.model import NO_LIMITS, Bundle, Capabilities, Launch, Limits, Readiness


class Options(BaseModel):
    """The typed options of a kind, as its ``[[isolator]]`` table gives them; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a run finds things on this host. Everything the run makes carries ``token`` in its name."""

    token: str
    """``isobench-<8 hex digits>``: prefix of container names, cgroups, sockets of this run."""
    work: Path
    """This run's own directory for bundles, pid files, sockets; removed at the end of the run."""
    cache: Path
    """Content-addressed things that outlive a run: root file systems, initramfs images, probe results."""
    agent: Path
    """The agent as the host executes it: the very file inside ``rootfs``."""
    rootfs: Path
    """The shared root file system: /isoagent, and empty /proc, /sys, /dev (with null), /tmp."""
    cgroups: CgroupTree
    allow_drop_caches: bool = False
    """The user of this host lets us drop its page cache, of which every program on it takes notice."""

    def tool_group(self, leaf: str) -> str:
        """The name of a cgroup that a tool (LXC, runc) makes by itself, in all hierarchies there are.

        On v2 inside the run's parent group, where the controllers are handed down; on v1 beside it: the
        tools use hierarchies in which we have no parent, and would leave one behind there.
        """
        name = f"{self.token}-{leaf}"
        return f"{self.token}/{name}" if self.cgroups.mode == "v2" else name


AGENT_INSIDE = "/isoagent"
"""Path of the agent in the shared root file system, and in that of every guest."""


def agent_bundle(site: Site, verb: str, *arguments: str) -> Bundle:
    """One of the agent's own workloads, in the shared root file system."""
    return Bundle((AGENT_INSIDE, verb, *arguments), site.rootfs)


def _absolute(name_or_path: str) -> str:
    return str(Path(name_or_path).absolute()) if os.sep in name_or_path else name_or_path


Program = Annotated[str, AfterValidator(_absolute)]
"""A program (or the kernel of a guest) in an option: a name to be found on the fixed PATH, or a path.

A relative path is that of the folder one is in when the matrix is read, as in a shell; it is recorded as an
absolute one, so that a run can be resumed from anywhere.
"""

OptionsT = TypeVar("OptionsT", bound=Options)


class Isolator(ABC, Generic[OptionsT]):
    """One configured isolator. Two entries of one kind with other options are two isolators."""

    kind: ClassVar[str]
    Options: ClassVar[type[Options]] = Options

    def __init__(self, name: str, options: OptionsT) -> None:
        self.name = name
        self.options = options

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do; may depend on the options, never on the host."""

    @abstractmethod
    def probe(self, site: Site) -> Readiness:
        """Whether its tools, privileges and kernel features are here, with reason and remedy if not.

        Cheap (milliseconds) and without side effects; that it really starts something is proven
        afterwards by one real start of the agent, the same way for every isolator.
        """

    @abstractmethod
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> AbstractContextManager[Launch]:
        """Do the untimed work for ``slots`` instances of the workload and yield the launch."""

    def tools(self) -> tuple[str, ...]:
        """Names or paths of the host programs it runs, for the fingerprint. Default: none."""
        return ()

    def daemons(self) -> tuple[str, ...]:
        """File names of programs that serve all its instances and outlive them; their growth is told apart.

        Default: none.
        """
        return ()

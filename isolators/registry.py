"""The isolators there are. A built-in is one line here; others come by the group ``isobench.isolators``."""

from typing import Any

from isobench.isolators.contract import Isolator
from isobench.plugins import Registry

BUILTIN = {
    "bare": "isobench.isolators.bare:Bare",
    "chroot": "isobench.isolators.chroot:Chroot",
    "namespaces": "isobench.isolators.namespaces:Namespaces",
    "cgroups": "isobench.isolators.cgroups:Cgroups",
    "lxc": "isobench.isolators.lxc:Lxc",
    "runc": "isobench.isolators.runc:Runc",
    "qemu": "isobench.isolators.qemu:Qemu",
    "delayed": "isobench.isolators.delayed:Delayed",
    "fake": "isobench.isolators.fake:Fake",
}
"""Kind and class, from least to most isolation: the order of every table."""

DEFAULT = tuple(kind for kind in BUILTIN if kind not in {"delayed", "fake"})
"""What the built-in matrix measures."""

REGISTRY: Registry[Isolator[Any]] = Registry("isolator", Isolator, BUILTIN)

"""The build backend: setuptools, which asks for the ziglang wheel only where musl-gcc will not do.

PEP 517 lets a backend answer what a build needs on this very host; pyproject.toml cannot.
"""

import platform

from build_agent import agent_is_wanted, has_musl_gcc, target_machine
from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

Settings = dict[str, str | list[str] | None] | None


def _compiler() -> list[str]:
    own = target_machine() == platform.machine() and has_musl_gcc()
    return ["ziglang>=0.13"] if agent_is_wanted() and not own else []


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What setuptools needs, and a C compiler."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_compiler()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """As for a wheel: an editable install has the agent built in place."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *_compiler()]

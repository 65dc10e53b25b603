"""The one part of the package build that pyproject.toml cannot say: the agent is compiled from C.

A wheel carries the compiled agent and is therefore tagged with its platform; the sdist carries the
sources only; an editable install has the agent built in place. ``ISOBENCH_BUILD_AGENT=no`` leaves the agent
out, for a machine that only renders what others measured; ``ISOBENCH_MACHINE=aarch64`` makes a wheel for
another kind of machine than this one.
"""

import platform
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from build_agent import AGENT_DIR, BINARY, BuildError, agent_is_wanted, compile_agent, target_machine

ROOT = Path(__file__).resolve().parent


class BuildAgent(Command):
    """A sub-command of ``build`` as setuptools defines them (setuptools.command.build.SubCommand)."""

    description = "compile the agent"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    build_lib: str
    editable_mode: bool

    def initialize_options(self) -> None:
        self.build_lib = ""
        self.editable_mode = False

    def finalize_options(self) -> None:
        self.build_lib = str(self.get_finalized_command("build").build_lib)

    @property
    def _output(self) -> Path:
        return BINARY if self.editable_mode else Path(self.build_lib, "isobench/benchmarks/agent/isoagent")

    def run(self) -> None:
        if not agent_is_wanted():
            return
        try:
            compile_agent(self._output)
        except BuildError as error:
            sys.exit(f"error: {error}")

    def get_source_files(self) -> list[str]:
        return [str(path.relative_to(ROOT)) for path in sorted(AGENT_DIR.glob("*.[ch]"))]

    def get_outputs(self) -> list[str]:
        return [str(self._output)]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Build(build):
    """``build`` with the agent as its last step."""

    sub_commands = [*build.sub_commands, ("build_agent", None)]  # noqa: RUF012 - setuptools' own way


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3 of this platform: the agent is a program, not an extension module."""

    def get_tag(self) -> tuple[str, str, str]:
        platform_tag = super().get_tag()[2]
        if (machine := target_machine()) != platform.machine():
            platform_tag = f"linux_{machine}"
        return ("py3", "none", platform_tag)


class PlatformDistribution(Distribution):
    """A distribution that is not pure Python, though it has no extension module."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    distclass=PlatformDistribution,
    cmdclass={"build": Build, "build_agent": BuildAgent, "bdist_wheel": PlatformWheel},
)

"""Compile the agent: ``python3 scripts/build_agent.py [OUTPUT]``; the package build calls the same code.

Needs nothing but the standard library, so that it runs before there is a virtual environment.
"""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

AGENT_DIR = Path(__file__).resolve().parent.parent / "src" / "isobench" / "benchmarks" / "agent"
BINARY = AGENT_DIR / "isoagent"
"""Where an editable install and the Makefile put it; never committed."""

FLAGS = ("-std=gnu11", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror")

REMEDY = "apt-get install --no-install-recommends musl-tools gcc   (or: python3 -m pip install ziglang)"
CROSS_REMEDY = "python3 -m pip install --require-hashes -r constraints-zig.txt"


class BuildError(Exception):
    """The agent cannot be built; the message says why and which command mends it."""


def agent_is_wanted() -> bool:
    """False for ``ISOBENCH_BUILD_AGENT=no``: a machine that only renders what others measured."""
    return os.environ.get("ISOBENCH_BUILD_AGENT") != "no"


def target_machine() -> str:
    """The machine the agent is for, as ``uname -m`` calls it: ``ISOBENCH_MACHINE``, else this one."""
    return os.environ.get("ISOBENCH_MACHINE") or platform.machine()


def has_musl_gcc() -> bool:
    """Whether musl-gcc works: it is a wrapper and needs gcc, which Debian's musl-tools does not pull in."""
    return shutil.which("musl-gcc") is not None and shutil.which("gcc") is not None


def find_compiler(machine: str | None = None) -> tuple[str, ...]:
    """The command that compiles C against static musl: musl-gcc, else the ziglang wheel of this Python.

    For another machine than this one only the latter. Not glibc: a static glibc program is twenty times
    larger and takes four times as long to start.
    """
    machine = machine or target_machine()
    if machine == platform.machine() and has_musl_gcc():
        return ("musl-gcc",)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-musl")
    if machine != platform.machine():
        raise BuildError(
            f"the agent cannot be compiled for {machine} on this {platform.machine()}: "
            f"that takes the ziglang package, which is not installed\nmend it with: {CROSS_REMEDY}"
        )
    raise BuildError(
        "the agent cannot be compiled: neither musl-gcc with gcc nor the ziglang package was found\n"
        f"mend it with: {REMEDY}"
    )


def compile_agent(output: Path, source_dir: Path = AGENT_DIR) -> None:
    """Compile every ``*.c`` of ``source_dir`` into one static program, replacing ``output`` in one step.

    In one step, because a run in progress may be executing the old one.
    """
    sources = sorted(str(path) for path in source_dir.glob("*.c"))
    if not sources:
        raise BuildError(f"the agent cannot be compiled: no C source in {source_dir}")
    compiler = find_compiler()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".isoagent-", dir=output.parent) as work:
        made = Path(work) / "isoagent"
        argv = [*compiler, *FLAGS, "-o", str(made), *sources]
        done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise BuildError(f"the agent does not compile: {' '.join(argv)}\n{done.stderr.rstrip()}")
        made.chmod(0o755)
        os.replace(made, output)  # noqa: PTH105 - the rename is the point


def main() -> int:
    """Compile to the path given, else to the place an editable install looks at."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else BINARY
    try:
        compile_agent(output)
    except BuildError as error:
        print(f"build_agent: {error}", file=sys.stderr)
        return 1
    print(f"built {output} ({output.stat().st_size} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Set-up of the virtual environment."""

import importlib.util
import sys

from steps import PYTHON, ROOT, VENV, Stamp, Step, StepError, pip_install, run
from steps_host import can_install

PINS = ROOT / "constraints.txt"


def venv_is_whole() -> bool:
    """Whether the virtual environment was made to its end: pip comes last, so an interrupted one lacks it."""
    return PYTHON.exists() and PYTHON.with_name("pip").exists()


class VenvPackage(Step):
    """Debian splits ensurepip off Python; without it a virtual environment has no pip.

    The one package installed without Ansible, which itself lives in the virtual environment.
    """

    vital = True
    remedy = "apt-get install python3-venv   (as root)"

    def plan(self) -> str | None:
        if venv_is_whole() or importlib.util.find_spec("ensurepip") is not None:
            return None
        if not can_install():
            raise StepError("a virtual environment needs ensurepip, which this Python lacks", self.remedy)
        return "install the Debian package python3-venv"

    def do(self) -> None:
        why = "python3-venv could not be installed"
        apt = ["apt-get", "-qq", "--option", "Dpkg::Use-Pty=0"]
        run([*apt, "update"], why_not=why, remedy=self.remedy)
        run([*apt, "install", "--no-install-recommends", "python3-venv"], why_not=why, remedy=self.remedy)


class Venv(Step):
    """The virtual environment, made by the Python that runs this."""

    vital = True

    def plan(self) -> str | None:
        return None if venv_is_whole() else f"make the virtual environment {VENV}"

    def do(self) -> None:
        why = f"the virtual environment {VENV} could not be made"
        run([sys.executable, "-m", "venv", "--clear", VENV], why_not=why, remedy=VenvPackage.remedy)


class Dependencies(Step):
    """The pinned Python packages."""

    vital = True
    stamp = Stamp("dependencies", [PINS])

    def plan(self) -> str | None:
        if self.stamp.is_current():
            return None
        return "install the Python packages of constraints.txt there, each checked by its hash (a minute)"

    def do(self) -> None:
        why = "the Python packages of constraints.txt could not be installed"
        pip_install("--require-hashes", "--no-deps", "-r", PINS, why_not=why)
        self.stamp.set()


class Package(Step):
    """isobench itself, as an editable install. The agent is a step of its own."""

    vital = True
    stamp = Stamp("package", [ROOT / "pyproject.toml", ROOT / "setup.py"])

    def plan(self) -> str | None:
        return None if self.stamp.is_current() else "install isobench itself there, editable"

    def do(self) -> None:
        arguments = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
        pip_install(*arguments, why_not="isobench could not be installed", env={"ISOBENCH_BUILD_AGENT": "no"})
        self.stamp.set()

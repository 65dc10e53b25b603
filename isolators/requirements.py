"""What isolators ask of a host before they start anything; each answer comes with its remedy."""

import os

from isobench import process
from isobench.errors import HostUnfitError
from isobench.model import Readiness, unavailable


def find_tool(name_or_path: str) -> str | None:
    """The absolute path of a program, looked up on the fixed PATH of all starts, not on the user's."""
    found = process.find_tool(name_or_path)
    return str(found) if found else None


def tool_path(name_or_path: str, package: str) -> str:
    """As ``find_tool``, for a launch.

    Raises HostUnfitError when the program has gone since it was probed: exec would look for a bare name in
    the folder one happens to be in.
    """
    found = find_tool(name_or_path)
    if found is None:
        lack = need_tool(name_or_path, package)
        raise HostUnfitError(f"{name_or_path} has gone", remedy=lack.remedy if lack else None)
    return found


def need_root(what: str) -> Readiness | None:
    """None for root; else that ``what`` needs it."""
    if os.geteuid() == 0:
        return None
    return unavailable(f"{what} needs root", "sudo isobench run")


def need_tool(name_or_path: str, package: str) -> Readiness | None:
    """None where the program is there; else the package that brings it."""
    if find_tool(name_or_path):
        return None
    if os.sep in name_or_path:
        return unavailable(
            f"{name_or_path} is not an executable file",
            f"chmod +x {name_or_path}, or correct `binary` in the matrix",
        )
    return unavailable(f"the program {name_or_path} is not installed", f"apt-get install {package}")


def first_lack(*lacks: Readiness | None) -> Readiness | None:
    """The first thing that is lacking, or None."""
    return next((lack for lack in lacks if lack is not None), None)

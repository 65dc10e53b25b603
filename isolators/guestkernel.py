"""The kernel that VM guests boot: the one set-up unpacked, or one of the host's own."""

import re
from pathlib import Path

from isobench.model import Readiness, unavailable
from isobench.state import state_dir

_MAGIC = b"HdrS"
_MAGIC_AT = 0x202
"""The setup header of a bzImage (Documentation/arch/x86/boot.rst)."""


def find(option: str | None, boot: Path = Path("/boot")) -> Path | Readiness:
    """The file ``option`` names; without one, set-up's kernel or else the newest in ``boot``.

    Where none of them can be read and is a kernel image: what is amiss, and the remedy.
    """
    if option is not None:
        path = Path(option).absolute()
        return (
            path
            if _is_image(path)
            else unavailable(
                f"the guest kernel {path} is no bzImage that can be read",
                "correct `kernel` in the matrix, or leave it out",
            )
        )
    installed = sorted(boot.glob("vmlinuz-*"), key=_version, reverse=True)
    candidates = (state_dir().absolute() / "kernel" / "vmlinuz", *installed)
    found = next((path for path in candidates if _is_image(path)), None)
    return found or unavailable("there is no kernel for the guest", "make setup")


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(_MAGIC_AT)
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:  # absent, or readable by root only, as Ubuntu has them
        return False


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.name))

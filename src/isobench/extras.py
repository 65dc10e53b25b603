"""Libraries that only some commands need, and that come with an extra of the package."""

from collections.abc import Iterator
from contextlib import contextmanager

from isobench.errors import HostUnfitError


@contextmanager
def needed(extra: str, purpose: str) -> Iterator[None]:
    """Around an import: a library that is not there is told as what ``purpose`` needs, with its extra.

    Raises :class:`isobench.errors.HostUnfitError`. A module of our own that is not there stays a defect.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] == "isobench":
            raise
        raise HostUnfitError(
            f"{purpose} needs the Python package {name}, which is not installed",
            remedy=f"pip install 'isobench[{extra}]'",
        ) from error

"""The name of a run: everything it makes on the host carries it, and is recognised by it afterwards."""

import re
import secrets

PREFIX = "isobench-"

_TOKEN = re.compile(rf"{re.escape(PREFIX)}[0-9a-f]{{8}}")


def new_token() -> str:
    """``isobench-`` and 8 random hex digits."""
    return f"{PREFIX}{secrets.token_hex(4)}"


def is_token(text: str) -> bool:
    """Whether that is a run's name and nothing else."""
    return _TOKEN.fullmatch(text) is not None


def token_in(*texts: str) -> str | None:
    """The first run's name in any of the texts."""
    return next((found for text in texts for found in _TOKEN.findall(text)), None)

"""Gathering the mistakes of a configuration file, each with where it is, what was found, what is allowed."""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from isobench.errors import MatrixError, UsageError
from isobench.plugins import did_you_mean

ModelT = TypeVar("ModelT", bound=BaseModel)

_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The mistakes of one file; all are told at once, so that the user mends them in one go."""

    source: str
    """The name of the file."""
    lines: list[str] = field(default_factory=list)
    error: type[UsageError] = MatrixError
    """What is raised for them."""

    def add(self, table: str, key: str, text: str) -> None:
        """Note one, at a key of a table."""
        where = " ".join(filter(None, (table, key)))
        self.lines.append(f"{self.source}: {where}: {text}")

    def raise_if_any(self) -> None:
        """Raise the file's error with a line for each."""
        if self.lines:
            raise self.error("\n".join(self.lines))

    def unless_known(self, table: str, key: str, found: str, allowed: Sequence[str]) -> bool:
        """Whether ``found`` is one of the allowed words; else a mistake that names them."""
        if found not in allowed:
            hint = did_you_mean(found, allowed)
            self.add(table, key, f"found {show(found)}{hint}; allowed: {', '.join(allowed)}")
        return found in allowed

    def checked(self, table: str, model: type[ModelT], found: object) -> ModelT | None:
        """``found`` as that model; None, and a mistake for each wrong key, when it is not."""
        if not isinstance(found, Mapping):
            self.add(table, "", f"found {show(found)}; allowed: a table")
            return None
        try:
            text = json.dumps(found, default=str)
        except (TypeError, ValueError, RecursionError) as error:  # a table that a test has made, not a file
            self.add(table, "", f"not a table such as TOML has: {error}")
            return None
        try:
            # As JSON and strict: a TOML file has types, so 20 is meant by 20 and not by "20" or true, while
            # arrays still become tuples and strings paths.
            return model.model_validate_json(text, strict=True)
        except ValidationError as error:
            for details in error.errors(include_url=False, include_context=False):
                self._add_error(table, details, tuple(model.model_fields))
            return None

    def _add_error(self, table: str, details: ErrorDetails, allowed: Sequence[str]) -> None:
        key = _path(details["loc"])
        if details["type"] == "extra_forbidden":
            choices = ", ".join(allowed) or "no key at all"
            self.add(table, key, f"found an unknown key{did_you_mean(key, allowed)}; allowed: {choices}")
        elif details["type"] == "missing":
            self.add(table, key, "found nothing; it has to be given")
        elif details["type"] == "value_error":  # the words of a validator of ours, about a key or the table
            found = f"found {show(details['input'])}; " if key else ""
            self.add(table, key, found + details["msg"].removeprefix("Value error, "))
        else:
            rule = details["msg"].removeprefix("Input should be ")
            self.add(table, key, f"found {show(details['input'])}; allowed: {rule}")


def parse_toml(text: bytes, source: str, error: type[UsageError] = MatrixError) -> dict[str, Any]:
    """The tables of a file; raises ``error`` with the place in it where it is no TOML."""
    try:
        return tomllib.loads(text.decode())
    except UnicodeDecodeError as fault:
        raise error(f"{source}:{_position(text[: fault.start])}: not UTF-8, which TOML is") from fault
    except tomllib.TOMLDecodeError as fault:
        # Until Python 3.14 the position is in the message only.
        message, _, place = str(fault).rstrip(")").rpartition(" (at ")
        found = re.fullmatch(r"line (\d+), column (\d+)", place)
        position = f"{found[1]}:{found[2]}" if found else _position(text)
        raise error(f"{source}:{position}: not TOML: {message}") from fault
    except RecursionError as fault:
        raise error(f"{source}: nested too deeply") from fault


def _position(before: bytes) -> str:
    """``line:column`` of what comes after these bytes, both counted from 1."""
    line = before.count(b"\n") + 1
    column = len(before) - before.rfind(b"\n")
    return f"{line}:{column}"


def show(value: object) -> str:
    """A value as TOML has it, cut to what fits a line."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # TOML has no such value, a test in Python may
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _path(location: Iterable[str | int]) -> str:
    """``cpus[0]`` for ("cpus", 0)."""
    words = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(words).removeprefix(".")

"""Gathering the mistakes of a configuration file, each with where it is, what was found, what is allowed."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from isobench.errors import MatrixError
from isobench.plugins import did_you_mean

ModelT = TypeVar("ModelT", bound=BaseModel)

_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The mistakes of one file; all are told at once, so that the user mends them in one go."""

    source: str
    """The name of the file."""
    lines: list[str] = field(default_factory=list)

    def add(self, table: str, key: str, text: str) -> None:
        """Note one, at a key of a table."""
        where = " ".join(filter(None, (table, key)))
        self.lines.append(f"{self.source}: {where}: {text}")

    def raise_if_any(self) -> None:
        """Raise :class:`isobench.errors.MatrixError` with a line for each."""
        if self.lines:
            raise MatrixError("\n".join(self.lines))

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
            # As JSON and strict: a TOML file has types, so 20 is meant by 20 and not by "20" or true, while
            # arrays still become tuples and strings paths.
            return model.model_validate_json(json.dumps(found, default=str), strict=True)
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


def show(value: object) -> str:
    """A value as TOML has it, cut to what fits a line."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _path(location: Iterable[str | int]) -> str:
    """``cpus[0]`` for ("cpus", 0)."""
    words = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(words).removeprefix(".")

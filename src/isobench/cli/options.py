"""What a kind of isolator or a benchmark can be told in a matrix, for ``isobench list``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel

_PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a table in a matrix."""

    name: str
    type: str
    """In words, as a matrix has it: ``list of number``."""
    required: bool
    default: Any
    """As JSON has it. None: no default, or none that can be written in a matrix."""

    def __str__(self) -> str:
        """``cpus = 2``; where there is no default to show, or a long one, ``kernel (text)``."""
        values = self.default if isinstance(self.default, list) else [self.default]
        if any(value is None or isinstance(value, (dict, list)) for value in values):
            return f"{self.name} ({self.type}{', required' if self.required else ''})"
        return f"{self.name} = {json.dumps(self.default)}"


def options_of(model: type[BaseModel]) -> tuple[Option, ...]:
    """The keys of a table that this model reads, in the order of its fields."""
    from pydantic_core import to_jsonable_python

    found = []
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        plain = to_jsonable_python(default, fallback=str)
        found.append(Option(name, type_in_words(field.annotation), field.is_required(), plain))
    return tuple(found)


def type_in_words(annotation: object) -> str:
    """The type of a value in a matrix; what has no word of its own goes by its name in Python."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_in_words(inner[0])
    if origin is Literal:
        return " | ".join(json.dumps(value) for value in inner)
    if origin in (Union, UnionType):
        return " | ".join(type_in_words(one) for one in inner if one is not NoneType)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {type_in_words(inner[0])}"
    return _PLAIN.get(annotation, annotation.__name__) if isinstance(annotation, type) else str(annotation)

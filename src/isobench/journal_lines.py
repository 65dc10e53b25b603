"""Lines of a journal: from bytes to values of ours, and what is wrong with those that are none.

Every mistake is a :class:`isobench.errors.ResultsError` that names the file and the line.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from math import inf, isfinite
from pathlib import Path
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from isobench.errors import ResultsError
from isobench.model import SCHEMA_VERSION, Sample

_NO_NUMBERS = (b"NaN", b"Infinity")
"""Python's own words in JSON, which JSON does not have."""
_INFINITE = (inf, -inf)


def split(data: bytes) -> tuple[list[bytes], bytes | None]:
    """The whole lines of a journal, and what a kill has left of a last one.

    A last line that lacks nothing but its newline is whole: no proper prefix of a JSON object is JSON.
    """
    *lines, tail = data.split(b"\n")
    if not tail:
        return lines, None
    try:
        json.loads(tail)
    except ValueError:
        return lines, tail
    return [*lines, tail], None


def whole_bytes(data: bytes) -> bytes:
    """A journal without a torn last line, ready to be appended to."""
    lines, _ = split(data)
    return b"".join(line + b"\n" for line in lines)


def samples_of(path: Path, data: bytes, lines: Iterable[bytes]) -> Iterator[Sample]:
    """Of the ``lines`` of ``data``, which was read from ``path``, one after the other.

    A line that is right takes a third of the time that telling what is wrong with another would. The short
    way takes NaN for a number: where there is one the long way is taken.
    """
    plain = not any(name in data for name in _NO_NUMBERS)
    validate = _sample_type().validate_json
    for number, line in enumerate(lines, start=1):
        try:
            sample = validate(line) if plain else None
        except ValidationError:
            sample = None
        if sample is None or sample.v > SCHEMA_VERSION or not _is_finite(sample):
            sample = _looked_at(line, f"{path}:{number}")
        yield sample


def _is_finite(sample: Sample) -> bool:
    """Its numbers are: 1e999 is JSON, and infinite."""
    phases, detail, params = sample.phases.values(), sample.detail.values(), sample.params.values()
    return not (
        sample.value in _INFINITE
        or inf in phases
        or -inf in phases
        or inf in detail
        or -inf in detail
        or inf in params
        or -inf in params
    )


def _looked_at(line: bytes, where: str) -> Sample:
    try:
        return _sample_type().validate_python(decode(line, where))
    except ValidationError as error:
        foreign(where, "a sample", error)


def decode(text: bytes, where: str) -> dict[str, Any]:
    """One JSON object of ours; ``where`` is the file (and line) for the message."""
    try:
        data = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{where}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ResultsError(f"{where}: not of isobench: found {type(data).__name__}, expected a JSON object")
    version = data.get("v")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ResultsError(
            f"{where}: written by a newer isobench (v {version}; this one reads up to v {SCHEMA_VERSION})",
            remedy="read it with the isobench that wrote it, or upgrade this one",
        )
    return data


def _finite(text: str) -> float:
    """JSON may say 1e999, which Python reads as an infinity."""
    value = float(text)
    return value if isfinite(value) else _no_constant(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of a journal")


def foreign(where: str, what: str, error: ValidationError) -> NoReturn:
    """Say which key of an object that is not ``what`` is the first that is wrong."""
    raise ResultsError(f"{where}: not {what} of isobench: {first_wrong(error)}") from error


def first_wrong(error: ValidationError) -> str:
    """The first key that is wrong, and how: ``cells.0.name: Field required``."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


@cache
def _sample_type() -> TypeAdapter[Sample]:
    return TypeAdapter(Sample)

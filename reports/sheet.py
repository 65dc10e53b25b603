"""Facts as rows of text: the host, and an isolator's options."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isobench.journal import TunedSetting
from isobench.model import Scalar
from isobench.reports import units
from isobench.reports.summary import number


@dataclass(frozen=True, slots=True)
class Group:
    """Facts that belong together: (name, value)."""

    title: str
    facts: tuple[tuple[str, str], ...]


def host_groups(host: Mapping[str, Any], tuned: Sequence[TunedSetting] | None = None) -> tuple[Group, ...]:
    """A host: the facts that stand alone, what was tuned for the run, then each group; no blanks."""
    alone = {key: value for key, value in host.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in host.items() if isinstance(value, Mapping)}
    groups = (
        Group("Host", tuple(_facts(alone))),
        Group("Tuned for this run", tuple(dict.fromkeys((one.knob, _tuned(one)) for one in tuned or ()))),
        *(Group(_words(k), tuple(_facts(v))) for k, v in nested.items()),
    )
    return tuple(group for group in groups if group.facts)


def options_text(options: Mapping[str, Any]) -> str:
    """``accel = "auto", memory_mib = 128``, as a matrix says it; options left alone are left out."""
    given = {key: value for key, value in options.items() if value is not None}
    return ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in given.items())


def param(key: str, value: Scalar) -> tuple[str, str]:
    """A parameter of a cell as people read it: ``period``, ``100 ms``."""
    amount = number(value)
    if key.endswith("_us") and amount is not None:
        return _words(key.removesuffix("_us")), units.seconds(amount / 1e6)
    return next(_facts({key: value}), (_words(key), units.NONE))


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in found.items():
        if value is None:
            continue
        if key.endswith("_bytes") and isinstance(value, int | float):
            yield _words(key.removesuffix("_bytes")), units.nbytes(value)
        else:
            yield _words(key), f"{value:.4g}" if isinstance(value, float) else scalar(value)


def _tuned(one: TunedSetting) -> str:
    if one.refused is not None:
        return f"stayed {one.before}: {one.refused}"
    since = "" if one.end in {None, one.during} else f"; somebody else set it to {one.end} meanwhile"
    return f"{one.during}, found as {one.before}{since}"


def scalar(value: object) -> str:
    """A fact or a number as it was recorded, to nine digits; a dash for what is not there."""
    match value:
        case None:
            return units.NONE
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.9g}"
        case _:
            return str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")

"""Facts as rows of text: the host, and an isolator's options."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isobench.journal import RestRecord, RunRecord, TunedSetting
from isobench.model import Scalar
from isobench.reports import quiet, units
from isobench.reports.summary import number

_TITLES = {
    "cpu": "CPU",
    "knobs": "Settings that move figures",
    "load": "Load as the run began",
    "memory_now": "Memory as the run began",
    "memory_settings": "Settings of memory",
    "mitigations": "Mitigations of flaws of the CPU",
    "pressure": "Pressure as the run began",
    "cgroup_mounts": "Mounts of cgroups",
}
"""Of the groups of a host's facts."""


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
        *(Group(_TITLES.get(k, _words(k)), tuple(_facts(v))) for k, v in nested.items()),
    )
    return tuple(group for group in groups if group.facts)


def run_groups(record: RunRecord) -> tuple[Group, ...]:
    """What else went on on the host while it was measured, and what the run waited for; no blanks."""
    meanwhile: tuple[tuple[str, str], ...] = ()
    if record.disturbance is not None:
        told = (one for one in quiet.meanwhile(record) if one.passed is not None)
        meanwhile = (
            ("measured for", units.seconds(record.disturbance.seconds)),
            *((one.name, f"{one.found} (quiet: up to {one.limit})") for one in told),
        )
    groups = (
        Group("What else went on while it was measured", meanwhile),
        Group("Waits for the kernel's clean-up", tuple(_rests(record.rests)) if record.rests else ()),
    )
    return tuple(group for group in groups if group.facts)


def _rests(found: RestRecord) -> Iterator[tuple[str, str]]:
    yield "waits", f"{found.waits:,}, {units.seconds(found.seconds)} together"
    yield "longest", f"{units.seconds(found.longest_s)} of at most {units.seconds(found.limit_s)}"
    if found.unfinished:
        yield "given up", f"{found.unfinished:,}, while this went on: {', '.join(found.left)}"
    if found.lingering:
        yield "removed cgroups that stayed", f"{found.lingering:,}"


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

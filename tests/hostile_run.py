"""A run in which every string from outside is an attack on whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from isobench.journal import ABRecord, RunRecord, ToolRecord, TunedSetting, WorkloadRecord
from isobench.model import Sample, Scalar

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

INJECTIONS = (
    "<script>window.hit=1</script>",
    "\"'><img src=x onerror='window.hit=2'>",
    "</style><script>window.hit=3</script><style>*{display:none}",
    "</title></textarea></template><svg onload=window.hit=4>",
    "</script><script>window.hit=5</script>",
    "<a href=javascript:window.hit=6>javascript:window.hit=6</a>",
    "' autofocus onfocus=window.hit=7 x='",
    '" style="background:url(http://127.0.0.1:1/)" onmouseover="window.hit=8',
    "@import url(http://127.0.0.1:1/); body{background:url('javascript:window.hit=9')}",
    "&lt;script&gt;window.hit=10&lt;/script&gt;&#0;",
    "{{ 7*7 }}{% raw %}",
    "$\\frac{$^_",
    "`${window.hit=11}`\\';window.hit=12;//",
    "a\x00b\x1b[31mc\u202ed\u2066e",
    "]]>--><!--",
    "=cmd|' /C calc'!A0",
    "__proto__",
    "名😀",
)
EVERYTHING = "".join(INJECTIONS)


AGENTS_WORDS = frozenset({"ready", "hold", "spin", "request", "appetite", "herd", "echo"})
"""The agent's own workloads, by which a report knows its parts."""
TOLD_IN_NUMBERS = frozenset({"account", "stall_bins", "timeline_us"})
"""Details that a report reads and does not show as they are."""

Change: TypeAlias = Callable[[Sample, str], Sample]


def each(line: Sample, text: str) -> Sample:
    """The text in all of a line."""
    return replace(
        line,
        cell=line.cell + text,
        isolator=line.isolator + text,
        benchmark=line.benchmark if line.benchmark in {"startup", "memory"} else line.benchmark + text,
        workload=line.workload if line.benchmark == "startup" else line.workload + text,
        params={**line.params, text: text} if line.benchmark == "memory" else line.params,
        reason=line.reason and text,
        remedy=line.remedy and text,
        detail={**line.detail, text: text},
    )


def around(line: Sample, text: str) -> Sample:
    """The text in a line wherever a report still knows which part of it the line belongs to."""
    host = line.isolator == "host"
    known = host and (line.benchmark == "audit" or line.workload.startswith("sequence"))
    step = known and line.benchmark == "primitives" and line.metric != "undone"
    ratio = {"ratio": f"{line.params['ratio']}{text}"} if "ratio" in line.params else {}
    return replace(
        line,
        cell=line.cell if known else line.cell + text,
        isolator=line.isolator if host else line.isolator + text,
        workload=line.workload if known or line.workload in AGENTS_WORDS else line.workload + text,
        metric=line.metric + text if step else line.metric,
        unit=line.unit + text if line.unit == "count" else line.unit,
        params={**line.params, **ratio, text: text},
        reason=line.reason and line.reason + text,
        remedy=line.remedy and line.remedy + text,
        detail={**{key: _said(key, value, text) for key, value in line.detail.items()}, text: text},
    )


def _said(key: str, value: Scalar, text: str) -> Scalar:
    return value + text if isinstance(value, str) and value and key not in TOLD_IN_NUMBERS else value


def hostile(run: SyntheticRun, text: str = EVERYTHING, change: Change = each) -> SyntheticRun:
    """The run with ``text`` in all that somebody else may have written."""
    samples = tuple(change(line, text) for line in run.samples)
    isolators = tuple(
        replace(
            found,
            name=found.name + text,
            shown_as=found.shown_as + text,
            t0=text,
            covers=text,
            options={text: text},
            reason=text,
            remedy=text,
        )
        for found in run.record.isolators
    )
    record = replace(
        run.record,
        run_id=text,
        started=text,
        isobench_version=text,
        matrix={text: text, "workload": _workloads(run.record, text)},
        host={**run.record.host, "hostname": text, text: text, "cpu": {text: 1}, "knobs": {text: text}},
        tools={text: ToolRecord(text, text)},
        isolators=isolators,
        workloads={name + text: WorkloadRecord(text, (text,)) for name in run.record.workloads},
        tuned=run.record.tuned and (TunedSetting(text, text, text, text), TunedSetting(*(text,) * 5)),
        rests=run.record.rests and replace(run.record.rests, left=(text,)),
        ab=run.record.ab and _sides(run.record.ab, run.samples, samples, text),
    )
    return replace(run, record=record, samples=samples)


def _workloads(record: RunRecord, text: str) -> list[Mapping[str, object]]:
    return [
        {"name": found["name"] + text, "ready": {"line": text}} for found in record.matrix.get("workload", ())
    ]


def _sides(ab: ABRecord, was: Sequence[Sample], now: Sequence[Sample], text: str) -> ABRecord:
    """Its names, and by them what the second stage has confirmed."""
    found = replace(ab, a=ab.a + text, b=ab.b + text, control=ab.control + text)
    names = {ab.comparison(old): found.comparison(new) for old, new in zip(was, now, strict=True)}
    return replace(found, confirm=tuple(names[name] for name in ab.confirm or ()))

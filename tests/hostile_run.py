"""A run in which every string from outside is an attack on whoever shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

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


def hostile(run: SyntheticRun, text: str = EVERYTHING) -> SyntheticRun:
    """The run with ``text`` in all that somebody else may have written."""
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
        matrix={text: text},
        host={**run.record.host, "hostname": text, text: text, "cpu": {text: 1}, "knobs": {text: text}},
        tools={text: replace(run.record.tools["runc"], version=text, path=text)},
        isolators=isolators,
    )
    samples = tuple(
        replace(
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
        for line in run.samples
    )
    return replace(run, record=record, samples=samples)

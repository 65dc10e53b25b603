"""The verdicts of the gate as JUnit XML, which CI systems show as test results: a case a judgement.

A regression is a failure; what is missing or cannot be judged is an error, and so are an unfit host and a run
that is not whole, which have cases of their own; what is inconclusive is skipped, or a failure where the gate
is strict. So the file fails exactly when the gate does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from xml.etree import ElementTree as ET

from isobench.reports import gate_rows, units
from isobench.reports.gate_rows import Row
from isobench.reports.gate_values import GateReport, Judgement, Verdict
from isobench.reports.xml_text import document, legal, properties


@dataclass(frozen=True, slots=True)
class _Case:
    """One test case."""

    suite: str
    name: str
    end: str = ""
    """``failure``, ``error``, ``skipped``; empty: it passed."""
    type: str = ""
    message: str = ""
    out: str = ""
    facts: dict[str, str] = field(default_factory=dict)


def as_junit(report: GateReport) -> str:
    """The XML. Equal reports give equal texts."""
    cases = [*_run_cases(report), *_judged(report), *_unjudged(report)]
    root = ET.Element("testsuites", _tally(f"isobench gate {report.run_id}", cases))
    for suite, own in groupby(cases, key=lambda case: case.suite):
        root.append(_suite(suite, list(own), report))
    return document(root)


def _run_cases(report: GateReport) -> list[_Case]:
    """The two that are about everything."""
    whole = _Case("gate", "the run is whole")
    if report.faults:
        whole = _Case("gate", whole.name, "error", "incomplete", " ".join(report.faults))
    fit = _Case("gate", "the host is fit")
    signs = "\n".join(f"{one.name}: {one.found}, at most {one.limit}" for one in report.checks)
    if report.unfit:
        message = "; ".join(f"{one.name} {one.found}, at most {one.limit}" for one in report.unfit)
        fit = _Case("gate", fit.name, "error", "unfit", message, signs)
    return [whole, fit]


def _judged(report: GateReport) -> list[_Case]:
    order = list(dict.fromkeys(one.benchmark for one in report.judgements))
    found = sorted(report.judgements, key=lambda one: order.index(one.benchmark))
    return [_case(one, report) for one in found]


def _case(one: Judgement, report: GateReport) -> _Case:
    row = gate_rows.row(one)
    return _Case(
        suite=one.benchmark,
        name=f"{one.comparison} {one.metric.name}",
        end=_end(one.verdict, report),
        type=one.verdict.value,
        message=one.reason,
        out=_figures(row),
        facts=_facts(one),
    )


def _end(verdict: Verdict, report: GateReport) -> str:
    return {
        Verdict.REGRESSION: "failure",
        Verdict.ERROR: "error",
        Verdict.MISSING: "skipped" if report.allow_missing else "error",
        Verdict.INCONCLUSIVE: "failure" if report.strict else "skipped",
    }.get(verdict, "")


def _figures(row: Row) -> str:
    limit_from = f"limit by {row.limit_from}\n" if row.limit_from else ""
    return (
        f"{row.verdict.value}: A {row.a}, B {row.b}, B to A {row.change} ({row.interval}), "
        f"limit {row.limit}, sees {row.sees}, control {row.control}, p {row.p}, blocks {row.blocks}\n"
        f"{row.reason}\n{limit_from}"
    )


def _facts(one: Judgement) -> dict[str, str]:
    """Unrounded; what there is not is left out."""
    change = one.change
    interval = None if change is None else change.interval
    found = {
        "verdict": one.verdict.value,
        "change": change and repr(change.value),
        "change_low": interval and repr(interval.low),
        "change_high": interval and repr(interval.high),
        "limit": one.threshold and repr(one.threshold.delta),
        "detectable": one.stage and repr(one.stage.detectable),
        "p": None if one.p is None else repr(one.p),
    }
    return {name: value for name, value in found.items() if value}


def _unjudged(report: GateReport) -> list[_Case]:
    return [
        _Case("not judged", f"{one.comparison} {one.metric}".rstrip(), "skipped", "", one.reason)
        for one in report.unjudged
    ]


def _suite(name: str, cases: Sequence[_Case], report: GateReport) -> ET.Element:
    suite = ET.Element("testsuite", _tally(name, cases))
    properties(suite, {"a": report.a, "b": report.b, "blocks": str(report.blocks), "run_id": report.run_id})
    for case in cases:
        about = {"name": case.name, "classname": f"isobench.gate.{case.suite.replace(' ', '_')}"}
        element = ET.SubElement(suite, "testcase", {key: legal(text) for key, text in about.items()})
        properties(element, case.facts)
        if case.end:
            kind = {} if case.end == "skipped" else {"type": case.type}
            ET.SubElement(element, case.end, {"message": legal(units.plain(case.message)), **kind})
        if case.out:
            ET.SubElement(element, "system-out").text = legal(case.out)
    return suite


def _tally(name: str, cases: Sequence[_Case]) -> dict[str, str]:
    ends = [case.end for case in cases]
    counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {
        "name": legal(name),
        "tests": str(len(cases)),
        **{key: str(ends.count(end)) for key, end in counted.items()},
    }

"""The verdicts of the gate as JSON; docs/gate-in-ci.md lists the keys. Keys are added, never renamed."""

import math
from collections.abc import Mapping
from typing import Any

from isobench.reports.gate_values import GateReport, Judgement, Stage
from isobench.reports.stats import Estimate

VERSION = 1
"""Of the keys; a higher one would mean that some of them changed their meaning."""


def as_json(report: GateReport) -> dict[str, Any]:
    """Everything, for programs to read: every figure unrounded, null where there is none."""
    return {
        "v": VERSION,
        "run_id": report.run_id,
        "outcome": report.outcome.value,
        "ok": report.ok,
        "exit_code": report.exit_code,
        "by": report.by,
        "a": report.a,
        "b": report.b,
        "blocks": report.blocks,
        "detect": report.detect,
        "strict": report.strict,
        "allow_missing": report.allow_missing,
        "counts": {verdict.value: count for verdict, count in report.counts.items()},
        "judgements": [_judgement(one) for one in report.judgements],
        "unjudged": [
            {"comparison": one.comparison, "metric": one.metric, "reason": one.reason}
            for one in report.unjudged
        ],
        "checks": [
            {"name": one.name, "found": one.found, "limit": one.limit, "passed": one.passed}
            for one in report.checks
        ],
        "faults": list(report.faults),
        "warnings": list(report.warnings),
    }


def _judgement(one: Judgement) -> dict[str, Any]:
    threshold = one.threshold
    return {
        "comparison": one.comparison,
        "benchmark": one.benchmark,
        "metric": one.metric.name,
        "title": one.metric.title,
        "unit": one.metric.unit,
        "scale": one.metric.scale.value,
        "worse": one.metric.worse.value,
        "verdict": one.verdict.value,
        "reason": one.reason,
        "change": _estimate(one.change),
        "p": _finite(one.p),
        "threshold": None
        if threshold is None
        else {
            "delta": _finite(threshold.delta),
            "source": threshold.source.value,
            "reason": threshold.reason,
        },
        "stage": _stage(one.stage),
        "screen": _stage(one.screen),
        "needed_blocks": one.needed_blocks,
        "cells": {side.value: cell for side, cell in one.cells.items()},
        "gaps": [{"block": gap.block, "side": gap.side.value, "reason": gap.reason} for gap in one.gaps],
    }


def _stage(stage: Stage | None) -> Mapping[str, Any] | None:
    if stage is None:
        return None
    return {
        "number": stage.number,
        "n": stage.n,
        "planned": stage.planned,
        "a": _finite(stage.a),
        "b": _finite(stage.b),
        "theta": _estimate(stage.theta),
        "p_worse": _finite(stage.p_worse),
        "p_better": _finite(stage.p_better),
        "p_adjusted": _finite(stage.p_adjusted),
        "spread": _finite(stage.spread),
        "detectable": _finite(stage.detectable),
        "control": {
            "theta": _estimate(stage.control.theta),
            "p": _finite(stage.control.p),
            "passed": stage.control.passed,
        },
    }


def _estimate(found: Estimate | None) -> Mapping[str, float | None] | None:
    if found is None:
        return None
    span = found.interval
    return {
        "value": _finite(found.value),
        "low": None if span is None else _finite(span.low),
        "high": None if span is None else _finite(span.high),
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None

"""The regression gate: from a run that compares two sides to verdicts. docs/gate.md has the reasons."""

from isobench.reports.gate_values import (
    Check,
    Control,
    Gap,
    GateReport,
    Judgement,
    Metric,
    Outcome,
    Scale,
    Source,
    Stage,
    Threshold,
    Unjudged,
    Verdict,
    Worse,
    changed,
)

__all__ = [
    "Check",
    "Control",
    "Gap",
    "GateReport",
    "Judgement",
    "Metric",
    "Outcome",
    "Scale",
    "Source",
    "Stage",
    "Threshold",
    "Unjudged",
    "Verdict",
    "Worse",
    "changed",
]

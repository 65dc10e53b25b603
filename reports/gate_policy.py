"""gate.toml: what a gate lets pass, with a reason for every exception.

The file and its schema are described in docs/gate.md; docs/gate.schema.json is made from the models here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from isobench.errors import PolicyError
from isobench.mistakes import Mistakes, parse_toml, show
from isobench.plugins import did_you_mean
from isobench.reports.gate_metrics import METRICS, judged
from isobench.reports.gate_values import Scale

SOURCE = "gate.toml"
"""What the thresholds are called in messages where no file is known."""

_JUDGED = {name: tuple(rule.metric.name for rule in found.rules) for name, found in METRICS.items()}
_BENCHMARKS = tuple(name for name, metrics in _JUDGED.items() if metrics)
_METRICS = tuple(dict.fromkeys(metric for metrics in _JUDGED.values() for metric in metrics))


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("a reason is a sentence")
    return text


class GateTable(BaseModel):
    """The table ``[gate]``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    alpha: float = Field(default=0.05, gt=0, le=0.2)
    """Level of the screen, and of the confirmation over all candidates together."""
    strict: bool = False
    """What is inconclusive fails, with exit code 3."""
    allow_missing: bool = False
    """What the baseline had and the candidate lacks does not fail."""


class ThresholdTable(BaseModel):
    """A table ``[[threshold]]``: other thresholds for a metric, of everything or of what is named."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    benchmark: Annotated[str, WithJsonSchema({"type": "string", "enum": list(_BENCHMARKS)})]
    metric: Annotated[str, WithJsonSchema({"type": "string", "enum": list(_METRICS)})]
    isolator: str | None = None
    """Only comparisons of this isolator, as the matrix names it."""
    workload: str | None = None
    """Only comparisons of this workload."""
    relative: float | None = Field(default=None, gt=0, le=10)
    """The change as a ratio up to which nobody cares: 0.08 is 8 %."""
    floor: float | None = Field(default=None, ge=0)
    """The same as an absolute change in the metric's unit (seconds, bytes, a ratio)."""
    reason: Annotated[str, AfterValidator(_said)]
    """Why, for those who read the verdict."""

    @model_validator(mode="after")
    def _changes_something(self) -> "ThresholdTable":
        if self.relative is None and self.floor is None:
            raise ValueError("found neither `relative` nor `floor`; one of them has to be given")
        return self


class Policy(BaseModel):
    """gate.toml as a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: GateTable = GateTable()
    threshold: tuple[ThresholdTable, ...] = ()

    def asked(self, *, strict: bool = False, allow_missing: bool = False) -> "Policy":
        """With what the command line asks for besides."""
        table = self.gate.model_copy(
            update={
                "strict": self.gate.strict or strict,
                "allow_missing": self.gate.allow_missing or allow_missing,
            }
        )
        return self.model_copy(update={"gate": table})

    def tables(self) -> dict[str, Any]:
        """In the shape of gate.toml, as run.json keeps it; the way back is :func:`parse_policy`."""
        return self.model_dump(mode="json", exclude_none=True)

    def override(self, subject: "Subject", metric: str) -> ThresholdTable | None:
        """The last table that is about that metric of that comparison."""
        found = [table for table in self.threshold if table.metric == metric and subject.matches(table)]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a comparison is about, by every name it goes by."""

    benchmark: str
    isolators: frozenset[str]
    workloads: frozenset[str]

    def matches(self, table: ThresholdTable) -> bool:
        """Whether a table of gate.toml is about it, whatever its metric."""
        return (
            table.benchmark == self.benchmark
            and (table.isolator is None or table.isolator in self.isolators)
            and (table.workload is None or table.workload in self.workloads)
        )


DEFAULT_POLICY = Policy()


def read_policy(path: Path) -> Policy:
    """The thresholds in a file.

    Raises :class:`isobench.errors.PolicyError` with one line a mistake.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: the thresholds cannot be read: {error.strerror}") from error
    return parse_policy(parse_toml(text, str(path), PolicyError), str(path))


def parse_policy(tables: Mapping[str, Any], source: str = SOURCE) -> Policy:
    """The thresholds in tables of the shape of gate.toml; none at all are the defaults.

    Raises :class:`isobench.errors.PolicyError` with one line a mistake; ``source`` names the file in it.
    """
    mistakes = Mistakes(source, error=PolicyError)
    for name in tables:
        mistakes.unless_known(f"[{name}]", "", name, tuple(Policy.model_fields))
    gate = mistakes.checked("[gate]", GateTable, tables.get("gate", {}))
    overrides = tuple(_thresholds(mistakes, tables.get("threshold", [])))
    mistakes.raise_if_any()
    return Policy(gate=gate or GateTable(), threshold=overrides)


def _thresholds(mistakes: Mistakes, found: object) -> Iterable[ThresholdTable]:
    if not isinstance(found, list) or not all(isinstance(table, Mapping) for table in found):
        mistakes.add("threshold", "", f"found {show(found)}; allowed: tables that begin with [[threshold]]")
        return
    for number, table in enumerate(found, start=1):
        label = f"[[threshold]] {number}"
        checked = mistakes.checked(label, ThresholdTable, table)
        if checked and _is_known(mistakes, label, checked):
            yield checked


def _is_known(mistakes: Mistakes, label: str, table: ThresholdTable) -> bool:
    """Whether there is such a metric, and what is said about it can be said."""
    if not mistakes.unless_known(label, "benchmark", table.benchmark, _BENCHMARKS):
        return False
    if not mistakes.unless_known(label, "metric", table.metric, _JUDGED[table.benchmark]):
        return False
    rule = next(r for r in judged(table.benchmark).rules if r.metric.name == table.metric)
    if table.relative is not None and rule.relative is None:
        what = f"{rule.metric.title} is compared by its difference; allowed: floor"
        mistakes.add(label, "relative", f"found {show(table.relative)}; {what}")
    if table.floor == 0 and rule.metric.scale is Scale.DIFFERENCE:
        mistakes.add(
            label, "floor", "found 0; allowed: more, for a metric that is compared by its difference"
        )
    return True


def check_matches(policy: Policy, subjects: Iterable[Subject], source: str = SOURCE) -> None:
    """See that every table is about something of a run.

    Raises :class:`isobench.errors.PolicyError`: a table that is about nothing seems to protect somebody.
    """
    there = tuple(subjects)
    mistakes = Mistakes(source, error=PolicyError)
    for number, table in enumerate(policy.threshold, start=1):
        if not any(subject.matches(table) for subject in there):
            _add_unmatched(mistakes, f"[[threshold]] {number}", table, there)
    mistakes.raise_if_any()


def _add_unmatched(mistakes: Mistakes, label: str, table: ThresholdTable, there: tuple[Subject, ...]) -> None:
    names = {
        "benchmark": {subject.benchmark for subject in there},
        "isolator": {name for subject in there for name in subject.isolators},
        "workload": {name for subject in there for name in subject.workloads},
    }
    for key, known in names.items():
        found = getattr(table, key)
        if found is not None and found not in known:
            allowed = sorted(known)
            hint = did_you_mean(found, allowed)
            where = f"which this run does not compare; compared: {', '.join(allowed)}"
            mistakes.add(label, key, f"found {show(found)}{hint}, {where}")
            return
    mistakes.add(label, "", "nothing in this run is of that benchmark, isolator and workload at once")


def schema() -> dict[str, Any]:
    """The shape of gate.toml as a JSON schema, for editors; docs/gate.schema.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Policy.model_json_schema()}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))  # noqa: T201 - a program that writes a file of the documentation

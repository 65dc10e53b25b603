"""gate.toml: what it may say, what its mistakes are told like, and the thresholds that come of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from isobench.errors import PolicyError, UsageError
from isobench.reports.gate_metrics import METRICS, Rule
from isobench.reports.gate_policy import (
    DEFAULT_POLICY,
    GateTable,
    Policy,
    Subject,
    ThresholdTable,
    check_matches,
    parse_policy,
    read_policy,
    schema,
)
from isobench.reports.gate_threshold import threshold
from isobench.reports.gate_values import Source

ROOT = Path(__file__).resolve().parents[2]

WHOLE = """
[gate]
alpha = 0.01
strict = true

[[threshold]]
benchmark = "startup"
metric = "ready"
isolator = "runc"
relative = 0.08
reason = "its Go runtime starts in two speeds"

[[threshold]]
benchmark = "memory"
metric = "each"
floor = 1048576
reason = "the host reclaims slab as it likes"
"""


def table(**changes: object) -> dict[str, Any]:
    return {"benchmark": "startup", "metric": "ready", "relative": 0.1, "reason": "known", **changes}


def mistakes(tables: dict[str, Any]) -> str:
    with pytest.raises(PolicyError) as caught:
        parse_policy(tables, "gate.toml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def rule(benchmark: str, metric: str) -> Rule:
    return next(one for one in METRICS[benchmark].rules if one.metric.name == metric)


def test_file_becomes_a_policy_and_comes_back_from_the_journal_the_same(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(WHOLE)

    policy = read_policy(path)

    assert policy.gate == GateTable(alpha=0.01, strict=True)
    assert [one.relative for one in policy.threshold] == [0.08, None]
    assert parse_policy(json.loads(json.dumps(policy.tables()))) == policy


def test_nothing_said_is_the_defaults() -> None:
    assert parse_policy({}) == DEFAULT_POLICY == Policy()
    assert parse_policy(DEFAULT_POLICY.tables()) == DEFAULT_POLICY


def test_command_line_adds_to_the_file_and_takes_nothing_away() -> None:
    strict = parse_policy({"gate": {"strict": True}})

    assert strict.asked().gate.strict
    assert strict.asked(allow_missing=True).gate == GateTable(strict=True, allow_missing=True)
    assert not DEFAULT_POLICY.asked().gate.strict


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"gates": {}}, 'gate.toml: [gates]: found "gates" (did you mean "gate"?); allowed: gate, threshold'),
        ({"gate": {"alfa": 1}}, '[gate] alfa: found an unknown key (did you mean "alpha"?)'),
        ({"gate": {"alpha": 0.5}}, "[gate] alpha: found 0.5; allowed: less than or equal to 0.2"),
        ({"gate": {"strict": "yes"}}, '[gate] strict: found "yes"; allowed: a valid boolean'),
        ({"threshold": {}}, "threshold: found {}; allowed: tables that begin with [[threshold]]"),
        ({"threshold": [table(reason=" ")]}, "[[threshold]] 1 reason:"),
        ({"threshold": [{k: v for k, v in table().items() if k != "reason"}]}, "reason: found nothing"),
        (
            {"threshold": [table(), table(benchmark="startap")]},
            '[[threshold]] 2 benchmark: found "startap" (did you mean "startup"?); allowed: startup, memory',
        ),
        (
            {"threshold": [table(metric="raedy")]},
            '[[threshold]] 1 metric: found "raedy" (did you mean "ready"?); allowed: ready',
        ),
        ({"threshold": [table(benchmark="audit")]}, '[[threshold]] 1 benchmark: found "audit"'),
        ({"threshold": [table(relative=0)]}, "relative: found 0; allowed: greater than 0"),
        ({"threshold": [table(relative=float("nan"))]}, "relative: found"),
        ({"threshold": [table(floor=-1)]}, "floor: found -1"),
        (
            {"threshold": [{k: v for k, v in table().items() if k != "relative"}]},
            "neither `relative` nor `floor`",
        ),
        (
            {"threshold": [table(benchmark="throttling", metric="cpu_share_error")]},
            "relative: found 0.1; error of a CPU limit is compared by its difference; allowed: floor",
        ),
        (
            {"threshold": [table(benchmark="memory", metric="each", floor=0)]},
            "floor: found 0; allowed: more",
        ),
        ({"threshold": [table(host="lab")]}, "[[threshold]] 1 host: found an unknown key"),
    ],
)  # fmt: skip
def test_mistake_is_told_with_file_table_key_found_and_allowed(tables: dict[str, Any], words: str) -> None:
    assert words in mistakes(tables)


def test_all_mistakes_are_told_at_once() -> None:
    text = mistakes({"gate": {"alpha": 2}, "threshold": [table(metric="x"), table(relative=-1)]})

    assert len(text.splitlines()) == 3


def test_file_that_is_not_there_and_one_that_is_no_toml_are_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "gate.toml").write_text("[gate\n")
    with pytest.raises(PolicyError, match=r"gate.toml:1:6: not TOML"):
        read_policy(tmp_path / "gate.toml")
    assert issubclass(PolicyError, UsageError)


def test_a_last_table_that_is_about_a_comparison_outranks_those_before() -> None:
    policy = parse_policy(
        {
            "threshold": [
                table(reason="all"),
                table(isolator="runc", reason="runc"),
                table(isolator="runc", workload="nginx", reason="both"),
                table(benchmark="density", reason="other"),
            ]
        }
    )

    def reason(isolator: str, workload: str, metric: str = "ready") -> str | None:
        subject = Subject("startup", frozenset({isolator}), frozenset({workload}))
        found = policy.override(subject, metric)
        return found.reason if found else None

    assert reason("lxc", "ready") == "all"
    assert reason("runc", "ready") == "runc"
    assert reason("runc", "nginx") == "both"
    assert reason("runc", "nginx", "other") is None


def test_table_about_nothing_is_told_with_what_there_is() -> None:
    subjects = [
        Subject("startup", frozenset({"old", "new"}), frozenset({"ready"})),
        Subject("memory", frozenset({"old", "new"}), frozenset({"hold"})),
    ]
    wrong = [
        table(),
        table(isolator="newer"),
        table(workload="hold"),
        table(benchmark="freeze", metric="thaw"),
    ]

    with pytest.raises(PolicyError) as caught:
        check_matches(parse_policy({"threshold": wrong}), subjects, "ci/gate.toml")

    isolator, both, benchmark = str(caught.value).splitlines()
    assert isolator == (
        'ci/gate.toml: [[threshold]] 2 isolator: found "newer" (did you mean "new"?), '
        "which this run does not compare; compared: new, old"
    )
    assert both.startswith("ci/gate.toml: [[threshold]] 3: nothing in this run is of that benchmark, isol")
    assert benchmark == (
        'ci/gate.toml: [[threshold]] 4 benchmark: found "freeze", '
        "which this run does not compare; compared: memory, startup"
    )


READY, EACH = rule("startup", "ready"), rule("memory", "each")
OFF, RATE = rule("throttling", "cpu_share_error"), rule("startup-concurrency", "rate")
KIB = 1024.0


@pytest.mark.parametrize(
    ("rule", "medians", "delta"),
    [
        (READY, (0.1, 0.2), 0.05),
        (READY, (0.002, 0.003), 0.25),
        (READY, (0.003, 0.002), 0.25),
        (EACH, (100e6, 101e6), 3e6),
        (EACH, (1e6, 2e6), 256 * KIB),
        (EACH, (-5e3, 2e3), 256 * KIB),
        (OFF, (0.001, 0.2), 0.01),
        (RATE, (100, 90), 0.03),
    ],
)
def test_defaults_are_those_of_the_documentation(
    rule: Rule, medians: tuple[float, float], delta: float
) -> None:
    assert threshold(rule, medians).delta == pytest.approx(delta)


def test_detect_lowers_what_is_relative_and_the_floor_to_half_of_it_and_raises_nothing() -> None:
    assert threshold(READY, (0.001, 0.001), detect=0.1).delta == 0.05
    assert threshold(READY, (0.001, 0.001), detect=0.2).delta == 0.1
    assert threshold(READY, (0.1, 0.1), detect=0.04).source is Source.DETECT
    assert threshold(READY, (0.1, 0.1), detect=0.5).delta == 0.05
    assert threshold(EACH, (100e6, 100e6), detect=0.04).delta == pytest.approx(2e6)
    assert threshold(EACH, (0.0, -1.0), detect=0.04).delta == 256 * KIB
    assert threshold(OFF, (0.1, 0.1), detect=0.04).delta == 0.01


def test_file_outranks_detect_and_only_in_what_it_says() -> None:
    coarse = ThresholdTable.model_validate(table(relative=0.2))
    fine = ThresholdTable.model_validate(table(relative=0.01, floor=0.0))

    assert threshold(READY, (0.1, 0.1), override=coarse, detect=0.02).delta == 0.2
    assert threshold(READY, (0.1, 0.1), override=coarse, detect=0.02).source is Source.FILE
    assert threshold(READY, (0.001, 0.001), override=fine).delta == 0.01
    kept = threshold(READY, (0.001, 0.001), override=ThresholdTable.model_validate(table(relative=0.01)))
    assert (kept.delta, kept.source) == (0.5, Source.FLOOR)


def test_noise_of_the_host_outranks_everything_below_it() -> None:
    fine = ThresholdTable.model_validate(table(relative=0.01, floor=0.0))

    found = threshold(READY, (0.1, 0.1), override=fine, noise=0.04)

    assert (found.delta, found.source) == (0.04, Source.NOISE)
    assert "+4.00 %" in found.reason
    assert threshold(READY, (0.1, 0.1), noise=0.01).source is Source.DEFAULT
    assert threshold(EACH, (100e6, 100e6), noise=0.05).delta == pytest.approx(5e6)
    assert threshold(OFF, (0.1, 0.1), noise=0.9).delta == 0.01


def test_schema_in_the_documentation_is_that_of_the_models() -> None:
    written = json.loads((ROOT / "docs" / "gate.schema.json").read_text())

    # Made by: python -m isobench.reports.gate_policy > docs/gate.schema.json
    assert written == schema()


def test_every_key_of_the_file_is_in_the_documentation() -> None:
    page = (ROOT / "docs" / "gate.md").read_text()

    for model in (GateTable, ThresholdTable):
        for key in model.model_fields:
            assert f"| `{key}` |" in page


def test_policy_is_frozen() -> None:
    with pytest.raises(ValidationError):
        DEFAULT_POLICY.gate.alpha = 0.1  # type: ignore[misc]

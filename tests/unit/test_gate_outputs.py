"""What the gate writes: terminal, Markdown, JSON, JUnit, GitHub annotations and summary, the page."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from tests.ab_runs import ab_run, only_in_a, starts

from isobench.errors import OutputError
from isobench.journal import StoredRun
from isobench.journal_writer import Journal
from isobench.model import Sample, Side, Status
from isobench.reports import gate_github, gate_rows
from isobench.reports.gate import Check, GateReport, Source, Verdict, judge
from isobench.reports.gate_json import as_json
from isobench.reports.gate_junit import as_junit
from isobench.reports.gate_policy import DEFAULT_POLICY, parse_policy
from isobench.reports.gate_section import gate_part
from isobench.reports.gate_text import as_markdown, render
from isobench.reports.html import page
from isobench.reports.load import summarize

HOSTILE = '<script>alert(1)</script> | `x` "q" \x1b[31m\n::error::pwned %0A ]]> \ud800 & a,b:c'
SLOW, FAST, SAME, NOISY = (
    starts(1.2, workload="nginx"),
    starts(0.7, workload="redis"),
    starts(),
    starts(noise=0.12, seed=3, workload="noisy"),
)


def with_record(run: StoredRun, **changes: Any) -> StoredRun:  # noqa: ANN401
    return replace(run, record=replace(run.record, **changes))


def mixed() -> StoredRun:
    return ab_run(SLOW, FAST, SAME, NOISY, confirm=("startup/nginx", "startup/redis"), detect=0.1)


def calm() -> StoredRun:
    return ab_run(SAME)


def unsure() -> StoredRun:
    return ab_run(NOISY)


def restless() -> StoredRun:
    return ab_run(SAME, host={"load": {"1min": 99.0}})


def killed() -> StoredRun:
    return with_record(calm(), status="running")


def lacking() -> StoredRun:
    return only_in_a(ab_run(SAME, starts(workload="nginx")), "nginx")


def empty() -> StoredRun:
    return replace(calm(), samples=())


def broken(reason: str = "it fell over") -> StoredRun:
    def lost(sample: Sample) -> Sample:
        return replace(sample, value=None, status=Status.FAILED, reason=reason)

    run = calm()
    return replace(run, samples=tuple(lost(s) if s.side is Side.B else s for s in run.samples))


RUNS: tuple[Callable[[], StoredRun], ...] = (mixed, calm, unsure, restless, killed, lacking, empty, broken)


def report_of(run: StoredRun, *, strict: bool = False, allow_missing: bool = False) -> GateReport:
    return judge(run, DEFAULT_POLICY.asked(strict=strict, allow_missing=allow_missing))


def in_terminal(report: GateReport, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    render(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def hostile() -> GateReport:
    """Every string that comes from elsewhere is hostile."""
    report = report_of(broken(HOSTILE))
    found = [
        replace(
            one,
            comparison=f"{one.comparison}{HOSTILE}",
            reason=HOSTILE,
            cells={},
            threshold=one.threshold and replace(one.threshold, source=Source.FILE, reason=HOSTILE),
        )
        for one in (*report.judgements, *report_of(mixed()).judgements)
    ]
    return replace(
        report,
        a=HOSTILE,
        b=HOSTILE,
        judgements=tuple(found),
        faults=(HOSTILE,),
        warnings=(HOSTILE,),
        checks=(Check("load", HOSTILE, "2", passed=False),),
    )


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own output


def write(run: StoredRun, folder: Path) -> Path:
    with Journal.create(folder, run.record) as journal:
        for sample in run.samples:
            journal.append(sample)
    return folder


@pytest.mark.parametrize("made", RUNS)
def test_headline_says_what_the_outcome_is(made: Callable[[], StoredRun]) -> None:
    said = {
        mixed: "1 of 4 figures got worse: startup/nginx +18.89 % (",
        calm: "None of 1 figure got worse.",
        unsure: "Nothing is known to have got worse; of 1 of 1 figure it could not be told.",
        restless: "The host was too restless for its figures to be believed.",
        killed: "The run is not whole.",
        lacking: "1 of 2 figures could not be compared.",
        empty: "The run is not whole.",
        broken: "1 of 1 figure could not be compared.",
    }
    assert gate_rows.headline(report_of(made())).startswith(said[made])


def test_rows_stand_in_the_order_of_what_matters() -> None:
    verdicts = [row.verdict for row in gate_rows.rows(report_of(mixed()))]
    assert verdicts == [
        Verdict.REGRESSION,
        Verdict.INCONCLUSIVE,
        Verdict.IMPROVEMENT,
        Verdict.EQUIVALENT,
    ]


FACES: tuple[Callable[[GateReport], str], ...] = (
    in_terminal,
    as_markdown,
    as_junit,
    gate_github.annotations,
    lambda report: json.dumps(as_json(report)),
)


@pytest.mark.parametrize("face", FACES)
def test_limit_of_gate_toml_is_told_with_its_reason_where_it_passed_too(
    face: Callable[[GateReport], str],
) -> None:
    table = {"benchmark": "startup", "metric": "ready", "relative": 0.4, "reason": "Two speeds since July."}
    report = judge(ab_run(starts(1.2)), parse_policy({"threshold": [table]}))
    assert report.of(Verdict.EQUIVALENT)
    text = face(report)
    assert "gate.toml" in text
    assert "Two speeds since July." in text
    assert "July.." not in text


@pytest.mark.parametrize("face", FACES)
def test_limit_by_the_noise_of_the_host_is_told(face: Callable[[GateReport], str]) -> None:
    report = report_of(ab_run(starts(1.2), noise={"startup/ready": 0.4}))
    assert "noise" in face(report)
    assert "noise" not in face(report_of(calm()))


def test_limits_lowered_to_what_was_asked_for_are_told_once() -> None:
    report = report_of(ab_run(SAME, detect=0.08))
    assert "to see a change of 8.00 % with limits of half of it;" in gate_rows.about(report)
    assert gate_rows.cautions(report) == ()
    assert "half" not in gate_rows.about(report_of(ab_run(SAME, detect=0.2)))
    assert "limit by detect: half of the" in as_junit(report)


def test_many_limits_of_gate_toml_are_counted() -> None:
    (one,) = report_of(calm()).judgements
    assert one.threshold is not None
    many = [
        replace(one, threshold=replace(one.threshold, source=Source.FILE, reason=f"reason {number}"))
        for number in range(12)
    ]
    told = gate_rows.cautions(replace(report_of(calm()), judgements=tuple(many * 5)))
    assert len(told) == 11
    assert (
        told[0].text
        == "startup/ready ±5.00 %, startup/ready ±5.00 %, startup/ready ±5.00 % and 2 more: reason 0."
    )
    assert told[-1].text == "And 2 more."


def test_row_of_a_second_stage_names_the_blocks_of_both() -> None:
    first = gate_rows.rows(report_of(mixed()))[0]
    assert (first.blocks, first.p) == ("20 + 20", "<0.001")
    assert first.limit == "±5.00 %"


class TestTerminal:
    @pytest.mark.parametrize("width", [40, 80, 120, 200])
    def test_no_line_is_wider_than_the_terminal_and_verdicts_are_whole(self, width: int) -> None:
        text = in_terminal(report_of(mixed()), width)
        assert max(map(len, text.splitlines())) <= width
        for verdict in ("regression", "improvement", "inconclusive", "equivalent"):
            assert verdict in text

    def test_reasons_are_given_unless_the_figures_say_them(self) -> None:
        text = in_terminal(report_of(mixed()))
        assert "startup/nginx: regression" in text
        assert "on fresh blocks, as the screen had found." in text
        assert "startup/ready: equivalent" not in text

    def test_hostile_text_steers_no_terminal(self) -> None:
        text = in_terminal(hostile())
        assert "\x1b" not in text
        assert "<script>" in text  # a terminal shows it as it is


class TestMarkdown:
    def test_it_has_a_table_and_the_reasons(self) -> None:
        text = as_markdown(report_of(mixed()))
        assert text.startswith("### isobench gate: regression\n")
        assert text.count("| startup/") == 4
        assert "- **startup/nginx**: +18.89 %" in text

    def test_an_unfit_host_is_told_before_the_table(self) -> None:
        text = as_markdown(report_of(restless()))
        assert text.index("The host was not fit") < text.index("| figure |")
        assert "| load as it began | unfit | 49.50 a CPU |" in text

    @pytest.mark.parametrize("limit", [3000, 20_000, 65_000])
    def test_many_rows_are_cut_at_the_limit_and_told(self, limit: int) -> None:
        report = report_of(mixed())
        many = replace(report, judgements=report.judgements * 300)
        text = as_markdown(many, limit=limit)
        assert len(text) <= limit
        shown = text.count("| startup/")
        assert f"{1200 - shown} more rows do not fit here." in text
        assert "regression |" in text

    def test_hostile_text_is_neither_html_nor_markup(self) -> None:
        text = as_markdown(hostile())
        assert "<script>" not in text.replace("\\<", "")
        assert "\x1b" not in text
        assert not re.search(r"^::error", text, re.MULTILINE)
        for line in text.splitlines():
            if line.startswith("| startup"):
                assert len(re.findall(r"(?<!\\)\|", line)) == 12


class TestJson:
    @pytest.mark.parametrize("made", RUNS)
    def test_every_report_is_strict_json(self, made: Callable[[], StoredRun]) -> None:
        report = report_of(made())
        found = json.loads(json.dumps(as_json(report), allow_nan=False))
        assert found["v"] == 1
        assert (found["ok"], found["exit_code"]) == (report.ok, report.exit_code)
        assert sum(found["counts"].values()) == len(found["judgements"])

    def test_keys_are_those_that_the_docs_list(self) -> None:
        docs = (Path(__file__).parents[2] / "docs" / "gate-in-ci.md").read_text()
        table = docs[docs.index("## The keys of the JSON") :]
        listed = set(re.findall(r"^\| `([\w.]+)`", table, re.MULTILINE))
        report = replace(report_of(mixed()), checks=(Check("load", "1", "2", passed=True),))
        report = replace(report, unjudged=report_of_only_b().unjudged)
        gap = report_of(
            ab_run(replace(SAME, values={**SAME.values, Side.B: [None, *SAME.values[Side.B][1:]]}))
        )
        report = replace(report, judgements=(*report.judgements, *gap.judgements))
        assert set(_keys(as_json(report))) == listed

    def test_sources_of_a_threshold_are_those_that_the_docs_list(self) -> None:
        docs = (Path(__file__).parents[2] / "docs" / "gate-in-ci.md").read_text()
        (line,) = re.findall(r"^\| `judgements.threshold.source` \|(.*)\|$", docs, re.MULTILINE)
        assert re.findall(r"`(.+?)`", line) == [source.value for source in Source]

    def test_figures_are_unrounded(self) -> None:
        report = report_of(mixed())
        (slow,) = report.of(Verdict.REGRESSION)
        (found,) = [one for one in as_json(report)["judgements"] if one["verdict"] == "regression"]
        assert slow.stage is not None
        assert found["stage"]["a"] == slow.stage.a
        assert found["screen"]["number"] == 1


def report_of_only_b() -> GateReport:
    def refused(sample: Sample) -> Sample:
        return replace(sample, value=None, status=Status.UNSUPPORTED, reason="it has no such thing")

    run = ab_run(SAME, starts(workload="nginx"))
    lines = [s if s.side is Side.B or s.workload != "nginx" else refused(s) for s in run.samples]
    return report_of(replace(run, samples=tuple(lines)))


OPEN = {"cells", "counts"}
"""Mappings whose keys are names."""


def _keys(value: object, above: str = "") -> list[str]:
    if isinstance(value, list):
        return [key for item in value for key in _keys(item, above)]
    if not isinstance(value, dict):
        return []
    found = []
    for key, item in value.items():
        path = f"{above}.{key}".removeprefix(".").replace("screen.", "stage.")
        found += [path, *([] if key in OPEN else _keys(item, path))]
    return found


class TestJUnit:
    @pytest.mark.parametrize("allow_missing", [False, True])
    @pytest.mark.parametrize("strict", [False, True])
    @pytest.mark.parametrize("made", RUNS)
    def test_it_fails_exactly_when_the_gate_does(
        self, made: Callable[[], StoredRun], *, strict: bool, allow_missing: bool
    ) -> None:
        report = report_of(made(), strict=strict, allow_missing=allow_missing)
        root = parsed(as_junit(report))
        failed = int(root.attrib["failures"]) + int(root.attrib["errors"])
        assert (failed == 0) == report.ok

    @pytest.mark.parametrize("made", RUNS)
    def test_its_tallies_count_its_cases(self, made: Callable[[], StoredRun]) -> None:
        root = parsed(as_junit(report_of(made())))
        for element in (root, *root.iter("testsuite")):
            cases = list(element.iter("testcase"))
            assert element.attrib["tests"] == str(len(cases))
            for key, end in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
                assert element.attrib[key] == str(len(list(element.iter(end))))

    def test_verdicts_become_ends(self) -> None:
        root = parsed(as_junit(report_of(mixed())))
        ends = {
            case.attrib["name"]: [
                child.tag for child in case if child.tag not in {"properties", "system-out"}
            ]
            for case in root.iter("testcase")
        }
        assert ends == {
            "the run is whole": [],
            "the host is fit": [],
            "startup/nginx ready": ["failure"],
            "startup/noisy ready": ["skipped"],
            "startup/ready ready": [],
            "startup/redis ready": [],
        }

    def test_hostile_text_stays_text(self) -> None:
        root = parsed(as_junit(hostile()))
        messages = [error.attrib["message"] for error in root.iter("error")]
        assert any("<script>alert(1)</script>" in message for message in messages)
        assert not list(root.iter("script"))


class TestGithub:
    def test_levels_follow_the_verdicts(self) -> None:
        lines = gate_github.annotations(report_of(mixed())).splitlines()
        assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]
        assert lines[0].startswith("::error title=isobench gate%3A regression::startup/nginx: +18.89 %25 (")
        assert "%0AA 50.1 ms, B 59.4 ms; limit ±5.00 %25" in lines[0]

    def test_strict_makes_what_is_inconclusive_an_error(self) -> None:
        assert gate_github.annotations(report_of(unsure(), strict=True)).startswith("::error")

    def test_what_may_be_missing_is_a_warning(self) -> None:
        assert "::error" in gate_github.annotations(report_of(lacking()))
        assert "::error" not in gate_github.annotations(report_of(lacking(), allow_missing=True))

    def test_a_pass_says_nothing(self) -> None:
        assert gate_github.annotations(report_of(calm())) == ""

    def test_an_unfit_host_is_an_error(self) -> None:
        lines = gate_github.annotations(report_of(restless())).splitlines()
        assert lines[0].startswith(
            "::error title=isobench gate%3A The host was not fit::load as it began 49.50"
        )

    def test_more_than_github_shows_are_counted(self) -> None:
        report = report_of(mixed())
        lines = gate_github.annotations(replace(report, judgements=report.judgements * 30)).splitlines()
        errors = [line for line in lines if line.startswith("::error")]
        assert len(errors) == 10
        assert errors[-1].endswith("::21 more: see the summary of this step")

    def test_hostile_text_makes_no_command_of_its_own(self) -> None:
        lines = gate_github.annotations(hostile()).splitlines()
        for line in lines:
            assert re.fullmatch(r"::(error|warning|notice) title=[^:,]*::[^\x00-\x1f]*", line)
            assert "pwned %250A" in line or "pwned" not in line

    def test_summary_is_appended(self, tmp_path: Path) -> None:
        file = tmp_path / "summary"
        file.write_text("before\n")
        report = report_of(calm())
        gate_github.append_summary(report, file)
        assert file.read_text() == f"before\n{as_markdown(report)}"

    def test_summary_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="the step's summary cannot be written"):
            gate_github.append_summary(report_of(calm()), tmp_path / "none" / "summary")


class TestPage:
    def test_it_leads_with_the_verdict_and_draws_it(self, tmp_path: Path) -> None:
        html = page(summarize(write(mixed(), tmp_path / "run")))
        assert html.index('<h2 id="gate">Verdict</h2>') < html.index('<h2 id="overview">')
        assert "Regression: 1 regression, 1 inconclusive, 1 improvement, 1 equivalent" in html
        assert '<figure id="figure-gate">' in html
        assert "Was the host quiet enough?" in html

    def test_figures_lead_to_the_raw_samples_of_their_side(self, tmp_path: Path) -> None:
        summary = summarize(write(calm(), tmp_path / "run"))
        part = gate_part(summary)
        assert part is not None
        a, b = part.section.tables[0].rows[0].figures[1:3]
        assert a.cell is not None
        assert b.cell is not None
        assert (a.cell.id, b.cell.id) == ("startup/old/ready", "startup/new/ready")

    def test_reason_of_a_limit_stands_on_it(self, tmp_path: Path) -> None:
        run = calm()
        assert run.record.ab is not None
        table = {"benchmark": "startup", "metric": "ready", "relative": 0.08, "reason": "two speeds"}
        ab = replace(run.record.ab, policy={"threshold": [table]})
        html = page(summarize(write(with_record(run, ab=ab), tmp_path / "run")))
        assert "startup/ready ±8.00 %: two speeds." in html

    def test_a_run_that_compares_nothing_has_none_of_it(self, run_folder: Path) -> None:
        summary = summarize(run_folder)
        assert gate_part(summary) is None
        assert 'id="gate"' not in page(summary)

    @pytest.mark.parametrize("made", [restless, killed, lacking, empty, broken])
    def test_whatever_is_wrong_stands_on_the_page(
        self, made: Callable[[], StoredRun], tmp_path: Path
    ) -> None:
        html = page(summarize(write(made(), tmp_path / "run")))
        assert '<div class="caution loud" role="note">' in html[html.index('id="gate"') :]

    def test_thresholds_that_cannot_be_read_are_told_and_the_page_stays(self, tmp_path: Path) -> None:
        run = calm()
        assert run.record.ab is not None
        ab = replace(run.record.ab, policy={"gate": {"alpha": 7}})
        html = page(summarize(write(with_record(run, ab=ab), tmp_path / "run")))
        assert "There is no verdict on this run" in html
        assert "run.json: [gate] alpha" in html

    def test_hostile_text_is_escaped(self, tmp_path: Path) -> None:
        html = page(summarize(write(broken(HOSTILE.replace("\ud800", "")), tmp_path / "run")))
        assert "<script>alert" not in html


@pytest.mark.parametrize("make", FACES)
def test_equal_reports_give_equal_texts(make: Callable[[GateReport], str]) -> None:
    assert make(report_of(mixed())) == make(report_of(mixed()))

"""The HTML report as a text; tests/web opens it in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from tests.finished_runs import ATTACKED, FINISHED
from tests.hostile_run import hostile

from isobench.errors import OutputError, ResultsError, UsageError
from isobench.model import Status
from isobench.reports.html import page, write_report
from isobench.reports.load import summarize
from isobench.reports.summary import Summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

VOID = {"meta", "link", "br", "hr", "img", "path", "use", "rect"}


class Reader(HTMLParser):
    """Collects what tests ask about, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [value or "" for _, name, value in self.attributes if name == attribute]


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def words(reader: Reader) -> str:
    return " ".join(" ".join(reader.text).split())


def inside(text: str, tag: str) -> str:
    """The text of the first element of that name."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert found
    return found[1]


def named(text: str) -> str:
    """As a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="module")
def text(summary: Summary) -> str:
    return page(summary)


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return read(text)


def test_page_says_verdict_host_tools_figures_and_what_was_not_measured(reader: Reader) -> None:
    said = words(reader)

    for expected in (
        "What isolation costs on lab-1",
        "Fastest start chroot",
        "qemu-tcg: software emulation (TCG)",
        "212 µs 204 to 223 µs",
        "just before the clone of `runc create`",
        "crun is not installed apt-get install crun",
        "Debian GNU/Linux 12 (bookworm)",
        "runc version 1.1.5",
        "The run took 132 s, 84 % of it inside timed sections",
    ):
        assert expected in said


def test_page_of_one_run_is_the_same_bytes_every_time(summary: Summary, text: str) -> None:
    assert page(summary) == text


def test_page_holds_nothing_to_fetch_and_nothing_to_run_but_its_own_script(text: str, reader: Reader) -> None:
    assert not {tag for tag, _, _ in reader.attributes} & {"script", "iframe", "object", "img", "form"}
    assert text.count("<script") == 1
    assert not [name for _, name, _ in reader.attributes if name.startswith("on") or name == "style"]
    assert {value for value in reader.values("href") if not value.startswith("#")} == {"data:,"}
    assert not reader.values("src")


def test_policy_allows_the_style_sheet_and_the_script_alone_by_their_hashes(
    text: str, reader: Reader
) -> None:
    style, script = inside(text, "style"), inside(text, "script")

    policy = next(value for value in reader.values("content") if "default-src" in value)
    assert policy == (
        f"default-src 'none'; style-src '{named(style)}'; script-src '{named(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "url(http" not in style


def test_script_of_a_page_does_not_depend_on_the_run(
    text: str, made_run: SyntheticRun, tmp_path: Path
) -> None:
    other = page(summarize(made_run.only(lambda line: line.block == 0).write(tmp_path / "run")))

    assert inside(other, "script") == inside(text, "script")


def test_identifiers_are_unique_and_every_link_and_figure_part_has_its_target(
    text: str, reader: Reader
) -> None:
    ids = reader.values("id")
    targets = {value.removeprefix("#") for value in reader.values("href") if value.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", text))

    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_figures_are_well_formed_named_and_in_colours_of_the_page(text: str) -> None:
    figures = re.findall(r'<svg (?!class="mark"|viewBox="0 0 280 150").*?</svg>', text, re.DOTALL)

    assert len(figures) == 12
    for figure in figures:
        assert ET.fromstring(figure).get("aria-label")  # noqa: S314 - made by us a moment ago
        assert not re.search(r"#[0-9a-f]{6}\b", figure)
    rules = re.findall(r"^\.k[0-9a-f]{8} \{(.*)\}$", text, re.MULTILINE)
    assert rules
    assert not [rule for rule in rules if "#0000" in rule]


def test_what_the_samples_say_stands_in_a_section_that_links_to_its_rows(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    place = next(
        place
        for place, line in enumerate(made_run.samples)
        if line.cell == "startup/chroot/ready" and not line.detail.get("warmup")
    )
    slow = replace(made_run.samples[place], value=0.5, phases={})
    samples = (*made_run.samples[:place], slow, *made_run.samples[place + 1 :])

    page_of = page(summarize(replace(made_run, samples=samples).write(tmp_path / "run")))

    section = page_of.partition('id="samples-say"')[2].partition("</table>")[0]
    (found,) = re.findall(r"<tr>(?:(?!</tr>).)*Outliers.*?</tr>", section, re.DOTALL)
    (target,) = re.findall(r'href="#(cell-\w+-\d+)"', found)
    assert "1 of 20 starts" in found
    assert "0.500000000" in page_of.partition(f'<tr id="{target}">')[2].partition("</tr>")[0]


def test_every_attempt_of_a_run_stands_in_a_raw_table_where_there_is_room(
    summary: Summary, text: str
) -> None:
    cells = text.partition('id="raw"')[2]

    assert len(re.findall(r'<tr id="cell-\w+-\d+">', cells)) == sum(len(c.samples) for c in summary.cells)
    assert "left out" not in cells.partition("</p>")[0]


def test_link_to_a_cell_stays_when_others_come_before_it(
    made_run: SyntheticRun, summary: Summary, text: str, tmp_path: Path
) -> None:
    first = next(cell.id for cell in summary.cells)
    fewer = page(summarize(made_run.only(lambda line: line.cell != first).write(tmp_path / "run")))

    before, after = (
        set(re.findall(r'<div class="cell-body" id="(cell-\w+)">', one)) for one in (text, fewer)
    )
    assert len(before) == len(summary.cells)
    assert after < before
    assert len(after) == len(before) - 1


def test_page_without_room_for_all_attempts_says_what_it_left_out_and_where_it_is(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    starts = [line for line in made_run.samples if line.cell == "startup/bare/ready"]
    many = [replace(line, order=number) for number in range(900) for line in starts]
    run = replace(made_run, samples=(*made_run.samples, *many))

    found = page(summarize(run.write(tmp_path / "run")))

    said = " ".join(found.partition('id="raw"')[2].partition("</p>")[0].replace("<code>", "").split())
    rows = len(re.findall(r'<tr id="cell-\w+-\d+">', found))
    assert f"{len(run.samples) - rows:,} samples are left out of the tables" in said
    assert "isobench export run --format csv" in said
    assert " of 19,822</span>" in found
    assert "Of each isolator at most 400 points are drawn, of up to 18,020" in found


def test_software_emulation_is_named_wherever_the_isolator_has_a_row(text: str) -> None:
    rows = re.findall(r'<th scope="row">\s*qemu-tcg\s*<(.*?)</th>', text, re.DOTALL)

    assert [found for found in rows if "software emulation" in found]
    assert sum("software emulation" in found for found in rows) == 10
    for figure in ("startup", "phases", "memory"):
        assert f'id="{figure}-wide-' in text
    assert text.count(">software emulation<") >= 8


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", FINISHED)
def test_injected_strings_are_text_and_nothing_else(kind: str, tmp_path: Path) -> None:
    run = hostile(FINISHED[kind](), change=ATTACKED[kind])
    text = page(summarize(run.write(tmp_path / "evil")))
    found = read(text)

    assert text.count("<script") == 1
    assert "window.hit" not in inside(text, "script") + inside(text, "style")
    assert not {tag for tag, _, _ in found.attributes} & {"script", "img"}
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert "{{ 7*7 }}{% raw %}" in words(found)
    assert not re.search(r"[\x00\x1b\u202e\u2066]", text)


@pytest.mark.parametrize(
    ("keep", "absent"),
    [
        (lambda line: line.benchmark == "startup", ["memory", "throttling"]),
        (lambda line: line.benchmark == "memory", ["startup", "throttling"]),
        (lambda line: line.benchmark == "throttling", ["startup", "memory"]),
        (lambda line: line.isolator == "qemu-tcg", []),
        (lambda line: line.block == 0 and line.benchmark != "memory", ["memory"]),
        (lambda line: line.status is not Status.OK, ["startup", "memory", "throttling", "overview"]),
        (lambda _: False, ["startup", "memory", "throttling", "overview", "gaps"]),
    ],
    ids=["startup", "memory", "throttling", "one isolator", "one block", "nothing ok", "empty"],
)
def test_page_of_a_part_of_a_run_leaves_out_what_is_not_there(
    made_run: SyntheticRun, tmp_path: Path, keep: Callable[..., bool], absent: list[str]
) -> None:
    found = read(page(summarize(made_run.only(keep).write(tmp_path / "run"))))

    ids = set(found.values("id"))
    assert not ids & set(absent)
    assert {"made", "host", "raw"} <= ids
    assert ("Nothing was measured" in words(found)) is ("overview" in absent)


def test_report_of_an_interrupted_run_says_so_and_how_to_go_on(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    run = replace(made_run, record=replace(made_run.record, status="interrupted", finished=None))

    said = words(read(page(summarize(run.write(tmp_path / "run")))))
    assert "The run was interrupted" in said
    assert "isobench resume run" in said


def test_report_is_written_whole_in_place_of_an_older_one(run_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "report.html"
    output.parent.mkdir()
    output.write_text("old")

    write_report([run_folder], output)

    assert output.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [path.name for path in output.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize("place", ["missing/report.html", "folder"])
def test_place_that_cannot_be_written_is_refused_and_left_as_it_was(
    run_folder: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(OutputError, match="cannot be written"):
        write_report([run_folder], tmp_path / place)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "run"]


@pytest.mark.parametrize("count", [0, 2])
def test_number_of_folders_other_than_one_is_refused(run_folder: Path, tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match=f"found {count}"):
        write_report([run_folder] * count, tmp_path / "report.html")


def test_folder_that_is_no_run_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"run\.json"):
        write_report([tmp_path], tmp_path / "report.html")

    assert list(tmp_path.iterdir()) == []


def test_isolator_that_tells_no_phases_gives_a_report_without_that_figure(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    run = replace(made_run, samples=tuple(replace(sample, phases={}) for sample in made_run.samples))
    write_report([run.write(tmp_path / "run")], tmp_path / "report.html")

    text = (tmp_path / "report.html").read_text()
    assert "Start-up" in text
    assert "Where the time goes" not in text


def test_isolator_that_tells_no_phases_has_no_row_beside_one_that_does(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    mute = made_run.samples[0].isolator
    samples = tuple(
        replace(sample, phases={}) if sample.isolator == mute else sample for sample in made_run.samples
    )
    write_report([replace(made_run, samples=samples).write(tmp_path / "run")], tmp_path / "report.html")

    assert "Where the time goes" in (tmp_path / "report.html").read_text()


def test_value_that_no_logarithm_takes_does_not_end_the_report(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    run = replace(
        made_run,
        samples=tuple(
            replace(sample, value=0.0) if sample.metric == "ready" and sample.value else sample
            for sample in made_run.samples
        ),
    )
    write_report([run.write(tmp_path / "run")], tmp_path / "report.html")

    assert (tmp_path / "report.html").stat().st_size > 0

"""A run as JUnit XML, checked by a schema and read as a CI system reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from isobench.journal import StoredRun
from isobench.model import Status
from isobench.reports.exports import export
from isobench.reports.load import summarize

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

SCHEMA = xmlschema.XMLSchema(Path(__file__).parent / "data" / "junit.xsd")


def read(run: StoredRun) -> ET.Element:
    """The document, which the schema holds for valid and whose sums are right."""
    text = export(run, "junit").data.decode()
    SCHEMA.validate(text)
    root = ET.fromstring(text)  # noqa: S314 - made here
    for parent in (root, *root.iter("testsuite")):
        cases = list(parent.iter("testcase"))
        assert int(parent.attrib["tests"]) == len(cases)
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(parent.attrib[key]) == sum(case.find(tag) is not None for case in cases)
    return root


def case(root: ET.Element, classname: str, name: str) -> ET.Element:
    (found,) = (
        one
        for one in root.iter("testcase")
        if (one.attrib["classname"], one.attrib["name"]) == (classname, name)
    )
    return found


def properties(element: ET.Element) -> Mapping[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in element.findall("properties/property")}


def test_every_cell_is_a_case_in_the_suite_of_its_benchmark(stored: StoredRun) -> None:
    root = read(stored)
    assert [suite.attrib["name"] for suite in root] == ["memory", "startup", "throttling"]
    cells = {sample.cell for sample in stored.samples}
    assert len(list(root.iter("testcase"))) == len(cells)
    assert case(root, "throttling.runc", "spin/cpus=0.5/period_us=100000") is not None
    assert root[0].attrib["hostname"] == "lab-1"
    assert root[0].attrib["timestamp"] == "2026-03-01T10:15:00"


def test_figures_are_properties_and_text(made_run: SyntheticRun, stored: StoredRun, tmp_path: Path) -> None:
    summary = summarize(made_run.write(tmp_path / "run"))
    root = read(stored)
    for startup in summary.startups:
        found = case(root, f"startup.{startup.isolator}", "ready")
        told = properties(found)
        assert float(told["ready:value"]) == startup.ready.median.value
        assert float(told["ready:low"]) == startup.ready.median.interval.low  # type: ignore[union-attr]
        assert (told["ready:unit"], told["ready:n"]) == ("second", str(startup.ready.n))
    text = case(root, "memory.runc", "hold").findtext("system-out")
    assert text
    assert text.splitlines()[0].startswith("each_instance: ")
    assert "footprint/instances=4: " in text


def test_time_of_a_case_is_what_its_timed_attempts_took(stored: StoredRun) -> None:
    root = read(stored)
    taken = sum(one.value or 0 for one in stored.samples if one.cell == "startup/runc/ready")
    assert float(case(root, "startup.runc", "ready").attrib["time"]) == pytest.approx(taken)
    assert "time" not in case(root, "memory.runc", "hold").attrib


def test_timeout_is_an_error_that_tells_how_many_attempts_it_hit(stored: StoredRun) -> None:
    (found,) = case(read(stored), "startup.qemu-tcg", "ready").findall("error")
    assert found.attrib == {"message": "1 of 6 attempts: not ready within 60 s", "type": "timeout"}


def test_failure_is_a_failure(stored: StoredRun) -> None:
    samples = tuple(
        replace(one, status=Status.FAILED, value=None, reason="exit status 1")
        for one in stored.samples
        if one.cell == "startup/runc/ready"
    )
    (found,) = case(read(replace(stored, samples=samples)), "startup.runc", "ready").findall("failure")
    assert found.attrib == {"message": "exit status 1", "type": "failed"}


def test_what_cannot_be_measured_is_skipped_with_its_reason_and_remedy(stored: StoredRun) -> None:
    root = read(stored)
    (lack,) = case(root, "startup.crun", "ready").findall("skipped")
    assert (lack.attrib["message"], lack.text) == ("crun is not installed", "remedy: apt-get install crun")
    (nature,) = case(root, "throttling.bare", "spin").findall("skipped")
    assert (nature.attrib["message"], nature.text) == ("it has no CPU limit of its own", None)


def test_run_in_which_nothing_worked_is_a_document_too(stored: StoredRun) -> None:
    samples = tuple(one for one in stored.samples if one.value is None)
    root = read(replace(stored, samples=samples))
    assert root.attrib["tests"] == str(len({one.cell for one in samples}))
    assert root.find(".//system-out") is None


def test_hostile_texts_leave_it_a_legal_document(hostile: StoredRun, stored: StoredRun) -> None:
    root, plain = read(hostile), read(stored)
    assert len(list(root.iter("testcase"))) == len(list(plain.iter("testcase")))
    assert root[0].get("timestamp") is None
    lack = next(one for one in root.iter("skipped") if one.text)
    assert lack.attrib["message"].startswith('a"b\\c\n=d,\t</x>]]>&amp;{}|%0A \ufffd[31m\ufffd')

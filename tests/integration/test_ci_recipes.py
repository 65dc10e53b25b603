"""The recipes for CI with real starts: a job in an empty folder, something and itself delayed."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.ci_jobs import Place, run_action, run_gitlab

import isobench
from isobench.journal import load

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]

DELAY_US = 20_000
"""A hundred plain starts."""

MATRIX = f"""
[run]
benchmarks = ["startup"]
audit = false

[[isolator]]
kind = "bare"
name = "old"

[[isolator]]
kind = "delayed"
name = "new"
of = "bare"
delay_us = {DELAY_US}
"""
ARGS = "--starts 2 --blocks 12"

REST = {"passed": 0, "inconclusive": 0, "regression": 1, "unfit": 3, "incomplete": 4}


@pytest.fixture
def place(state: Path, tmp_path: Path) -> Place:
    """An empty checkout, in which ``isobench`` is a command."""
    made = Place(tmp_path, tmp_path / "isobench")
    its = {
        "PYTHONPATH": Path(isobench.__file__).parent.parent,
        "ISOBENCH_STATE": state,
        "ISOBENCH_AGENT": os.environ["ISOBENCH_AGENT"],
    }
    exports = "".join(f"export {name}='{value}'\n" for name, value in its.items())
    made.command.write_text(f"#!/bin/sh\n{exports}exec '{sys.executable}' -m isobench \"$@\"\n")
    made.command.chmod(0o755)
    (tmp_path / "matrix.toml").write_text(MATRIX)
    return made


def ends(junit: Path) -> int:
    """How many cases of a JUnit file fail a job."""
    root = ET.parse(junit).getroot()  # noqa: S314 - our own output
    return len(root.findall(".//failure")) + len(root.findall(".//error"))


def missed(verdict: Mapping[str, Any]) -> bool:
    """Whether the delay was not found, for the one reason there can be: the baseline was not itself."""
    (found,) = verdict["judgements"]
    if found["verdict"] == "regression":
        return False
    assert found["verdict"] == "inconclusive"
    assert not found["stage"]["control"]["passed"], found["reason"]
    return True


@pytest.mark.parametrize(("b", "ok"), [("new", False), ("old", True)], ids=["delayed", "itself"])
def test_action_tells_one_verdict_everywhere_and_ends_with_its_code(
    place: Place, b: str, *, ok: bool
) -> None:
    steps = run_action(place, matrix="matrix.toml", a="old", b=b, args=ARGS, command=str(place.command))

    outcome, code = place.outputs["outcome"], steps[-1].returncode
    assert [step.returncode for step in steps[:-1]] == [0, 0], steps[-1].stderr
    verdict = json.loads((place.folder / place.outputs["json"]).read_text())
    # A host that others keep busy all the time gives no verdict, and says so.
    sure = {"passed", "inconclusive"} if ok else {"inconclusive"} if missed(verdict) else {"regression"}
    assert outcome in sure | {"unfit"}
    assert code == REST[outcome]
    assert (verdict["outcome"], verdict["exit_code"]) == (outcome, code)
    markdown = (place.folder / place.outputs["markdown"]).read_text()
    assert markdown.startswith(f"### isobench gate: {outcome}\n")
    assert place.summary == markdown
    assert (ends(place.folder / place.outputs["junit"]) > 0) == (code != 0)
    assert (code in {1, 3}) == ("\n::error " in steps[-1].stdout)
    folder = place.folder / place.outputs["results"]
    assert (folder / "report.html").stat().st_size > 0
    slow = [s.value for s in load(folder).samples if s.side == "B" and s.value is not None]
    assert slow
    assert ok or min(slow) > DELAY_US / 1e6


def test_gitlab_job_keeps_its_files_and_ends_with_the_code_of_the_gate(place: Place) -> None:
    done = run_gitlab(place, GATE_ARGS=ARGS, GATE_DETECT="50%")

    verdict = (place.folder / "isobench-gate.md").read_text().splitlines()[0]
    outcome = verdict.removeprefix("### isobench gate: ")
    again = [str(place.command), "gate", str(place.folder / "isobench-gate"), "--json"]
    told = subprocess.run(again, check=False, capture_output=True, text=True).stdout
    sure = {"inconclusive"} if missed(json.loads(told)) else {"regression"}
    assert outcome in sure | {"unfit"}, done.stderr
    assert done.returncode == REST[outcome]
    assert (ends(place.folder / "isobench-gate.xml") > 0) == (done.returncode != 0)
    assert (place.folder / "isobench-gate" / "run.json").exists()

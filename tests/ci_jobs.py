"""The recipes for CI, run as the services would run them: each shell step, with the variables they set."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
ACTION = ROOT / "action.yml"
GITLAB = ROOT / "ci" / "gitlab.yml"


@dataclass
class Place:
    """A checkout in which a job runs."""

    folder: Path
    command: Path
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        file = self.folder / "summary"
        return file.read_text() if file.exists() else ""


def bash(place: Place, text: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As GitHub runs `shell: bash`."""
    script = place.folder / "step.sh"
    script.write_text(text)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
        check=False,
        cwd=place.folder,
        env={"PATH": os.environ["PATH"], "ISOBENCH_STATE": str(place.folder / "state"), **env},
        capture_output=True,
        text=True,
    )


def run_action(place: Place, **inputs: str) -> list[subprocess.CompletedProcess[str]]:
    """The steps of action.yml until one fails; their outputs and those of the action are in ``place``."""
    action = yaml.safe_load(ACTION.read_text())
    given = {name: str(found.get("default", "")) for name, found in action["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    steps: dict[str, dict[str, str]] = {}

    def filled(text: str) -> str:
        def value(found: re.Match[str]) -> str:
            if name := re.fullmatch(r"inputs\.([\w-]+)", found[1]):
                return given[name[1]]
            step = re.fullmatch(r"steps\.([\w-]+)\.outputs\.([\w-]+)", found[1])
            assert step is not None, f"an expression this test does not know: {found[0]}"
            return steps[step[1]].get(step[2], "")

        return re.sub(r"\$\{\{ *(.+?) *\}\}", value, text)

    done = []
    for number, step in enumerate(action["runs"]["steps"]):
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "inputs reach a script as variables, never as its text"
        output = place.folder / f"output-{number}"
        output.write_text("")
        env = {
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(place.folder / "summary"),
            "RUNNER_TEMP": str(place.folder / "temp"),
            **{name: filled(str(text)) for name, text in step.get("env", {}).items()},
        }
        done.append(bash(place, step["run"], env))
        written = dict(line.split("=", 1) for line in output.read_text().splitlines())
        steps[step.get("id", str(number))] = written
        if done[-1].returncode != 0:
            break
    for later in ("measure", "verdict"):
        steps.setdefault(later, {})
    place.outputs = {name: filled(found["value"]) for name, found in action["outputs"].items()}
    return done


def run_gitlab(place: Place, **variables: str) -> subprocess.CompletedProcess[str]:
    """The job of gitlab.yml: a script before it and its own are one."""
    job: Mapping[str, Any] = yaml.safe_load(GITLAB.read_text())["isobench-gate"]
    env = {**{name: str(value) for name, value in job["variables"].items()}, **variables}
    env["PATH"] = f"{place.folder}:{os.environ['PATH']}"
    return bash(place, "\n".join([*job["before_script"], *job["script"]]), env)

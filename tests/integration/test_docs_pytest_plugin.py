"""The examples of docs/pytest-plugin.md as one suite, as they stand there, with real starts."""

import json
import os
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]

OFFERED = any(point.name == "isobench" for point in entry_points(group="pytest11"))
PLUGIN = () if OFFERED else ("-p", "isobench.pytest_plugin")
PAGE = Path(__file__).parents[2] / "docs" / "pytest-plugin.md"


@pytest.mark.usefixtures("state")
def test_examples_pass_or_say_what_this_host_lacks(pytester: pytest.Pytester, tmp_path: Path) -> None:
    examples = re.findall(r"^```python\n(.+?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    pytester.makepyfile("\n".join(examples))
    (settings,) = re.findall(r"^```ini\n(.+?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    pytester.makeini(settings.replace("isobench_required = true", ""))
    stored = tmp_path / "stored.json"

    result = pytester.runpytest_subprocess(
        *PLUGIN, "-rs", "-vv", "--strict-markers", "--strict-config", f"--benchmark-json={stored}"
    )

    found = result.parseoutcomes()
    said = result.stdout.str()
    assert found.keys() <= {"passed", "skipped"}, said
    assert sum(found.values()) == 6
    assert found["passed"] >= 4  # all but those that need runc, and a quiet host for the pair
    for line in re.findall(r"^SKIPPED .+", said, re.MULTILINE):
        assert "runc" in line or "too restless" in line
    (entry,) = json.loads(stored.read_text())["benchmarks"]
    assert (entry["stats"]["rounds"], entry["options"]["timer"]) == (10, "isobench_agent_clock")

"""isobench gate --self-test with real starts: it comes to an end, and the delay it puts in is there."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isobench.cli import main, selftest
from isobench.journal import load
from isobench.model import Side, Status

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]


def test_both_cases_are_told_and_every_delayed_start_took_the_delay(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def kept(**_: object) -> Iterator[str]:
        yield str(tmp_path)

    monkeypatch.setattr(selftest, "TemporaryDirectory", kept)
    monkeypatch.setattr(selftest, "STARTS", 3)  # its verdict is not the matter here

    code = main(["gate", "--self-test", "--json"])

    found = capsys.readouterr()
    same, delayed = json.loads(found.out)["results"]
    assert (same["what"], delayed["what"]) == (
        "bare against itself",
        "bare against itself delayed by 2 ms",
    )
    assert code == (0 if same["passed"] and delayed["passed"] else 3), found.err
    for result in (same, delayed):
        assert result["reason"]
        assert result["passed"] or f"{result['what']} came out as {result['verdict']}" in found.err
    for number in range(2):
        samples = load(tmp_path / str(number)).samples
        assert {sample.status for sample in samples} == {Status.OK}
        assert {sample.side for sample in samples} == set(Side)
    starts = [s.value for s in load(tmp_path / "1").samples if s.side is Side.B and s.value is not None]
    assert min(starts) >= selftest.DELAY_US / 1e6
    assert not list((state / "run").iterdir())

"""Why a host fell out, from the result of the task of Ansible that failed."""

import json
from typing import Any

import pytest

from isobench.batch import Note
from isobench.errors import UsageError
from isobench.fallen import notes, reason_of


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({}, (None, None)),
        ({"msg": "no room\nremedy: make room"}, ("no room", "make room")),
        ({"msg": "no\n  room"}, ("no room", None)),
        ({"msg": "non-zero return code", "stderr": "a\nerror: busy\nremedy: wait"}, ("busy", "wait")),
        ({"msg": "non-zero return code", "stderr": "first\nlast"}, ("last", None)),
        ({"msg": "non-zero return code", "stderr": "", "stdout": "E: locked"}, ("E: locked", None)),
        ({"msg": "non-zero return code"}, ("non-zero return code", None)),
        ({"msg": "MODULE FAILURE: see stdout", "module_stderr": "sh: no python"}, ("sh: no python", None)),
        (
            {"msg": "One or more items failed", "results": [{"msg": "fine"}, {"failed": True, "msg": "bad"}]},
            ("bad", None),
        ),
        ({"results": [{"unreachable": True, "msg": "gone"}]}, ("gone", None)),
    ],
)
def test_reason_is_what_went_wrong_and_not_that_something_did(
    result: dict[str, Any], told: tuple[str | None, str | None]
) -> None:
    assert reason_of(result) == told


def test_reason_that_is_long_keeps_its_last_words() -> None:
    reason, _ = reason_of({"msg": "x" * 5000 + " the end"})
    assert reason is not None
    assert len(reason) == 600
    assert reason.endswith(" the end")


def test_notes_of_a_play_are_read() -> None:
    told = {
        "lab-a": {"stage": "run", "failure": {"msg": "bad"}, "unreachable": False, "clock_offset_s": 3},
        "lab-b": {"stage": "contact", "failure": None, "unreachable": True, "clock_offset_s": None},
    }
    assert notes(json.dumps(told)) == {
        "lab-a": Note("run", "bad", clock_offset_s=3.0),
        "lab-b": Note("contact", unreachable=True),
    }


@pytest.mark.parametrize("text", ["", "[]", '{"lab-a": 3}', '{"lab-a": {"clock_offset_s": "x"}}'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the notes of a play"):
        notes(text)

"""Why a host fell out of a play, from what Ansible tells of the task that failed.

Ansible's own ``msg`` of a command is always "non-zero return code"; what went wrong is in what it printed.
"""

import json
from collections.abc import Mapping
from typing import Any

from isobench.batch import Note
from isobench.errors import UsageError
from isobench.remote import last_error

_NOTHING_SAID = ("non-zero return code", "MODULE FAILURE", "One or more items failed", "All items completed")
_MAX_CHARS = 600
"""Of a reason: the last words of a tool tell most, and a row is read by people."""


def notes(text: str) -> dict[str, Note]:
    """The notes on all hosts, by host, from the JSON that the play writes.

    Each has ``stage``, ``failure`` (the result of the task, or null), ``unreachable``, ``measured`` and
    ``clock_offset_s``.
    Raises :class:`isobench.errors.UsageError` for any other text.
    """
    try:
        return {host: _note(told) for host, told in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"not the notes of a play: {error}") from error


def _note(told: Mapping[str, Any]) -> Note:
    reason, remedy = reason_of(told.get("failure") or {})
    offset = told.get("clock_offset_s")
    return Note(
        stage=told.get("stage"),
        reason=reason,
        remedy=remedy,
        unreachable=bool(told.get("unreachable")),
        measured=bool(told.get("measured")),
        clock_offset_s=None if offset is None else float(offset),
    )


def reason_of(result: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What went wrong and what mends it, from the result of a task that failed."""
    for item in result.get("results") or ():
        if item.get("failed") or item.get("unreachable"):
            return reason_of(item)
    message = str(result.get("msg") or "").strip()
    said = str(result.get("stderr") or result.get("module_stderr") or result.get("stdout") or "").strip()
    if message and not message.startswith(_NOTHING_SAID):
        why, _, mend = message.partition("\nremedy: ")
        return _short(why), mend.strip() or None
    reason, remedy = last_error(said)
    if reason is not None:
        return reason, remedy
    return _short(said.splitlines()[-1] if said else message) or None, None


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _MAX_CHARS else f"…{words[1 - _MAX_CHARS :]}"

"""The one function that starts helper programs outside the timed path.

Always an argv, never a shell; always the same environment; always reaped, on errors and Ctrl-C too. The
timed path starts programs through the agent instead (:mod:`isobench.starter`).
"""

import logging
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isobench.errors import ToolError
from isobench.starter import ENVIRONMENT

log = logging.getLogger(__name__)

STDERR_TAIL_CHARS = 2_000
"""How much of a failed program's standard error goes into the message: its last words tell most."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a helper program ended and what it said."""

    argv: tuple[str, ...]
    exit_code: int
    """0 … 255, or minus the number of the signal that ended it."""
    stdout: str
    stderr: str


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    input: str | None = None,  # noqa: A002  (as in subprocess.run)
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run a helper program to its end and return what it said.

    Its environment is that of the timed starts with ``env`` added. Raises ToolError when the program is
    missing, when it runs longer than ``timeout_s`` (it and its children are killed first) and, unless
    ``check`` is false, when it ends other than with 0.
    """
    words = tuple(str(word) for word in argv)
    line = shlex.join(words)
    log.debug("%s", line)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **(env or {})},
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"cannot run {line}: {error.strerror}", remedy="isobench doctor") from error
    completed = _finish(process, words, timeout_s, input)
    if check and completed.exit_code != 0:
        raise ToolError(f"{line}: {_ending(completed.exit_code)}{_last_words(completed.stderr)}")
    return completed


def find_tool(name: str | Path) -> Path | None:
    """Where ``run`` finds that program, or None."""
    found = shutil.which(name, path=ENVIRONMENT["PATH"])
    return None if found is None else Path(found).absolute()


def _finish(
    process: subprocess.Popen[str], argv: tuple[str, ...], timeout_s: float, text: str | None
) -> Completed:
    with process:
        try:
            stdout, stderr = process.communicate(text, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            stderr = _rest(process)
            raise ToolError(
                f"{shlex.join(argv)}: killed after {timeout_s:g} s{_last_words(stderr)}"
            ) from None
        except BaseException:  # Ctrl-C and the like: nothing may stay behind
            _kill(process)
            raise
    return Completed(argv, process.returncode, stdout, stderr)


def _rest(process: subprocess.Popen[str]) -> str:
    """What a killed program had written to standard error."""
    try:
        return process.communicate(timeout=1)[1]
    except subprocess.TimeoutExpired:
        # A daemon it started in a session of its own holds the pipe open and is not ours to kill.
        return ""


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the program and its children: they are a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    return f"ended by signal {signal.Signals(-exit_code).name}"


def _last_words(stderr: str) -> str:
    tail = stderr[-STDERR_TAIL_CHARS:].strip()
    return f": {tail}" if tail else ""

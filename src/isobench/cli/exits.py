"""How a command ends: the one place where an error becomes an exit code (docs/adr/0005).

Signals that ask for an end (Ctrl-C, ``kill``, a closed terminal) all take the way of KeyboardInterrupt, so
that whatever is running is ended in order and removed; the exit code then is 128 + the signal's number, as
a shell would say it.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from isobench.cli.output import note, printable
from isobench.errors import IsobenchError, OutputError

INTERNAL_ERROR = 5
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""A write that fails with one of these is the disk's fault, not ours, wherever it happens."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """The first raises KeyboardInterrupt; the following only say that cleaning up is under way.

    A second Ctrl-C would break off the clean-up itself, and every wait in it has a time limit.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals while the body runs; one that is ignored (nohup, ``&``) stays ignored."""
        wanted = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            raise KeyboardInterrupt
        # Not print: the signal may have come in the middle of one.
        with suppress(OSError):
            os.write(2, b"\nstill ending and removing what was started; one moment\n")


def guarded(command: Callable[[], object]) -> int:
    """Run a command to its end, tell errors on standard error, and return the exit code."""
    signals = Signals()
    try:
        with signals.handled():
            code = _run(command)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
        _silence_stdout()
    except IsobenchError as error:
        code = error.exit_code
        _tell(error)
    except Exception as error:  # noqa: BLE001 - the last place where anything is caught
        code = INTERNAL_ERROR
        _tell_defect(error)
    return code if signals.received is None else 128 + signals.received


def _run(command: Callable[[], object]) -> int:
    try:
        code = _called(command)
        sys.stdout.flush()  # while there is still somebody to tell when that fails
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _silence_stdout()
        what = error.filename or "the output"
        raise OutputError(f"{what}: cannot be written: {error.strerror}") from error
    return code


def _called(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as leaving:  # typer's way to end; it has told a usage error by itself
        if isinstance(leaving.__context__, BrokenPipeError):
            raise leaving.__context__ from None
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def _silence_stdout() -> None:
    """Keep Python from trying once more at its exit, and from complaining then."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: IsobenchError) -> None:
    _say(f"error: {error}")
    if error.remedy:
        _say(f"remedy: {error.remedy}")
    if debugging():
        _say("".join(traceback.format_exception(error)).rstrip())


def _tell_defect(error: Exception) -> None:
    _say(f"error: a defect of isobench: {type(error).__name__}: {error}")
    if debugging():
        _say("".join(traceback.format_exception(error)).rstrip())
    _say(
        "remedy: please report it (CONTRIBUTING.md says where), with what the same command prints "
        "when ISOBENCH_DEBUG=1 is set before it"
    )


def debugging() -> bool:
    """Whether tracebacks and the command lines of helper programs are wanted."""
    return os.environ.get("ISOBENCH_DEBUG", "") not in {"", "0"}


def _say(text: str) -> None:
    with suppress(OSError):  # nobody listens: the exit code still tells
        note(printable(text))

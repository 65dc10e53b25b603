"""Every error isobench raises on purpose, and the exit code each one ends in.

::

    IsobenchError
    ├── RegressionError     1  the gate has found that something got worse
    ├── UsageError          2  the call, the matrix or a file it names is wrong
    │   ├── MatrixError        a key of matrix.toml: file, table, key, found, allowed
    │   ├── PolicyError        the same of gate.toml
    │   ├── BaselineError      a stored baseline that is missing, damaged, or of another host
    │   ├── ImageError         a root file system that cannot be imported: archive, entry, why
    │   ├── ResultsError       a result folder that is missing, foreign, newer or damaged
    │   └── OutputError        a place we were told to write to and cannot
    ├── HostUnfitError      3  this host cannot do what was asked
    │   ├── LockedError        another run holds the host
    │   ├── AgentMissingError  the agent was not built
    │   ├── CgroupError        a cgroup could not be made, read or removed
    │   │   └── CgroupGoneError   it was removed, or its process has ended
    │   └── ToolError          a helper program is missing, failed or ran too long
    ├── CellsFailedError    4  the run ended, but cells failed, timed out or are missing
    └── InternalError       5  a broken promise between our own parts
        └── StarterError       the agent said something the starter does not understand

Only ``isobench.cli`` turns an error into an exit code; library code raises and never exits.
"""

from typing import ClassVar


class IsobenchError(Exception):
    """What went wrong, with which object, why; and ``remedy``, the literal command that mends it."""

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class RegressionError(IsobenchError):
    """The candidate is worse than the baseline by more than the threshold, confirmed on fresh blocks."""

    exit_code = 1


class UsageError(IsobenchError):
    """The call or a file given by the user is wrong."""

    exit_code = 2


class MatrixError(UsageError):
    """The matrix file is wrong; the message has one line a mistake."""


class PolicyError(UsageError):
    """The thresholds of a gate are wrong; the message has one line a mistake."""


class BaselineError(UsageError):
    """A stored baseline is missing, damaged or of another host, or a run cannot become one."""


class ImageError(UsageError):
    """A user's root file system cannot be imported; the message names the archive, the entry and why."""


class ResultsError(UsageError):
    """A result folder cannot be read as one of ours."""


class OutputError(UsageError):
    """The place for results or a report cannot be written."""


class HostUnfitError(IsobenchError):
    """This host cannot do what was asked, whatever the call."""

    exit_code = 3


class LockedError(HostUnfitError):
    """Another run holds this host; the message names its process."""


class AgentMissingError(HostUnfitError):
    """The C agent is not there: the package was not built with a compiler at hand."""


class CgroupError(HostUnfitError):
    """A cgroup could not be made, read or removed; the message names the directory or the process."""


class CgroupGoneError(CgroupError):
    """The cgroup does not exist any more, or the process asked about has ended."""


class ToolError(HostUnfitError):
    """A helper program is missing, failed or ran too long; the message has its command line."""


class CellsFailedError(IsobenchError):
    """The run came to its end, but some cells failed, timed out or are missing."""

    exit_code = 4


class InternalError(IsobenchError):
    """A promise between our own parts was broken: a defect of isobench."""

    exit_code = 5


class StarterError(InternalError):
    """The agent's ``start`` verb died or said something that is not an event."""

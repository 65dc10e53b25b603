"""The Python face of the agent's ``start`` verb: turns a Launch into a process and its events into values.

No Python runs in the timed path: the agent executes the launch and stamps CLOCK_MONOTONIC itself; this
module only writes its command line and reads its JSON lines.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isobench.model import Event, Launch


def batch(agent: Path, launch: Launch, count: int, *, timeout_s: float) -> Iterator[Event]:
    """Start ``count`` instances one after another, each run to its end; yields an ``attempt`` each.

    Raises :class:`isobench.errors.StarterError` when the agent dies or says something unknown.
    """
    raise NotImplementedError


class Session:
    """Instances held at once, under one agent process that reaps all their descendants."""

    pid: int
    """The agent's process: a child subreaper, so every process of every instance descends from it."""

    def start(self) -> Event:
        """Start the next instance (slot 0, 1, …); returns its ``ready`` event, ok or not."""
        raise NotImplementedError

    def send(self, slot: int) -> None:
        """Write one newline to the workload's standard input ("go on")."""
        raise NotImplementedError

    def next(self, timeout_s: float) -> Event:
        """The next ``line`` or ``exit`` event of any instance; raises TimeoutError."""
        raise NotImplementedError

    def end(self) -> tuple[Event, ...]:
        """Let every instance end, kill what does not, clean up; their ``exit`` events. Idempotent."""
        raise NotImplementedError


@contextmanager
def session(agent: Path, launch: Launch, *, timeout_s: float) -> Iterator[Session]:
    """An interactive agent; ends every instance on leaving, whatever happened inside."""
    raise NotImplementedError
    yield Session()

"""What the agent's workloads say on their channel, checked: the proof that the payload really ran."""

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

_SHOWN_CHARACTERS = 60
"""How much of a line that is not ours a reason quotes."""


class PayloadError(ValueError):
    """A workload wrote something else than its line; the message says what, escaped."""


class Hello(BaseModel):
    """A workload's first line: it runs."""

    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["ready", "hold", "echo", "spin", "appetite", "request"]
    t: NonNegativeInt
    """CLOCK_MONOTONIC at the top of main, in ns, of the clock the workload sees."""


class Spun(BaseModel):
    """The result of ``spin``, all times in ns; "run" is wall time without the stalls."""

    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["spun"]
    window_ns: NonNegativeInt
    gap_threshold_ns: NonNegativeInt
    lost_stalls: NonNegativeInt
    """Stalls there was no room to record: then the rest is not to be used."""
    steal_ms: NonNegativeInt | None
    """CPU time taken from the machine whose kernel the workload runs on, of all CPUs; None: untold."""
    cpu_ns: list[NonNegativeInt]
    """CPU time of each thread within the window, by the clock of the kernel the workload runs on."""
    run_ns: list[NonNegativeInt]
    progress: list[NonNegativeInt]
    """Readings of the clock by each thread: the work it has done."""
    stalls: NonNegativeInt
    longest_stall_ns: NonNegativeInt
    p99_stall_ns: NonNegativeInt
    stall_bins: list[NonNegativeInt]
    """Pairs of a bin and the stalls in it; bin 4e + m holds lengths from 2^e (1 + m/4) ns."""
    most_in_period_ns: NonNegativeInt
    """The most run time of all threads together in any interval of one period, the lead-in included."""
    most_in_10ms_ns: NonNegativeInt
    timeline_ns: list[NonNegativeInt]
    """Thread, begin and end of each longer stall of the window's first periods."""
    per_period_run_ns: list[NonNegativeInt]
    """Run time of all threads together in each period of the window."""


class Served(BaseModel):
    """The result of ``request``, all times in ns; a latency counts from when a request was due."""

    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["served"]
    requests: NonNegativeInt
    work_ns: NonNegativeInt
    """What the work of one takes alone, the shortest of some trials."""
    wall_ns: NonNegativeInt
    cpu_ns: NonNegativeInt
    mean_ns: NonNegativeInt
    p50_ns: NonNegativeInt
    p99_ns: NonNegativeInt
    p999_ns: NonNegativeInt
    max_ns: NonNegativeInt


_LineT = TypeVar("_LineT", bound=BaseModel)


def hello(output: str, verb: str) -> Hello:
    """The first line of what a workload wrote. Raises PayloadError unless it is the hello of ``verb``."""
    line = output.partition("\n")[0]
    found = _parse(Hello, line, verb)
    if found.verb != verb:
        raise _not_the_line(line, verb)
    return found


def spun(line: str) -> Spun:
    """The result line of ``spin``. Raises PayloadError."""
    return _parse(Spun, line, "spun")


def served(line: str) -> Served:
    """The result line of ``request``. Raises PayloadError."""
    return _parse(Served, line, "served")


def _parse(kind: type[_LineT], line: str, verb: str) -> _LineT:
    try:
        return kind.model_validate_json(line)
    except ValidationError:
        raise _not_the_line(line, verb) from None


def _not_the_line(line: str, verb: str) -> PayloadError:
    shown = ascii(line[:_SHOWN_CHARACTERS]) if line else "nothing"
    return PayloadError(f"the workload's line should be the JSON of {verb!r}, but it wrote {shown}")

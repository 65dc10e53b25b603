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

    verb: Literal["ready", "hold", "echo", "spin", "appetite"]
    t: NonNegativeInt
    """CLOCK_MONOTONIC at the top of main, in ns, of the clock the workload sees."""


class Spun(BaseModel):
    """The result of ``spin``, all times in ns; "run" is wall time without the stalls."""

    model_config = ConfigDict(frozen=True, strict=True)

    verb: Literal["spun"]
    window_ns: NonNegativeInt
    longest_stall_ns: NonNegativeInt
    gap_threshold_ns: NonNegativeInt
    cpu_ns: list[NonNegativeInt]
    """CPU time of each thread within the window, by the clock of the kernel the workload runs on."""
    run_ns: list[NonNegativeInt]
    per_period_run_ns: list[NonNegativeInt]
    """Run time of all threads together in each period of the window."""


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


def _parse(kind: type[_LineT], line: str, verb: str) -> _LineT:
    try:
        return kind.model_validate_json(line)
    except ValidationError:
        raise _not_the_line(line, verb) from None


def _not_the_line(line: str, verb: str) -> PayloadError:
    shown = ascii(line[:_SHOWN_CHARACTERS]) if line else "nothing"
    return PayloadError(f"the workload's line should be the JSON of {verb!r}, but it wrote {shown}")

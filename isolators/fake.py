"""fake: an isolator whose results are written in the matrix, and whose host needs nothing.

It goes with the benchmark ``fake``, which plays the script instead of starting anything, so that the
schedule, the engine, the journal, the statistics and the reports can be tried without root, clock or tools::

    [run]
    benchmarks = ["fake"]
    [[isolator]]
    kind = "fake"
    name = "steady"
    script = [{ value = 0.010 }, { value = 0.012 }, { status = "timeout", reason = "not ready after 60 s" }]

It is in no default list. Its launch is a plain start of the agent, as that of ``bare``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from isobench.isolators import contract
from isobench.isolators.bare import on_host
from isobench.isolators.contract import Isolator, Site
from isobench.model import NO_LIMITS, Bundle, Capabilities, Launch, Limits, Readiness, Status


class Attempt(BaseModel):
    """One scripted attempt: a value, a status with its reason, or an error that is raised."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    value: float | None = None
    status: Status = Status.OK
    reason: str | None = None
    phases: dict[str, float] = {}
    error: Literal["OSError", "TimeoutError", "ZeroDivisionError"] | None = None
    """Raised from the benchmark instead of giving a result."""


class FakeOptions(contract.Options):
    """The script."""

    readiness: Status = Status.OK
    reason: str | None = None
    remedy: str | None = None
    shown_as: str | None = None
    cpu_limit: bool = True
    """Whether it can limit CPU; without, the benchmark ``fake`` is unsupported."""
    attempt_s: float = Field(default=0.0, ge=0)
    """Seconds that each attempt really takes, for trying what happens in the middle of one."""
    script: tuple[Attempt, ...] = Field(default=(Attempt(value=1.0),), min_length=1)
    """The attempts in order, over all blocks; from the start again after the last."""


class Fake(Isolator[FakeOptions]):
    """Isolates nothing and measures nothing: says what its options say."""

    kind = "fake"
    Options = FakeOptions

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            phases=frozenset({"invoke", "ready", "exit"}),
            limits=frozenset({"cpu"} if self.options.cpu_limit else ()),
            t0="never: its figures are scripted",
            covers="nothing: its figures are scripted",
        )

    def probe(self, site: Site) -> Readiness:
        options = self.options
        return Readiness(options.readiness, options.reason, options.remedy, options.shown_as)

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        yield on_host(bundle)

    def attempt(self, number: int) -> Attempt:
        """The ``number``-th attempt of a cell, counted from 0 over all blocks."""
        return self.options.script[number % len(self.options.script)]

"""fake: plays the script of an isolator of kind ``fake``; see :mod:`isobench.isolators.fake`."""

import time
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from isobench.benchmarks import contract
from isobench.benchmarks.contract import Benchmark, Context
from isobench.errors import UsageError
from isobench.isolators.contract import Isolator
from isobench.isolators.fake import Attempt, Fake
from isobench.model import Capabilities, Cell, Reading

_ERRORS = {"OSError": OSError, "TimeoutError": TimeoutError, "ZeroDivisionError": ZeroDivisionError}


class FakeParams(contract.Params):
    """How much of the script a block plays, and what its values are called."""

    workloads: tuple[str, ...] = Field(default=("ready",), min_length=1)
    attempts: int = Field(default=3, ge=0)
    """Attempts in a block."""
    metric: str = "ready"
    unit: str = "second"


class FakeBenchmark(Benchmark[FakeParams]):
    """Yields what the script says; the only clock is the ``attempt_s`` it may ask for."""

    name = "fake"
    Params = FakeParams
    audited = False
    in_turns = True

    def unsupported(self, capabilities: Capabilities) -> str | None:
        return None if "cpu" in capabilities.limits else "the script says that it cannot limit CPU"

    def repeated(self, params: FakeParams, starts: int | None, blocks: int) -> FakeParams:
        """So many attempts in each block."""
        return params.model_copy(update={"blocks": None, "attempts": starts or params.attempts})

    def cells(
        self, isolator: str, capabilities: Capabilities, params: FakeParams, blocks: int
    ) -> tuple[Cell, ...]:
        return tuple(Cell(isolator, self.name, workload, blocks=blocks) for workload in params.workloads)

    def measure(self, cell: Cell, isolator: Isolator[Any], context: Context[FakeParams]) -> Iterator[Reading]:
        if not isinstance(isolator, Fake):
            raise UsageError(
                f"the benchmark fake has no script for {isolator.name}, which is {isolator.kind}"
            )
        params = context.params
        for number in range(context.block * params.attempts, (context.block + 1) * params.attempts):
            time.sleep(isolator.options.attempt_s)
            yield _played(isolator.attempt(number), params, isolator.options.attempt_s)

    def expected_s(self, cell: Cell, capabilities: Capabilities, params: FakeParams) -> float:
        return 0.001 * params.attempts


def _played(attempt: Attempt, params: FakeParams, timed_s: float) -> Reading:
    if attempt.error is not None:
        raise _ERRORS[attempt.error](attempt.reason)
    return Reading(
        metric=params.metric,
        unit=params.unit,
        value=attempt.value,
        status=attempt.status,
        reason=attempt.reason,
        phases=attempt.phases,
        timed_s=timed_s,
    )

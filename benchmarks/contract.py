"""The contract of a benchmark: what is measured, and nothing about how a workload is isolated.

Call order, for one run::

    benchmark = Kind()
    params = Kind.Params.model_validate(table)              # from the matrix
    reason = benchmark.unsupported(isolator.capabilities)   # by nature, not by host
    cells = benchmark.cells(name, capabilities, params, blocks)
    for reading in benchmark.measure(cell, isolator, context): ...   # once per cell and block

``measure`` prepares, starts, measures, destroys. A failed attempt is a Reading with a status and a
reason; an exception from it is a defect or a host error, which the engine turns into one failed sample.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.model import Bundle, Capabilities, Cell, Readiness, Reading


class Params(BaseModel):
    """The typed parameters of a benchmark, as its table in the matrix gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    VERBS: ClassVar[tuple[str, ...]] = ()
    """Which of the agent's workloads a parameter ``workloads`` may name besides the user's own; empty: it is
    not checked."""

    blocks: int | None = Field(default=None, ge=1, le=10_000)
    """At most in how many blocks of the run the cells of this benchmark are measured, evenly spread over it;
    None: in all."""


ParamsT = TypeVar("ParamsT", bound=Params)


@dataclass(frozen=True, slots=True)
class Context(Generic[ParamsT]):
    """What a benchmark may use while it measures one cell in one block."""

    site: Site
    params: ParamsT
    block: int
    timeout_s: float
    workloads: Mapping[str, Bundle] = field(default_factory=dict)
    """The user's workloads of the matrix, by name, their root file systems imported."""

    def bundle(self, workload: str) -> Bundle:
        """The workload of that name: one of the user's, or else a verb of the agent."""
        return self.workloads.get(workload) or agent_bundle(self.site, workload)


HOST = "host"
"""In place of the isolator's name in the cells of benchmarks whose subject is the host."""


class Benchmark(ABC, Generic[ParamsT]):
    """One benchmark. Stateless: everything it needs comes with the call."""

    name: ClassVar[str]
    Params: ClassVar[type[Params]] = Params
    subject: ClassVar[Literal["isolator", "host"]] = "isolator"
    """What its figures are about. One about the host has one set of cells a run, under the name HOST, and
    ``measure`` is given the bare isolator."""

    in_turns: ClassVar[bool] = False
    """Whether several cells of it can be measured together, an attempt of each in turn: an attempt begins
    when its reading is asked for, and nothing of it goes on when that is given."""

    def unsupported(self, capabilities: Capabilities) -> str | None:
        """Why an isolator cannot have this figure by its nature; None when it can."""
        return None

    audited: ClassVar[bool] = True
    """Its figures are measured with the instrument, so that a run of it tells what the instrument costs."""

    def lack(self, cell: Cell, site: Site) -> Readiness | None:
        """What this host or its user denies to a cell, asked once a run; None: it can be measured."""
        return None

    def repeated(self, params: ParamsT, starts: int | None, blocks: int) -> ParamsT:
        """The parameters with which every cell is measured in each of ``blocks`` blocks.

        ``starts``: so many instances are started for each of them, where it is starts that are measured;
        None: as the parameters have it.
        """
        return params.model_copy(update={"blocks": None})

    @abstractmethod
    def cells(
        self, isolator: str, capabilities: Capabilities, params: ParamsT, blocks: int
    ) -> tuple[Cell, ...]:
        """The cells of one isolator. A cell's ``blocks`` may be fewer than the run's, never more."""

    @abstractmethod
    def measure(self, cell: Cell, isolator: Isolator[Any], context: Context[ParamsT]) -> Iterator[Reading]:
        """Measure one cell in one block; yields each attempt as soon as it is over."""

    @abstractmethod
    def expected_s(self, cell: Cell, capabilities: Capabilities, params: ParamsT) -> float:
        """Rough seconds one block of the cell takes, for the plan and the progress bar."""

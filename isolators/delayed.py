"""delayed: another isolator, each start of which takes longer by a time that is known.

What a comparison is tested with: whoever injects 5 % should see 5 %. The agent burns the time right after
``invoke``, so that it is inside every figure of the start and in none of its end::

    [[isolator]]
    kind = "delayed"
    of = "namespaces"
    delay_us = 36
    options = { namespaces = ["mount", "pid"] }

It is in no default list.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from isobench.errors import UsageError
from isobench.isolators import contract
from isobench.isolators.contract import Isolator, Site
from isobench.isolators.registry import REGISTRY
from isobench.model import NO_LIMITS, Bundle, Capabilities, Launch, Limits, Readiness


class DelayedOptions(contract.Options):
    """Which isolator, and by how much."""

    of: str
    """Its kind."""
    delay_us: int = Field(ge=0, le=60_000_000)
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Those of that kind."""

    @model_validator(mode="after")
    def _inner_options_are_of_that_kind(self) -> Self:
        try:
            self.inner("checked")
        except (UsageError, ValidationError) as error:
            raise ValueError(str(error)) from error
        return self

    def inner(self, name: str) -> Isolator[Any]:
        """The isolator that is delayed."""
        cls = REGISTRY.load(self.of)
        return cls(name, cls.Options.model_validate(dict(self.options)))


class Delayed(Isolator[DelayedOptions]):
    """Is the other isolator in everything but the time a start takes."""

    kind = "delayed"
    Options = DelayedOptions

    @cached_property
    def _inner(self) -> Isolator[Any]:
        return self.options.inner(self.name)

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def probe(self, site: Site) -> Readiness:
        return self._inner.probe(site)

    @contextmanager
    def prepare(
        self, site: Site, bundle: Bundle, limits: Limits = NO_LIMITS, slots: int = 1
    ) -> Iterator[Launch]:
        with self._inner.prepare(site, bundle, limits, slots) as launch:
            yield replace(launch, delay_us=self.options.delay_us)

    def tools(self) -> tuple[str, ...]:
        return self._inner.tools()

    def daemons(self) -> tuple[str, ...]:
        return self._inner.daemons()

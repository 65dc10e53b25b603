"""Our samples in pytest-benchmark: through a clock of the test's own, so that nothing is measured twice.

pytest-benchmark times ``target()`` by reading a clock before and after it. The marker ``timer`` (public, as
``pedantic`` is) lets a test bring that clock. Ours reads 0 and then the sample, so what is stored is the
sample itself, to the last bit, and the JSON says by which clock it was taken: the agent's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pytest

KEY = "isobench"
"""Of our entry in ``extra_info``."""

_readings: Iterator[float] = iter(())


class BenchmarkFixture(Protocol):
    """What we use of pytest-benchmark's fixture ``benchmark``; the package itself need not be there."""

    extra_info: dict[str, Any]
    has_error: bool
    stats: Any

    @property
    def enabled(self) -> bool:
        """Whether anything is stored."""

    @property
    def pedantic(self) -> Callable[..., Any]:
        """Times so many rounds, with ``setup`` before each of them."""


def isobench_agent_clock() -> float:
    """Seconds: 0 before a start, and after it what the agent's CLOCK_MONOTONIC said it took."""
    return next(_readings, 0.0)


def give_clock(item: pytest.Item) -> None:
    """Have pytest-benchmark's fixture read our clock in this test, if it has that fixture."""
    if "benchmark" not in getattr(item, "fixturenames", ()):
        return
    closest = item.get_closest_marker("benchmark")
    options = {} if closest is None else closest.kwargs
    if "timer" not in options:
        # The closest marker is the only one that counts.
        item.add_marker(pytest.mark.benchmark(**options, timer=isobench_agent_clock), append=False)


def inject(benchmark: BenchmarkFixture, values: Sequence[float], told: Mapping[str, Any]) -> None:
    """Give the fixture these seconds, a round each, and ``told`` beside them. A disabled one stores nothing.

    Fails the test where the fixture has another clock.
    """
    left = iter(values)

    def next_round() -> None:
        global _readings  # noqa: PLW0603 - pytest-benchmark calls the clock without arguments
        _readings = iter((0.0, next(left)))

    benchmark.extra_info[KEY] = dict(told)
    benchmark.pedantic(lambda: None, setup=next_round, rounds=len(values))
    if benchmark.enabled and benchmark.stats.stats.data != list(values):
        benchmark.has_error = True  # keeps it out of the JSON
        pytest.fail(
            "the benchmark fixture of this test has another timer than isobench's\n"
            "remedy: leave `timer` out of its benchmark marker"
        )

"""The benchmarks there are. A built-in is one line here; others come by the group ``isobench.benchmarks``."""

from typing import Any

from isobench.benchmarks.contract import Benchmark
from isobench.plugins import Registry

BUILTIN = {
    "audit": "isobench.benchmarks.audit:Audit",
    "round-trip": "isobench.benchmarks.audit:RoundTrip",
    "startup": "isobench.benchmarks.startup:Startup",
    "memory": "isobench.benchmarks.memory:Memory",
    "memory-floor": "isobench.benchmarks.memory_floor:MemoryFloor",
    "throttling": "isobench.benchmarks.throttling:Throttling",
    "teardown": "isobench.benchmarks.teardown:Teardown",
    "density": "isobench.benchmarks.density:Density",
    "startup-concurrency": "isobench.benchmarks.concurrency:Concurrency",
    "primitives": "isobench.benchmarks.primitives:Primitives",
    "limits": "isobench.benchmarks.limits:LimitsBenchmark",
    "accounting": "isobench.benchmarks.accounting:Accounting",
    "freeze": "isobench.benchmarks.freeze:Freeze",
    "weights": "isobench.benchmarks.weights:Weights",
    "fake": "isobench.benchmarks.fake:FakeBenchmark",
}
"""Name and class, in the order of the report."""

AUDITS = ("audit", "round-trip")
"""What a run has besides the benchmarks it was asked for: the cost of the instrument."""

DEFAULT = tuple(name for name in BUILTIN if name not in (*AUDITS, "fake"))
"""What the built-in matrix measures."""

REGISTRY: Registry[Benchmark[Any]] = Registry("benchmark", Benchmark, BUILTIN)

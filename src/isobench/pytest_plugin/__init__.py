"""isobench in a test suite: cells measured inside tests, which fail through ordinary assertions.

What it offers and how it behaves: docs/pytest-plugin.md. pytest imports this module in every environment that
has isobench, whether its tests use it or not; so it imports pytest alone, and the rest where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isobench.pytest_plugin.bench import IsobenchLab
    from isobench.pytest_plugin.results import CellResult

_FIXTURES = {"isobench_lab", "isobench_cell"}

_MARKER = (
    "isobench(isolator, options, benchmark, params, workload, metric, starts, blocks, timeout_s, required): "
    "what the fixtures isobench_cell and isobench_lab measure (docs/pytest-plugin.md of isobench)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two settings; the command line stays as it is."""
    parser.addini(
        "isobench_required",
        "fail, in place of a skip, where isobench cannot measure on this host",
        type="bool",
        default=False,
    )
    parser.addini(
        "isobench_wait_s",
        "seconds that isobench waits for one other run to let go of this host",
        default="600",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let ``--strict-markers`` know the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Prepare the tests that measure: one group for ``--dist loadgroup``, our clock for pytest-benchmark."""
    for item in items:
        if _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            continue
        if config.pluginmanager.hasplugin("xdist") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("isobench"))
        if config.pluginmanager.hasplugin("pytest-benchmark"):
            from isobench.pytest_plugin.clock import give_clock  # noqa: PLC0415 - see above

            give_clock(item)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_compare_machine_info(compared_benchmark: Mapping[str, Any]) -> None:
    """Refuse a baseline whose cells were measured on another host."""
    if any("isobench" in entry.get("extra_info", {}) for entry in compared_benchmark["benchmarks"]):
        from isobench.pytest_plugin.baseline import check_baseline  # noqa: PLC0415 - see above

        check_baseline(compared_benchmark)


@pytest.fixture
def isobench_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> IsobenchLab:
    """This host, to measure cells on: ``isobench_lab.measure(isolator="runc", starts=50)``.

    The test's marker ``isobench`` gives what a call leaves out.
    """
    from isobench.pytest_plugin.bench import IsobenchLab  # noqa: PLC0415 - see above

    return IsobenchLab(request.node, lambda: tmp_path_factory.mktemp("isobench"))


@pytest.fixture
def isobench_cell(isobench_lab: IsobenchLab) -> CellResult:
    """The cell that the test's marker ``isobench`` asks for, measured."""
    return isobench_lab.measure()

"""Libraries that come with an extra, and how their absence is told."""

import importlib
import sys

import pytest

from isobench.errors import HostUnfitError
from isobench.extras import needed


def test_missing_library_is_told_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "isobench.reports.parquet_schema", raising=False)
    with (
        pytest.raises(HostUnfitError, match="Parquet needs the Python package pyarrow") as caught,
        needed("lake", "Parquet"),
    ):
        importlib.import_module("isobench.reports.parquet_schema")
    assert caught.value.remedy == "pip install 'isobench[lake]'"


def test_missing_module_of_our_own_stays_a_defect() -> None:
    with pytest.raises(ModuleNotFoundError), needed("lake", "Parquet"):
        importlib.import_module("isobench.no_such_module")

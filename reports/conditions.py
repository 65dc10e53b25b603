"""Metrics of which one cell measures several things: what tells them apart.

Values of four instances held at once and of eight are not one sample, and neither are the shares of two
siblings. What parts them is in the details of an attempt, and reads as if it were a parameter of the cell.
"""

from collections.abc import Mapping
from typing import Any

from isobench.model import Scalar

CONDITIONS: Mapping[tuple[str, str], str] = {
    ("memory", "footprint"): "instances",
    ("density", "footprint"): "instances",
    ("weights", "share_error"): "sibling",
}
"""(benchmark, metric), and the detail that says which of its things was measured."""


def condition(benchmark: str, metric: str, detail: Mapping[str, Any]) -> Mapping[str, Scalar]:
    """That detail of an attempt and its value; empty where nothing is to be told apart, or it is not told."""
    key = CONDITIONS.get((benchmark, metric))
    value = None if key is None else detail.get(key)
    return {} if key is None or value is None else {key: value}


def placed(cell: str, under: Mapping[str, Scalar]) -> str:
    """The id of a cell with a condition: ``memory/runc/hold/instances=4``."""
    return cell + "".join(f"/{key}={value}" for key, value in under.items())

"""A run in the Go benchmark format, read by a strict reader of golang.org/design/14313-benchmark-format."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest

from isobench.journal import StoredRun
from isobench.reports.exports import export
from isobench.reports.exports.benchfmt import _name
from isobench.reports.exports.series import series_of

GO_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


@dataclass
class Results:
    """What a file says."""

    configuration: dict[str, str] = field(default_factory=dict)
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    values: defaultdict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """Name without its prefix → (value, unit)."""


def read(text: str) -> Results:
    """The grammar, and nothing that it would let pass as a line to be ignored but comments."""
    found = Results()
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert "\r" not in line
        if line.startswith("#"):
            continue
        if line.startswith("Benchmark"):
            name, iterations, value, unit = line.split()
            assert re.fullmatch(r"Benchmark[^a-z\s]\S*", name)
            assert iterations == "1"
            assert GO_FLOAT.fullmatch(value)
            assert math.isfinite(float(value))
            found.values[name.removeprefix("Benchmark")].append((float(value), unit))
        elif line.startswith("Unit "):
            _, unit, *pairs = line.split()
            found.units[unit] = dict(pair.split("=") for pair in pairs)
        else:
            key, colon, value = line.partition(":")
            assert colon
            assert key[0].islower()
            assert not any(char.isspace() or char.isupper() for char in key)
            assert value[0] in " \t"
            found.configuration[key] = value.strip()
    return found


def test_every_value_is_a_line_under_a_name_that_tells_where_it_is_from(stored: StoredRun) -> None:
    found = read(export(stored, "benchfmt").data.decode())
    assert [value for value, _ in found.values["Startup/isolator=runc/workload=ready/metric=ready"]] == [
        value
        for series in series_of(stored.samples)
        if series.name == "startup/runc/ready:ready"
        for value in series.values
    ]
    assert "Memory/isolator=lxc/workload=hold/instances=4/metric=footprint" in found.values
    assert (
        "Throttling/isolator=runc/workload=spin/cpus=0.5/period_us=100000/metric=cpu_share_error"
        in found.values
    )
    assert sum(map(len, found.values.values())) == sum(
        len(series.values) for series in series_of(stored.samples)
    )
    assert len(found.values) == len(series_of(stored.samples))


def test_units_are_those_that_benchstat_scales(stored: StoredRun) -> None:
    found = read(export(stored, "benchfmt").data.decode())
    units = {unit for values in found.values.values() for _, unit in values}
    assert units == {"sec/op", "B", "ratio"}
    assert found.units == {"B": {"better": "lower"}}


def test_configuration_is_the_processor_alone_so_that_runs_are_compared(stored: StoredRun) -> None:
    text = export(stored, "benchfmt").data.decode()
    assert read(text).configuration == {
        "goos": "linux",
        "goarch": "amd64",
        "cpu": "Some CPU @ 2.50GHz",
        "pkg": "isobench",
    }
    assert "# run: 20260301T101500Z-abc123\n" in text


def test_number_at_the_end_of_a_name_is_not_taken_for_processors(stored: StoredRun) -> None:
    (series, *_) = series_of(stored.samples)
    assert _name(replace(series, metric="latency-8")).endswith("/metric=latency%2D8")
    assert _name(replace(series, metric="a-8b")).endswith("/metric=a-8b")


@pytest.mark.parametrize(
    ("unit", "told"), [("1/second", "ops/s"), ("count", "count"), ("", "1"), ("a b/c", "a%20b%2Fc")]
)
def test_other_units_keep_their_names_in_one_word(stored: StoredRun, unit: str, told: str) -> None:
    samples = tuple(replace(one, unit=unit) for one in stored.samples if one.metric == "peak")
    found = read(export(replace(stored, samples=samples), "benchfmt").data.decode())
    assert {unit for values in found.values.values() for _, unit in values} == {told}


def test_hostile_names_stay_one_word_each_and_apart(hostile: StoredRun) -> None:
    found = read(export(hostile, "benchfmt").data.decode())
    assert len(found.values) == len(series_of(hostile.samples))
    assert all(name.isascii() for name in found.values)

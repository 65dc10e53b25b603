"""benchfmt: the text of ``go test -bench``, which benchstat reads; one line a value.

The format: golang.org/design/14313-benchmark-format. What names a series are ``/key=value`` parts of the name
of a benchmark, by which benchstat groups (``-col /isolator``). benchstat makes a table of its own for each
configuration, so only the processor is told as one; the rest is a comment.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote

from isobench.journal import RunRecord, StoredRun
from isobench.reports.exports.facts import run_facts
from isobench.reports.exports.series import REST_OF_RECORD, Export, Series, insist, of_attempts, series_of

_UNITS = {"second": "sec/op", "byte": "B", "1/second": "ops/s"}
"""Names by which benchstat scales a unit and knows which direction is better; other units keep theirs."""
_DIRECTIONS = {"B": "lower", "ops/s": "higher"}
"""Those of ours that it does not know by itself."""
_GOARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_OF_RUN = ("run", "started", "isobench", "hostname", "os", "kernel")
_PROCESSORS = re.compile(r"-(?=[0-9]+$)")
"""benchstat takes a number at the end of a name for GOMAXPROCS."""


def export(run: StoredRun) -> Export:
    """The text; all units fit in."""
    series, left_out = series_of(run.samples), (*of_attempts(run.samples), REST_OF_RECORD)
    insist(series, "the Go benchmark format", left_out)
    text = "".join(f"{line}\n" for line in (*_head(run.record), *_units(series), *_lines(series)))
    return Export(text.encode(), sum(len(one.values) for one in series), left_out)


def _head(record: RunRecord) -> Iterator[str]:
    facts = run_facts(record)
    yield from (f"# {key}: {facts[key]}" for key in _OF_RUN if key in facts)
    yield "goos: linux"
    if machine := facts.get("machine"):
        yield f"goarch: {_GOARCH.get(machine, machine)}"
    if "cpu" in facts:
        yield f"cpu: {facts['cpu']}"
    yield "pkg: isobench"


def _units(series: tuple[Series, ...]) -> Iterator[str]:
    used = {_unit(one.unit) for one in series}
    yield from (f"Unit {unit} better={better}" for unit, better in _DIRECTIONS.items() if unit in used)


def _lines(series: tuple[Series, ...]) -> Iterator[str]:
    for one in series:
        head, unit = f"{_name(one)} 1", _unit(one.unit)
        yield from (f"{head} {value!r} {unit}" for value in one.values)


def _name(series: Series) -> str:
    """``BenchmarkStartup/isolator=runc/workload=ready/metric=ready``, percent-encoded where it has to be."""
    own = (("isolator", series.isolator), ("workload", series.workload))
    keys = (*own, *sorted(series.params.items()), ("metric", series.metric))
    parts = "".join(f"/{_word(key)}={_word(str(value))}" for key, value in keys)
    benchmark = _word(series.benchmark)
    return _PROCESSORS.sub("%2D", f"Benchmark{benchmark[:1].upper()}{benchmark[1:]}{parts}")


def _unit(unit: str) -> str:
    return _UNITS.get(unit) or _word(unit) or "1"


def _word(text: str) -> str:
    """Without blanks, slashes, equal signs and anything else that separates."""
    return quote(text, safe=":,;+@*()[]|", errors="replace")

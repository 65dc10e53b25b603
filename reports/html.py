"""A run as one self-contained HTML file: no script, nothing from the network, safe to open and to forward.

The page's content security policy forbids everything but its own style sheet, by hash. Every string from a
run is escaped by Jinja; what is not escaped is made here: the style sheet and the figures.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from isobench.errors import OutputError, UsageError
from isobench.reports import rows, sheet, units, verdict
from isobench.reports.charts import Chart, charts, plots
from isobench.reports.diagnose import diagnose
from isobench.reports.diagnostics import SampleId
from isobench.reports.load import summarize
from isobench.reports.sections import sections
from isobench.reports.stats import MIN_FOR_INTERVAL, MIN_FOR_P90, MIN_FOR_P99, MIN_FOR_P999
from isobench.reports.summary import CellSummary, Summary


def write_report(run_dirs: Sequence[Path], output: Path) -> None:
    """Write the report of one result folder to ``output``, as a whole or not at all.

    Raises :class:`isobench.errors.ResultsError` when the folder cannot be read, UsageError unless it is
    one, and OutputError when the file cannot be written.
    """
    if len(run_dirs) != 1:
        raise UsageError(
            f"a report is made of one result folder, found {len(run_dirs)}: "
            "comparing runs is not part of this version",
            remedy="isobench report DIR, once for each folder",
        )
    _replace(output, page(summarize(run_dirs[0])))


def page(summary: Summary) -> str:
    """The whole document. Equal runs give equal bytes."""
    environment = _environment()
    parts = sections(summary)
    drawn = {**charts(summary), **plots(parts)}
    css = environment.loader.get_source(environment, "report.css")[0] if environment.loader else ""
    style = css + _chart_css(drawn)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    places = {cell.id: f"cell-{number}" for number, cell in enumerate(summary.cells, start=1)}

    def anchor(cell: CellSummary) -> str:
        return places[cell.id]

    def row_anchor(sample: SampleId) -> str:
        return f"{places[sample.cell]}-{sample.row}"

    return environment.get_template("report.html.j2").render(
        summary=summary,
        record=summary.record,
        findings=verdict.findings(summary),
        cautions=verdict.cautions(summary),
        gaps=rows.gaps(summary),
        sections=parts,
        charts=_markup(drawn),
        anchor=anchor,
        row_anchor=row_anchor,
        diagnostics=diagnose(summary),
        css=Markup(style),  # noqa: S704 - our own style sheet and the rules of our own figures
        csp=f"default-src 'none'; style-src 'sha256-{digest}'; {_NO_MORE}",
        matrix=json.dumps(summary.record.matrix, indent=2, ensure_ascii=False),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("isobench.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.finalize = _finalize
    environment.filters |= {
        "seconds": units.seconds,
        "nbytes": units.nbytes,
        "times": units.times,
        "percent": units.percent,
        "names": verdict.names,
        "host_groups": sheet.host_groups,
        "options": sheet.options_text,
        "raw_table": sheet.raw_table,
    }
    environment.globals |= _GLOBALS
    return environment


_NO_MORE = "img-src data:; base-uri 'none'; form-action 'none'"
"""The empty icon is a data address; without it a browser asks the server for one."""

_GLOBALS: Mapping[str, Any] = {
    "NONE": units.NONE,
    "EMULATED": rows.EMULATED,
    "MIN_FOR_INTERVAL": MIN_FOR_INTERVAL,
    "MIN_FOR_P90": MIN_FOR_P90,
    "MIN_FOR_P99": MIN_FOR_P99,
    "MIN_FOR_P999": MIN_FOR_P999,
    "interval": units.interval,
    "spread": units.spread,
    "quota": rows.quota,
    "limit_titles": rows.limit_titles,
    "seconds": units.seconds,
    "nbytes": units.nbytes,
    "times": units.times,
    "percent": units.percent,
}


def _finalize(value: object) -> object:
    """Control characters have no place in a document, and None none in a sentence."""
    if value is None:
        return units.NONE
    return units.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _chart_css(drawn: Mapping[str, Chart]) -> str:
    rules = {name: text for chart in drawn.values() for name, text in chart.rules.items()}
    return "".join(f".{name} {{ {text} }}\n" for name, text in sorted(rules.items()))


def _markup(drawn: Mapping[str, Chart]) -> Mapping[str, Markup]:
    """Both widths of each figure; the style sheet shows one of them."""
    return {
        name: Markup(  # noqa: S704 - serialized by an XML library, texts escaped
            f'<div class="wide">{chart.wide.markup}</div><div class="narrow">{chart.narrow.markup}</div>'
        )
        for name, chart in drawn.items()
    }


def _replace(output: Path, text: str) -> None:
    fresh = output.with_name(f".{output.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(output)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise OutputError(
            f"{output}: the report cannot be written: {error.strerror}",
            remedy="name another file with --output",
        ) from error

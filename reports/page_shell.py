"""The shell of every page: one self-contained HTML file that is safe to open and to forward.

A page is a template that extends ``base.html.j2`` and fills its blocks: ``generator``, ``title``,
``header``, ``nav``, ``main`` and ``footer``. The shell gives it the style sheet, the script and the figures,
and a content security policy that forbids everything else: both are let through by their hash, nothing is
fetched. Every string that comes from outside is escaped by Jinja; what is not escaped is made here.
"""

import base64
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from isobench.errors import OutputError
from isobench.reports import rows, sheet, units, verdict
from isobench.reports.section import Table
from isobench.reports.stats import MIN_FOR_INTERVAL, MIN_FOR_P90, MIN_FOR_P99, MIN_FOR_P999, Estimate

if TYPE_CHECKING:  # matplotlib takes its time, and a page need not have figures
    from isobench.reports.charts import Chart

STYLES = ("report.css", "several.css")
"""Files of the templates' folder that make up the style sheet, in this order."""
SCRIPTS = ("page.js", "tables.js", "overview.js", "figures.js", "find.js")
"""Files of the templates' folder that make up the one script of a page, in this order."""


def render(template: str, drawn: Mapping[str, "Chart"], values: Mapping[str, Any]) -> str:
    """A whole document. Equal values give equal bytes.

    ``template`` is a file of the templates' folder that extends ``base.html.j2``; its macro ``figure`` shows
    those of ``drawn`` by their names. ``values`` are its variables; a variable that is missing is an error.
    """
    style, script = "".join(map(_source, STYLES)) + _chart_css(drawn), _script()
    page = _environment().get_template(template)
    return page.render(
        **values,
        charts=_markup(drawn),
        figure_tables={name: chart.table for name, chart in drawn.items()},
        figure_notes={name: chart.note for name, chart in drawn.items()},
        css=Markup(style),  # noqa: S704 - our own style sheet and the rules of our own figures
        script=Markup(script),  # noqa: S704 - our own script, which holds nothing of a run
        csp=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; {_NO_MORE}",
    )


def replace_file(output: Path, text: str) -> None:
    """Write a page as a whole or not at all.

    Raises :class:`isobench.errors.OutputError` when the file cannot be written.
    """
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
        "run_groups": sheet.run_groups,
        "options": sheet.options_text,
        "short": units.short,
        "exact": _exact,
        "unit_of": _unit_of,
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


def _exact(found: Estimate | float) -> str:
    """``0.000212 0.000204 0.000223``: a value and the limits of its interval in base units."""
    if not isinstance(found, Estimate):
        return f"{found:.12g}"
    span = (found.interval.low, found.interval.high) if found.interval else ()
    return " ".join(f"{value:.12g}" for value in (found.value, *span))


def _unit_of(table: Table, place: int) -> str:
    """Of a column of figures; nothing where they are no numbers."""
    return next((row.figures[place].unit for row in table.rows if row.figures[place].exact), "")


def _finalize(value: object) -> object:
    """Control characters have no place in a document, and None none in a sentence."""
    if value is None:
        return units.NONE
    return units.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(name: str) -> str:
    return (files("isobench.reports") / "templates" / name).read_text(encoding="utf-8")


def _script() -> str:
    """All files in one scope of their own; nothing of it is in the window's."""
    parts = "".join(map(_source, SCRIPTS))
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _hash(text: str) -> str:
    """As a content security policy names the text of an element."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _chart_css(drawn: Mapping[str, "Chart"]) -> str:
    rules = {name: text for chart in drawn.values() for name, text in chart.rules.items()}
    return "".join(f".{name} {{ {text} }}\n" for name, text in sorted(rules.items()))


def _markup(drawn: Mapping[str, "Chart"]) -> Mapping[str, Markup]:
    """Both widths of each figure; the style sheet shows one of them."""
    return {
        name: Markup(  # noqa: S704 - serialized by an XML library, texts escaped
            f'<div class="wide">{chart.wide.markup}</div><div class="narrow">{chart.narrow.markup}</div>'
        )
        for name, chart in drawn.items()
    }

"""A run as one self-contained HTML file: nothing from the network, safe to open and to forward.

The page's shell, with its content security policy, is :mod:`isobench.reports.page_shell`.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from isobench.errors import UsageError
from isobench.reports import page_shell, rows, verdict
from isobench.reports.cell_parts import cell_groups, left_out
from isobench.reports.charts import charts, plots
from isobench.reports.claims import claims
from isobench.reports.diagnose import diagnose
from isobench.reports.diagnostics import SampleId
from isobench.reports.findings import findings
from isobench.reports.gate_section import gate_part
from isobench.reports.load import summarize
from isobench.reports.overview import overview
from isobench.reports.places import by_name
from isobench.reports.plate_spread import DRAWN
from isobench.reports.sections import sections
from isobench.reports.summary import CellSummary, Summary


def write_report(run_dirs: Sequence[Path], output: Path) -> None:
    """Write the report of one result folder to ``output``, as a whole or not at all.

    Raises :class:`isobench.errors.ResultsError` when the folder cannot be read, UsageError unless it is
    one, and OutputError when the file cannot be written.
    """
    if len(run_dirs) != 1:
        raise UsageError(
            f"the report of a run is made of its result folder alone, found {len(run_dirs)}",
            remedy="isobench report DIR…, which makes a page over several runs",
        )
    page_shell.replace_file(output, page(summarize(run_dirs[0])))


def page(summary: Summary) -> str:
    """The whole document. Equal runs give equal bytes, wherever they lie."""
    summary = by_name(summary)
    parts, gate = sections(summary), gate_part(summary)
    said = diagnose(summary)
    groups = cell_groups(summary, said)
    places = {cell.id: _place(cell) for cell in summary.cells}

    def anchor(cell: CellSummary) -> str:
        return places[cell.id]

    def row_anchor(sample: SampleId) -> str:
        return f"{places[sample.cell]}-{sample.row}"

    values = {
        "summary": summary,
        "record": summary.record,
        "overview": overview(summary),
        "findings": findings(summary),
        "claims": claims(summary),
        "cautions": verdict.cautions(summary),
        "gaps": rows.gaps(summary),
        "gate": gate,
        "sections": parts,
        "anchor": anchor,
        "row_anchor": row_anchor,
        "diagnostics": said,
        "cell_groups": groups,
        "left_out": left_out(groups),
        "points": DRAWN,
        "matrix": json.dumps(summary.record.matrix, indent=2, ensure_ascii=False),
    }
    drawn = {**charts(summary), **plots((*([gate.section] if gate else []), *parts))}
    return page_shell.render("report.html.j2", drawn, values)


def _place(cell: CellSummary) -> str:
    """Where it stands on the page: by its name alone, so that links keep when the run has grown."""
    return f"cell-{hashlib.sha256(cell.id.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"

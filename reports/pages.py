"""Which page a report is: of one run, of two runs of one host, of many hosts, or of many runs of one host."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from isobench.errors import UsageError
from isobench.reports import page_shell
from isobench.reports.origins import Origin, look

_TWO = 2


class Page(StrEnum):
    """A page over several runs."""

    COMPARE = "compare"
    HOSTS = "hosts"
    TREND = "trend"


def write_page(paths: Sequence[Path], output: Path | None, wanted: Page | None = None) -> Path:
    """Write the page of these folders, as a whole or not at all, and return where.

    Each path is a result folder, the folder of a batch, or one with such folders in it. Without ``output`` it
    is ``report.html`` in the first, or, where that holds a run of its own, named after the page.

    Raises :class:`isobench.errors.ResultsError` when a folder cannot be read (of many hosts only when none
    can), UsageError for folders that do not make the page that is wanted, and OutputError when the file
    cannot be written.
    """
    origins = look(paths)
    page = wanted or choose(origins)
    if page is None:
        # matplotlib is slow to import, and pages over several runs draw nothing with it.
        from isobench.reports.html import write_report  # noqa: PLC0415

        place = output or origins[0].folder / "report.html"
        write_report([origins[0].folder], place)
        return place
    alone = all(path != origin.folder for path in paths for origin in origins)
    place = output or paths[0] / ("report.html" if alone else f"{page.value}.html")
    page_shell.replace_file(place, _made(page, origins))
    return place


def choose(origins: Sequence[Origin]) -> Page | None:
    """By what the runs are of; None: it is one run."""
    if len(origins) == 1 and origins[0].lack is None:
        return None
    hosts = {(one.name, *one.hardware) if one.name is not None else one.folder for one in origins}
    if len(hosts) > 1 or any(one.lack is not None for one in origins):
        return Page.HOSTS
    return Page.COMPARE if len(origins) == _TWO else Page.TREND


def _made(page: Page, origins: Sequence[Origin]) -> str:
    match page:
        case Page.COMPARE:
            return _compared(origins)
        case Page.HOSTS:
            from isobench.reports import fleet_html  # noqa: PLC0415 - as the others, only where it is made
            from isobench.reports.fleet import fleet  # noqa: PLC0415

            return fleet_html.page(fleet(origins))
        case Page.TREND:
            from isobench.reports import trend_html  # noqa: PLC0415
            from isobench.reports.trend import trend  # noqa: PLC0415

            return trend_html.page(trend(origins))


def _compared(origins: Sequence[Origin]) -> str:
    if len(origins) != _TWO:
        raise UsageError(
            f"a comparison is of two runs, and these folders hold {len(origins)}",
            remedy="isobench report --as compare BASE CANDIDATE",
        )
    from isobench.reports import compare_html  # noqa: PLC0415
    from isobench.reports.compare import compare  # noqa: PLC0415

    return compare_html.page(compare(origins[0].folder, origins[1].folder))

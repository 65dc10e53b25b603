"""What the pictures show, as tables, where no table of the page has it."""

import numpy as np

from isobench.reports import rows, units
from isobench.reports.section import Column, Row, Table, number_of
from isobench.reports.stats_blocks import block_medians
from isobench.reports.summary import Summary

_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


def shares(summary: Summary) -> Table:
    """By when so many of the starts were ready, a row an isolator."""
    return Table(
        "Time by which a share of the starts was ready",
        "Isolator",
        tuple(Column(f"{100 * share:.0f} %") for share in _SHARES),
        tuple(
            Row(
                found.name,
                tuple(
                    number_of(float(value), units.seconds)
                    for value in np.quantile(found.startup.seconds, _SHARES)
                ),
                found,
            )
            for found in summary.isolators
            if found.startup
        ),
    )


def blocks(summary: Summary) -> Table:
    """Medians of the blocks against that of all starts of the isolator, a row a block."""
    medians: list[dict[int, float]] = []
    for startup in summary.startups:
        middle = startup.ready.median.value
        names, found = block_medians([value / middle for value in startup.seconds], startup.blocks)
        medians.append(dict(zip(names, found, strict=True)))
    return Table(
        "Median start of each block against that of all",
        "Block",
        tuple(Column(startup.isolator) for startup in summary.startups),
        tuple(
            Row(str(block), tuple(number_of(own.get(block), units.times) for own in medians))
            for block in sorted({block for own in medians for block in own})
        ),
    )


def achieved(summary: Summary) -> Table:
    """CPUs got under each limit, a row an isolator; the errors have a table of the page."""
    return Table(
        "CPUs achieved",
        "Isolator",
        tuple(Column(f"of {title}") for title in rows.limit_titles(summary)),
        tuple(
            Row(
                isolator.name,
                tuple(
                    number_of(found.host_cpus.median.value if found else None, _cpus)
                    for found in (rows.quota(isolator, limit) for limit in summary.limits)
                ),
                isolator,
            )
            for isolator in summary.isolators
            if isolator.quotas
        ),
    )


def _cpus(value: float) -> str:
    return f"{value:.3f}"

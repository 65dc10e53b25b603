"""Whether an isolator really starts something here: its probe, then one real start of the agent."""

from typing import Any

from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.model import Event, Readiness, Status, unavailable
from isobench.starter import batch

_TIMEOUT_S = 60.0
"""A guest under software emulation takes about 3 s; a busy host several times that."""


def check(isolator: Isolator[Any], site: Site) -> Readiness:
    """The isolator's readiness, proven by a functional start where its own probe finds nothing amiss."""
    readiness = isolator.probe(site)
    if not readiness.usable:
        return readiness
    with isolator.prepare(site, agent_bundle(site, "ready")) as launch:
        (event,) = batch(site.agent, launch, 1, timeout_s=_TIMEOUT_S)
    if event.status is Status.OK:
        return readiness
    return unavailable(
        f"it is installed, but a trial start failed: {_why(event)}",
        f"ISOBENCH_DEBUG=1 isobench doctor --isolator {isolator.name}",
    )


def _why(event: Event) -> str:
    last_words = event.stderr.strip().splitlines()
    return f"{event.reason}{f' ({last_words[-1][:300]})' if last_words else ''}"

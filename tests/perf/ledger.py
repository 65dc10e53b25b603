"""The lines of the ledger of memory against what the host says it has lost, in ``make perf``.

Ours is the sum of what is attributed, without the rest that closes the account, and the change of bystanders.
The reference is the fall of MemAvailable with what it leaves out, which the kernel makes from free pages, its
lists of file pages and what is reclaimable: none of the counters of the lines is in it.
"""

import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from isobench import starter
from isobench.benchmarks.ledger import LINES, Entry, Ledger
from isobench.isolators.contract import Isolator, Site, agent_bundle
from isobench.isolators.readiness import check
from isobench.isolators.registry import REGISTRY
from isobench.model import Status

KINDS = {"bare": 32, "chroot": 32, "namespaces": 32, "cgroups": 32, "lxc": 16, "runc": 16, "qemu": 1}
"""And how many instances are held."""
ROUNDS = 5
WITHIN = 0.10
WITHIN_BYTES = 256 * 1024
_KIB = 1024
_PAGE = 4096


def available_bytes() -> int:
    """MemAvailable, with what it leaves out: pages on per-CPU lists, and a part of what is reclaimable.

    si_mem_available() of mm/show_mem.c counts only half of the reclaimable slab as long as the other half is
    below the low watermarks; without that half, every dentry a runtime leaves cached would be half lost.
    """
    meminfo = Path("/proc/meminfo").read_text()
    zoneinfo = Path("/proc/zoneinfo").read_text()
    listed = sum(map(int, re.findall(r"^ +count: +(\d+)$", zoneinfo, re.MULTILINE)))
    low = sum(map(int, re.findall(r"^ +low +(\d+)$", zoneinfo, re.MULTILINE)))
    doubted = min(_kib(meminfo, "KReclaimable") * _KIB // 2, low * _PAGE)
    return _kib(meminfo, "MemAvailable") * _KIB + listed * _PAGE + doubted


def _kib(meminfo: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", meminfo, re.MULTILINE)
    assert found, f"no {name} in /proc/meminfo"
    return int(found[1])


def attributed_bytes(entry: Entry) -> int:
    """Every line but the rest, and what bystanders took meanwhile."""
    lines = sum(
        value for name in LINES if name != "unattributed" and (value := entry.lines[name]) is not None
    )
    return lines + int(entry.detail["bystanders_change"] or 0)


def one_round(isolator: Isolator[Any], site: Site, instances: int) -> tuple[int, int]:
    """Ours and the reference, in bytes."""
    bundle = agent_bundle(site, "hold")
    with (
        isolator.prepare(site, bundle, slots=instances) as launch,
        starter.session(site.agent, launch, timeout_s=60, slots=instances) as session,
    ):
        ledger = Ledger(session, launch, isolator, site)
        ledger.open()
        before = available_bytes()
        for _ in range(instances):
            event = session.start()
            if event.status is not Status.OK:
                raise SystemExit(f"{isolator.name}: a start failed: {event.reason} {event.stderr}")
            ledger.add(event)
        entry = ledger.read()
        return attributed_bytes(entry), before - available_bytes()


def verdict(ours: float, reference: float) -> str:
    """Whether both agree within 10 % or 256 KiB, whichever is more."""
    return "yes" if abs(ours - reference) <= max(WITHIN * abs(reference), WITHIN_BYTES) else "NO"


def rows(site: Site) -> Iterator[tuple[str, ...]]:
    """One for each isolator this host has; medians over the rounds."""
    for kind, instances in KINDS.items():
        cls = REGISTRY.load(kind)
        isolator = cls(f"{kind}-ledger", cls.Options())  # others are prepared beside it
        if not check(isolator, site).usable:
            continue
        found = [one_round(isolator, site, instances) for _ in range(ROUNDS)]
        ours, reference = (statistics.median(column) for column in zip(*found, strict=True))
        ratio = f"{ours / reference:.3f}" if reference else "-"
        figures = (f"{ours / _KIB:.0f} KiB", f"{reference / _KIB:.0f} KiB", ratio, verdict(ours, reference))
        yield kind, str(instances), *figures


def ledger_table(site: Site) -> Table:
    """The lines of every isolator against the host's own account."""
    table = Table(title=f"Lines of the ledger against the fall of MemAvailable, medians of {ROUNDS} rounds")
    for heading in ("isolator", "instances", "attributed", "host lost", "ratio", "within 10 % or 256 KiB"):
        table.add_column(heading, justify="left" if heading == "isolator" else "right")
    for row in rows(site):
        table.add_row(*row)
    return table

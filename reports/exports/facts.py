"""What a run says of itself and of its host, as the short texts that other formats take."""

from collections.abc import Mapping
from typing import Any

from isobench.journal import RunRecord
from isobench.model import Scalar
from isobench.reports.units import plain


def host_text(host: Mapping[str, Any], *path: str) -> str:
    """One fact of a fingerprint (``"cpu", "model"``) on one line; empty where the host does not tell it."""
    found: Any = host
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return "" if found is None or isinstance(found, Mapping | list) else plain(str(found)).strip()


def run_facts(record: RunRecord) -> dict[str, str]:
    """Which run it is, where and by what it was made; what is not known is left out."""
    facts = {
        "run": record.run_id,
        "started": record.started,
        "status": record.status,
        "isobench": record.isobench_version,
        "hostname": host_text(record.host, "hostname"),
        "os": host_text(record.host, "os"),
        "kernel": host_text(record.host, "kernel"),
        "machine": host_text(record.host, "machine"),
        "cpu": host_text(record.host, "cpu", "model"),
    }
    return {key: text for key, value in facts.items() if (text := plain(value).strip())}


def words(params: Mapping[str, Scalar]) -> str:
    """``cpus=0.5/period_us=100000``, as the id of a cell has them, on one line."""
    return plain("/".join(f"{key}={value}" for key, value in sorted(params.items())))

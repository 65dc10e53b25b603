"""JSON as all exports write it."""

import json

from isobench.reports.units import utf8


def json_bytes(value: object) -> bytes:
    """Indented, in the order it was made, and never NaN or infinity, which JSON has not."""
    return utf8(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)).encode() + b"\n"

"""What else went on on a host while a run was measured, and from where on that is too much."""

from collections.abc import Iterator, Mapping

from isobench.journal import RunRecord
from isobench.reports import units
from isobench.reports.gate_values import Check
from isobench.reports.summary import number

MOST_LOAD = 2.0
"""Processes that want to run, for each CPU, as the run begins: an instance then has a third of one."""
MOST_WAITED: Mapping[str, float] = {"cpu": 0.5, "memory": 0.1, "io": 0.5}
"""Part of the time in which something waited for it (PSI). Who waits for memory reclaims it, and pays for
what others took."""
MOST_STOLEN = 0.1
"""Part of the CPU time that a hypervisor gave to others."""
MOST_BY_OTHERS = 0.25
"""Part of the CPU time that was not the run's own: the other programs of the host, and interrupts."""

_NOT_RECORDED = "not recorded"


def load(record: RunRecord) -> Check:
    """Processes that wanted to run, for each CPU, as the run began."""
    wanted, cpus = _host(record, "load", "1min"), _host(record, "cpu", "usable")
    each = None if wanted is None or not cpus else wanted / cpus
    return _up_to("load as it began", each, MOST_LOAD, lambda value: f"{value:.2f} a CPU")


def meanwhile(record: RunRecord) -> tuple[Check, ...]:
    """Waits, CPU time of others, and heat, over the run."""
    return (*_waited(record), *taken(record))


def _waited(record: RunRecord) -> Iterator[Check]:
    """Over the run where that is recorded, else as it began."""
    for name, most in MOST_WAITED.items():
        share = _per_second(record, f"waited_{name}_s")
        if share is None and (percent := _host(record, "pressure", f"{name}_10s_percent")) is not None:
            share = percent / 100
        yield _up_to(f"waiting for {name}", share, most, _of_time)


def taken(record: RunRecord) -> Iterator[Check]:
    """What the run surely had no part in: CPU time of others, and heat. Of waits its own are a part."""
    cpus = 1 if record.disturbance is None else record.disturbance.cpus
    for name, most in (("others_cpu_s", MOST_BY_OTHERS), ("steal_s", MOST_STOLEN)):
        share = _per_second(record, name)
        title = "CPU time of others" if name == "others_cpu_s" else "stolen by a hypervisor"
        yield _up_to(title, None if share is None or cpus <= 0 else share / cpus, most, _of_cpu)
    heat = None if record.disturbance is None else record.disturbance.thermal_throttles
    yield _up_to("slowed down for heat", heat, 0.0, lambda value: f"{value:g} times")


def _per_second(record: RunRecord, counter: str) -> float | None:
    """How much a counter rose while the run was measured."""
    found = record.disturbance
    value = None if found is None or found.seconds <= 0 else getattr(found, counter)
    return None if found is None or value is None else float(value) / found.seconds


def _up_to(name: str, value: float | None, most: float, form: units.Format) -> Check:
    if value is None:
        return Check(name, _NOT_RECORDED, form(most), None)
    return Check(name, form(value), form(most), value <= most)


def _of_time(value: float) -> str:
    return f"{100 * value:.1f} % of the time"


def _of_cpu(value: float) -> str:
    return f"{100 * value:.1f} % of the CPU time"


def _host(record: RunRecord, group: str, key: str) -> float | None:
    found = record.host.get(group)
    return number(found.get(key)) if isinstance(found, Mapping) else None

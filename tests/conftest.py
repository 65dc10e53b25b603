"""What tests of several folders share: the agent, and synthetic runs for everything that reads results.

The figures of a synthetic run are such as a small machine gives; making it needs no root.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from build_agent import AGENT_DIR, BINARY, BuildError, compile_agent
from hypothesis import settings

from isobench.journal import IsolatorRecord, RunRecord, ToolRecord
from isobench.journal_writer import Journal
from isobench.model import PHASES, Sample, Scalar, Status

# The same examples in every run, and none of them against the clock.
settings.register_profile("isobench", deadline=None, derandomize=True, database=None)
settings.load_profile("isobench")

MIB = 1024 * 1024
KIB = 1024


@dataclass(frozen=True)
class Kind:
    """How one isolator of a synthetic run behaves."""

    name: str
    ready_s: float
    phases: Mapping[str, float]
    """As parts of ready_s."""
    memory: tuple[float | None, float, float]
    """Workload, helpers, rest: bytes an instance."""
    quota_error: float | None = None
    starts: int = 20
    spread: float = 0.08
    kind: str = ""
    own_kernel: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    t0: str = "just before the clone of the workload's process"
    covers: str = ""
    reason: str | None = None


PLAIN = {"spawned": 0.7, "first_instruction": 0.9}
KINDS = (
    Kind("bare", 0.0002, PLAIN, (92 * KIB, 0, 61 * KIB)),
    Kind("chroot", 0.00025, PLAIN, (92 * KIB, 0, 63 * KIB)),
    Kind("namespaces", 0.0009, PLAIN, (96 * KIB, 0, 210 * KIB), options={"namespaces": ["mount", "pid"]}),
    Kind(
        "cgroups",
        0.0004,
        {"created": 0.4, **PLAIN},
        (92 * KIB, 0, 330 * KIB),
        -0.002,
        t0="just before the first mkdir(2) of its cgroups",
        covers="the workload alone",
    ),
    Kind(
        "lxc",
        0.006,
        {"spawned": 0.1, "first_instruction": 0.98},
        (92 * KIB, 2.1 * MIB, 610 * KIB),
        0.004,
        t0="just before the clone of lxc-start",
        covers="the container; its monitor has a cgroup of its own and is not limited",
    ),
    Kind(
        "runc",
        0.025,
        {"created": 0.75, "first_instruction": 0.97},
        (92 * KIB, 0, -40 * KIB),
        -0.011,
        spread=0.25,
        t0="just before the clone of `runc create`",
        covers="the container, and runc's own init until it becomes the workload",
    ),
    Kind(
        "qemu-tcg",
        3.0,
        {"spawned": 0.001, "kernel": 0.4},
        (None, 71 * MIB, 5 * MIB),
        0.031,
        starts=5,
        kind="qemu",
        own_kernel=True,
        options={"accel": "auto", "memory_mib": 128},
        t0="just before the clone of qemu-system-x86_64",
        covers="the QEMU process as a whole: vCPU and I/O threads",
        reason="/dev/kvm is there, but a guest did not boot under it within 10 s",
    ),
)
CPUS = (0.1, 0.25, 0.5, 1.0, 1.5)

HOST: Mapping[str, Any] = {
    "hostname": "lab-1",
    "os": "Debian GNU/Linux 12 (bookworm)",
    "kernel": "6.1.0-18-cloud-amd64",
    "machine": "x86_64",
    "virtual_machine": "kvm",
    "container": "none",
    "memory_bytes": 4 * 1024 * MIB,
    "swap_bytes": 0,
    "cpu": {"model": "Some CPU @ 2.50GHz", "count": 2, "usable": 2},
    "knobs": {"governor": None, "SMT": "off", "transparent huge pages": "madvise"},
    "mitigations": {"spectre_v2": "Mitigation: Retpolines", "meltdown": "Not affected"},
}

TOOLS = {
    "runc": ToolRecord("/usr/sbin/runc", "runc version 1.1.5", "ab" * 32),
    "lxc-start": ToolRecord("/usr/bin/lxc-start", "5.0.2", "cd" * 32),
    "crun": ToolRecord(),
}


@dataclass(frozen=True)
class SyntheticRun:
    """What a synthetic run is made of; every field can be replaced before it is written."""

    record: RunRecord
    samples: tuple[Sample, ...]

    def write(self, folder: Path) -> Path:
        """The result folder."""
        with Journal.create(folder, self.record) as journal:
            for sample in self.samples:
                journal.append(sample)
        return folder

    def only(self, keep: Callable[[Sample], bool]) -> "SyntheticRun":
        return replace(self, samples=tuple(filter(keep, self.samples)))


def synthetic_run(seed: int = 1) -> SyntheticRun:
    """Seven isolators that work, one that is not there, cells that time out or cannot be."""
    random = Random(seed)  # noqa: S311 - made-up figures
    samples = [sample for kind in KINDS for sample in _samples(kind, random)]
    samples += [
        _lack("crun", benchmark, workload)
        for benchmark, workload in (("startup", "ready"), ("memory", "hold"), ("throttling", "spin"))
    ]
    return SyntheticRun(_record(), tuple(replace(line, order=n) for n, line in enumerate(samples)))


def _record() -> RunRecord:
    missing = ("crun is not installed", "apt-get install crun")
    return RunRecord(
        run_id="20260301T101500Z-abc123",
        started="2026-03-01T10:15:00Z",
        finished="2026-03-01T10:17:12Z",
        status="finished",
        seed=7,
        matrix={"run": {"blocks": 2, "timeout_s": 60.0}, "startup": {"starts": 20}},
        host=HOST,
        tools=TOOLS,
        isolators=(
            *(
                IsolatorRecord(
                    name=kind.kind or kind.name,
                    kind=kind.kind or kind.name,
                    shown_as=kind.name,
                    options=kind.options,
                    t0=kind.t0,
                    covers=kind.covers,
                    shares_kernel=not kind.own_kernel,
                    status=Status.OK,
                    reason=kind.reason,
                )
                for kind in KINDS
            ),
            IsolatorRecord("crun", "crun", "crun", {}, "", "", True, Status.UNAVAILABLE, *missing),
        ),
        benchmarks=("startup", "memory", "throttling"),
        wall_s=132.4,
        timed_s=111.7,
        isobench_version="0.1.0",
    )


def _lack(isolator: str, benchmark: str, workload: str) -> Sample:
    line = _sample(isolator, benchmark, workload, "", "", None, 0)
    return replace(
        line, status=Status.UNAVAILABLE, reason="crun is not installed", remedy="apt-get install crun"
    )


def _samples(kind: Kind, random: Random) -> Iterator[Sample]:
    yield from _starts(kind, random)
    yield from _steps(kind, random)
    if kind.quota_error is None:
        line = _sample(kind.name, "throttling", "spin", "", "", None, 0)
        yield replace(line, status=Status.UNSUPPORTED, reason="it has no CPU limit of its own")
    else:
        yield from _shares(kind, kind.quota_error, random)


def _starts(kind: Kind, random: Random) -> Iterator[Sample]:
    for block in (0, 1):
        warmups = 0 if kind.own_kernel else 1
        for number in range(warmups + (kind.starts + block) // 2):
            warmup = number < warmups
            ready = kind.ready_s * (1 + random.expovariate(1 / kind.spread)) * (3 if warmup else 1)
            phases = {name: part * ready for name, part in kind.phases.items()} | {
                "invoke": 0.0,
                "ready": ready,
                "exit": ready * 1.1 + 0.00005,
            }
            line = _sample(kind.name, "startup", "ready", "ready", "second", ready, block)
            ordered = {name: phases[name] for name in PHASES if name in phases}
            yield replace(line, phases=ordered, detail={"warmup": True} if warmup else {})
    if kind.name == "qemu-tcg":
        line = _sample(kind.name, "startup", "ready", "ready", "second", None, 1)
        yield replace(line, status=Status.TIMEOUT, reason="not ready within 60 s", remedy=None)


def _steps(kind: Kind, random: Random) -> Iterator[Sample]:
    workload, helpers, rest = kind.memory
    for block in (0, 1):
        for count in (1, 2, 4) if kind.own_kernel else (1, 2, 4, 8):
            noise = random.gauss(0, 40 * KIB)
            detail: dict[str, Scalar] = {
                "instances": count,
                "workload_pss": None if workload is None else workload * count,
                "guest_ram_pss": helpers * count / 2 if kind.own_kernel else None,
                "helpers_pss": helpers * count / (2 if kind.own_kernel else 1),
                "daemons_change": 0,
                "kernel_slab": rest * count / 2,
                "kernel_page_tables": rest * count / 2,
                "kernel_vmalloc": None,
                "unattributed": noise,
                "steady": True,
            }
            total = ((workload or 0) + helpers + rest) * count + noise
            line = _sample(kind.name, "memory", "hold", "footprint", "byte", total, block)
            yield replace(line, detail=detail)
        peak = _sample(kind.name, "memory", "hold", "peak", "byte", 128.0 * KIB, block)
        charged = {"runc": 2332 * KIB, "lxc": None}.get(kind.name)
        yield replace(peak, detail={"instances": count, "charged": charged, "charged_is": "at most"})


def _shares(kind: Kind, error: float, random: Random) -> Iterator[Sample]:
    for cpus in CPUS:
        params: dict[str, Scalar] = {"cpus": cpus, "period_us": 100_000}
        for block in (0, 1):
            off = error * (1 + 0.3 / cpus) + random.gauss(0, 0.002)
            line = _sample(
                kind.name, "throttling", "spin", "cpu_share_error", "ratio", off, block, params=params
            )
            detail: dict[str, Scalar] = {
                "asked_cpus": cpus,
                "read_back_cpus": cpus,
                "achieved_host_cpus": cpus * (1 + off),
                "achieved_inside_cpus": cpus * (1 + off * 0.9),
                "longest_stall_s": max(0.0, 0.1 - cpus * 0.05),
                "window_s": 1.0,
                "applied": "after boot" if kind.own_kernel else "before start",
            }
            yield replace(line, detail=detail)


def _sample(  # noqa: PLR0917 - as the fields of a sample
    isolator: str,
    benchmark: str,
    workload: str,
    metric: str,
    unit: str,
    value: float | None,
    block: int,
    params: Mapping[str, Scalar] | None = None,
) -> Sample:
    tail = "".join(f"/{key}={value}" for key, value in sorted((params or {}).items()))
    return Sample(
        cell=f"{benchmark}/{isolator}/{workload}{tail}",
        isolator=isolator,
        benchmark=benchmark,
        workload=workload,
        metric=metric,
        unit=unit,
        value=value,
        block=block,
        order=0,
        params=params or {},
    )


@pytest.fixture
def run_folder(made_run: SyntheticRun, tmp_path: Path) -> Path:
    """The result folder of a whole synthetic run."""
    return made_run.write(tmp_path / "run")


@pytest.fixture(scope="session")
def made_run() -> SyntheticRun:
    """A synthetic run that is not written yet, to be changed by the test."""
    return synthetic_run()


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent of these very sources: the one built in place unless that is older or missing."""
    newest = max(source.stat().st_mtime for source in AGENT_DIR.glob("*.[ch]"))
    if BINARY.exists() and BINARY.stat().st_mtime > newest:
        return BINARY.resolve()
    made = tmp_path_factory.mktemp("agent") / BINARY.name
    try:
        compile_agent(made)
    except BuildError as error:
        pytest.skip(f"no agent to test: {error}")
    return made

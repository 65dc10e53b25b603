"""What a run was made on, as run.json tells it, so that figures of different making are not mixed."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isobench import __version__
from isobench.errors import UsageError
from isobench.host import comparable
from isobench.isolators.contract import Site
from isobench.isolators.rootfs import AGENT_NAME
from isobench.journal import RunRecord, ToolRecord, WorkloadRecord
from isobench.journal_writer import now_utc
from isobench.lab import Lab
from isobench.matrix import Matrix
from isobench.roster import Member
from isobench.workloads import Workload


def new_record(
    matrix: Matrix,
    members: tuple[Member, ...],
    lab: Lab,
    site: Site,
    *,
    run_id: str,
    seed: int,
    workloads: Mapping[str, Workload],
) -> RunRecord:
    """run.json as it stands when everything is probed and nothing is measured."""
    tools = dict.fromkeys(tool for member in members for tool in member.tools())
    return RunRecord(
        run_id=run_id,
        started=now_utc(),
        finished=None,
        status="running",
        seed=seed,
        matrix=matrix.to_dict(),
        host=lab.host(site),
        tools={
            # Under its bare name, not its path, which holds a hash and the state directory.
            AGENT_NAME: _tool_record(lab, str(site.agent)),
            **{tool: _tool_record(lab, tool) for tool in tools},
        },
        isolators=tuple(member.record() for member in members),
        benchmarks=tuple(benchmark.name for benchmark in matrix.benchmarks),
        wall_s=0.0,
        timed_s=0.0,
        isobench_version=__version__,
        workloads=_workload_records(workloads),
    )


def _workload_records(workloads: Mapping[str, Workload]) -> dict[str, WorkloadRecord]:
    return {name: WorkloadRecord(found.digest, found.bundle.argv) for name, found in workloads.items()}


def _tool_record(lab: Lab, tool: str) -> ToolRecord:
    return ToolRecord(**{key: None if value is None else str(value) for key, value in lab.tool(tool).items()})


def check_same(folder: Path, record: RunRecord, lab: Lab, site: Site) -> None:
    """Raises UsageError unless figures measured now belong with those of the record."""
    host = lab.host(site)
    before: dict[str, Any] = comparable(record.host)
    now: dict[str, Any] = {key: comparable(host).get(key) for key in before}
    before["isobench_version"], now["isobench_version"] = record.isobench_version, __version__
    for name, tool in record.tools.items():
        found = _tool_record(lab, str(site.agent) if name == AGENT_NAME else name)
        if name == AGENT_NAME:
            before["the agent's SHA-256"], now["the agent's SHA-256"] = tool.sha256, found.sha256
        elif tool.sha256 and found.sha256:  # one that has gone makes its isolator unavailable
            before[f"tools.{name}"], now[f"tools.{name}"] = asdict(tool), asdict(found)
    changed = [f"{key} was {before[key]} and is {now[key]}" for key in before if before[key] != now[key]]
    if changed:
        raise UsageError(
            f"{folder}: this is not what the run began on: {'; '.join(changed)}",
            remedy="figures of both would not belong together; start a new run: isobench run",
        )


def check_same_workloads(folder: Path, record: RunRecord, workloads: Mapping[str, Workload]) -> None:
    """Raises UsageError unless the user's workloads are those of the record."""
    before, now = record.workloads, _workload_records(workloads)
    changed = [name for name in before if before[name] != now.get(name)]
    if changed:
        raise UsageError(
            f"{folder}: the root file system or the command of {', '.join(changed)} is not what it was when "
            "the run began",
            remedy="put it back, or start a new run: isobench run",
        )

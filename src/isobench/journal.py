"""The result folder of a run, and how it is read.

::

    results/<run-id>/
        run.json         what was run, where, with what: one RunRecord
        samples.jsonl    one Sample a line, in the order they were taken
        pairs.jsonl      one line for each (cell, block) that was measured to its end

Reports need run.json and samples.jsonl; ``resume`` needs all three. A (cell, block) counts as done when
pairs.jsonl says so and samples.jsonl holds at least as many of its lines as were counted then, so that
neither a kill in the middle of a block nor a power cut that reorders the two files makes a half-measured
block pass for a whole one. Lines of a torn block stay: they are honest attempts, and the block is measured
again as a whole. docs/adr/0006 has the reasons.

This module reads; :mod:`isobench.journal_writer` writes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from isobench.errors import ResultsError
from isobench.journal_lines import decode, foreign, samples_of, split
from isobench.model import SCHEMA_VERSION, Cell, Sample, Side, Status

RUN_FILE = "run.json"
SAMPLES_FILE = "samples.jsonl"
PAIRS_FILE = "pairs.jsonl"

_WHICH_FOLDER = "name the folder that `isobench run` printed at its end, for example results/<run-id>"


@dataclass(frozen=True, slots=True)
class IsolatorRecord:
    """One isolator of a run: how it was configured and what came of its probe."""

    name: str
    """The name in the matrix."""
    kind: str
    shown_as: str
    """The name in the cells: ``name``, or what tells more (``qemu-tcg``)."""
    options: Mapping[str, Any]
    t0: str
    """What exactly the start of the clock is."""
    covers: str
    """Which processes a CPU limit covers."""
    shares_kernel: bool
    status: Status
    reason: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class ToolRecord:
    """A host program that an isolator ran, or the agent (``isoagent``), which starts every instance."""

    path: str | None = None
    version: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """A workload of the user's."""

    digest: str
    """SHA-256 of what its root file system was made from."""
    argv: tuple[str, ...]
    """What was started, whether the matrix said so or the image."""


@dataclass(frozen=True, slots=True)
class TunedSetting:
    """A setting of the host that ``--tune`` looked after, in its own words (``madvise``, ``0``)."""

    knob: str
    file: str
    before: str
    """As it was found, and is put back at the end."""
    during: str
    """As it was while the run went on; ``before`` when the host refused to change it."""
    refused: str | None = None
    """Why it could not be set."""
    end: str | None = None
    """As it was when run.json was last written, before it was put back; another value than ``during`` means
    that somebody else changed it meanwhile. None: the run has not come so far, or the setting has gone."""


@dataclass(frozen=True, slots=True)
class RestRecord:
    """What a run waited for before its turns: the kernel's clean-up after the turn before."""

    limit_s: float
    """A wait ended after so long whatever was still going on."""
    waits: int = 0
    seconds: float = 0.0
    """Of all waits together."""
    longest_s: float = 0.0
    unfinished: int = 0
    """Waits that came to the limit: the turn after each may have paid for what went on."""
    left: tuple[str, ...] = ()
    """What went on then, the first few kinds of it."""
    lingering: int = 0
    """Removed cgroups that stayed all the same, held by what they are charged with."""


@dataclass(frozen=True, slots=True)
class DisturbanceRecord:
    """What the kernel counted while a run was measured; None: this host does not tell."""

    seconds: float
    """For how long, without the pauses before a resume."""
    cpus: int
    others_cpu_s: float | None = None
    """CPU time of all that was not this run's own; of interrupts too."""
    steal_s: float | None = None
    """CPU time that the hypervisor gave to others while this host had work."""
    waited_cpu_s: float | None = None
    """Seconds in which at least one task waited for a CPU, those of the run among them (PSI, some)."""
    waited_memory_s: float | None = None
    waited_io_s: float | None = None
    thermal_throttles: float | None = None
    """How often a core was slowed down for its heat."""


CONTROL, AGAIN = ".control", ".again"
"""What is put behind a name for the control, and for B where it is A itself."""


@dataclass(frozen=True, slots=True)
class ABRecord:
    """A run that compares two sides: each block holds A, B and the control of every comparison.

    A comparison is named as its cells are, without the part the sides differ in: ``startup/ready`` where they
    are isolators, ``startup/runc`` where they are workloads.
    """

    by: Literal["isolator", "workload"]
    """What the sides are, and the names below."""
    a: str
    b: str
    control: str
    """A once more, under a name of its own."""
    blocks: int
    """Of the first stage, fixed before the run: 0 … blocks-1. A second one measures as many anew."""
    detect: float | None = None
    """The change as a ratio that the user asked to see; the plan was made for it."""
    starts: int | None = None
    """So many starts make the value of one side in one block, where starts are measured; None: as the matrix
    has it."""
    noise: Mapping[str, float] = field(default_factory=dict)
    """How far A/A comparisons of earlier runs on this host lay apart, as a ratio, by comparison."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """The thresholds in the shape of gate.toml, as the run began; empty: the defaults."""
    confirm: tuple[str, ...] | None = None
    """The comparisons that the second stage measures on fresh blocks; None: the first was not judged yet."""
    in_turns: tuple[str, ...] = ()
    """The benchmarks whose sides take turns attempt by attempt within a block; of the others, and of runs of
    an older isobench, one side is measured after the other."""
    pilot: bool = False
    """A compared with itself to plan a comparison by: there is nothing to judge."""
    planned: Mapping[str, tuple[Side, ...]] | None = None
    """The sides each comparison was to have, by its name; None: an older isobench did not say."""

    @property
    def itself(self) -> bool:
        """A is compared with itself: B is A under another name, as the control is."""
        return self.b == f"{self.a}{AGAIN}"

    def side(self, isolator: str, workload: str) -> Side | None:
        """Which side a cell is on; None: on none, it is measured beside them (the audit)."""
        own = isolator if self.by == "isolator" else workload
        return {self.a: Side.A, self.b: Side.B, self.control: Side.CONTROL}.get(own)

    def comparison(self, sample: Sample | Cell) -> str:
        """The name of the comparison a cell or a sample of it belongs to."""
        kept = sample.workload if self.by == "isolator" else sample.isolator
        return "/".join((sample.benchmark, kept, *(f"{k}={v}" for k, v in sorted(sample.params.items()))))


@dataclass(frozen=True, slots=True)
class RunRecord:
    """run.json: everything about a run that is not a sample. Times are UTC, ISO 8601."""

    run_id: str
    started: str
    finished: str | None
    status: Literal["running", "interrupted", "finished"]
    """``running`` in a run that is over means that it was killed."""
    seed: int
    matrix: Mapping[str, Any]
    """The whole matrix in the shape of matrix.toml, defaults filled in."""
    host: Mapping[str, Any]
    tools: Mapping[str, ToolRecord]
    isolators: tuple[IsolatorRecord, ...]
    benchmarks: tuple[str, ...]
    wall_s: float
    """Seconds from the start of the run to this record, without the pauses before a resume."""
    timed_s: float
    """Seconds of ``wall_s`` inside timed sections."""
    isobench_version: str
    workloads: Mapping[str, WorkloadRecord] = field(default_factory=dict)
    """The user's own, by name; those that a cell is about."""
    tuned: tuple[TunedSetting, ...] | None = None
    """What ``--tune`` set for the run, without what was as wanted already; None: it was not asked to."""
    rests: RestRecord | None = None
    """The waits before its turns; None: of an isobench that did not wait."""
    disturbance: DisturbanceRecord | None = None
    """What else went on; None: of an isobench that did not look."""
    ab: ABRecord | None = None
    """Of a run that compares two sides (``isobench ab``)."""
    v: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A whole result folder as it was read."""

    record: RunRecord
    samples: tuple[Sample, ...]
    done: frozenset[tuple[str, int]] = frozenset()
    """The (cell id, block) that were measured to their end."""
    warnings: tuple[str, ...] = ()
    """What was odd but bearable, a sentence each: a torn last line."""
    torn: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Of the (cell id, block) that were broken off and measured again: how many of their lines, the first
    ones, are of what was broken off."""
    miscounted: tuple[str, ...] = ()
    """A sentence for each (cell, block) that has not the lines that were counted as it was done: some were
    lost, or are of elsewhere. Of a folder without pairs.jsonl this cannot be told."""


@dataclass(frozen=True, slots=True)
class CellState:
    """How a cell ended, over all its attempts."""

    status: Status
    ok: int
    """Attempts that gave a value."""
    not_ok: int
    reason: str | None = None
    remedy: str | None = None


def read_run(folder: Path) -> tuple[RunRecord, tuple[Sample, ...]]:
    """The record and the samples of a result folder; as :func:`load`, without what only resume needs."""
    stored = load(folder)
    return stored.record, stored.samples


def load(folder: Path) -> StoredRun:
    """Read a whole result folder.

    Raises :class:`isobench.errors.ResultsError` for a folder that is missing or foreign, a file of a newer
    isobench, and a line that is no sample (with its number). Only a torn last line is borne with.
    """
    record = read_record(folder)
    samples, torn = read_samples(folder / SAMPLES_FILE)
    counted = Counter((sample.cell, sample.block) for sample in samples)
    pairs = folder / PAIRS_FILE
    done = _read_pairs(pairs) if pairs.exists() else {}
    return StoredRun(
        record=record,
        samples=samples,
        done=frozenset(pair for pair, (lines, _) in done.items() if counted[pair] >= lines),
        warnings=() if torn is None else (torn,),
        torn={pair: first for pair, (lines, first) in done.items() if first and counted[pair] >= lines},
        miscounted=tuple(
            f"{cell} in block {block} has {counted[cell, block]} lines, and {lines} were counted"
            for (cell, block), (lines, _) in done.items()
            if counted[cell, block] != lines
        ),
    )


def read_record(folder: Path) -> RunRecord:
    """Read run.json of a result folder."""
    path = folder / RUN_FILE
    try:
        is_folder, has_record = folder.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be searched
        raise ResultsError(f"{folder}: cannot be read: {error.strerror}", remedy=_WHICH_FOLDER) from error
    if not is_folder:
        raise ResultsError(f"{folder}: there is no such folder", remedy=_WHICH_FOLDER)
    if not has_record:
        raise ResultsError(
            f"{folder}: not a result folder of isobench, it has no {RUN_FILE}", remedy=_WHICH_FOLDER
        )
    data = decode(_read_bytes(path), str(path))
    try:
        return _record_type().validate_python(data)
    except ValidationError as error:
        foreign(str(path), "the record of a run", error)


def read_samples(path: Path) -> tuple[tuple[Sample, ...], str | None]:
    """The samples of one samples.jsonl and, when its last line is torn, a sentence that says so."""
    data = _read_bytes(path)
    lines, torn = split(data)
    samples = tuple(samples_of(path, data, lines))
    if torn is None:
        return samples, None
    where = f"{path}:{len(lines) + 1}"
    return samples, f"{where}: the last line is torn ({len(torn)} bytes); the run was killed while it wrote"


def cell_states(samples: Iterable[Sample]) -> dict[str, CellState]:
    """How each cell ended, by its id, in the order of first appearance.

    One failed attempt makes the cell failed, one timeout makes it a timeout: an attempt that did not
    come off is a finding, however many others did. Else the last line decides.
    """
    by_cell: dict[str, list[Sample]] = {}
    for sample in samples:
        by_cell.setdefault(sample.cell, []).append(sample)
    return {cell: _state(lines) for cell, lines in by_cell.items()}


def _state(lines: list[Sample]) -> CellState:
    decisive = lines[-1]
    for status in (Status.TIMEOUT, Status.FAILED):  # the later one wins
        decisive = next((line for line in lines if line.status is status), decisive)
    ok = sum(line.status is Status.OK for line in lines)
    return CellState(decisive.status, ok, len(lines) - ok, decisive.reason, decisive.remedy)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}", remedy=_WHICH_FOLDER) from error


def _read_pairs(path: Path) -> dict[tuple[str, int], tuple[int, int]]:
    """Of each pair how many lines it has, and how many of them were broken off."""
    lines, _ = split(_read_bytes(path))
    pairs: dict[tuple[str, int], tuple[int, int]] = {}
    for number, line in enumerate(lines, start=1):
        data = decode(line, f"{path}:{number}")
        try:
            found = int(data["samples"]), int(data.get("torn", 0))
            pairs[str(data["cell"]), int(data["block"])] = found
        except (KeyError, TypeError, ValueError) as error:
            raise ResultsError(f"{path}:{number}: not a line of isobench: {error!r}") from error
    return pairs


@cache
def _record_type() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)

"""A user's workloads: the tables ``[[workload]]`` of a matrix, and the bundles an isolator is given."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from isobench.errors import AgentMissingError, UsageError
from isobench.isolators.images import Image, import_root
from isobench.isolators.rootfs import agent_binary
from isobench.mistakes import Mistakes, show
from isobench.model import FIRST_OUTPUT, Bundle, Ready
from isobench.process import run
from isobench.starter import ENVIRONMENT

VERBS = (
    *("ready", "hold", "echo", "spin", "touch", "probe", "init"),
    *("request", "gaps", "herd", "freeze", "appetite", "watch"),
    *("start", "primitives", "timer", "plain", "pattern"),
)
"""The agent's own, whose names no workload of a user can have."""

_AGENT_TIMEOUT_S = 10.0
_MAX_LINKS = 40
"""As the kernel follows them at most (path_resolution(7))."""


def fit_for_a_path(name: str) -> str:
    """A name that can be part of the names of cells, directories and cgroups. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,47}", name):
        raise ValueError("allowed: a letter or digit, then up to 47 letters, digits and characters of ._+-")
    return name


def _no_verb(name: str) -> str:
    if name in VERBS:
        raise ValueError(f"a workload of isobench itself has that name; its own are {', '.join(VERBS)}")
    return name


def _plain_word(word: str) -> str:
    """Fit for a command line, a configuration file of LXC, and a launch."""
    if any(ord(letter) < ord(" ") for letter in word):
        raise ValueError("allowed: no newline and no other control character")
    if "{n}" in word:
        raise ValueError("{n} stands for the number of an instance in isobench itself")
    return word


def _not_empty(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        raise ValueError("allowed: the program and its arguments")
    return words


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("allowed: letters, digits and _, the first no digit")
    return name


Word = Annotated[str, AfterValidator(_plain_word)]


class _Ready(BaseModel):
    """The table ``ready``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal[True] | None = None
    line: Annotated[str, Field(min_length=1), AfterValidator(_plain_word)] | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    exit: Literal[True] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(
                "allowed: exactly one of output = true, line = 'pattern', port = number, exit = true"
            )
        return self

    def condition(self) -> Ready:
        (kind,) = self.model_fields_set
        return Ready(kind, pattern=self.line or "", port=self.port or 0)  # type: ignore[arg-type]


class _Table(BaseModel):
    """A table ``[[workload]]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(fit_for_a_path), AfterValidator(_no_verb)]
    rootfs: Annotated[str, Field(min_length=1)]
    argv: Annotated[tuple[Word, ...], AfterValidator(_not_empty)] | None = None
    env: Mapping[Annotated[str, AfterValidator(_variable)], Word] = {}
    ready: object = None
    """A table of its own, checked apart."""


@dataclass(frozen=True, slots=True)
class WorkloadEntry:
    """One ``[[workload]]`` table."""

    name: str
    rootfs: Path
    """A directory, a tar archive or an OCI image layout; absolute."""
    argv: tuple[str, ...] | None = None
    """None: as the image says."""
    env: Mapping[str, str] | None = None
    """Besides, or in place of, what the image says."""
    ready: Ready = FIRST_OUTPUT

    def to_dict(self) -> dict[str, Any]:
        """The table, from which ``read_entry`` makes the same entry again."""
        conditions = {"line": self.ready.pattern, "port": self.ready.port}
        table: dict[str, Any] = {"name": self.name, "rootfs": str(self.rootfs)}
        if self.argv is not None:
            table["argv"] = list(self.argv)
        return {
            **table,
            "env": dict(self.env or {}),
            "ready": {self.ready.kind: conditions.get(self.ready.kind, True)},
        }


@dataclass(frozen=True, slots=True)
class Workload:
    """One that is ready to be isolated."""

    bundle: Bundle
    digest: str
    """SHA-256 of what its root file system was made from."""


def read_entry(
    mistakes: Mistakes, number: int, table: Mapping[str, Any], folder: Path
) -> WorkloadEntry | None:
    """A table as an entry, its root file system looked for from ``folder``; None, and mistakes, else."""
    label = f"[[workload]] {number} ({table.get('name', '?')})"
    found = mistakes.checked(label, _Table, table)
    ready = mistakes.checked(f"{label} ready", _Ready, table.get("ready", {"output": True}))
    if ready is not None and ready.line is not None:
        _check_pattern(mistakes, label, ready.line)
    if found is None or ready is None:
        return None
    rootfs = Path(folder, found.rootfs).absolute()
    if not os.path.lexists(rootfs):
        mistakes.add(label, "rootfs", f"found {show(found.rootfs)}; there is no file or directory {rootfs}")
        return None
    return WorkloadEntry(found.name, rootfs, found.argv, dict(found.env), ready.condition())


def _check_pattern(mistakes: Mistakes, label: str, pattern: str) -> None:
    """By the agent, whose regcomp(3) it is that will have to take it."""
    try:
        agent = agent_binary()
    except AgentMissingError:
        return  # which every run says by itself
    answer = run([agent, "pattern", pattern], timeout_s=_AGENT_TIMEOUT_S, check=False)
    if answer.exit_code != 0:
        why = answer.stderr.strip().rpartition(": ")[2]
        mistakes.add(label, "ready.line", f"found {show(pattern)}; not an extended regular expression: {why}")


def make_ready(entries: Iterable[WorkloadEntry], cache: Path) -> dict[str, Workload]:
    """Import the root file systems, unless they are in the cache, and make bundles, by name.

    Raises :class:`isobench.errors.ImageError` for a root file system that cannot be used, UsageError for a
    workload without a command or whose program is not in it.
    """
    return {entry.name: _workload(entry, import_root(entry.rootfs, cache)) for entry in entries}


def _workload(entry: WorkloadEntry, image: Image) -> Workload:
    argv = entry.argv or image.defaults.argv
    if not argv:
        raise UsageError(
            f"[[workload]] {entry.name}: {entry.rootfs} does not say what to start",
            remedy=f"give it in the table of {entry.name}: argv = ['/path/to/program']",
        )
    env = {**dict(variable.split("=", 1) for variable in image.defaults.env), **(entry.env or {})}
    path = env.get("PATH", ENVIRONMENT["PATH"])
    program = argv[0] if argv[0].startswith("/") else _program(image.root, argv[0], path)
    if program is None:
        raise UsageError(
            f"[[workload]] {entry.name}: there is no program {argv[0]} in {entry.rootfs} (PATH {path})",
            remedy=f"give its path inside in the table of {entry.name}: argv = ['/path/to/program']",
        )
    _check_words(entry, (*argv, *env, *env.values()))
    bundle = Bundle(
        argv=(program, *argv[1:]),
        root=image.root,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        ready=entry.ready,
        own=True,
    )
    return Workload(bundle, image.digest)


def _check_words(entry: WorkloadEntry, words: Iterable[str]) -> None:
    """Those of an image are not from the matrix, and a newline would be another setting of LXC's."""
    for word in words:
        try:
            _plain_word(word)
        except ValueError as error:
            raise UsageError(
                f"[[workload]] {entry.name}: {entry.rootfs} says {show(word)} for argv or env; {error}",
                remedy=f"give argv and env in the table of {entry.name}",
            ) from None


def _program(root: Path, name: str, path: str) -> str | None:
    """Where a program is found on a PATH inside a root file system: isolators take full paths only."""
    for directory in path.split(":"):
        if directory.startswith("/") and os.access(_inside(root, f"{directory}/{name}"), os.X_OK):
            return f"{directory}/{name}"
    return None


def _inside(root: Path, path: str) -> Path:
    """The file of the host that a path inside means, links followed as if ``root`` were the root."""
    waiting, at, links = path.split("/")[::-1], root, 0
    while waiting:
        step = waiting.pop()
        if step == "..":
            at = at.parent if at != root else root
        elif step not in {"", "."}:
            at /= step
        if at.is_symlink() and links < _MAX_LINKS:
            links += 1
            target = os.readlink(at)  # noqa: PTH115 - as it stands
            waiting += target.split("/")[::-1]
            at = root if target.startswith("/") else at.parent
    return at

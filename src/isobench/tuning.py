"""``isobench run --tune``: the safe knobs set for one run, and put back as they were found, whatever happens.

What was found is on disk before the first change is made, in a file that whoever runs next finds, and that
only root can write, for what it says is written to the kernel. A run that is killed leaves the file; the next
``run``, ``resume`` or ``clean`` puts the settings back and says so. All of this happens under the lock of the
host, so a file that is there belongs to a run that is over.

A setting that somebody else has changed meanwhile is theirs, and is left as it is. Settings end with the boot
of a host: a file of an earlier boot is about nothing any more. docs/adr/0010 has the reasons.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from isobench.errors import HostUnfitError
from isobench.host import boot_hash
from isobench.journal import TunedSetting
from isobench.journal_writer import now_utc, write_whole
from isobench.knobs import SAFE, chosen
from isobench.procfs import read_optional

HOST = Path("/")

STATE = Path("run/isobench-tuning.json")
"""Below the root of the host. Gone after a boot where /run is a tmpfs, as the settings themselves are."""

_LOG = logging.getLogger(__name__)

End: TypeAlias = Literal["to put back", "as it was", "changed since", "gone"]


@dataclass(frozen=True, slots=True)
class Change:
    """One file that a run has set, or was about to."""

    knob: str
    file: str
    """As it is called on the host: ``/sys/kernel/rcu_expedited``."""
    before: str
    """What is to be written to have it as it was."""
    during: str
    """What the run has set it to."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A change of a run that is over, and what there is to be done about it."""

    change: Change
    end: End
    found: str | None
    """What it says now; None: it is not there any more."""
    error: str | None = None
    """Why it could not be put back."""

    def __str__(self) -> str:
        change = self.change
        match self.end:
            case "to put back":
                why = "" if self.error is None else f": {self.error}"
                return f"{change.knob}: {change.file} from {change.during} to {shown(change.before)}{why}"
            case "changed since":
                return (
                    f"{change.knob}: {change.file} is left at {self.found}: a run set it from "
                    f"{shown(change.before)} to {change.during}, and somebody else has changed it since"
                )
            case "gone":
                return f"{change.knob}: {change.file} is not there any more"
            case _:
                return f"{change.knob}: {change.file} is {shown(change.before)}, as it was"


@dataclass(frozen=True, slots=True)
class Tuned:
    """The settings of a run while it goes on."""

    root: Path
    settings: tuple[TunedSetting, ...]

    def now(self) -> tuple[TunedSetting, ...]:
        """The settings, each with what it says at this moment."""
        return tuple(replace(one, end=_current(_below(self.root, one.file))) for one in self.settings)


@contextmanager
def settings(root: Path, *, tune: bool, before: tuple[TunedSetting, ...] = ()) -> Iterator[Tuned | None]:
    """Put back what a killed run has left; then, if asked to, set the safe knobs while the body runs.

    ``before`` is what an earlier part of the same run has set: what it found is what is told.

    Raises :class:`isobench.errors.HostUnfitError` when something of a killed run cannot be put back, and when
    there is something to set and none of it can be.
    """
    recover(root)
    if not tune:
        yield None
        return
    changes = _due(root)
    if not changes:
        _LOG.info("tune: every setting that --tune looks after is as wanted already")
        yield Tuned(root, before)
        return
    _demand_writable(root, changes)
    _remember(root, changes)
    try:
        done = tuple(_set(root, change) for change in changes)
        _tell(done)
        known = {one.file for one in before}
        yield Tuned(root, (*before, *(one for one in done if one.file not in known)))
    finally:
        _end(root, changes)


def recover(root: Path) -> tuple[Leftover, ...]:
    """Put back what a run that was killed has set, and say so.

    Raises :class:`isobench.errors.HostUnfitError` when something cannot be put back; it stays remembered.
    """
    done = put_back(root)
    for one in done:
        if one.end == "to put back" and one.error is None:
            _LOG.warning("a run that was killed had tuned this host; put back: %s", one)
        elif one.end in {"changed since", "gone"}:
            _LOG.warning("a run that was killed had tuned this host; %s", one)
    if stuck := [one for one in done if one.error is not None]:
        raise HostUnfitError(
            "a run that was killed had tuned this host, and not all can be put back: "
            + "; ".join(map(str, stuck)),
            remedy="sudo isobench clean" if os.geteuid() else _by_hand(stuck),
        )
    return done


def leftovers(root: Path) -> tuple[Leftover, ...]:
    """What runs that are over have left set on the host below ``root``; only to be asked under its lock.

    Raises :class:`isobench.errors.HostUnfitError` when the file that tells cannot be understood.
    """
    return tuple(_leftover(root, change) for change in reversed(_remembered(root)))


def put_back(root: Path) -> tuple[Leftover, ...]:
    """Put back what runs that are over have left set; what resists has its error and stays remembered."""
    return _put_back(root, _remembered(root))


def _put_back(root: Path, changes: tuple[Change, ...]) -> tuple[Leftover, ...]:
    # The last one first: a setting that drags another along is put back before it.
    done = tuple(_restored(root, _leftover(root, change)) for change in reversed(changes))
    if stuck := tuple(one.change for one in reversed(done) if one.error is not None):
        with suppress(HostUnfitError):  # then the whole of it stays remembered, which is as good
            _remember(root, stuck)
    else:
        with suppress(OSError):  # read-only, or not ours: nothing in it is to be put back any more
            (root / STATE).unlink(missing_ok=True)
    return done


def _remembered(root: Path) -> tuple[Change, ...]:
    text = read_optional(root / STATE)
    if text is None:
        return ()
    # What it says is written to the kernel: nobody may have it done by root who is not root himself.
    if (root / STATE).lstat().st_uid not in {0, os.geteuid()}:
        raise HostUnfitError(
            f"{root / STATE}: tells which settings a run changed, and belongs to a user who can change none",
            remedy=f"rm {root / STATE}",
        )
    try:
        state: dict[str, Any] = json.loads(text)
        boot = state["boot"]
        changes = tuple(Change(**entry) for entry in state["changes"])
    except (ValueError, TypeError, KeyError) as error:
        raise HostUnfitError(
            f"{root / STATE}: should tell which settings a run changed, and cannot be understood: {error!r}",
            remedy=f"look what it says, set those back by hand, then: rm {root / STATE}",
        ) from error
    return changes if boot == _boot(root) else ()


def _due(root: Path) -> tuple[Change, ...]:
    """What there is to set. ``before`` is the whole file, or the choice in one that lists all choices."""
    return tuple(
        Change(setting.name, f"/{path.relative_to(root)}", _writable_text(path), wanted)
        for setting in SAFE
        if (wanted := setting.sets) is not None
        for path, _ in setting.unfit(root)
    )


def _writable_text(path: Path) -> str:
    text = path.read_bytes().decode("latin-1")
    return chosen(text) if "[" in text else text


def _current(path: Path) -> str | None:
    text = read_optional(path)
    return chosen(text) if text is not None and "[" in text else text


def shown(text: str) -> str:
    """The text of a setting without its newline."""
    return text.strip()


def _below(root: Path, file: str) -> Path:
    return root / file.lstrip("/")


def _boot(root: Path) -> str | None:
    return boot_hash(read_optional(root / "proc/sys/kernel/random/boot_id") or "")


def _demand_writable(root: Path, changes: tuple[Change, ...]) -> None:
    if any(os.access(_below(root, change.file), os.W_OK) for change in changes):
        return
    files = ", ".join(change.file for change in changes)
    why = "it takes root" if os.geteuid() else "they are read-only here, as in a container"
    raise HostUnfitError(
        f"--tune: none of the settings can be changed ({files}): {why}",
        remedy="sudo isobench run --tune"
        if os.geteuid()
        else "run it on the host itself, or leave out --tune",
    )


def _remember(root: Path, changes: tuple[Change, ...]) -> None:
    """Have the disk confirm what is to be put back."""
    path = root / STATE
    state = {
        "v": 1,
        "boot": _boot(root),
        "pid": os.getpid(),
        "since": now_utc(),
        "changes": [asdict(change) for change in changes],
    }
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, json.dumps(state, indent=2).encode() + b"\n")
    except OSError as error:
        raise HostUnfitError(
            f"{path}: what --tune has to put back cannot be written there: {error.strerror}",
            remedy=f"make room or make it writable: df {path.parent}; or leave out --tune",
        ) from error


def _set(root: Path, change: Change) -> TunedSetting:
    path = _below(root, change.file)
    refused = _write(path, change.during)
    return TunedSetting(
        knob=change.knob,
        file=change.file,
        before=shown(change.before),
        during=_current(path) or shown(change.before),
        refused=refused,
    )


def _write(path: Path, text: str) -> str | None:
    """Write one setting; returns why it has not taken effect, if it has not."""
    try:
        # Neither created nor followed by anything: these are files of the kernel.
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("latin-1"))
        finally:
            os.close(fd)
    except OSError as error:
        return error.strerror or type(error).__name__
    found = _current(path)
    return None if found == shown(text) else f"it says {found} after {shown(text)} was written"


def _tell(done: tuple[TunedSetting, ...]) -> None:
    for one in done:
        if one.refused is not None:
            _LOG.warning("tune: %s stays %s: %s: %s", one.knob, one.before, one.file, one.refused)
    taken = dict.fromkeys(f"{one.knob} {one.before} to {one.during}" for one in done if one.refused is None)
    if not taken:
        raise HostUnfitError(
            "--tune: none of the settings could be changed: "
            + "; ".join(f"{one.file}: {one.refused}" for one in done),
            remedy="run it on the host itself, or leave out --tune",
        )
    _LOG.info("tuned for this run, put back at its end: %s", ", ".join(taken))


def _leftover(root: Path, change: Change) -> Leftover:
    found = _current(_below(root, change.file))
    ends: dict[str | None, End] = {
        None: "gone",
        change.during: "to put back",
        shown(change.before): "as it was",
    }
    return Leftover(change, ends.get(found, "changed since"), found)


def _restored(root: Path, one: Leftover) -> Leftover:
    if one.end != "to put back":
        return one
    return replace(one, error=_write(_below(root, one.change.file), one.change.before))


def _end(root: Path, changes: tuple[Change, ...]) -> None:
    """The end of a run: silent where all is well. Raises nothing: the run has its own end to tell of."""
    for one in _put_back(root, changes):
        if one.error is not None:
            _LOG.warning("tune: not put back: %s; by hand: %s", one, _by_hand([one]))
        elif one.end in {"changed since", "gone"}:
            _LOG.warning("tune: %s", one)


def _by_hand(stuck: list[Leftover]) -> str:
    return "; ".join(f"echo {shown(one.change.before)} > {one.change.file}" for one in stuck)

"""``isobench clean``: undo what interrupted or killed runs have left on this host, and nothing else."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from isobench.cli import output
from isobench.errors import HostUnfitError

if TYPE_CHECKING:
    from isobench.isolators.removal import Removal
    from isobench.isolators.residue import Residue
    from isobench.tuning import Leftover

NOTHING = "nothing is left of any run"


def clean(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")] = False,
) -> None:
    """Remove what ended runs left behind: processes, mounts, cgroups, links, loop devices, files.

    Settings of the host that a killed `run --tune` has left are put back as they were. Only what carries the
    name of a run of isobench is touched. Results, reports and the cache are kept.
    Refuses while a run is going on on this host, whoever's it is.
    """
    from isobench import tuning
    from isobench.isolators import removal, residue
    from isobench.lock import host_lock
    from isobench.state import lock_path

    # Held to the end: a run that began meanwhile would lose what it has just made.
    with host_lock(lock_path()):
        if dry_run:
            _show_found(residue.find(), tuning.leftovers(tuning.HOST), json)
        else:
            _show_removed(removal.clear(residue.find), tuning.put_back(tuning.HOST), json)


def _show_found(found: tuple[Residue, ...], settings: tuple[Leftover, ...], json: bool) -> None:
    if json:
        entries = [_fields(residue) for residue in found]
        output.print_json(
            {"dry_run": True, "found": entries, "settings": [_setting(one) for one in settings]}
        )
        return
    for one in settings:
        print(output.printable(f"would put back {one}" if one.end == "to put back" else str(one)))
    for residue in found:
        print(output.printable(f"would remove {residue}"))
    plans = [f"{_things(len(found))} would be removed"] if found else []
    if back := sum(one.end == "to put back" for one in settings):
        plans.append(f"{_count(back, 'setting')} would be put back")
    print(f"{', '.join(plans)}; to do it: isobench clean" if plans else NOTHING)


def _show_removed(done: tuple[Removal, ...], settings: tuple[Leftover, ...], json: bool) -> None:
    if json:
        entries = [{**_fields(one.residue), "error": one.error} for one in done]
        output.print_json(
            {"dry_run": False, "found": entries, "settings": [_setting(one) for one in settings]}
        )
    else:
        _list_removed(done, settings)
    kept = sum(one.error is not None for one in done)
    stuck = sum(one.error is not None for one in settings)
    lacks = [f"{_things(kept)} of {len(done)} could not be removed"] if kept else []
    if stuck:
        lacks.append(f"{_count(stuck, 'setting')} of {len(settings)} could not be put back")
    if lacks:
        raise HostUnfitError(
            "; ".join(lacks),
            remedy="sudo isobench clean" if os.geteuid() else "mend what is said above, then: isobench clean",
        )


def _list_removed(done: tuple[Removal, ...], settings: tuple[Leftover, ...]) -> None:
    for setting in settings:
        before = {True: "not put back ", False: "put back "}[setting.error is not None]
        print(output.printable(f"{before if setting.end == 'to put back' else ''}{setting}"))
    for one in done:
        said = f"not removed {one.residue}: {one.error}" if one.error else f"removed {one.residue}"
        print(output.printable(said))
    if not done and not settings:
        print(NOTHING)


def _things(count: int) -> str:
    return _count(count, "thing")


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _setting(one: Leftover) -> dict[str, str | None]:
    return {**asdict(one.change), "end": one.end, "found": one.found, "error": one.error}


def _fields(residue: Residue) -> dict[str, str | int | None]:
    return {
        "kind": residue.kind,
        "what": residue.what,
        "run": residue.token,
        "pid": residue.pid or None,
    }

"""``isobench clean``: remove what interrupted or killed runs have left on this host, and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from isobench.cli import output
from isobench.errors import HostUnfitError

if TYPE_CHECKING:
    from isobench.isolators.removal import Removal
    from isobench.isolators.residue import Residue

NOTHING = "nothing is left of any run"


def clean(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs to read.")] = False,
) -> None:
    """Remove what ended runs left behind: processes, mounts, cgroups, links, loop devices, files.

    Only what carries the name of a run of isobench is touched. Results, reports and the cache are kept.
    Refuses while a run is going on on this host, whoever's it is.
    """
    from isobench.isolators import residue
    from isobench.lock import host_lock
    from isobench.state import lock_path

    # Held to the end: a run that began meanwhile would lose what it has just made.
    with host_lock(lock_path()):
        found = residue.find()
        if dry_run:
            _show_found(found, json)
        else:
            _remove(found, json)


def _show_found(found: tuple[Residue, ...], json: bool) -> None:
    if json:
        output.print_json({"dry_run": True, "found": [_fields(residue) for residue in found]})
        return
    for residue in found:
        print(output.printable(f"would remove {residue}"))
    print(f"{_things(len(found))} would be removed; to do it: isobench clean" if found else NOTHING)


def _remove(found: tuple[Residue, ...], json: bool) -> None:
    from isobench.isolators import removal

    done = removal.remove(found)
    if json:
        entries = [{**_fields(one.residue), "error": one.error} for one in done]
        output.print_json({"dry_run": False, "found": entries})
    else:
        _show_removed(done)
    kept = sum(one.error is not None for one in done)
    if kept:
        raise HostUnfitError(
            f"{_things(kept)} of {len(done)} could not be removed",
            remedy="sudo isobench clean" if os.geteuid() else "mend what is said above, then: isobench clean",
        )


def _show_removed(done: tuple[Removal, ...]) -> None:
    for one in done:
        said = f"not removed {one.residue}: {one.error}" if one.error else f"removed {one.residue}"
        print(output.printable(said))
    if not done:
        print(NOTHING)


def _things(count: int) -> str:
    return "1 thing" if count == 1 else f"{count} things"


def _fields(residue: Residue) -> dict[str, str | int | None]:
    return {
        "kind": residue.kind,
        "what": residue.what,
        "run": residue.token,
        "pid": residue.pid or None,
    }

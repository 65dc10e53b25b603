"""``isobench gate``: the verdict on a run of two sides, from its result files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from isobench.cli import baseline as stored
from isobench.cli import names, verdicts
from isobench.errors import ResultsError, UsageError


def gate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The folder of a run by `isobench ab`.",
            autocompletion=names.result_folders,
            show_default=False,
        ),
    ] = None,
    *,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test", help="Instead: see on this host that a known delay is found, and no other one."
        ),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="Instead: hold the baseline side, or all of any run, against a stored one; it only warns.",
            autocompletion=names.baselines,
        ),
    ] = None,
    store: stored.Store = stored.DEFAULT_STORE,
    policy: verdicts.PolicyFile = None,
    strict: verdicts.Strict = False,
    allow_missing: verdicts.AllowMissing = False,
    markdown: verdicts.Markdown = None,
    junit: verdicts.JUnit = None,
    github: verdicts.GitHub = False,
    json: verdicts.Json = False,
) -> None:
    """Judge a run that `isobench ab` has measured, again or on another host; needs no root and no isolator.

    Exits with 1 for a regression, 3 for a host that was too restless (with --strict: for anything that could
    not be shown), 4 when something is missing.
    """
    of_verdicts = {
        "--strict": strict,
        "--allow-missing": allow_missing,
        "--markdown": markdown is not None,
        "--junit": junit is not None,
        "--github": github,
    }
    of_baselines = {"--baseline": baseline is not None, "--store": store != stored.DEFAULT_STORE}
    if self_test:
        from isobench.cli import selftest

        if folder is not None:
            raise UsageError(f"--self-test measures by itself and cannot go with {folder}")
        _refuse("--self-test", {**of_verdicts, **of_baselines, "--policy": policy is not None})
        selftest.check(json=json)
        return
    if folder is None:
        raise UsageError(
            "the folder of a run is missing", remedy="isobench gate DIR, or isobench gate --self-test"
        )
    if baseline is None and of_baselines["--store"]:
        raise UsageError(
            f"--store {store} is of no use here: no baseline is asked for", remedy="--baseline NAME"
        )
    from isobench.journal import load
    from isobench.reports.gate import judge

    verdicts.check_places(markdown=markdown, junit=junit, github=github, json=json)
    run = load(folder)
    source = str(policy or folder / "run.json")
    asked = verdicts.policy(policy, strict=strict, allow_missing=allow_missing, recorded=run.record.ab)
    if baseline is not None:
        _refuse("--baseline", of_verdicts)
        stored.hold(run, baseline, store, asked, source, json=json)
        return
    if run.record.ab is not None and run.record.ab.pilot:
        raise ResultsError(
            f"{folder} was measured to plan a comparison by: it has {run.record.ab.a} alone",
            remedy="name the folder of the comparison, or measure it: isobench ab",
        )
    judged = verdicts.Judged(folder, judge(run, asked, source))
    verdicts.tell(judged, markdown=markdown, junit=junit, github=github, json=json)


def _refuse(task: str, options: Mapping[str, bool]) -> None:
    """Raise UsageError for options that were given and would do nothing."""
    if given := [name for name, there in options.items() if there]:
        named = ", ".join(given)
        raise UsageError(f"{task} gives no verdict and cannot go with {named}", remedy=f"leave out {named}")

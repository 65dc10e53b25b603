"""Set up whatever targets of make need and this host lacks: ``bootstrap.py [TARGET...]``; says first what.

Runs on the system's Python with nothing but the standard library. Each step knows whether it is needed,
so that with nothing missing it is all over in a fraction of a second. What cannot be done is left out,
with the reason and the command that mends it; only without a virtual environment does the set-up fail.
"""

import sys
from collections.abc import Sequence

from steps import Step, StepError
from steps_host import Agent, GuestKernel, HostPackages, TargetPackages
from steps_python import Dependencies, Package, Venv, VenvPackage


def steps_for(targets: Sequence[str]) -> tuple[Step, ...]:
    """All steps, in their order, for these targets of make."""
    return (
        VenvPackage(),
        Venv(),
        Dependencies(),
        Package(),
        HostPackages(),
        TargetPackages(targets),
        GuestKernel(),
        Agent(),
    )


def set_up(steps: Sequence[Step]) -> int:
    """Announce and do what is needed; 1 when a vital step failed, else 0, whatever was left out."""
    planned: list[tuple[Step, str]] = []
    left_out: list[StepError] = []
    try:
        for step in steps:
            _plan(step, planned, left_out)
        if planned:
            print(
                "isobench set-up will", *(f"  - {sentence}" for _, sentence in planned), sep="\n", flush=True
            )
        for step, _ in planned:
            _do(step, left_out)
    except StepError as error:
        print(f"set-up: {error}\n  mend it with: {error.remedy}", file=sys.stderr)
        return 1
    for lack in left_out:
        print(f"left out: {lack}\n  mend it with: {lack.remedy}")
    return 0


def _plan(step: Step, planned: list[tuple[Step, str]], left_out: list[StepError]) -> None:
    try:
        sentence = step.plan()
    except StepError as error:
        if step.vital:
            raise
        left_out.append(error)
        return
    if sentence is not None:
        planned.append((step, sentence))


def _do(step: Step, left_out: list[StepError]) -> None:
    try:
        step.do()
    except StepError as error:
        if step.vital:
            raise
        left_out.append(error)


if __name__ == "__main__":
    sys.exit(set_up(steps_for(sys.argv[1:])))

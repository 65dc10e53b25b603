"""What the harness costs, side by side in one run: ``make perf`` (root; never part of the tests).

Each pair is measured in alternating rounds, so that drift of the host hits both sides alike; printed is
the ratio of the medians, with an interval from a bootstrap over the rounds. The reference is always
something that shares no code with isobench: a plain C loop, or another tool timed by its own clock.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.perf.gaps import gap_table
from tests.perf.ledger import ledger_table
from tests.perf.stamps import agreement

from isobench.isolators.bare import Bare
from isobench.isolators.contract import AGENT_INSIDE, Isolator, Options, Site, agent_bundle
from isobench.isolators.namespaces import Namespaces, NamespacesOptions
from isobench.isolators.readiness import check
from isobench.isolators.registry import REGISTRY
from isobench.isolators.runc import Runc, RuncOptions
from isobench.isolators.site import open_site
from isobench.model import Bundle, Launch, Status
from isobench.starter import PAUSE_MS, batch

Measure = Callable[[int], list[float]]
"""Seconds of each of n starts."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of ours against a reference; ``aim`` is the ratio we want to stay under, if there is one."""

    ours: str
    reference: str
    measure_ours: Measure
    measure_reference: Measure
    starts: int
    aim: float | None = None


def plain_loop(program: Path, *arguments: str) -> Measure:
    """Starts of the plain C loop: from its own clock reading to the first byte."""

    def measure(count: int) -> list[float]:
        mode, *rest = arguments
        done = subprocess.run([program, mode, str(count), *rest], check=True, capture_output=True, text=True)
        return [int(line) / 1e9 for line in done.stdout.split()]

    return measure


def ours(site: Site, launch: Launch, phase: str = "ready") -> Measure:
    """Starts through the agent, up to ``phase``."""

    def measure(count: int) -> list[float]:
        events = list(batch(site.agent, launch, count, timeout_s=60))
        bad = [event for event in events if event.status is not Status.OK]
        if bad:
            raise SystemExit(f"a start failed: {bad[0].reason} {bad[0].stderr}")
        return [event.phases_ns[phase] / 1e9 for event in events]

    return measure


def hyperfine(command: str) -> Measure:
    """Whole runs of another command, by hyperfine's clock, without a shell in between.

    With the rest that two starts of ours have between them: without it the CPUs never sleep, and runc takes a
    tenth less.
    """

    def measure(count: int) -> list[float]:
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            runs = ("--warmup", "1", "--runs", str(count))
            rest = ("--prepare", f"sleep {PAUSE_MS / 1000}")
            words = ("hyperfine", "--shell=none", *runs, *rest, "--export-json", out.name, command)
            subprocess.run(words, check=True, capture_output=True)
            times: list[float] = json.load(out)["results"][0]["times"]
            return times

    return measure


def ratio_interval(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], seed: int = 7
) -> tuple[float, float, float]:
    """Ratio of the medians of a to b, with a 95 % percentile interval over resampled rounds."""

    def ratio(rounds: Sequence[int]) -> float:
        return statistics.median(x for r in rounds for x in a[r]) / statistics.median(
            x for r in rounds for x in b[r]
        )

    draw = random.Random(seed)  # noqa: S311 - a bootstrap, not a secret
    everything = range(len(a))
    resampled = sorted(ratio(draw.choices(everything, k=len(a))) for _ in range(500))
    return ratio(everything), resampled[12], resampled[487]


def pairs(site: Site, stack: ExitStack, loop: Path) -> list[Pair]:
    """All pairs this host can measure."""
    ready = (AGENT_INSIDE, "ready")

    def launch(isolator: Isolator[Any]) -> Launch:
        return stack.enter_context(isolator.prepare(site, Bundle(ready, site.rootfs)))

    bare = ours(site, launch(Bare("bare", Options())))
    spaces = launch(Namespaces("namespaces", NamespacesOptions()))
    in_namespaces = ours(site, spaces)
    found = [
        Pair("bare", "C loop: vfork + exec", bare, plain_loop(loop, "vfork", str(site.agent)), 60, 1.1),
        Pair(
            "namespaces",
            "C loop: clone3, same namespaces",
            in_namespaces,
            plain_loop(loop, "clone3", AGENT_INSIDE, str(site.rootfs)),
            60,
            1.2,
        ),
    ]
    if not shutil.which("hyperfine"):
        return found
    to_exit = ours(site, spaces, "exit")
    unshare = (
        f"unshare --mount --uts --ipc --pid --net --cgroup --fork --mount-proc"
        f" --root={site.rootfs} {AGENT_INSIDE} ready"
    )
    found.append(Pair("namespaces, to exit", "unshare(1), by hyperfine", to_exit, hyperfine(unshare), 30))
    if shutil.which("bwrap"):
        bwrap = f"bwrap --unshare-all --bind {site.rootfs} / --proc /proc {AGENT_INSIDE} ready"
        found.append(Pair("namespaces, to exit", "bubblewrap, by hyperfine", to_exit, hyperfine(bwrap), 30))
    if shutil.which("runc"):
        found += runc_pairs(site, launch(Runc("runc", RuncOptions())))
    return found


def runc_pairs(site: Site, launch: Launch) -> list[Pair]:
    """Like with like: our three steps against the same three in a shell; and against `runc run`."""
    bundle, name = site.work / "runc" / "bundle-0", f"{site.token}-perf"
    runc = f"runc --root {site.work}/perf-state"
    steps = f"{runc} create --bundle {bundle} {name} && {runc} start {name} && {runc} delete --force {name}"
    run = f"{runc} run --bundle {bundle} {name}"
    return [
        Pair(
            "runc, to cleaned",
            "create && start && delete in sh, by hyperfine",
            ours(site, launch, "cleaned"),
            hyperfine(f"sh -c '{steps}'"),
            10,
        ),
        Pair("runc, to ready", "runc run, by hyperfine", ours(site, launch), hyperfine(run), 10),
    ]


def stamps_table(site: Site, stack: ExitStack) -> Table:
    """Each isolator's time to ready as we stamp it, against the time between strace's stamps."""
    table = Table(title="Time to ready, our stamps against strace's of the same starts")
    for heading in ("isolator", "starts", "ours p50", "strace p50", "ratio p50", "least", "greatest", "aim"):
        table.add_column(heading, justify="left" if heading == "isolator" else "right")
    for kind, count in (("bare", 40), ("namespaces", 40), ("lxc", 20), ("runc", 20), ("qemu", 4)):
        cls = REGISTRY.load(kind)
        isolator = cls(f"{kind}-stamped", cls.Options())
        if not check(isolator, site).usable:
            continue
        launch = stack.enter_context(isolator.prepare(site, agent_bundle(site, "ready")))
        found = agreement(site, launch, count)
        medians = (statistics.median(found.ours_s), statistics.median(found.strace_s))
        ratios = (found.median, found.ratios[0], found.ratios[-1])
        figures = (*(f"{median * 1e3:.3f} ms" for median in medians), *(f"{ratio:.4f}" for ratio in ratios))
        table.add_row(kind, str(count), *figures, "0.95 to 1.05")
    return table


def left_out() -> str | None:
    """Which rows are missing for want of a tool, and the command that brings it; None when all are there."""
    tools = {"hyperfine": "hyperfine", "bwrap": "bubblewrap", "strace": "strace"}
    lacking = " ".join(package for command, package in tools.items() if not shutil.which(command))
    if not lacking:
        return None
    remedy = f"apt-get install --no-install-recommends {lacking}   (as root)"
    return f"left out: the rows that need {lacking}\n  mend it with: {remedy}"


def main() -> None:
    """Measure every pair in alternating rounds and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="rounds, each side once in each (default 20)")
    rounds = parser.parse_args().rounds
    table = Table(title=f"The harness against references, {rounds} alternating rounds")
    for heading in ("ours", "reference", "ours p50", "reference p50", "ratio", "95 % interval", "aim"):
        table.add_column(heading, justify="left" if heading in ("ours", "reference") else "right")
    with ExitStack() as stack:
        site = stack.enter_context(open_site())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loop = scratch / "plain_loop"
        source = Path(__file__).with_name("plain_loop.c")
        subprocess.run(
            ["cc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o", loop, source], check=True
        )
        for pair in pairs(site, stack, loop):
            a: list[list[float]] = []
            b: list[list[float]] = []
            for number in range(rounds):
                sides = [(a, pair.measure_ours), (b, pair.measure_reference)]
                for side, measure in sides if number % 2 == 0 else reversed(sides):
                    side.append(measure(pair.starts))
            ratio, low, high = ratio_interval(a, b)
            medians = [statistics.median(x for r in side for x in r) * 1e3 for side in (a, b)]
            table.add_row(
                pair.ours,
                pair.reference,
                *(f"{median:.3f} ms" for median in medians),
                f"{ratio:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"≤ {pair.aim}" if pair.aim else "",
            )
        wide = Console(width=max(Console().width, 130))
        wide.print(table)
        if shutil.which("strace"):
            wide.print(stamps_table(site, stack))
        wide.print(ledger_table(site))
        wide.print(gap_table())
    if lack := left_out():
        print(lack)


if __name__ == "__main__":
    main()

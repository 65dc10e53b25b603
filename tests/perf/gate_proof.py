"""The gate on real isolators of this host: alarms where nothing has changed, and changes that are known.

As root, on a quiet host, two hours or so::

    python -m tests.perf.gate_proof OUT [--alike 25] [--changed 20] [--only NAME] [--starts 10] [--tune]

- *alike*: chroot, namespaces, cgroups and runc each compared with itself, so many times. Every verdict other
  than equivalent or inconclusive is a false alarm.
- *changed*: runc behind a program that delays ``runc create`` by 10 % of a start, against runc behind the
  same program that delays nothing, as the program itself costs a little; and namespaces delayed by 5 % by
  the agent. So many times each. Every verdict other than regression is a miss.

Each is planned by ``isobench ab --detect`` itself, unless the alike ones are given their ``--starts``, and is
a run of its own below OUT. What is there is not measured again, so that an interrupted proof goes on. Asserts
nothing: it prints a table for docs/gate.md. The controls of earlier runs move plans and limits;
ISOBENCH_STATE says where those are kept.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

WRAPPER = Path(__file__).with_name("delayed_runc.c")


@dataclass(frozen=True)
class Case:
    """One comparison, to be made over and over."""

    name: str
    a: str
    b: str
    detect: str
    wanted: tuple[str, ...]


KINDS = ("chroot", "namespaces", "cgroups", "runc")
ALIKE = ("equivalent", "inconclusive")
CASES = (
    *(
        Case(f"{kind} alike", kind, kind, "10%", ALIKE)
        for kind in ("chroot", "namespaces", "cgroups", "runc")
    ),
    Case("namespaces +5 %", "namespaces", "namespaces-slow", "5%", ("regression",)),
    Case("runc +10 %", "runc", "runc-slow", "10%", ("regression",)),
)


def main() -> int:
    """Measure what is missing, print what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--alike", type=int, default=25)
    parser.add_argument("--changed", type=int, default=20)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--starts", type=int, help="a side and block of the alike ones; left out, as planned")
    parser.add_argument("--tune", action="store_true", help="with the settings of a quiet host")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if asked.only in case.name:
            times = asked.alike if case.wanted == ALIKE else asked.changed
            found = [verdict(asked.out, case, number, asked) for number in range(times)]
            print(told(case, found), flush=True)
    return 0


def verdict(out: Path, case: Case, number: int, asked: argparse.Namespace) -> dict[str, Any]:
    """One comparison, measured unless it has been."""
    file = out / f"{case.name.replace(' ', '-').replace('%', 'percent')}-{number}.json"
    if not file.exists():
        matrix = matrix_file(out, case, number, asked)
        folder = file.with_suffix("")
        words = ("ab", str(matrix), "--a", case.a, "--b", case.b, "--detect", case.detect, "--json")
        planned = ("--starts", str(asked.starts)) if asked.starts and case.wanted == ALIKE else ()
        done = isobench(*words, *planned, *(["--tune"] if asked.tune else []), "--out", str(folder))
        if not done.stdout:
            sys.exit(f"{case.name}: {done.stderr}")
        file.write_text(done.stdout)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def matrix_file(out: Path, case: Case, number: int, asked: argparse.Namespace) -> Path:
    """The matrix of one comparison."""
    file = out / f"{case.a}-{case.b}-{number}.toml"
    sides = [isolator(case.a, case.a)] if case.b == case.a else changed(out, case, number, asked)
    file.write_text("\n".join(('[run]\nbenchmarks = ["startup"]\naudit = false\n', *sides)))
    return file


def isolator(name: str, kind: str, **options: object) -> str:
    """A table of it."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"kind": kind, "name": name, **options}.items()]
    return "\n".join(("[[isolator]]", *lines, ""))


def changed(out: Path, case: Case, number: int, asked: argparse.Namespace) -> list[str]:
    """A, and B, slower by what is to be found."""
    part = float(case.detect.removesuffix("%")) / 100
    delay_us = round(usual_s(out, case, number, asked) * part * 1e6)
    if case.a != "runc":
        return [isolator(case.a, case.a), isolator(case.b, "delayed", of=case.a, delay_us=delay_us)]
    return [behind(out / case.a, case.a, 0), behind(out / f"{case.b}-{number}", case.b, delay_us)]


def behind(program: Path, name: str, delay_us: int) -> str:
    """The table of runc behind a program, made for it, that delays it by so much."""
    macros = (f"-DDELAY_US={delay_us}", f'-DPROGRAM="{which("runc")}"')
    subprocess.run(["musl-gcc", "-static", "-O2", "-Wall", *macros, "-o", program, WRAPPER], check=True)
    return isolator(name, "runc", binary=str(program.absolute()))


def usual_s(out: Path, case: Case, number: int, asked: argparse.Namespace) -> float:
    """How long a start of A takes here: it moves by a tenth from one comparison to the next.

    The median of those before; for the first one, of one of A with itself.
    """
    alike = next(one for one in CASES if one.name == f"{case.a} alike")
    before = [verdict(out, case, earlier, asked) for earlier in range(number)] or [
        verdict(out, alike, 0, asked)
    ]
    return median(float(one["judgements"][0]["stage"]["a"]) for one in before)


def which(program: str) -> str:
    """Where it is."""
    words = ("sh", "-c", f"PATH=$PATH:/usr/sbin:/sbin command -v {program}")
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def isobench(*words: str) -> subprocess.CompletedProcess[str]:
    """A command line of it."""
    argv = [sys.executable, "-m", "isobench", *words]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def told(case: Case, found: list[dict[str, Any]]) -> str:
    """One line of the table."""
    judgements = [one["judgements"][0] for one in found]
    verdicts = Counter(judgement["verdict"] for judgement in judgements)
    unfit = sum(one["outcome"] == "unfit" for one in found)
    # An alarm is one on any host; a change counts as found only where the gate itself ends with it.
    right = sum(
        verdict["outcome"] == "regression" if case.wanted != ALIKE else judgement["verdict"] in ALIKE
        for verdict, judgement in zip(found, judgements, strict=True)
    )
    return " | ".join(
        (
            case.name,
            f"{right} of {len(found)} as it should be",
            *_figures(judgements),
            ", ".join(f"{n} {name}" for name, n in verdicts.items()),
            f"{unfit} unfit",
        )
    )


def _figures(judgements: list[dict[str, Any]]) -> Iterator[str]:
    changes = sorted(j["change"]["value"] for j in judgements if j["change"])
    limits = sorted(j["threshold"]["delta"] for j in judgements if j["threshold"])
    yield f"change {100 * changes[0]:+.1f} to {100 * changes[-1]:+.1f} %, median {100 * median(changes):+.2f}"
    yield f"limit {100 * limits[0]:.1f} to {100 * limits[-1]:.1f} %"


if __name__ == "__main__":
    sys.exit(main())

"""``isobench gate --self-test``: whether the gate sees on this host what it should, and nothing else.

Two comparisons with the real starter: something with itself, which must not come out as changed, and with
itself delayed by the agent by a known part of a start, which must. What is started is the isolator ``bare``:
it needs nothing, and what is tested is the gate and the host, not an isolator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from isobench.cli import ab_run, output
from isobench.errors import HostUnfitError
from isobench.matrix import parse_matrix
from isobench.model import Side
from isobench.reports import units
from isobench.reports.gate_policy import DEFAULT_POLICY
from isobench.reports.gate_values import Judgement, Outcome, Verdict
from isobench.sides import STANDARD_BLOCKS, Sides

if TYPE_CHECKING:
    from isobench.plan import Matrix
    from isobench.reports.gate_values import GateReport

KIND = "bare"
STARTS = 20
DELAY_US = 2_000
"""Many times a plain start, and well above the threshold's 0.5 ms: seen on any host fit to be measured on."""

_NOT_CHANGED = (Verdict.EQUIVALENT, Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Result:
    """One of the two."""

    what: str
    wanted: str
    verdict: str
    passed: bool
    reason: str


def check(*, json: bool) -> None:
    """Measure, print, and raise HostUnfitError unless both came out as they should."""
    with TemporaryDirectory(prefix="isobench-self-test-") as place:
        results = [result for result in _results(Path(place)) if result]
    if len(results) < len(_CASES):
        return  # interrupted, and told
    if json:
        from dataclasses import asdict

        output.print_json({"results": [asdict(result) for result in results]})
    else:
        for result in results:
            print(f"{'ok  ' if result.passed else 'FAIL'} {result.what}: {result.verdict}; {result.reason}")
    failed = [f"{one.what} came out as {one.verdict}" for one in results if not one.passed]
    if failed:
        raise HostUnfitError(
            f"the gate cannot be trusted here: {'; '.join(failed)}", remedy="isobench doctor"
        )


@dataclass(frozen=True, slots=True)
class _Case:
    what: str
    b: str
    wanted: tuple[Verdict, ...]


_CASES = (
    _Case(f"{KIND} against itself", KIND, _NOT_CHANGED),
    _Case(f"{KIND} against itself delayed by {DELAY_US / 1000:g} ms", "delayed", (Verdict.REGRESSION,)),
)


def _matrix() -> Matrix:
    delayed = {"kind": "delayed", "name": "delayed", "of": KIND, "delay_us": DELAY_US}
    run_table = {"benchmarks": ["startup"], "audit": False}
    return parse_matrix({"run": run_table, "isolator": [{"kind": KIND}, delayed]}, "the self-test")


def _results(place: Path) -> Iterator[Result | None]:
    for number, case in enumerate(_CASES):
        wanted = ab_run.Wanted(
            matrix=_matrix(),
            sides=Sides(KIND, case.b, STANDARD_BLOCKS, STARTS),
            detect=None,
            policy=DEFAULT_POLICY,
            out=place / str(number),
            tune=False,
        )
        judged = ab_run.measured(wanted, keep=False)
        if judged is None:
            yield None
            return
        report = judged.report
        (found,) = report.judgements or (None,)
        if report.outcome is Outcome.UNFIT or report.faults or found is None:
            yield Result(
                case.what, case.wanted[0].value, report.outcome.value, passed=False, reason=_why(report)
            )
        else:
            passed = found.verdict in case.wanted and not _beside_itself(found)
            yield Result(case.what, case.wanted[0].value, found.verdict.value, passed, _seen(found))


def _beside_itself(found: Judgement) -> bool:
    """Whether A differs from its own control: that is more than noise in which nothing could be shown."""
    return found.stage is not None and not found.stage.control.passed


def _why(report: GateReport) -> str:
    """What kept the run from a verdict."""
    broken = [one.reason for one in report.judgements if one.stage is None]
    checks = [f"{check.name} {check.found}" for check in report.unfit]
    return "; ".join([*report.faults, *broken] or checks) or "nothing was measured"


def _seen(found: Judgement) -> str:
    """The delay as it was seen, beside the one that was put in."""
    if found.stage is None:
        return found.reason
    apart = units.seconds(found.stage.b - found.stage.a)
    return f"{apart} seen between {Side.A.value} and {Side.B.value}, {found.reason}"

"""The repeated claims, each with every outcome it can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.ab_runs import ab_run

from isobench.journal import CellState
from isobench.model import Sample, Scalar, Status
from isobench.reports import claims as told
from isobench.reports.claims import Outcome, claims
from isobench.reports.load import summarize
from isobench.reports.stats import Estimate, Interval
from isobench.reports.summary import CellSummary, Isolator, Summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

HOLDS, NOT, UNTOLD, NOT_MEASURED = Outcome
KVM = "qemu-kvm"


@pytest.fixture(scope="module")
def emulated(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A run whose virtual machine is under software emulation."""
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="module")
def real(emulated: Summary) -> Summary:
    """The same, were its virtual machine helped by hardware."""
    isolators = (replace(one, name=KVM) if one.emulated else one for one in emulated.isolators)
    return replace(emulated, isolators=tuple(isolators))


def estimate(middle: float, *, sure: bool = True) -> Estimate:
    return Estimate(middle, Interval(0.99 * middle, 1.01 * middle) if sure else None)


def ready(isolator: Isolator, found: Estimate) -> Isolator:
    start = isolator.startup
    assert start is not None
    return replace(isolator, startup=replace(start, ready=replace(start.ready, median=found)))


def holding(isolator: Isolator, found: Estimate) -> Isolator:
    memory = isolator.memory
    assert memory is not None
    return replace(isolator, memory=replace(memory, of_total=replace(memory.of_total, slope=found)))


def starting(summary: Summary, seconds: Mapping[str, float], *, sure: bool = True) -> Summary:
    changed = (
        ready(one, estimate(seconds[one.name], sure=sure)) if one.name in seconds else one
        for one in summary.isolators
    )
    return replace(summary, isolators=tuple(changed))


def remembering(summary: Summary, sizes: Mapping[str, float], *, sure: bool = True) -> Summary:
    changed = (
        holding(one, estimate(sizes[one.name], sure=sure)) if one.name in sizes else one
        for one in summary.isolators
    )
    return replace(summary, isolators=tuple(changed))


def without(summary: Summary, *names: str) -> Summary:
    return replace(summary, isolators=tuple(one for one in summary.isolators if one.name not in names))


def cell(isolator: str, benchmark: str, *samples: Sample) -> CellSummary:
    ok = sum(sample.status is Status.OK for sample in samples)
    state = CellState(Status.OK, ok, len(samples) - ok)
    return CellSummary(samples[0].cell, isolator, benchmark, state, samples)


def sample(  # noqa: PLR0917 - as the fields of a sample
    isolator: str,
    benchmark: str,
    metric: str,
    value: float,
    block: int,
    params: dict[str, Scalar],
    **detail: Scalar,
) -> Sample:
    place = f"{benchmark}/{isolator}/x/{params}"
    unit = "second" if metric == "ready" else "ratio"
    return Sample(
        place, isolator, benchmark, "x", metric, unit, value, block, block, params=params, detail=detail
    )


@pytest.mark.parametrize(
    ("seconds", "sure", "outcome"),
    [
        ({KVM: 90, "lxc": 0.1, "runc": 0.1}, True, HOLDS),
        ({KVM: 2, "lxc": 0.1, "runc": 0.1}, True, NOT),
        ({KVM: 90, "lxc": 0.1, "runc": 70}, True, NOT),
        ({KVM: 60, "lxc": 0.1, "runc": 0.1}, True, UNTOLD),
        ({KVM: 2, "lxc": 0.1, "runc": 0.1}, False, UNTOLD),
    ],
)
def test_minutes_of_a_machine_are_decided_by_intervals_either_side_of_one(
    real: Summary,
    seconds: Mapping[str, float],
    sure: bool,  # noqa: FBT001
    outcome: Outcome,
) -> None:
    (found, reason), witnesses = told.start_minutes(starting(real, seconds, sure=sure))

    assert found is outcome
    assert reason
    assert {one.of for one in witnesses} == {f"{name}, to ready" for name in seconds}
    assert all(one.figure.cell for one in witnesses)


@pytest.mark.parametrize("tell", [told.start_minutes, told.less_memory])
def test_emulation_alone_cannot_decide_about_a_machine_but_is_shown(
    emulated: Summary, tell: Callable[[Summary], told.Told]
) -> None:
    (outcome, reason), witnesses = tell(emulated)

    assert outcome is UNTOLD
    assert "emulation cannot decide it" in reason
    assert witnesses[0].of.startswith("qemu-tcg (software emulation)")


@pytest.mark.parametrize(
    ("missing", "reason"), [((KVM,), "of a virtual machine."), (("lxc", "runc"), "of a container.")]
)
@pytest.mark.parametrize("tell", [told.start_minutes, told.less_memory])
def test_claim_about_both_is_not_measured_with_one_alone(
    real: Summary, tell: Callable[[Summary], told.Told], missing: tuple[str, ...], reason: str
) -> None:
    (outcome, said), _ = tell(without(real, *missing))

    assert outcome is NOT_MEASURED
    assert said.endswith(reason)


@pytest.mark.parametrize(
    ("sizes", "sure", "outcome"),
    [
        ({KVM: 100, "lxc": 1, "runc": 2}, True, HOLDS),
        ({KVM: 100, "lxc": 1, "runc": 200}, True, NOT),
        ({KVM: 100, "lxc": 1, "runc": 101}, True, UNTOLD),
        ({KVM: 100, "lxc": 1, "runc": 2}, False, UNTOLD),
    ],
)
def test_less_memory_is_decided_by_every_container_against_every_machine(
    real: Summary,
    sizes: Mapping[str, float],
    sure: bool,  # noqa: FBT001
    outcome: Outcome,
) -> None:
    assert told.less_memory(remembering(real, sizes, sure=sure))[0][0] is outcome


def working(summary: Summary, part: float, scatter: float, blocks: int = 8) -> Summary:
    """Spells in which a container does so much of the work that cgroups alone do."""
    params: dict[str, Scalar] = {"cpus": 0.5}

    def of(isolator: str, rate: float) -> CellSummary:
        rates = (rate * (1 + scatter * (-1) ** block * (isolator == "runc")) for block in range(blocks))
        spells = (
            sample(isolator, "throttling", "x", 0.0, block, params, progress_per_run_s=found)
            for block, found in enumerate(rates)
        )
        return cell(isolator, "throttling", *spells)

    return replace(summary, cells=(of("cgroups", 1e6), of("runc", 1e6 * part)))


@pytest.mark.parametrize(
    ("part", "scatter", "outcome"), [(0.99, 0.001, HOLDS), (0.8, 0.001, NOT), (0.95, 0.1, UNTOLD)]
)
def test_native_speed_is_decided_by_the_work_done_in_the_same_cpu_time(
    real: Summary, part: float, scatter: float, outcome: Outcome
) -> None:
    (found, _), (witness,) = told.near_native(working(real, part, scatter))

    assert found is outcome
    assert witness.of == "runc, work against cgroups alone"


def test_native_speed_is_not_measured_without_limits_of_both(real: Summary) -> None:
    assert told.near_native(without(working(real, 1.0, 0.0), "cgroups"))[0][0] is NOT_MEASURED
    assert told.near_native(replace(real, cells=()))[0][0] is NOT_MEASURED


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [
        ({"namespaces": 0.001, "lxc": 0.005, "runc": 0.03}, HOLDS),
        ({"namespaces": 0.01, "lxc": 0.005, "runc": 0.03}, NOT),
        ({"namespaces": 0.005, "lxc": 0.005, "runc": 0.03}, UNTOLD),
    ],
)
def test_layers_are_decided_by_tools_against_the_namespaces_they_use(
    real: Summary, seconds: Mapping[str, float], outcome: Outcome
) -> None:
    (found, reason), witnesses = told.layers_cost(starting(real, seconds))

    assert found is outcome
    assert reason.endswith("Of layers above lxc and runc this says nothing.")
    assert witnesses[-1].of == "runc, of that to created"


@pytest.mark.parametrize("missing", [("namespaces",), ("lxc", "runc")])
def test_layers_are_not_measured_without_the_kernel_or_without_a_tool(
    real: Summary, missing: tuple[str, ...]
) -> None:
    assert told.layers_cost(without(real, *missing))[0][0] is NOT_MEASURED


def crowded(summary: Summary, factor: float, scatter: float, levels: tuple[int, ...] = (0, 8)) -> Summary:
    def of(level: int) -> CellSummary:
        params: dict[str, Scalar] = {"running": level}
        times = (0.03 * (factor * (1 + scatter * (-1) ** block) if level else 1) for block in range(8))
        starts = (sample("runc", "density", "ready", s, block, params) for block, s in enumerate(times))
        return cell("runc", "density", *starts)

    return replace(summary, cells=tuple(map(of, levels)))


@pytest.mark.parametrize(
    ("factor", "scatter", "outcome"), [(1.1, 0.01, HOLDS), (4.0, 0.01, NOT), (2.0, 0.3, UNTOLD)]
)
def test_many_alike_are_decided_by_a_start_beside_them_against_one_alone(
    real: Summary, factor: float, scatter: float, outcome: Outcome
) -> None:
    (found, _), witnesses = told.many_alike(crowded(real, factor, scatter))

    assert found is outcome
    assert witnesses[0].of == "runc, a start beside 8 against one alone"


@pytest.mark.parametrize("levels", [(), (0,), (8,)])
def test_many_alike_are_not_measured_without_starts_alone_and_beside_others(
    real: Summary, levels: tuple[int, ...]
) -> None:
    (found, _), witnesses = told.many_alike(crowded(real, 1.0, 0.0, levels))

    assert found is NOT_MEASURED
    assert [one.of for one in witnesses] == ["lxc, memory of each", "runc, memory of each"]


@pytest.mark.parametrize(
    ("tell", "why"), [(told.lxc_weaker, "attacks neither"), (told.less_cpu, "beside its workload")]
)
def test_claim_that_no_figure_is_about_is_never_decided_and_says_why(
    real: Summary, tell: Callable[[Summary], told.Told], why: str
) -> None:
    (found, reason), witnesses = tell(real)

    assert found is NOT_MEASURED
    assert why in reason
    assert not witnesses


def confined(summary: Summary, *errors: float, bound: bool = True) -> Summary:
    params: dict[str, Scalar] = {"limit": "cpuset"}
    blocks = (
        sample("runc", "limits", "limit_error", error, block, params, bound=bound)
        for block, error in enumerate(errors)
    )
    return replace(summary, cells=(cell("runc", "limits", *blocks),))


@pytest.mark.parametrize(
    ("errors", "bound", "outcome", "text"),
    [
        ((0.0, 0.0), True, HOLDS, "in 0 of 2 blocks"),
        ((0.0, 0.5), True, NOT, "in 1 of 2 blocks"),
        ((0.0, 0.5), False, UNTOLD, "held back by other load"),
    ],
)
def test_cpus_left_to_others_are_decided_by_where_threads_ran_in_every_block(
    real: Summary,
    errors: tuple[float, ...],
    bound: bool,  # noqa: FBT001
    outcome: Outcome,
    text: str,
) -> None:
    (found, _), (witness,) = told.cpus_left(confined(real, *errors, bound=bound))

    assert found is outcome
    assert witness.figure.text == text


def test_cpus_left_to_others_are_not_measured_without_such_a_limit(real: Summary) -> None:
    assert told.cpus_left(real)[0][0] is NOT_MEASURED


def halved(summary: Summary, error: Estimate) -> Summary:
    def off(one: Isolator) -> Isolator:
        quotas = (replace(q, error=replace(q.error, median=error)) for q in one.quotas)
        return replace(one, quotas=tuple(quotas))

    return replace(summary, isolators=tuple(map(off, summary.isolators)))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Estimate(0.01, Interval(-0.01, 0.02)), HOLDS),
        (Estimate(0.2, Interval(0.1, 0.3)), NOT),
        (Estimate(-0.2, Interval(-0.3, -0.1)), NOT),
        (Estimate(0.05, Interval(0.01, 0.09)), UNTOLD),
        (Estimate(0.0, None), UNTOLD),
    ],
)
def test_half_a_core_is_decided_by_the_interval_of_its_error(
    real: Summary, error: Estimate, outcome: Outcome
) -> None:
    assert told.half_a_core(halved(real, error))[0][0] is outcome


def test_half_a_core_under_emulation_alone_cannot_be_told_and_without_limits_is_not_measured(
    emulated: Summary,
) -> None:
    exact = halved(emulated, Estimate(0.0, Interval(0.0, 0.0)))
    others = [one.name for one in emulated.isolators if not one.emulated]

    assert told.half_a_core(without(exact, *others))[0][0] is UNTOLD
    assert told.half_a_core(without(exact, *others, "qemu-tcg"))[0][0] is NOT_MEASURED


def test_run_without_a_figure_has_measured_no_claim(real: Summary) -> None:
    empty = replace(real, isolators=(), cells=())

    assert {claim.outcome for claim in claims(empty)} == {NOT_MEASURED}
    assert [claim.words for claim in claims(empty)] == list(told.CLAIMS)


def test_run_of_two_sides_has_no_claims(real: Summary) -> None:
    record = replace(real.record, ab=ab_run().record.ab)

    assert claims(replace(real, record=record)) == ()

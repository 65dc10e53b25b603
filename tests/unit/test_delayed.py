"""An isolator that is another one, with a known delay in each of its starts."""

from pathlib import Path

import pytest

from isobench.errors import MatrixError
from isobench.fakelab import fake_lab
from isobench.isolators.contract import agent_bundle
from isobench.isolators.delayed import Delayed
from isobench.isolators.namespaces import Namespaces
from isobench.isolators.registry import DEFAULT
from isobench.matrix import parse_matrix
from isobench.plan import Matrix
from isobench.starter import batch

RUN = {"run": {"benchmarks": ["startup"], "audit": False}}


def matrix(**table: object) -> Matrix:
    return parse_matrix({**RUN, "isolator": [{"kind": "delayed", "name": "slow", **table}]}, "test")


def made(**table: object) -> Delayed:
    isolator = matrix(**table).isolators[0].create()
    assert isinstance(isolator, Delayed)
    return isolator


def test_delayed_isolator_is_the_other_in_all_but_its_delay(tmp_path: Path) -> None:
    slow = made(of="namespaces", delay_us=50, options={"namespaces": ["mount", "pid"]})
    other = Namespaces("slow", Namespaces.Options.model_validate({"namespaces": ["mount", "pid"]}))

    assert slow.capabilities == other.capabilities
    assert (slow.tools(), slow.daemons()) == (other.tools(), other.daemons())
    with fake_lab(tmp_path).open_site() as site:
        bundle = agent_bundle(site, "ready")
        with slow.prepare(site, bundle) as launch, other.prepare(site, bundle) as undelayed:
            assert launch.delay_us == 50
            assert launch.namespaces == undelayed.namespaces


def test_delayed_isolator_keeps_its_options_through_run_json() -> None:
    before = matrix(of="namespaces", delay_us=50, options={"namespaces": ["pid"]})
    assert parse_matrix(before.to_dict(), "run.json") == before


def test_delayed_isolator_is_in_no_built_in_matrix() -> None:
    assert "delayed" not in DEFAULT


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"of": "nothing", "delay_us": 1}, 'no isolator is called "nothing"|nothing'),
        ({"of": "bare", "delay_us": -1}, "delay_us"),
        ({"of": "bare"}, "delay_us"),
        ({"of": "bare", "delay_us": 1, "options": {"colour": "red"}}, "colour"),
    ],
)
def test_wrong_options_of_a_delayed_isolator_are_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(MatrixError, match=message):
        matrix(**table)


def test_start_takes_at_least_its_delay_longer_to_every_phase(agent: Path, tmp_path: Path) -> None:
    slow = made(of="bare", delay_us=30_000)
    with fake_lab(tmp_path).open_site() as site:
        from dataclasses import replace

        here = replace(site, agent=agent, rootfs=agent.parent)
        with slow.prepare(here, agent_bundle(here, "ready")) as launch:
            # The agent of the tree is not called as in the root file system.
            (event,) = batch(agent, replace(launch, spawn=(str(agent), "ready")), 1, timeout_s=60)
    assert set(event.phases_ns) >= {"spawned", "ready", "exit"}
    assert min(event.phases_ns.values()) >= 30_000_000

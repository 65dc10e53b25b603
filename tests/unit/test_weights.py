"""weights: what may be asked, and what follows from the times of siblings."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from isobench.benchmarks.weights import Contest, Moment, Weights, WeightsParams, settled_s
from isobench.isolators.cgroup import detect
from isobench.isolators.contract import Site
from isobench.model import Capabilities, Cell


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"ratios": ((0, 1),)}, "ratios.0.0"),
        ({"ratios": ((-1, 1),)}, "ratios.0.0"),
        ({"ratios": ((1, 101),)}, "less than or equal to 100"),
        ({"ratios": ((1,),)}, "ratios.0"),
        ({"ratios": ((1,) * 9,)}, "ratios.0"),
        ({"ratios": ((1, 2), (1, 2))}, "may stand once"),
        ({"on": ("two",)}, "on.0"),
        ({"window_s": 0.0}, "window_s"),
    ],
)
def test_weights_that_cannot_be_are_refused_by_name(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WeightsParams.model_validate(table)


def test_shares_are_held_against_the_parts_of_the_ratio() -> None:
    found = Contest((1, 3), (1024, 3072), (Moment(2.0, (600_000_000, 1_400_000_000)),), 2)
    first, second, settled = found.readings(1.0)
    assert first.value == pytest.approx(0.2)
    assert second.value == pytest.approx(-0.2 / 3)
    assert {key: first.detail[key] for key in ("sibling", "promised", "got", "cpus_together")} == {
        "sibling": 1,
        "promised": 0.25,
        "got": 0.3,
        "cpus_together": 1.0,
    }
    assert (settled.metric, settled.value) == ("settled", 2.0)


def test_promise_of_the_weights_in_force_is_told_where_a_runtime_converts_them() -> None:
    first, *_ = Contest((1, 2), (39, 79), (Moment(1.0, (39, 79)),), 1).readings(1.0)
    assert first.detail["promised_in_force"] == 39 / 118
    assert first.value == pytest.approx(3 * 39 / 118 - 1)


def test_settled_is_the_first_look_after_which_no_share_strays() -> None:
    moments = [
        Moment(0.1, (0, 0)),
        Moment(0.2, (10, 10)),
        Moment(0.3, (30, 90)),
        Moment(0.4, (20, 100)),
        Moment(0.5, (25, 75)),
        Moment(0.6, (26, 74)),
    ]
    assert settled_s(moments) == 0.5
    assert settled_s(moments[-1:]) == 0.6


def test_shares_of_nothing_are_nothing() -> None:
    assert Moment(0.1, (0, 0)).shares == (0.0, 0.0)


def test_isolator_that_sets_no_weights_is_unsupported() -> None:
    assert Weights().unsupported(Capabilities(frozenset(), frozenset({"weight"}))) is None
    assert Weights().unsupported(Capabilities(frozenset(), frozenset({"cpu"}))) == "it sets no weights"


def test_siblings_on_one_cpu_need_the_cpuset_controller_and_say_so(tmp_path: Path) -> None:
    tree = detect("1 1 0:1 / /c rw - cgroup x rw,cpu\n")
    site = Site("isobench-0", tmp_path, tmp_path, tmp_path, tmp_path, tree)
    lack = Weights().lack(Cell("x", "weights", "appetite", {"ratio": "1:2", "on": "one"}), site)
    assert lack
    assert "cpuset controller is not mounted" in str(lack.reason)

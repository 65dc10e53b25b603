from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import SyntheticRun

from isobench.journal import IsolatorRecord, RunRecord, ToolRecord, TunedSetting, WorkloadRecord
from isobench.reports.comparability import Kind, Likeness, build, comparability


@pytest.fixture
def record(made_run: SyntheticRun) -> RunRecord:
    found = made_run.record
    return replace(
        found,
        tools={**found.tools, "isoagent": ToolRecord("/cache/isoagent", None, "ee" * 32)},
        workloads={"nginx": WorkloadRecord("ab" * 32, ("/usr/sbin/nginx",))},
        matrix={
            "startup": {"starts": 20, "caches": ["warm"], "warmups": 1},
            "throttling": {"window_s": 1.0, "cpus": [0.5]},
            "limits": {"cpuset": []},
        },
        benchmarks=("startup", "throttling", "limits"),
    )


def hosted(record: RunRecord, **facts: object) -> RunRecord:
    return replace(record, host={**record.host, **facts})


def with_isolator(record: RunRecord, name: str, **changes: Any) -> RunRecord:  # noqa: ANN401
    return replace(
        record,
        isolators=tuple(
            replace(found, **changes) if found.name == name else found for found in record.isolators
        ),
    )


def test_runs_of_one_host_that_differ_in_seed_and_count_are_the_same(record: RunRecord) -> None:
    other = replace(
        hosted(record, boot="another", load={"1min": 3.0}, mounts=77),
        seed=99,
        run_id="other",
        matrix={**record.matrix, "startup": {"starts": 500, "caches": ["warm", "cold"], "warmups": 3}},
    )
    assert comparability(record, other).likeness is Likeness.SAME
    assert not comparability(record, other).differences


@pytest.mark.parametrize(
    ("facts", "key"),
    [
        ({"hostname": "lab-2"}, "hostname"),
        ({"kernel": "6.12.0"}, "kernel"),
        ({"cpu": {"model": "Other", "count": 2, "usable": 2}}, "cpu.model"),
        ({"knobs": {"governor": "performance"}}, "knobs.governor"),
    ],
)
def test_another_host_or_kernel_is_unlike_and_named(
    record: RunRecord, facts: Mapping[str, object], key: str
) -> None:
    found = comparability(record, hosted(record, **facts))
    assert found.likeness is Likeness.UNLIKE
    assert key in {one.key for one in found.of(Kind.CONDITIONS)}


def test_another_isobench_agent_or_tuning_is_unlike(record: RunRecord) -> None:
    tuned = (TunedSetting("governor", "/sys/x", "powersave", "performance"),)
    others = {
        "isobench": replace(record, isobench_version="0.2.0"),
        "agent": replace(record, tools={**record.tools, "isoagent": ToolRecord("/x", None, "ff" * 32)}),
        "tuned": replace(record, tuned=tuned),
    }
    for key, other in others.items():
        found = comparability(record, other)
        assert [one.key for one in found.differences] == [key]
        assert found.likeness is Likeness.UNLIKE
    assert (
        "tuned was no and is governor performance"
        in comparability(record, others["tuned"]).differences[0].text
    )


def test_another_build_of_a_tool_is_the_subject_and_laid_to_its_isolator(record: RunRecord) -> None:
    newer = ToolRecord("/opt/runc", "runc version 1.2.0", "99" * 32)
    found = comparability(record, replace(record, tools={**record.tools, "runc": newer}))
    assert found.likeness is Likeness.EXPLAINED
    assert found.subjects == {"runc"}
    assert found.subjects_known
    assert found.differences[0].text == (
        "runc was runc version 1.1.5 (abababababab) and is runc version 1.2.0 (999999999999)"
    )


def test_tool_moved_to_another_place_is_no_difference(record: RunRecord) -> None:
    moved = replace(record.tools["runc"], path="/usr/local/sbin/runc")
    assert not comparability(record, replace(record, tools={**record.tools, "runc": moved})).differences


def test_tool_that_no_isolator_names_leaves_the_subjects_unknown(record: RunRecord) -> None:
    with_kernel = replace(record, tools={**record.tools, "/vmlinuz": ToolRecord("/vmlinuz", None, "11" * 32)})
    other = replace(record, tools={**record.tools, "/vmlinuz": ToolRecord("/vmlinuz", None, "22" * 32)})
    found = comparability(with_kernel, other)
    assert found.likeness is Likeness.EXPLAINED
    assert not found.subjects_known


def test_tool_named_in_the_options_is_laid_to_all_isolators_that_name_it(record: RunRecord) -> None:
    two = tuple(
        IsolatorRecord(name, "runc", name, {"binary": "./runc"}, "", "", shares_kernel=True, status="ok")  # type: ignore[arg-type]
        for name in ("one", "two")
    )
    base = replace(record, isolators=two, tools={"./runc": ToolRecord("/a", "1", "aa" * 32)})
    other = replace(base, tools={"./runc": ToolRecord("/a", "2", "bb" * 32)})
    assert comparability(base, other).subjects == {"one", "two"}


def test_other_options_are_the_subject_and_what_follows_from_them_too(record: RunRecord) -> None:
    other = with_isolator(record, "namespaces", options={"namespaces": ["mount"]}, covers="something else")
    found = comparability(record, other)
    assert found.likeness is Likeness.EXPLAINED
    assert found.subjects == {"namespaces"}


def test_software_emulation_against_hardware_is_unlike_unless_it_was_asked_for(record: RunRecord) -> None:
    kvm = with_isolator(record, "qemu", shown_as="qemu-kvm")
    asked = with_isolator(record, "qemu", shown_as="qemu-kvm", options={"accel": "kvm", "memory_mib": 128})
    assert comparability(record, kvm).likeness is Likeness.UNLIKE
    assert comparability(record, asked).likeness is Likeness.EXPLAINED


def test_another_parameter_makes_only_cells_of_its_benchmark_incomparable(record: RunRecord) -> None:
    other = replace(record, matrix={**record.matrix, "throttling": {"window_s": 2.0, "cpus": [0.5, 1.0]}})
    found = comparability(record, other)
    assert found.likeness is Likeness.EXPLAINED
    assert found.refusal("throttling", "spin") == "throttling.window_s was 1.0 and is 2.0"
    assert found.refusal("startup", "ready") is None


def test_chosen_cpus_matter_though_they_are_a_list(record: RunRecord) -> None:
    other = replace(record, matrix={**record.matrix, "limits": {"cpuset": [1]}})
    assert comparability(record, other).refusal("limits", "hold") == "limits.cpuset was none and is 1"


def test_another_file_system_of_a_workload_makes_its_cells_incomparable(record: RunRecord) -> None:
    other = replace(record, workloads={"nginx": WorkloadRecord("cd" * 32, ("/usr/sbin/nginx", "-g"))})
    found = comparability(record, other)
    reason = found.refusal("startup", "nginx")
    assert reason is not None
    assert "root file system of nginx" in reason
    assert "command of nginx" in reason
    assert found.refusal("startup", "ready") is None


def test_build_leaves_out_what_names_one_machine_and_keeps_what_moves_figures(record: RunRecord) -> None:
    one, other = (
        hosted(
            record,
            hostname=name,
            command_line=f"BOOT_IMAGE=/v root=UUID={name} systemd.hostname={name} mitigations=off",
        )
        for name in ("a", "b")
    )
    assert build(one) == build(other)
    assert build(one)["command_line"] == "mitigations=off"
    assert build(one) != build(hosted(one, kernel="6.12"))
    assert build(one) != build(replace(one, tools={"runc": ToolRecord("/usr/sbin/runc", "2", "00" * 32)}))


_FACT = st.none() | st.booleans() | st.integers() | st.text("ab", max_size=3)
_HOST = st.dictionaries(st.sampled_from(["hostname", "kernel", "hz", "load", "mounts"]), _FACT)


@given(_HOST, _HOST)
def test_differences_are_none_of_a_run_to_itself_and_the_same_both_ways(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    base, candidate = (
        RunRecord("r", "", None, "finished", 1, {}, host, {}, (), (), 0.0, 0.0, "0") for host in (one, other)
    )
    assert not comparability(base, base).differences
    there, back = comparability(base, candidate), comparability(candidate, base)
    assert {one.key for one in there.differences} == {one.key for one in back.differences}
    assert {one.key for one in there.differences} <= {"hostname", "kernel", "hz"}
    assert there.likeness is back.likeness

"""Facts as rows of text: the host, and what was tuned."""

from dataclasses import replace

from tests.ab_runs import ab_run

from isobench.journal import DisturbanceRecord, RestRecord, TunedSetting
from isobench.reports.sheet import Group, host_groups, run_groups

FOUND = TunedSetting("governor", "/sys/cpu0", "powersave", "performance", end="performance")


def test_tuned_settings_come_after_the_host_each_with_what_was_found() -> None:
    other_cpu = TunedSetting("governor", "/sys/cpu1", "powersave", "performance", end="performance")
    groups = host_groups({"hostname": "lab", "cpu": {"count": 2}}, (FOUND, other_cpu))

    assert [group.title for group in groups] == ["Host", "Tuned for this run", "CPU"]
    assert groups[1] == Group("Tuned for this run", (("governor", "performance, found as powersave"),))


def test_setting_that_was_refused_or_changed_meanwhile_is_told_so() -> None:
    refused = TunedSetting("KSM", "/sys/ksm", "1", "1", refused="Read-only file system", end="1")
    changed = TunedSetting("governor", "/sys/cpu0", "powersave", "performance", end="ondemand")

    (group,) = host_groups({}, (refused, changed))

    assert group.facts == (
        ("KSM", "stayed 1: Read-only file system"),
        (
            "governor",
            "performance, found as powersave; somebody else set it to ondemand meanwhile",
        ),
    )


def test_host_that_was_not_tuned_has_no_such_group() -> None:
    assert host_groups({"hostname": "lab"}, None) == host_groups({"hostname": "lab"}, ())


def test_what_else_went_on_is_told_as_far_as_it_was_recorded_with_what_is_quiet() -> None:
    record = replace(
        ab_run().record,
        host={},
        disturbance=DisturbanceRecord(seconds=100.0, cpus=2, others_cpu_s=20.0, thermal_throttles=3),
        rests=RestRecord(limit_s=1.0, waits=4, seconds=2.0, longest_s=1.0, unfinished=1, left=("a cgroup",)),
    )

    meanwhile, rests = run_groups(record)

    assert meanwhile.facts == (
        ("measured for", "100 s"),
        ("CPU time of others", "10.0 % of the CPU time (quiet: up to 25.0 % of the CPU time)"),
        ("slowed down for heat", "3 times (quiet: up to 0 times)"),
    )
    assert ("given up", "1, while this went on: a cgroup") in rests.facts


def test_run_that_did_not_look_says_nothing_of_what_else_went_on() -> None:
    assert run_groups(ab_run().record) == ()

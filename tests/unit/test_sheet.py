"""Facts as rows of text: the host, and what was tuned."""

from isobench.journal import TunedSetting
from isobench.reports.sheet import Group, host_groups

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

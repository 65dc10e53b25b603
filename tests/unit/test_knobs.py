from pathlib import Path

import pytest

from isobench import knobs, virt
from isobench.knobs import Knob, survey

CPU = "sys/devices/system/cpu"


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knobs, "virtualisation", lambda _root: virt.Virtualisation("none", "none"))


def knob(root: Path, name: str) -> Knob:
    (found,) = (knob for knob in survey(root) if knob.name == name)
    return found


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "file", "text", "found", "disturbs"),
    [
        ("governor", f"{CPU}/cpu0/cpufreq/scaling_governor", "performance\n", "performance", False),
        ("governor", f"{CPU}/cpu0/cpufreq/scaling_governor", "schedutil\n", "schedutil", True),
        ("turbo", f"{CPU}/intel_pstate/no_turbo", "1\n", "off", False),
        ("turbo", f"{CPU}/intel_pstate/no_turbo", "0\n", "on", True),
        ("turbo", f"{CPU}/cpufreq/boost", "1\n", "on", True),
        ("turbo", f"{CPU}/cpufreq/boost", "0\n", "off", False),
        ("SMT", f"{CPU}/smt/active", "1\n", "on", True),
        ("SMT", f"{CPU}/smt/active", "0\n", "off", False),
        (
            "transparent huge pages",
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never\n",
            "always",
            True,
        ),
        (
            "transparent huge pages",
            "sys/kernel/mm/transparent_hugepage/enabled",
            "always [madvise] never\n",
            "madvise",
            False,
        ),
        ("KSM", "sys/kernel/mm/ksm/run", "1\n", "on", True),
        ("KSM", "sys/kernel/mm/ksm/run", "0\n", "off", False),
        ("swap", "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n", "none", False),
        ("swap", "proc/swaps", "Filename\tType\n/dev/vdb\tpartition\n/swap\tfile\n", "2 in use", True),
        ("RCU grace periods", "sys/kernel/rcu_expedited", "0\n", "normal", True),
        ("RCU grace periods", "sys/kernel/rcu_expedited", "1\n", "expedited", False),
        ("NMI watchdog", "proc/sys/kernel/nmi_watchdog", "1\n", "on", True),
        ("timer migration", "proc/sys/kernel/timer_migration", "0\n", "off", False),
        ("NUMA balancing", "proc/sys/kernel/numa_balancing", "2\n", "on", True),
        ("load", "proc/loadavg", "0.49 0.40 0.15 2/104 18663\n", "0.49", False),
        ("load", "proc/loadavg", "0.68 0.40 0.15 2/104 18663\n", "0.68", True),
    ],
)
def test_knob_is_found_and_judged(
    *,
    name: str,
    file: str,
    text: str,
    found: str,
    disturbs: bool,
    tmp_path: Path,
) -> None:
    put(tmp_path, file, text)
    result = knob(tmp_path, name)
    assert (result.found, result.disturbs) == (found, disturbs)


def test_knob_this_host_does_not_have_disturbs_nothing(tmp_path: Path) -> None:
    absent = [knob for knob in survey(tmp_path) if knob.found is None]
    assert {knob.name for knob in absent} >= {"governor", "turbo", "SMT", "KSM"}
    assert not any(knob.disturbs for knob in absent)


def test_governor_that_is_right_on_one_cpu_only_disturbs_and_shows_both(tmp_path: Path) -> None:
    put(tmp_path, f"{CPU}/cpu0/cpufreq/scaling_governor", "performance\n")
    put(tmp_path, f"{CPU}/cpu1/cpufreq/scaling_governor", "powersave\n")
    result = knob(tmp_path, "governor")
    assert (result.found, result.disturbs) == ("performance, powersave", True)


def test_command_names_the_file_this_host_has(tmp_path: Path) -> None:
    put(tmp_path, f"{CPU}/cpufreq/boost", "1\n")
    assert knob(tmp_path, "turbo").command == f"echo 0 > /{CPU}/cpufreq/boost"
    put(tmp_path, f"{CPU}/intel_pstate/no_turbo", "0\n")
    assert knob(tmp_path, "turbo").command == f"echo 1 > /{CPU}/intel_pstate/no_turbo"


def test_each_knob_comes_once_and_says_what_it_does(tmp_path: Path) -> None:
    found = survey(tmp_path)
    assert len({knob.name for knob in found}) == len(found)
    assert all(knob.effect and knob.wanted for knob in found)


def test_virtual_machine_is_told_and_no_command_promises_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knobs, "virtualisation", lambda _root: virt.Virtualisation("kvm", "none"))
    result = knob(tmp_path, "virtualisation")
    assert (result.found, result.disturbs, result.command) == ("kvm", True, None)

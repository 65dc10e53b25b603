from pathlib import Path

import pytest

from isobench import knobs, virt
from isobench.knobs import SAFE, SETTINGS, Knob, recorded, survey

CPU = "sys/devices/system/cpu"
CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
ZSWAP = "sys/module/zswap/parameters/enabled"
THP = "sys/kernel/mm/transparent_hugepage"
NO_SWAP = "Filename\tType\tSize\tUsed\tPriority\n"


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
        (
            "energy preference",
            f"{CPU}/cpu0/cpufreq/energy_performance_preference",
            "balance_power\n",
            "balance_power",
            True,
        ),
        ("clock source", CLOCK, "tsc\n", "tsc", False),
        ("clock source", CLOCK, "hpet\n", "hpet", True),
        ("KSM", "sys/kernel/mm/ksm/run", "2\n", "off", False),
        ("overcommit", "proc/sys/vm/overcommit_memory", "0\n", "heuristic", False),
        ("overcommit", "proc/sys/vm/overcommit_memory", "2\n", "never", True),
        ("RCU never expedited", "sys/kernel/rcu_normal", "1\n", "on", True),
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


@pytest.mark.parametrize(
    ("swaps", "disturbs"), [(NO_SWAP, False), (f"{NO_SWAP}/dev/vdb partition 1 0 -2\n", True)]
)
def test_zswap_disturbs_only_where_there_is_swap(*, swaps: str, disturbs: bool, tmp_path: Path) -> None:
    put(tmp_path, ZSWAP, "Y\n")
    put(tmp_path, "proc/swaps", swaps)
    result = knob(tmp_path, "zswap")
    assert (result.found, result.disturbs) == ("on", disturbs)


@pytest.mark.parametrize(
    ("enabled", "disturbs"), [("always madvise [never]\n", False), ("always [madvise] never\n", True)]
)
def test_compaction_disturbs_only_where_there_are_huge_pages(
    *, enabled: str, disturbs: bool, tmp_path: Path
) -> None:
    put(tmp_path, f"{THP}/enabled", enabled)
    put(tmp_path, f"{THP}/khugepaged/defrag", "1\n")
    assert knob(tmp_path, "khugepaged compaction").disturbs is disturbs


def test_every_setting_is_either_set_by_tune_or_says_why_it_is_left_to_the_user() -> None:
    assert all((setting.sets is None) != (setting.left is None) for setting in SETTINGS)


def test_what_tune_writes_is_what_is_wanted_on_the_host() -> None:
    assert {
        setting.name for setting in SAFE if not setting.fits(setting.parse(_shown(setting.sets or "")))
    } == set()


def _shown(written: str) -> str:
    """As the kernel shows it: a choice among others in brackets, all else as it is."""
    return f"always [{written}] never" if written == "madvise" else written


def test_knobs_of_a_record_are_judged_as_on_the_host_itself(tmp_path: Path) -> None:
    put(tmp_path, f"{THP}/enabled", "[always] madvise never\n")
    put(tmp_path, "sys/kernel/mm/ksm/run", "0\n")
    put(tmp_path, "proc/swaps", NO_SWAP)
    put(tmp_path, ZSWAP, "Y\n")
    found = {knob.name: knob.found for knob in survey(tmp_path)}
    assert [knob.name for knob in recorded(found) if knob.disturbs] == ["transparent huge pages"]

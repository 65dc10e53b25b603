"""`--tune` on a host that is a directory: what is set, what is put back, and what is left to its owner."""

import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isobench import tuning
from isobench.errors import HostUnfitError
from isobench.journal import TunedSetting

RCU = "sys/kernel/rcu_expedited"
THP = "sys/kernel/mm/transparent_hugepage/enabled"
KSM = "sys/kernel/mm/ksm/run"
GOVERNOR = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
ENERGY = "sys/devices/system/cpu/cpu{}/cpufreq/energy_performance_preference"
KILLED = "a run that was killed had tuned this host"
BOOT = "proc/sys/kernel/random/boot_id"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host that is as busy with itself as it can be."""
    put(tmp_path, BOOT, "507978d8-e671\n")
    put(tmp_path, RCU, "0\n")
    put(tmp_path, KSM, "1\n")
    return tmp_path


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("isobench"), "propagate", True)
    caplog.set_level(logging.INFO, "isobench.tuning")
    return caplog


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def text(root: Path, name: str) -> str:
    return (root / name).read_text()


def warnings(said: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in said.records if record.levelno >= logging.WARNING]


def killed(root: Path) -> None:
    """A tuned run that is killed while it goes on."""
    if (child := os.fork()) == 0:
        with tuning.settings(root, tune=True):
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def refusing(*names: str) -> Callable[[Path, str], str | None]:
    """A host that refuses to have these files written."""
    write = tuning._write

    def refuse(path: Path, text: str) -> str | None:
        return "Read-only file system" if str(path).endswith(names) else write(path, text)

    return refuse


def test_settings_are_set_while_the_run_goes_on_and_their_bytes_are_back_at_its_end(root: Path) -> None:
    with tuning.settings(root, tune=True) as tuned:
        assert (text(root, RCU), text(root, KSM)) == ("1", "0")
    assert (text(root, RCU), text(root, KSM)) == ("0\n", "1\n")
    assert tuned is not None
    assert tuned.settings == (
        TunedSetting("KSM", "/sys/kernel/mm/ksm/run", "1", "0"),
        TunedSetting("RCU grace periods", "/sys/kernel/rcu_expedited", "0", "1"),
    )


def test_run_that_is_not_to_be_tuned_changes_nothing(root: Path) -> None:
    with tuning.settings(root, tune=False) as tuned:
        assert (text(root, RCU), text(root, KSM)) == ("0\n", "1\n")
    assert tuned is None
    assert not (root / "run").exists()


def test_setting_that_is_as_wanted_is_not_touched(root: Path) -> None:
    put(root, RCU, "7\n")
    put(root, KSM, "2\n")
    with tuning.settings(root, tune=True) as tuned:
        assert (text(root, RCU), text(root, KSM)) == ("7\n", "2\n")
    assert tuned is not None
    assert tuned.settings == ()


def test_choice_is_put_back_as_the_word_that_was_chosen(root: Path) -> None:
    put(root, THP, "[always] madvise never\n")
    with tuning.settings(root, tune=True):
        written = text(root, THP)
        put(root, THP, "always [madvise] never\n")  # as the kernel shows what was written
    assert written == "madvise"
    assert text(root, THP) == "always"


def test_every_cpu_gets_back_its_own_governor_and_its_energy_preference_after_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cpu, governor in enumerate(("powersave\n", "schedutil\n", "performance\n")):
        put(root, GOVERNOR.format(cpu), governor)
        put(root, ENERGY.format(cpu), "balance_power\n")
    written: list[str] = []
    write = tuning._write

    def note(path: Path, text: str) -> str | None:
        written.append(path.name)
        return write(path, text)

    monkeypatch.setattr(tuning, "_write", note)

    with tuning.settings(root, tune=True):
        assert {text(root, GOVERNOR.format(cpu)).strip() for cpu in range(3)} == {"performance"}
        written.clear()

    assert [text(root, GOVERNOR.format(cpu)) for cpu in range(3)] == [
        "powersave\n",
        "schedutil\n",
        "performance\n",
    ]
    assert text(root, ENERGY.format(1)) == "balance_power\n"
    assert [name for name in written if name.startswith(("scaling", "energy"))] == [
        *("scaling_governor",) * 2,
        *("energy_performance_preference",) * 3,
    ]


def test_exception_in_the_run_puts_the_settings_back(root: Path) -> None:
    with pytest.raises(ZeroDivisionError), tuning.settings(root, tune=True):
        raise ZeroDivisionError
    assert text(root, RCU) == "0\n"
    assert not (root / tuning.STATE).exists()


def test_what_was_found_is_on_disk_before_the_first_change(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def look(path: Path, _text: str) -> str | None:
        seen.append(json.loads((root / tuning.STATE).read_text()))
        path.write_text("1")
        return None

    monkeypatch.setattr(tuning, "_write", look)
    with tuning.settings(root, tune=True):
        assert [(change["file"], change["before"]) for change in seen[0]["changes"]] == [
            ("/sys/kernel/mm/ksm/run", "1\n"),
            ("/sys/kernel/rcu_expedited", "0\n"),
        ]


@pytest.mark.parametrize("tune", [True, False])
def test_next_run_puts_back_what_a_killed_one_left_before_it_begins_and_says_so(
    *, tune: bool, root: Path, said: pytest.LogCaptureFixture
) -> None:
    killed(root)
    assert text(root, RCU) == "1"

    with tuning.settings(root, tune=tune):
        assert text(root, RCU) == ("1" if tune else "0\n")

    assert (text(root, RCU), text(root, KSM)) == ("0\n", "1\n")
    assert warnings(said) == [
        f"{KILLED}; put back: RCU grace periods: /sys/kernel/rcu_expedited from 1 to 0",
        f"{KILLED}; put back: KSM: /sys/kernel/mm/ksm/run from 0 to 1",
    ]
    assert not (root / tuning.STATE).exists()


def test_setting_changed_by_somebody_else_during_the_run_is_left_and_told(
    root: Path, said: pytest.LogCaptureFixture
) -> None:
    with tuning.settings(root, tune=True) as tuned:
        put(root, KSM, "2\n")
        assert tuned is not None
        ends = {one.knob: (one.during, one.end) for one in tuned.now()}
    assert ends == {"KSM": ("0", "2"), "RCU grace periods": ("1", "1")}
    assert (text(root, KSM), text(root, RCU)) == ("2\n", "0\n")
    (warning,) = warnings(said)
    assert warning == (
        "tune: KSM: /sys/kernel/mm/ksm/run is left at 2: a run set it from 1 to 0, "
        "and somebody else has changed it since"
    )


def test_setting_that_somebody_has_put_back_already_is_nothing_to_tell(
    root: Path, said: pytest.LogCaptureFixture
) -> None:
    killed(root)
    put(root, RCU, "0\n")
    put(root, KSM, "1\n")
    tuning.recover(root)
    assert warnings(said) == []


def test_setting_that_vanishes_is_told_and_the_others_are_put_back(
    root: Path, said: pytest.LogCaptureFixture
) -> None:
    with tuning.settings(root, tune=True):
        (root / KSM).unlink()
    assert text(root, RCU) == "0\n"
    assert not (root / KSM).exists()
    assert warnings(said) == ["tune: KSM: /sys/kernel/mm/ksm/run is not there any more"]


def test_settings_of_an_earlier_boot_are_those_of_this_boot_and_left_alone(
    root: Path, said: pytest.LogCaptureFixture
) -> None:
    killed(root)
    put(root, BOOT, "another\n")
    tuning.recover(root)
    assert text(root, RCU) == "1"  # as somebody's sysctl.d wants it, for all we know
    assert warnings(said) == []
    assert not (root / tuning.STATE).exists()


def test_write_that_is_refused_is_told_and_the_run_goes_on_with_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tuning, "_write", refusing("ksm/run"))
    with tuning.settings(root, tune=True) as tuned:
        assert (text(root, RCU), text(root, KSM)) == ("1", "1\n")
    assert tuned is not None
    assert [(one.during, one.refused) for one in tuned.settings] == [
        ("1", "Read-only file system"),
        ("1", None),
    ]
    assert warnings(said) == ["tune: KSM stays 1: /sys/kernel/mm/ksm/run: Read-only file system"]
    assert text(root, RCU) == "0\n"


def test_kernel_that_takes_a_value_and_ignores_it_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "ignores").symlink_to("/dev/null")
    assert tuning._write(tmp_path / "ignores", "1") == "it says  after 1 was written"


def test_host_on_which_nothing_can_be_set_is_refused_with_a_remedy_and_left_as_it_was(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_write", refusing("ksm/run", "rcu_expedited"))
    said = "none of the settings could be changed"
    with pytest.raises(HostUnfitError, match=said) as error, tuning.settings(root, tune=True):
        pytest.fail("the run must not begin")
    assert "leave out --tune" in str(error.value.remedy)
    assert not (root / tuning.STATE).exists()


def test_user_who_is_not_root_is_told_to_be_root_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostUnfitError, match="it takes root") as error, tuning.settings(root, tune=True):
        pytest.fail("the run must not begin")
    assert error.value.remedy == "sudo isobench run --tune"
    assert not (root / "run").exists()


def test_nobody_needs_to_be_root_where_there_is_nothing_to_set(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, RCU, "1\n")
    put(root, KSM, "0\n")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with tuning.settings(root, tune=True) as tuned:
        assert tuned is not None


def test_run_does_not_begin_on_settings_of_a_killed_one_that_cannot_be_put_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(root)
    monkeypatch.setattr(tuning, "_write", refusing("rcu_expedited"))
    with pytest.raises(HostUnfitError, match="not all can be put back: RCU grace periods") as error:
        tuning.recover(root)
    remedy = "echo 0 > /sys/kernel/rcu_expedited" if os.geteuid() == 0 else "sudo isobench clean"
    assert error.value.remedy == remedy
    assert text(root, KSM) == "1\n"
    assert [one.change.knob for one in tuning.leftovers(root)] == ["RCU grace periods"]


def test_state_file_that_cannot_be_understood_is_refused_with_a_remedy(root: Path) -> None:
    put(root, str(tuning.STATE), '{"v": 1, "changes": "x"}')
    with pytest.raises(HostUnfitError, match="cannot be understood") as error:
        tuning.recover(root)
    assert f"rm {root / tuning.STATE}" in str(error.value.remedy)


def test_state_file_of_another_user_is_not_believed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(root)
    if os.geteuid() == 0:
        os.chown(root / tuning.STATE, 1234, 1234)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(HostUnfitError, match="belongs to a user who can change none"):
        tuning.recover(root)
    assert text(root, RCU) == "1"


def test_no_room_for_the_state_file_means_no_change(root: Path) -> None:
    put(root, "run", "in the way")
    with pytest.raises(HostUnfitError, match="cannot be written there"), tuning.settings(root, tune=True):
        pytest.fail("the run must not begin")
    assert (text(root, RCU), text(root, KSM)) == ("0\n", "1\n")


def test_resumed_run_tells_what_its_first_part_found_and_what_is_new(root: Path) -> None:
    first = TunedSetting("KSM", "/sys/kernel/mm/ksm/run", "2", "0")
    with tuning.settings(root, tune=True, before=(first,)) as tuned:
        assert tuned is not None
        assert [(one.knob, one.before) for one in tuned.settings] == [
            ("KSM", "2"),
            ("RCU grace periods", "0"),
        ]

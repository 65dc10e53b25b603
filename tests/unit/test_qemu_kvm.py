import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isobench.isolators import kvm
from isobench.isolators.kvm import Verdict
from isobench.isolators.machine import Machine

BOOT = "5e1d0a52-8b0e-4a52-9a3c-0d7c3b6d9d11\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("qemu", "vmlinuz"):
        (tmp_path / name).write_text(name)
    return Machine(
        binary=str(tmp_path / "qemu"),
        accelerator="kvm",
        type="pc",
        cpus=2,
        memory_mib=128,
        kernel=tmp_path / "vmlinuz",
        initramfs=tmp_path / "image.cpio",
    )


class Trial:
    """Counts how often it was asked."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.calls = 0

    def __call__(self) -> Verdict:
        self.calls += 1
        return self.verdict


@pytest.mark.parametrize("verdict", [Verdict(works=True), Verdict(works=False, reason="it creeps")])
def test_verdict_is_remembered_and_the_trial_made_once(
    tmp_path: Path, machine: Machine, verdict: Verdict
) -> None:
    trial = Trial(verdict)
    found = [kvm.remembered(tmp_path / "cache", machine, trial) for _ in range(3)]
    assert found == [verdict] * 3
    assert trial.calls == 1


def test_refusal_that_is_forgotten_is_tried_again_and_success_is_kept(
    tmp_path: Path, machine: Machine
) -> None:
    creeping, working = Trial(Verdict(works=False, reason="it creeps")), Trial(Verdict(works=True))
    larger = replace(machine, memory_mib=256)
    kvm.remembered(tmp_path, machine, creeping)
    kvm.remembered(tmp_path, larger, working)

    kvm.forget_refusals(tmp_path)

    assert kvm.remembered(tmp_path, machine, working) == Verdict(works=True)
    kvm.remembered(tmp_path, larger, working)
    assert (creeping.calls, working.calls) == (1, 2)


def test_forgetting_where_nothing_is_remembered_is_no_error(tmp_path: Path) -> None:
    kvm.forget_refusals(tmp_path / "cache")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"works": true', b"\xff\xfe"])
def test_damaged_memory_means_another_trial(tmp_path: Path, machine: Machine, damage: bytes) -> None:
    trial = Trial(Verdict(works=True))
    kvm.remembered(tmp_path, machine, trial)
    (place,) = (tmp_path / "kvm").iterdir()
    place.write_bytes(damage)
    assert kvm.remembered(tmp_path, machine, trial) == Verdict(works=True)
    assert trial.calls == 2
    assert [path.name for path in (tmp_path / "kvm").iterdir()] == [place.name]


def test_key_stays_while_nothing_changes(machine: Machine) -> None:
    assert kvm.key(machine, BOOT) == kvm.key(machine, BOOT)


@pytest.mark.parametrize(
    "change",
    [
        lambda machine: replace(machine, type="q35"),
        lambda machine: replace(machine, memory_mib=256),
        lambda machine: replace(machine, initramfs=Path("/other.cpio")),
    ],
)
def test_key_is_another_for_another_machine(machine: Machine, change: Callable[[Machine], Machine]) -> None:
    assert kvm.key(change(machine), BOOT) != kvm.key(machine, BOOT)


def test_key_is_another_after_the_next_boot(machine: Machine) -> None:
    assert kvm.key(machine, "another boot") != kvm.key(machine, BOOT)


@pytest.mark.parametrize("name", ["qemu", "vmlinuz"])
def test_key_is_another_when_qemu_or_the_kernel_is_replaced(
    tmp_path: Path, machine: Machine, name: str
) -> None:
    before = kvm.key(machine, BOOT)
    os.utime(tmp_path / name, (1, 1))
    assert kvm.key(machine, BOOT) != before


def test_host_without_the_device_has_no_kvm(tmp_path: Path) -> None:
    assert kvm.absence(tmp_path / "kvm") == f"there is no {tmp_path / 'kvm'}"


def test_device_that_can_be_opened_is_worth_a_trial(tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    assert kvm.absence(tmp_path / "kvm") is None

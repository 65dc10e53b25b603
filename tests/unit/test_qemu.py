from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from isobench.errors import HostUnfitError, ToolError
from isobench.isolators import guestkernel, kvm
from isobench.isolators.cgroup.tree import NoCgroups
from isobench.isolators.contract import Site
from isobench.isolators.kvm import Verdict
from isobench.isolators.qemu import Qemu
from isobench.isolators.qmp import quit_machine, running_accelerator
from isobench.model import Bundle, CpuLimit, Limits, Readiness, Status

BZIMAGE = bytes(0x202) + b"HdrS" + bytes(64)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A host with a QEMU and a guest kernel that only look like it, and a KVM that is not there."""
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(kvm, "absence", lambda: "there is no /dev/kvm")
    for name in ("work", "rootfs/dev", "state/kernel"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "state/kernel/vmlinuz").write_bytes(BZIMAGE)
    (tmp_path / "qemu").write_text("#!/bin/sh\n")
    (tmp_path / "qemu").chmod(0o755)
    return Site(
        token="isobench-00000000",  # noqa: S106 - the name of a run
        work=tmp_path / "work",
        cache=tmp_path / "cache",
        agent=tmp_path / "rootfs/isoagent",
        rootfs=tmp_path / "rootfs",
        cgroups=NoCgroups("none", (), frozenset()),
    )


def qemu(site: Site, name: str = "qemu", **options: object) -> Qemu:
    return Qemu(name, Qemu.Options.model_validate({"binary": str(site.work.parent / "qemu"), **options}))


@pytest.mark.parametrize(
    "options",
    [
        {"accel": "xen"},
        {"cpus": 0},
        {"cpus": True},
        {"memory_mib": 1},
        {"machine": "pc,kernel=/etc/shadow"},
        {"colour": "red"},
    ],
)
def test_wrong_option_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Qemu.Options.model_validate(options)


def test_name_shown_says_that_it_is_emulated_and_why(site: Site) -> None:
    assert qemu(site).probe(site) == Readiness(
        Status.OK, "software emulation: there is no /dev/kvm", shown_as="qemu-tcg"
    )


def test_name_that_says_it_already_is_shown_as_it_is(site: Site) -> None:
    assert qemu(site, name="old-tcg", accel="tcg").probe(site).shown_as == "old-tcg"


def test_kvm_is_used_where_a_guest_booted_with_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "absence", lambda: None)
    monkeypatch.setattr(kvm, "try_boot", lambda *_: Verdict(works=True))
    assert qemu(site).probe(site) == Readiness(Status.OK, shown_as="qemu-kvm")
    with qemu(site).prepare(site, Bundle(("/isoagent", "ready"), site.rootfs)) as launch:
        assert launch.spawn is not None
        assert launch.spawn[launch.spawn.index("-accel") + 1] == "kvm"


def test_device_under_which_no_guest_boots_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "absence", lambda: None)
    monkeypatch.setattr(kvm, "try_boot", lambda *_: Verdict(works=False, reason="it creeps"))
    readiness = qemu(site).probe(site)
    assert (readiness.shown_as, readiness.reason) == ("qemu-tcg", "software emulation: it creeps")


def test_kvm_that_is_insisted_on_and_does_not_work_is_unavailable(site: Site) -> None:
    readiness = qemu(site, accel="kvm").probe(site)
    assert readiness.status is Status.UNAVAILABLE
    assert readiness.reason == "KVM does not work: there is no /dev/kvm"
    assert readiness.remedy is not None
    assert 'accel = "auto"' in readiness.remedy


def test_missing_qemu_is_unavailable_with_its_package(site: Site) -> None:
    readiness = Qemu("qemu", Qemu.Options(binary="qemu-system-none")).probe(site)
    assert readiness.status is Status.UNAVAILABLE
    assert readiness.remedy == "apt-get install qemu-system-x86"


def test_named_kernel_that_is_none_is_unavailable(site: Site) -> None:
    readiness = qemu(site, kernel="/etc/passwd").probe(site)
    assert readiness.status is Status.UNAVAILABLE
    assert "/etc/passwd is no bzImage" in str(readiness.reason)


def test_host_of_another_architecture_is_unsupported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert qemu(site).probe(site).status is Status.UNSUPPORTED


def test_tool_that_vanished_after_the_probe_fails_with_its_remedy(site: Site) -> None:
    isolator = qemu(site)
    assert isolator.probe(site).usable
    (site.work.parent / "qemu").unlink()
    with (
        pytest.raises(HostUnfitError, match="is not an executable file"),
        isolator.prepare(site, Bundle(("/x",), site.rootfs)),
    ):
        pass


def test_prepare_leaves_nothing_in_the_runs_directory(site: Site) -> None:
    for _ in range(2):
        with qemu(site).prepare(site, Bundle(("/isoagent", "ready"), site.rootfs), slots=2):
            assert len(list(site.work.iterdir())) == 1
        assert list(site.work.iterdir()) == []


def test_launch_without_a_limit_needs_no_cgroup(site: Site) -> None:
    with qemu(site).prepare(site, Bundle(("/isoagent", "ready"), site.rootfs)) as launch:
        assert launch.console
        assert (launch.cgroups, launch.late_writes) == ((), ())
        assert launch.host_argv == launch.spawn


def test_what_a_limit_covers_is_an_option_and_is_said(site: Site) -> None:
    assert "as a whole" in qemu(site).capabilities.covers
    assert "vCPU threads of the QEMU process alone" in qemu(site, limit="vcpus").capabilities.covers


def test_limit_without_cgroups_is_refused_with_the_remedy(site: Site) -> None:
    limits = Limits(CpuLimit(0.5))
    with (
        pytest.raises(HostUnfitError) as caught,
        qemu(site).prepare(site, Bundle(("/isoagent",), site.rootfs), limits),
    ):
        pass
    assert caught.value.remedy == "mount -t cgroup2 cgroup2 /sys/fs/cgroup"


def test_kernel_of_set_up_comes_before_the_hosts(site: Site, tmp_path: Path) -> None:
    (tmp_path / "vmlinuz-9.0").write_bytes(BZIMAGE)
    assert guestkernel.find(None, boot=tmp_path) == tmp_path / "state/kernel/vmlinuz"
    assert qemu(site).tools()[1] == str(tmp_path / "state/kernel/vmlinuz")


@pytest.mark.usefixtures("site")
def test_newest_kernel_of_the_host_is_taken_and_what_is_none_passed_over(tmp_path: Path) -> None:
    (tmp_path / "state/kernel/vmlinuz").unlink()
    for name, content in (("6.9.1", BZIMAGE), ("6.10.0", BZIMAGE), ("6.11.0-arm", b"MZ")):
        (tmp_path / f"vmlinuz-{name}").write_bytes(content)
    assert guestkernel.find(None, boot=tmp_path) == tmp_path / "vmlinuz-6.10.0"


@pytest.mark.usefixtures("site")
def test_host_without_any_kernel_is_told_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "state/kernel/vmlinuz").unlink()
    lack = guestkernel.find(None, boot=tmp_path)
    assert lack == Readiness(Status.UNAVAILABLE, "there is no kernel for the guest", "make setup")


@pytest.mark.parametrize("ask", [running_accelerator, quit_machine])
def test_monitor_that_nobody_answers_is_a_tool_error(ask: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="the QEMU monitor"):
        ask(tmp_path / "no-socket")

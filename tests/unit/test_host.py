import hashlib
import json
import platform
from pathlib import Path

import pytest

from isobench import host, virt
from isobench.errors import ToolError
from isobench.knobs import survey
from isobench.process import Completed

DATA = Path(__file__).parent / "data" / "host"


def test_fingerprint_of_this_host_is_json_and_has_what_decides_comparability() -> None:
    found = json.loads(json.dumps(host.fingerprint()))
    assert found["kernel"] == platform.release()
    assert found["memory_bytes"] > 2**20
    assert found["mounts"] > 0
    assert found["cpu"]["count"] >= found["cpu"]["usable"] >= 1
    assert set(found["load"]) == {"1min", "5min", "15min"}
    assert "transparent huge pages" in found["knobs"]
    assert "load" not in found["knobs"]


def test_fingerprint_on_a_kernel_that_tells_little_has_none_in_place_of_guesses(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("processor : 0\n")
    found = host.fingerprint(tmp_path)
    assert found["boot"] is None
    assert found["clocksource"] is None
    assert found["cfs_slice_us"] is None
    assert found["mitigations"] == {}


def test_fingerprint_reads_the_files_of_the_host(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": (DATA / "cpuinfo-x86-guest").read_text(),
        "proc/cgroups": (DATA / "cgroups").read_text(),
        "proc/sys/kernel/random/boot_id": "0f0e0d0c\n",
        "proc/sys/kernel/sched_cfs_bandwidth_slice_us": "5000\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "kvm-clock\n",
        "sys/devices/system/cpu/vulnerabilities/mds": "Mitigation: Clear CPU buffers; SMT disabled\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = host.fingerprint(tmp_path)
    assert found["clocksource"] == "kvm-clock"
    assert found["cfs_slice_us"] == 5000
    assert found["boot"] == host.boot_hash("0f0e0d0c")
    assert found["mitigations"] == {"mds": "Mitigation: Clear CPU buffers; SMT disabled"}
    assert isinstance(found["cpu"], dict)
    assert (found["cpu"]["model"], found["cpu"]["microcode"]) == ("AMD EPYC", "0x1000065")


def test_boot_hash_tells_boots_apart_and_hides_the_identifier() -> None:
    first, second = host.boot_hash("507978d8-e671"), host.boot_hash("507978d8-e672\n")
    assert first != second
    assert first == host.boot_hash("507978d8-e671\n")
    assert first is not None
    assert "507978d8" not in first
    assert host.boot_hash("") is None


def test_cpu_identity_is_the_first_processors_on_x86_and_on_arm() -> None:
    x86 = host.cpu_identity((DATA / "cpuinfo-x86-guest").read_text())
    assert (x86["processor"], x86["model name"]) == ("0", "AMD EPYC")
    arm = host.cpu_identity((DATA / "cpuinfo-aarch64").read_text())
    assert (arm["CPU implementer"], arm["CPU part"]) == ("0x41", "0xd0c")


def test_cgroup_count_is_that_of_the_fullest_hierarchy() -> None:
    rows = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t3\t1\nmemory\t4\t14\t1\n"
    assert host.cgroup_count(rows) == 14
    assert host.cgroup_count("") == 0


def test_tool_record_says_which_file_it_is(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho\necho tool 1.2\necho more\n")
    tool.chmod(0o755)
    assert host.tool_record(tool) == {
        "path": str(tool),
        "version": "tool 1.2",
        "sha256": hashlib.sha256(tool.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize(
    ("script", "version"),
    [("echo 'tool 3' >&2", "tool 3"), ("echo usage; exit 2", None), (":", None)],
    ids=["on standard error", "no such option", "silent"],
)
def test_version_is_what_the_tool_says_or_none(script: str, version: str | None, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    assert host.tool_record(tool)["version"] == version


def test_version_of_a_tool_that_hangs_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_args: object, **_options: object) -> Completed:
        raise ToolError("tool --version: killed after 10 s")

    monkeypatch.setattr(host, "run", hang)
    tool = tmp_path / "tool"
    tool.touch(0o755)
    assert host.tool_record(tool)["version"] is None


def test_file_that_is_no_program_is_recorded_without_a_version(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"a kernel")
    kernel.chmod(0o644)
    digest = hashlib.sha256(b"a kernel").hexdigest()
    assert host.tool_record(kernel) == {"path": str(kernel), "version": None, "sha256": digest}


def test_record_of_a_tool_that_is_absent_is_empty() -> None:
    assert host.tool_record("isobench-no-such-tool") == {"path": None, "version": None, "sha256": None}


X86_GUEST = "processor : 0\nflags\t\t: fpu rdrand hypervisor lahf_lm\n"
X86_BARE = "processor : 0\nflags\t\t: fpu rdrand lahf_lm\n"


@pytest.mark.parametrize(
    ("cpuinfo", "vendor", "kind"),
    [
        (X86_BARE, "Dell Inc.\n", "none"),
        (X86_BARE, "Amazon EC2\n", "none"),
        (X86_GUEST, "Amazon EC2\n", "amazon"),
        (X86_GUEST, "QEMU\n", "qemu"),
        (X86_GUEST, "", "unknown"),
    ],
)
def test_virtual_machine_is_told_by_the_processors_flag_and_named_by_its_vendor(
    cpuinfo: str, vendor: str, kind: str
) -> None:
    assert virt.by_hardware(cpuinfo, vendor) == kind


def test_without_systemd_the_hardware_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virt, "find_tool", lambda _name: None)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text((DATA / "cpuinfo-x86-guest").read_text())
    assert virt.virtualisation(tmp_path) == virt.Virtualisation("unknown", "unknown")


def test_survey_is_read_only(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "",
        "sys/kernel/mm/ksm/run": "1\n",
        "proc/sys/kernel/nmi_watchdog": "1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o444)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    survey(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

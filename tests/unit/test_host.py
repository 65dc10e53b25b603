import gzip
import hashlib
import json
import platform
from pathlib import Path

import pytest

from isobench import host, virt
from isobench.errors import ToolError
from isobench.knobs import survey
from isobench.process import Completed
from isobench.procfs import parse_mountinfo

DATA = Path(__file__).parent / "data" / "host"
MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
26 22 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,favordynmods
40 22 0:31 / /var rw,relatime - overlay overlay rw,lowerdir=/lower/1,upperdir=/upper/2,metacopy=on
41 22 0:32 / /var/lib rw,relatime - xfs /dev/vdb rw,attr2
42 22 0:33 / /var/lib rw,relatime - tmpfs tmpfs rw,size=1024k
"""


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
    assert found["hz"] is None
    assert found["numa_nodes"] is None
    assert found["dying_cgroups"] is None
    assert found["cgroup_mounts"] == {}
    assert found["pressure"] == dict.fromkeys(
        ("cpu_10s_percent", "memory_10s_percent", "io_10s_percent"), None
    )


def test_fingerprint_reads_the_files_of_the_host(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": (DATA / "cpuinfo-x86-guest").read_text(),
        "proc/cgroups": (DATA / "cgroups").read_text(),
        "proc/sys/kernel/random/boot_id": "0f0e0d0c\n",
        "proc/sys/kernel/sched_cfs_bandwidth_slice_us": "5000\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "kvm-clock\n",
        "sys/devices/system/cpu/vulnerabilities/mds": "Mitigation: Clear CPU buffers; SMT disabled\n",
        "sys/devices/system/node/online": "0-1\n",
        "sys/module/kvm/parameters/nx_huge_pages": "Y\n",
        "sys/kernel/mm/ksm/pages_sharing": "812\n",
        "proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda1 quiet\n",
        "proc/pressure/cpu": (DATA / "pressure-cpu").read_text(),
        "proc/self/mountinfo": MOUNTS,
        "sys/fs/cgroup/cgroup.stat": (DATA / "cgroup2.stat").read_text(),
        f"boot/config-{platform.release()}": (DATA / "kernel-config").read_text(),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = host.fingerprint(tmp_path)
    assert found["clocksource"] == "kvm-clock"
    assert found["cfs_slice_us"] == 5000
    assert (found["numa_nodes"], found["nx_huge_pages"], found["hz"]) == (2, "Y", 250)
    assert found["command_line"] == "BOOT_IMAGE=/vmlinuz root=/dev/vda1 quiet"
    assert (found["cgroups"], found["dying_cgroups"]) == (41, 3)
    assert found["cgroup_mounts"] == {"/sys/fs/cgroup": "cgroup2 rw,nsdelegate,favordynmods"}
    assert isinstance(found["pressure"], dict)
    assert found["pressure"]["cpu_10s_percent"] == 3.02
    assert isinstance(found["memory_now"], dict)
    assert found["memory_now"]["ksm_pages_sharing"] == 812
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


def test_ticks_a_second_are_those_of_the_running_kernels_own_configuration(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": "", f"boot/config-{platform.release()}": "CONFIG_HZ=1000\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert host.fingerprint(tmp_path)["hz"] == 1000
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress((DATA / "kernel-config").read_bytes()))
    assert host.fingerprint(tmp_path)["hz"] == 250


def test_arguments_of_the_first_process_are_no_part_of_the_kernels_command_line() -> None:
    assert host.kernel_parameters("quiet mitigations=off -- single token=x\n") == "quiet mitigations=off"
    assert host.kernel_parameters("") is None


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/home/x", "ext4 rw,errors=remount-ro"),
        ("/var/cache", "overlay rw,metacopy=on"),
        ("/var/lib/isobench", "tmpfs rw,size=1024k"),
        ("/variant", "ext4 rw,errors=remount-ro"),
    ],
)
def test_file_system_of_a_path_is_that_of_the_deepest_and_latest_mount(path: str, found: str) -> None:
    assert host.file_system(Path(path), parse_mountinfo(MOUNTS)) == found


@pytest.mark.parametrize(("text", "size"), [("0\n", 1), ("0-3\n", 4), ("0-1,8,10-11\n", 5), ("", 0)])
def test_size_of_a_range_counts_every_number(text: str, size: int) -> None:
    assert host.range_size(text.strip()) == size


def test_pressure_is_none_where_the_kernel_does_not_tell_it() -> None:
    assert host.pressure_10s("") is None
    assert host.pressure_10s("some avg10=12.50 avg60=1.00 avg300=0.00 total=9\n") == 12.5


def test_what_must_be_equal_is_told_key_by_key_and_what_a_host_does_at_the_moment_is_not_in_it() -> None:
    found = host.comparable(
        {"kernel": "6.1", "cpu": {"model": "x", "count": 2}, "load": {"1min": 3.0}, "boot": "a", "mounts": 9}
    )
    assert found == {"kernel": "6.1", "cpu.model": "x", "cpu.count": 2}


def test_memory_that_differs_by_what_a_boot_keeps_for_itself_is_the_same() -> None:
    sizes = (25276502016, 25276502016 + 3 * 4096, 25276502016 + (1 << 30))
    one, other, more = (host.comparable({"memory_bytes": size}) for size in sizes)
    assert one == other
    assert one != more


def test_every_key_that_must_be_equal_is_one_that_a_run_records() -> None:
    recorded = {*host.fingerprint(), "cgroup_mode", "work_file_system"}
    assert set(host.COMPARABLE) <= recorded


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

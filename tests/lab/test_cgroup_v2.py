"""A host with systemd and cgroup v2 alone: the isolators' own tests, and a run, inside a lab host."""

import json
import re

import pytest
from tests.lab.vm import LabHost

INTEGRATION = "tests/integration/"
STATE = """
find /sys/fs/cgroup -type d | sort
find /sys/fs/cgroup -name cgroup.subtree_control | sort | xargs grep .
cut -d' ' -f3- /proc/self/mountinfo | sort
ip link show; ip netns list; losetup --all; ls /run/lxc /run/runc /var/lib/lxc /dev/shm /isobench/state/run
"""
"""Tells what a run could leave behind or change."""

MATRIX = """
[run]
blocks = 1
benchmarks = ["startup", "memory", "memory-floor", "throttling", "teardown"]
[[isolator]]
kind = "cgroups"
[[isolator]]
kind = "lxc"
[[isolator]]
kind = "runc"
[startup]
starts = 3
[memory]
instances = [1, 2]
[memory-floor]
starts = 5
[throttling]
cpus = [0.5]
[teardown]
instances = 1
"""
CELLS = (
    *(
        "startup/{}/ready",
        "memory/{}/hold",
        "memory-floor/{}/hold",
        "throttling/{}/spin/cpus=0.5/period_us=100000",
    ),
    *("teardown/{}/hold/how=exit", "teardown/{}/hold/how=kill", "round-trip/{}/echo"),
)


def test_lab_host_has_systemd_apparmor_and_nothing_but_cgroup_v2(host: LabHost) -> None:
    done = host.run(
        "cat /proc/1/comm; stat -fc %T /sys/fs/cgroup; cat /sys/module/apparmor/parameters/enabled;"
        "cat /sys/fs/cgroup/cgroup.controllers"
    )
    init, file_system, apparmor, controllers = done.stdout.splitlines()
    assert (init, file_system, apparmor) == ("systemd", "cgroup2fs", "Y")
    assert {"cpu", "cpuset", "memory", "pids", "io"} <= set(controllers.split())


@pytest.mark.parametrize(
    "files",
    [
        "tests/lab/inside_cgroup_v2.py",
        f"{INTEGRATION}test_cgroup.py {INTEGRATION}test_cgroup2.py",
        f"{INTEGRATION}test_isolators.py",
        f"{INTEGRATION}test_uses.py",
        f"{INTEGRATION}test_throttling.py -k 'not qemu and not virtual'",
        # On a host with systemd all mounts are shared.
        f"{INTEGRATION}test_residue.py -k 'mount or network'",
    ],
    ids=["v2", "cgroups", "isolators", "uses", "throttling", "residue"],
)
def test_integration_tests_pass_on_a_cgroup_v2_host(host: LabHost, files: str) -> None:
    done = host.python(f"-m pytest -q -p no:cacheprovider -o timeout=600 {files}", timeout_s=1400)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    last = done.stdout.strip().splitlines()[-1]
    assert re.match(r"\d+ passed", last), last
    assert "skipped" not in last, last


def test_run_on_a_cgroup_v2_host_gives_every_cell_and_leaves_everything_as_it_was(host: LabHost) -> None:
    host.run(f"cat > /tmp/matrix.toml <<'END'\n{MATRIX}\nEND")
    before = host.run(STATE).stdout
    done = host.python("-m isobench run /tmp/matrix.toml --out /tmp/run --no-report --json", timeout_s=900)
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads(done.stdout)["cells"]
    states = {name: state["status"] for name, state in cells.items()}
    assert set(states.values()) == {"ok"}, states
    assert states.keys() >= {cell.format(kind) for cell in CELLS for kind in ("cgroups", "lxc", "runc")}
    assert json.loads(host.run("cat /tmp/run/run.json").stdout)["host"]["cgroup_mode"] == "v2"
    assert host.run(STATE).stdout == before
    assert before.count("cgroup.subtree_control:") > 1


def test_delegated_cgroup_of_an_ordinary_user_is_not_enough_and_the_reason_is_told(host: LabHost) -> None:
    """What systemd delegates is below the group of the unit; the groups of a run are below the root."""
    unit = "systemd-run --quiet --pipe --wait --uid=nobody -p Delegate=yes -E ISOBENCH_STATE=/tmp/of-nobody"
    done = host.run(f"{unit} python3 -m isobench doctor --json", timeout_s=120)
    assert done.returncode == 0, done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)["isolators"]}
    assert found["cgroups"]["status"] == "unavailable"
    assert found["cgroups"]["reason"] == "making groups in /sys/fs/cgroup is the superuser's right"
    assert found["cgroups"]["remedy"] == "sudo isobench run"

"""One matrix on two hosts by the playbooks, over ssh, and all that may go wrong with a host on the way.

The tests of this file share two machines and are one story: the power of one fails in the middle of its run.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_image import Image
from tests.lab.controller import Controller, Played, addresses, controller, played
from tests.lab.vm import Machine, fleet, free_port

from isobench.book import Book, Row
from isobench.remote import RESULT_FILES, file_sum
from isobench.reports.history_hosts import hosts
from isobench.reports.lake import open_lake
from isobench.reports.lake_read import reading

KINDS = ("bare", "chroot", "namespaces", "cgroups", "lxc", "runc")
MATRIX = """
[run]
blocks = 2
benchmarks = ["startup"]
audit = false
[startup]
starts = 4
[[isolator]]
kind = "qemu"
""" + "".join(f'[[isolator]]\nkind = "{kind}"\n' for kind in KINDS)
"""With one that these hosts lack: they have no QEMU."""
BATCH = "story"
PLACE = f"/var/lib/isobench/batches/{BATCH}-*"
SAMPLES, RECORD = f"{PLACE}/run/samples.jsonl", f"{PLACE}/run/run.json"
MID_RUN = f"until [ $(cat {SAMPLES} 2>/dev/null | wc -l) -ge 5 ]; do sleep 3; done; cat {RECORD}"
"""One command that waits there: to log in again and again would cost more than the run."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What a call came to that lost a host."""

    call: Played
    book: Book
    run_id: str
    """Of the run that was cut off."""


@pytest.fixture(scope="module")
def machines(lab_image: Image) -> Iterator[tuple[Machine, ...]]:
    with fleet(lab_image, "lab-1", "lab-2") as booted:
        yield booted


@pytest.fixture(scope="module")
def lab(lab_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    return controller(tmp_path_factory.mktemp("lab"), lab_image)


@pytest.fixture(scope="module")
def inventory(lab: Controller, machines: tuple[Machine, ...]) -> Path:
    return lab.inventory("hosts", addresses(machines))


@pytest.fixture(scope="module")
def matrix(lab: Controller) -> Path:
    return lab.matrix(BATCH, MATRIX)


@pytest.fixture(scope="module")
def interrupted(lab: Controller, inventory: Path, matrix: Path, machines: tuple[Machine, ...]) -> Interrupted:
    """The first call, on new hosts; the plug of the second is pulled in the middle of its run."""
    call = lab.begin("site.yml", inventory, matrix=matrix)
    try:
        seen = machines[1].host.run(MID_RUN, timeout_s=1200)
    finally:
        machines[1].pull_the_plug()
        first = played(call)
    return Interrupted(first, lab.book(BATCH), json.loads(seen.stdout)["run_id"])


@pytest.fixture(scope="module")
def completed(
    lab: Controller,
    inventory: Path,
    matrix: Path,
    machines: tuple[Machine, ...],
    interrupted: Interrupted,
) -> tuple[Played, Book]:
    """The same call again, when the second has power again."""
    assert interrupted.call.code != 0
    machines[1].start()
    machines[1].await_ssh()
    second = lab.play("site.yml", inventory, matrix=matrix, lake=lab.lake)
    return second, lab.book(BATCH)


def test_host_that_loses_power_is_a_row_with_its_reason_and_the_other_is_finished(
    lab: Controller, interrupted: Interrupted
) -> None:
    done, book = interrupted.call, interrupted.book
    assert set(book.hosts) == {"lab-1", "lab-2"}, done.output
    assert book.hosts["lab-1"].state == "ok", done.output
    lost = book.hosts["lab-2"]
    assert (lost.state, lost.stage, lost.complete) == ("unreachable", "run", False), done.output
    assert "the connection was lost in the middle of the run" in str(lost.reason)
    assert "was not back within 5 s" in str(lost.reason)
    assert done.code != 0
    assert "without a whole run: lab-2" in done.output
    page = (lab.results / BATCH / "report.html").read_text()
    assert "2 hosts side by side" in page
    assert "the connection was lost in the middle of the run" in page


def test_second_call_goes_on_with_the_run_that_was_cut_off_and_with_nothing_else(
    interrupted: Interrupted, completed: tuple[Played, Book], machines: tuple[Machine, ...]
) -> None:
    done, book = completed
    assert done.code == 0, done.output
    assert done.touched == {"localhost", "isobench_controller", "lab-2"}
    assert book.hosts["lab-1"] == interrupted.book.hosts["lab-1"]
    assert book.hosts["lab-2"].state == "ok", done.output
    assert book.hosts["lab-2"].run_id == interrupted.run_id
    attempt = machines[1].host.run(f"cat {PLACE}/attempt.json").stdout
    assert (json.loads(attempt)["number"], json.loads(attempt)["exit_code"]) == (2, 0)


@pytest.mark.parametrize("name", ["lab-1", "lab-2"])
def test_every_cell_of_every_host_is_here_as_it_is_there_and_what_it_lacks_is_told(
    lab: Controller, completed: tuple[Played, Book], machines: tuple[Machine, ...], name: str
) -> None:
    row = completed[1].hosts[name]
    assert row.cells == {"ok": len(KINDS), "unavailable": 1}
    ((lack, reason),) = [(one.isolator, one.reason) for one in row.lacks]
    assert (lack, "qemu-system-x86_64" in str(reason)) == ("qemu", True)
    folder = lab.results / BATCH / str(row.folder)
    assert json.loads((folder / "run.json").read_text())["host"]["cgroup_mode"] == "v2"
    host = next(machine for machine in machines if machine.name == name).host
    there = host.run(f"cd {PLACE}/run && sha256sum {' '.join(RESULT_FILES)}").stdout.split()
    assert dict(zip(there[1::2], there[::2], strict=True)) == {
        file: file_sum(folder / file).sha256 for file in RESULT_FILES
    }


def test_report_is_one_page_over_both_hosts(lab: Controller, completed: tuple[Played, Book]) -> None:
    page = (lab.results / BATCH / "report.html").read_text()
    assert {"lab-1", "lab-2"} <= {name for name in completed[1].hosts if name in page}
    assert "2 runs" in page
    assert "of 2 builds" not in page  # they are alike in all but their names


def test_second_provision_changes_nothing(
    lab: Controller, inventory: Path, completed: tuple[Played, Book]
) -> None:
    assert completed[0].code == 0
    done = lab.play("provision.yml", inventory)
    assert done.code == 0, done.output
    assert {host: counts["changed"] for host, counts in done.recap.items()} == {"lab-1": 0, "lab-2": 0}


def test_call_with_nothing_missing_asks_no_host(
    lab: Controller, inventory: Path, matrix: Path, completed: tuple[Played, Book]
) -> None:
    done = lab.play("site.yml", inventory, matrix=matrix, lake=lab.lake)
    assert done.code == 0, done.output
    assert done.touched == {"localhost", "isobench_controller"}
    assert lab.book(BATCH) == completed[1]


def test_lake_has_the_run_of_each_host_once_after_two_calls(
    lab: Controller, completed: tuple[Played, Book]
) -> None:
    assert "2 runs: 2 added" in completed[0].output
    with reading(open_lake(str(lab.lake))) as reader:
        assert {host.hostname: host.runs for host in hosts(reader)} == {"lab-1": 1, "lab-2": 1}


def test_run_cut_short_here_is_fetched_again_and_one_under_two_names_is_counted_once(
    lab: Controller, machines: tuple[Machine, ...], completed: tuple[Played, Book]
) -> None:
    before = completed[1].hosts
    samples = lab.results / BATCH / str(before["lab-1"].folder) / "samples.jsonl"
    whole = samples.read_bytes()
    samples.write_bytes(whole[: len(whole) // 2])
    known = addresses(machines)
    inventory = lab.inventory("twin", {**known, "twin": known["lab-2"]})
    done = lab.play("fetch.yml", inventory, batch=BATCH, only="lab-1,twin")
    rows = lab.book(BATCH).hosts
    assert samples.read_bytes() == whole, done.output
    assert (rows["lab-1"].state, rows["lab-1"].files) == ("ok", before["lab-1"].files)
    assert rows["lab-2"] == before["lab-2"]
    assert (rows["twin"].state, rows["twin"].folder) == ("failed", None)
    assert "is that of lab-2 already" in str(rows["twin"].reason), done.output
    assert "take twin or lab-2 out of the inventory" in str(rows["twin"].remedy)
    assert done.code != 0


@pytest.fixture
def unfit(machines: tuple[Machine, ...], completed: tuple[Played, Book]) -> Iterator[None]:
    """One host without python3; the other with a full disk and a clock that is an hour fast."""
    assert completed[0].code == 0
    one, two = (machine.host for machine in machines)
    two.run("mv /usr/bin/python3 /usr/bin/python3-away")
    one.run("fallocate -l $(($(df -Pk / | awk 'NR==2 {print $4}') - 200000))KiB /full; date --set '+1 hour'")
    yield
    one.run("rm /full; date --set '-1 hour'")
    two.run("mv /usr/bin/python3-away /usr/bin/python3")


@pytest.mark.usefixtures("unfit")
def test_every_host_that_is_not_fit_has_a_row_that_says_what_is_wrong_with_it(
    lab: Controller, matrix: Path, machines: tuple[Machine, ...]
) -> None:
    one, two = addresses(machines).values()
    stranger = lab.directory / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    unfit_hosts: dict[str, dict[str, object]] = {
        "switched-off": {"ansible_port": free_port()},
        # Under another name: a connection that is open to the same one is used again, whatever the key.
        "wrong-key": {**one, "ansible_host": "localhost", "ansible_ssh_private_key_file": str(stranger)},
        "no-python": two,
        "full": one,
        "fast": {**one, "isobench_host_disk_mb": 100},
    }
    done = lab.play("site.yml", lab.inventory("unfit", unfit_hosts), matrix=matrix, batch="unfit")
    assert done.code != 0
    rows = lab.book("unfit").hosts
    assert told(rows) == {
        "switched-off": ("unreachable", "contact"),
        "wrong-key": ("unreachable", "contact"),
        "no-python": ("failed", "provision"),
        "full": ("failed", "provision"),
        "fast": ("failed", "provision"),
    }, done.output
    assert "Connection refused" in str(rows["switched-off"].reason)
    assert "Permission denied" in str(rows["wrong-key"].reason)
    assert "it has no python3 (Debian" in str(rows["no-python"].reason)
    assert rows["no-python"].remedy == "apt-get install python3, or dnf install python3"
    assert "MB are free in /" in str(rows["full"].reason)
    assert "500 MB are needed" in str(rows["full"].reason)
    assert "ahead of that of the controller" in str(rows["fast"].reason)
    assert abs((rows["fast"].clock_offset_s or 0) - 3600) < 60
    assert all(row.remedy for row in rows.values() if row.state == "failed")


def told(rows: Mapping[str, Row]) -> dict[str, tuple[str, str | None]]:
    return {host: (row.state, row.stage) for host, row in rows.items()}


def test_plan_tells_what_is_left_and_asks_no_host(
    lab: Controller, inventory: Path, matrix: Path, completed: tuple[Played, Book]
) -> None:
    before = lab.book(BATCH)
    done = lab.play("site.yml", inventory, matrix=matrix, plan="true")
    assert done.code == 0, done.output
    assert "0 of 2 hosts to do" in done.output
    assert f"complete: {completed[1].hosts['lab-1'].run_id}" in done.output
    assert lab.book(BATCH) == before


@pytest.fixture
def foreign(machines: tuple[Machine, ...], completed: tuple[Played, Book]) -> Iterator[None]:
    """One host says that it is of another distribution."""
    assert completed[0].code == 0
    host = machines[0].host
    host.run("printf 'ID=arch\\nPRETTY_NAME=Arch\\n' > /foreign && mount --bind /foreign /etc/os-release")
    yield
    host.run("umount /etc/os-release")


@pytest.mark.usefixtures("foreign")
def test_other_distribution_is_refused_by_provisioning_and_by_nothing_else(
    lab: Controller, matrix: Path, machines: tuple[Machine, ...]
) -> None:
    inventory = lab.inventory("foreign", addresses(machines[:1]))
    done = lab.play("site.yml", inventory, matrix=matrix, batch="foreign")
    row = lab.book("foreign").hosts["lab-1"]
    assert (row.state, row.stage) == ("failed", "provision"), done.output
    assert "Arch is not supported" in str(row.reason)
    assert "call ansible/bench.yml and ansible/fetch.yml in place of this" in str(row.remedy)
    done = lab.play("fetch.yml", inventory, batch="foreign")
    row = lab.book("foreign").hosts["lab-1"]
    assert (row.stage, row.reason) == ("run", "there is no run of this batch on it"), done.output


SWAPPINESS = "/proc/sys/vm/swappiness"


@dataclass(frozen=True, slots=True)
class Kept:
    """A host that is set for good, and measured by a user other than root."""

    call: Played
    inventory: Path
    before: str
    """What its setting was."""


@pytest.fixture(scope="module")
def kept(lab: Controller, machines: tuple[Machine, ...], completed: tuple[Played, Book]) -> Kept:
    assert completed[0].code == 0
    before = machines[0].host.run(f"cat {SWAPPINESS}").stdout
    variables = {"isobench_host_user": "measurer", "isobench_host_settings": {SWAPPINESS: "17"}}
    inventory = lab.inventory("kept", {"lab-1": {**addresses(machines)["lab-1"], **variables}})
    text = """[run]\nblocks = 1\nbenchmarks = ["startup"]\naudit = false\n[startup]\nstarts = 4\n"""
    matrix = lab.matrix("plain", text + """[[isolator]]\nkind = "bare"\n""")
    return Kept(lab.play("site.yml", inventory, matrix=matrix), inventory, before)


def test_user_other_than_root_measures_and_owns_its_run_and_nothing_that_root_starts(
    lab: Controller, machines: tuple[Machine, ...], kept: Kept
) -> None:
    row = lab.book("plain").hosts["lab-1"]
    assert (row.state, row.cells) == ("ok", {"ok": 1}), kept.call.output
    owned = machines[0].host.run(
        "cd /var/lib/isobench && stat -c %U batches/plain-*/run/run.json . isobench builds"
    )
    assert owned.stdout.split() == ["measurer", "root", "root", "root"]


def test_setting_is_in_force_again_after_a_change_and_put_back_by_reset_which_does_it_once(
    lab: Controller, machines: tuple[Machine, ...], kept: Kept
) -> None:
    host = machines[0].host
    assert host.run(f"cat {SWAPPINESS}; echo 23 > {SWAPPINESS}").stdout == "17\n", kept.call.output
    done = lab.play("provision.yml", kept.inventory, "--tags", "settings")
    assert host.run(f"cat {SWAPPINESS}").stdout == "17\n", done.output
    done = lab.play("reset.yml", kept.inventory)
    assert done.code == 0, done.output
    assert host.run(f"cat {SWAPPINESS}").stdout == kept.before != "17\n", done.output
    assert host.run("getent passwd measurer; ls /var/lib/isobench").stdout == "batches\n", "results stay"
    done = lab.play("reset.yml", kept.inventory)
    assert (done.code, done.recap["lab-1"]["changed"]) == (0, 0), done.output

"""The playbooks of ansible/, called for hosts that are this one or none."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.conftest import synthetic_run
from tests.unit.test_ansible import ANSIBLE, play
from tests.unit.test_batch import MATRIX, sent
from tests.unit.test_remote import ON_A_FAKE_HOST

from isobench import batch
from isobench.book import Book, read_book

CLOSED = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
"""What an inventory says of a host that is switched off: nobody listens on port 1."""

MEASURES = f"""
import os, signal, sys
from pathlib import Path
from isobench import remote
from isobench.journal_writer import Journal

state = Path(sys.argv[1])
remote.go.__kwdefaults__["isobench"] = (sys.executable, *sys.argv[:2])
remote._BOOT_ID = state / "boot_id"

def reboot(*_):
    (state / "reboots").unlink()
    (state / "boot_id").write_text("the second")
    os.kill(os.getpid(), signal.SIGKILL)

if (state / "reboots").exists():
    Journal.pair_done = reboot
{ON_A_FAKE_HOST}"""
"""An isobench of a host that measures something made up."""
BUSY = "import sys; print('error: a run is going on', file=sys.stderr); sys.exit(sys.argv[1:] == ['clean'])"
"""An isobench of a host that measures; it refuses to clean up."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A controller with a folder of its own."""

    directory: Path

    @property
    def book(self) -> Book:
        return read_book(self.directory / "results" / "monday")

    def matrix(self) -> Path:
        file = self.directory / "monday.toml"
        file.write_text(MATRIX)
        return file

    def call(
        self, playbook: str, hosts: Mapping[str, Mapping[str, object]], *words: str
    ) -> "CompletedProcess[str]":
        """Call a playbook; hosts are this one, unless their variables say another thing."""
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = self.directory / "hosts.yml"
        known = {name: here | {**variables} for name, variables in hosts.items()}
        inventory.write_text(json.dumps({"all": {"hosts": known}}))
        folder = ("-e", f"matrix={self.matrix()}", "-e", f"results={self.directory}/results")
        return play(self.directory / "home", "-i", inventory, ANSIBLE / playbook, *folder, *words)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_distribution_that_is_not_known_is_refused_with_the_way_to_measure_there(
    lab: Lab,
) -> None:
    foreign = {"any_python": sys.executable, "id": "arch", "like": "", "name": "Arch Linux", "offset": "0"}
    done = lab.call("site.yml", {"lab-a": {}}, "-e", json.dumps({"isobench_host_contact": foreign}))
    row = lab.book.hosts["lab-a"]
    assert (row.state, row.stage) == ("failed", "provision"), done.stdout
    assert str(row.reason).startswith("Arch Linux is not supported: it is neither")
    assert "isobench_run_command: [" in str(row.remedy)
    assert "ansible/bench.yml and ansible/fetch.yml" in str(row.remedy)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"isobench_run_command": [sys.executable, "-c", BUSY]}, "a run is going on"),
        ({}, "whether a run goes on cannot be asked"),
    ],
    ids=["asked", "unknown"],
)
def test_reset_of_a_host_with_a_checkout_takes_nothing_from_a_run_that_goes_on(
    lab: Lab, variables: dict[str, object], why: str
) -> None:
    state = lab.directory / "state"
    (state / "run").mkdir(parents=True)
    host = {"isobench_host_checkout": True, "isobench_host_state_dir": str(state), **variables}
    done = lab.call("reset.yml", {"lab-a": host})
    assert done.returncode != 0
    assert why in done.stdout + done.stderr
    assert (state / "run").exists()


def test_report_and_lake_that_cannot_be_written_are_told_besides_the_hosts_without_a_run(
    lab: Lab, tmp_path: Path
) -> None:
    folder = lab.directory / "results" / "monday"
    batch.open_batch(folder, lab.matrix())
    batch.take(folder, "lab-a", *sent(synthetic_run(), tmp_path / "incoming"))
    (folder / "report.html").mkdir()
    (tmp_path / "file").touch()
    done = lab.call("site.yml", {"lab-a": {}, "lab-b": CLOSED}, "-e", f"lake={tmp_path}/file")
    assert done.returncode != 0
    told = "without a whole run: lab-b.*no report: error: .*not in the lake: error: "
    assert re.search(told, done.stdout, re.DOTALL), done.stdout
    assert (lab.book.hosts["lab-a"].complete, lab.book.hosts["lab-b"].state) == (True, "unreachable")
    assert "report: none" in done.stdout


@pytest.fixture
def near(tmp_path: Path) -> dict[str, object]:
    """What an inventory says of a host that is this one and measures."""
    program, state = tmp_path / "measures.py", tmp_path / "state"
    program.write_text(MEASURES)
    state.mkdir()
    (state / "boot_id").write_text("the first")
    command = [sys.executable, str(program), str(state)]
    return {"isobench_host_state_dir": str(state), "isobench_run_command": command}


@pytest.mark.timeout(400)  # some fifty tasks of Ansible, each a process or two
def test_run_that_a_reboot_has_ended_unseen_is_resumed_at_once_and_to_do_until_it_is_fetched(
    lab: Lab, near: dict[str, object]
) -> None:
    state = lab.directory / "state"
    (state / "reboots").touch()
    done = lab.call("bench.yml", {"lab-a": near})
    row = lab.book.hosts["lab-a"]
    assert done.returncode == 0, done.stdout
    assert (row.state, row.stage, row.complete) == ("to do", None, False)
    assert row.reason == "its run is complete there, and has not been fetched"
    assert "ansible/fetch.yml" in str(row.remedy)
    (attempt,) = state.glob("batches/*/attempt.json")
    assert json.loads(attempt.read_text())["number"] == 2
    done = lab.call("fetch.yml", {"lab-a": near})
    assert done.returncode == 0, done.stdout
    assert (lab.book.hosts["lab-a"].state, lab.book.hosts["lab-a"].complete) == ("ok", True)


@pytest.mark.parametrize("playbook", ["bench.yml", "site.yml", "fetch.yml"])
def test_check_is_a_plan_and_writes_nothing(lab: Lab, playbook: str) -> None:
    done = lab.call(playbook, {"lab-a": CLOSED}, "--check")
    assert done.returncode == 0, done.stdout
    assert "1 of 1 hosts to do" in done.stdout
    assert not (lab.directory / "results").exists()


def test_host_with_a_variable_that_is_no_number_is_a_row_and_so_are_the_others(lab: Lab) -> None:
    done = lab.call("site.yml", {"lab-a": {"isobench_host_disk_mb": "2 GB"}, "lab-b": CLOSED})
    rows = lab.book.hosts
    assert (rows["lab-a"].state, rows["lab-a"].stage) == ("failed", "contact"), done.stdout
    assert "isobench_host_disk_mb" in str(rows["lab-a"].reason)
    assert (rows["lab-b"].state, rows["lab-b"].stage) == ("unreachable", "contact")
    assert "without a whole run: lab-a, lab-b" in done.stdout

"""The controller of a lab: an inventory of booted machines, and the playbooks called as people call them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_image import Image
from tests.lab.vm import NO_QUESTIONS, PROJECT, Machine

from isobench.book import Book, read_book
from isobench.state import state_dir

_KEPT_S = 86_400.0
"""How long an archive for hosts is kept: any change of a source makes another one."""
_PLAY_S = 1200.0
_RECAP = re.compile(r"^(\S+) +: (ok=.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one call."""

    code: int
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Host → what Ansible counts: ok, changed, unreachable, failed …"""
        return {
            host: {word.partition("=")[0]: int(word.partition("=")[2]) for word in counts.split()}
            for host, counts in _RECAP.findall(self.output)
        }

    @property
    def touched(self) -> set[str]:
        """The hosts that anything was done on; Ansible counts others too, with all that it skipped."""
        return {
            host
            for host, counts in self.recap.items()
            if any(counts[key] for key in ("ok", "failed", "unreachable"))
        }


@dataclass(frozen=True, slots=True)
class Controller:
    """One with a folder of its own."""

    directory: Path
    key: Path
    """That the hosts are opened with."""

    @property
    def results(self) -> Path:
        """Where batches go."""
        return self.directory / "results"

    @property
    def lake(self) -> Path:
        """Where fetched runs go too, if a call says so."""
        return self.directory / "lake"

    def book(self, batch: str) -> Book:
        """What is written down of a batch."""
        return read_book(self.results / batch)

    def matrix(self, name: str, text: str) -> Path:
        """A matrix in a file."""
        file = self.directory / f"{name}.toml"
        file.write_text(text)
        return file

    def inventory(self, name: str, hosts: Mapping[str, Mapping[str, object]]) -> Path:
        """A file with these hosts; they have no network, and all of what isolators start."""
        options = " ".join(f"-o {option}" for option in NO_QUESTIONS)
        common = {
            "ansible_host": "127.0.0.1",
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-F none {options}",
            "isobench_host_offline": True,
            "isobench_host_packages": ["runc", "lxc"],
            "isobench_host_wheelhouse": str(_wheelhouse()),
            "isobench_run_away_s": 5,
        }
        file = self.directory / f"{name}.yml"
        file.write_text(json.dumps({"all": {"vars": common, "hosts": hosts}}))  # which is YAML too
        return file

    def begin(self, playbook: str, inventory: Path, *more: str, **extra: object) -> "subprocess.Popen[str]":
        """Call a playbook and do not wait; :func:`played` does."""
        words = [word for name, value in extra.items() for word in ("-e", f"{name}={value}")]
        command = Path(sys.executable).with_name("ansible-playbook")
        argv = [str(command), "-i", str(inventory), str(PROJECT / "ansible" / playbook), *words]
        argv += ["-e", f"results={self.results}", *more]
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
                "ANSIBLE_HOME": str(self.directory / "home"),
            },
        )

    def play(self, playbook: str, inventory: Path, *more: str, **extra: object) -> Played:
        """Call a playbook with ``more`` words, ``extra`` being variables for it."""
        return played(self.begin(playbook, inventory, *more, **extra))


def played(process: "subprocess.Popen[str]") -> Played:
    """Wait for the end of a call."""
    try:
        output, _ = process.communicate(timeout=_PLAY_S)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate()
    return Played(process.returncode, output)


def controller(directory: Path, image: Image) -> Controller:
    """One for hosts that were booted from this image."""
    return Controller(directory, image.key)


def addresses(machines: Sequence[Machine]) -> dict[str, dict[str, object]]:
    """What an inventory has to say of each."""
    return {machine.name: {"ansible_port": machine.port} for machine in machines}


def _wheelhouse() -> Path:
    """Kept from one session to the next: what was downloaded is named after the pins and stays of use."""
    place = state_dir() / "lab" / "wheelhouse"
    place.mkdir(parents=True, exist_ok=True)
    for archive in place.glob("isobench-*.tar"):
        if time.time() - archive.stat().st_mtime > _KEPT_S:
            archive.unlink(missing_ok=True)
    return place

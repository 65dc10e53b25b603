"""The collection in ansible/: what can be said of it without a host."""

import json
import os
import pwd
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # Ansible brings it

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = ROOT / "ansible"
ROLES = ("isobench_host", "isobench_run", "isobench_batch")
PLAYBOOKS = ("site.yml", "provision.yml", "bench.yml", "fetch.yml", "reset.yml")
OPTIONAL = {"isobench_host_packages", "isobench_host_test_packages"}
"""Their defaults hang on the distribution, which is known on the host alone."""

CONTACT = ANSIBLE / "roles" / "isobench_host" / "files" / "contact.sh"


def documents() -> list[Path]:
    return sorted(path for path in ANSIBLE.rglob("*.yml") if "meta" not in path.parts)


def tasks(node: object) -> Iterator[dict[str, Any]]:
    """Every task, in blocks and handlers too."""
    for task in node if isinstance(node, list) else ():
        yield task
        for part in ("tasks", "handlers", "block", "rescue", "always"):
            yield from tasks(task.get(part))


def modules(task: dict[str, Any]) -> list[str]:
    return [key for key in task if key.startswith("ansible.") or key.partition(".")[2]]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ANSIBLE)))
def test_only_modules_that_come_with_ansible_are_used(path: Path) -> None:
    used = {name for task in tasks(yaml.safe_load(path.read_text())) for name in modules(task)}
    assert {name for name in used if not name.startswith("ansible.builtin.")} == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_is_in_its_argument_specs_with_its_default(role: str) -> None:
    defaults = yaml.safe_load((ANSIBLE / "roles" / role / "defaults" / "main.yml").read_text())
    specs = yaml.safe_load((ANSIBLE / "roles" / role / "meta" / "argument_specs.yml").read_text())
    for entry in specs["argument_specs"].values():
        assert [name for name in entry["options"] if name not in OPTIONAL] == list(defaults)
        told = {name: option["default"] for name, option in entry["options"].items() if "default" in option}
        assert told == {name: value for name, value in defaults.items() if "{{" not in str(value)}


def play(home: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(home)}
    command = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(command), *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbook_is_understood_by_ansible(playbook: str, tmp_path: Path) -> None:
    done = play(tmp_path, "--syntax-check", ANSIBLE / playbook)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("host", "packages", "kernel"),
    [
        (
            {"id": "ubuntu", "like": "debian", "release": "24", "python": "/usr/bin/python3"},
            ["runc", "lxc", "qemu-system-x86"],
            "package linux-image-virtual",
        ),
        (
            {"id": "debian", "like": "", "release": "13", "python": "/usr/bin/python3"},
            ["runc", "lxc", "qemu-system-x86"],
            "package linux-image-cloud-amd64",
        ),
        (
            {"id": "fedora", "like": "", "release": "42", "python": "/usr/bin/python3"},
            ["runc", "lxc", "tar", "qemu-system-x86-core"],
            "",
        ),
        ({"id": "rhel", "like": "fedora", "release": "9", "python": ""}, ["runc", "tar", "python3.12"], ""),
        (
            {"id": "rocky", "like": "rhel centos fedora", "release": "10", "python": "/usr/bin/python3"},
            ["crun", "tar"],
            "",
        ),
    ],
    ids=["ubuntu", "debian", "fedora", "rhel-9", "rocky-10"],
)
def test_packages_and_guest_kernel_are_those_that_the_distribution_has(
    host: dict[str, str], packages: list[str], kernel: str, tmp_path: Path
) -> None:
    folder = ANSIBLE / "roles" / "isobench_host" / "vars"
    out = tmp_path / "packages.json"
    book = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                **yaml.safe_load((folder.parent / "defaults" / "main.yml").read_text()),
                "isobench_host_contact": {**host, "machine": "x86_64"},
            },
            "tasks": [
                {"ansible.builtin.include_vars": {"file": f"{folder}/main.yml"}},
                {"ansible.builtin.include_vars": {"file": f"{folder}/{{{{ isobench_host_kin }}}}.yml"}},
                {
                    "ansible.builtin.copy": {
                        "content": "{{ [isobench_host_family_packages, kernel] | to_json }}",
                        "dest": str(out),
                        "mode": "0644",
                    },
                    "vars": {
                        "kernel": "{{ isobench_host_kernel_from and "
                        "isobench_host_kernel_from ~ ' ' ~ isobench_host_kernel_image }}"
                    },
                },
            ],
        }
    ]
    (tmp_path / "book.yml").write_text(json.dumps(book))
    inventory = f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}"
    (tmp_path / "hosts").write_text(inventory)
    done = play(tmp_path, "-i", tmp_path / "hosts", tmp_path / "book.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(out.read_text()) == [packages, kernel]


def test_guest_kernel_that_cannot_be_had_is_told_and_no_failure(tmp_path: Path) -> None:
    for name, text in (("apt-get", "echo E: no such package >&2; exit 100"), ("apt-cache", "exit 100")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    book = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "isobench_host_contact": {"machine": "x86_64", "id": "debian", "like": ""},
                "isobench_host_state_dir": str(tmp_path / "state"),
            },
            "environment": {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            "tasks": [
                {"ansible.builtin.include_role": {"name": "isobench_host", "tasks_from": "kernel"}},
            ],
        }
    ]
    (tmp_path / "book.yml").write_text(json.dumps(book))
    done = play(tmp_path, "-i", ANSIBLE / "inventory" / "localhost.yml", tmp_path / "book.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no virtual machines there: E: no such package" in done.stdout
    assert list((tmp_path / "state" / "kernel").iterdir()) == []


def contact(release: Path = Path("/etc/os-release"), **variables: str) -> dict[str, str]:
    given = {
        "dir": "/var/lib/isobench",
        "python": "",
        "stamp": "none",
        "account": "root",
        "now": "0",
        **variables,
    }
    words = " ".join(f"{name}='{value}'" for name, value in given.items())
    program = CONTACT.read_text().replace("/etc/os-release", str(release))
    done = subprocess.run(["sh", "-c", f"{words}\n{program}"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return dict(re.findall(r"^isobench_([a-z_]+)=(.*)$", done.stdout, re.MULTILINE))


def test_host_answers_with_all_that_the_role_asks_for() -> None:
    answer = contact()
    assert set(answer) == {
        *("offset", "uid", "machine", "init", "id", "like", "release", "name", "any_python", "python"),
        *("version", "installed", "home", "settings", "controllers", "free_in", "free_kb"),
    }
    assert int(answer["free_kb"]) > 0
    assert {"cpu", "memory"} <= set(answer["controllers"].split())


def test_free_space_is_that_of_the_nearest_folder_there_is(tmp_path: Path) -> None:
    assert contact(dir=str(tmp_path / "not" / "yet"))["free_in"] == str(tmp_path)


def test_python_that_was_named_is_taken_if_it_is_new_enough(tmp_path: Path) -> None:
    answer = contact(python=sys.executable)
    assert answer["python"] == sys.executable
    assert answer["version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\ncase $2 in *exit*) exit 1;; *) echo 3.9;; esac\n")
    old.chmod(0o755)
    assert "python" not in contact(python=str(old))


def test_stamp_of_what_is_installed_is_told(tmp_path: Path) -> None:
    (tmp_path / "isobench.key").write_text("abc\n")
    assert contact(dir=str(tmp_path), stamp="isobench.key")["installed"] == "abc"
    assert contact(dir=str(tmp_path))["installed"] == ""


def test_clock_is_compared_with_the_time_that_the_host_is_told() -> None:
    told = int(time.time()) - 3600
    assert 3600 <= int(contact(now=str(told))["offset"]) <= time.time() - told


def test_distribution_is_that_of_its_release_file(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    assert contact(release)["name"] == "an unknown system"
    release.write_text(
        'ID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID=9.4\nPRETTY_NAME="Rocky Linux 9.4"\n'
    )
    answer = contact(release)
    assert [answer[key] for key in ("id", "like", "release", "name")] == [
        *("rocky", "rhel centos fedora", "9"),
        "Rocky Linux 9.4",
    ]


def test_home_of_an_account_that_is_there_is_told() -> None:
    assert contact()["home"] == pwd.getpwnam("root").pw_dir
    assert contact(account="no-such-user")["home"] == ""


def test_collection_names_its_roles_and_playbooks_in_its_readme() -> None:
    readme = (ANSIBLE / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in (*ROLES, *PLAYBOOKS))
    galaxy = yaml.safe_load((ANSIBLE / "galaxy.yml").read_text())
    assert (galaxy["namespace"], galaxy["name"]) == ("isobench", "lab")
    assert json.dumps(galaxy["version"]) in json.dumps((ANSIBLE / "CHANGELOG.md").read_text().split())


def switches() -> list[str]:
    """Variables that are on or off."""
    specs = [
        yaml.safe_load((ANSIBLE / "roles" / role / "meta" / "argument_specs.yml").read_text())
        for role in ROLES
    ]
    options = [spec["argument_specs"]["main"]["options"] for spec in specs]
    return sorted(name for one in options for name, option in one.items() if option["type"] == "bool")


@pytest.mark.parametrize("name", [*switches(), "isobench_provision", "isobench_fetch"])
def test_switch_is_understood_as_the_command_line_gives_it_too(name: str) -> None:
    """``-e name=false``, and a line of an INI inventory, give a string, which would count as true."""
    given = re.compile(rf"^ *(?:#|msg: |{name}: )|{name}(?: \| default\(false\))? \| bool\b")
    lines = [line for path in documents() for line in path.read_text().splitlines() if name in line]
    assert lines
    assert [line for line in lines if not given.search(line)] == []
